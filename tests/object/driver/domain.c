/*
 * A directory of one level, domains with page tables of three levels that only grow, and what flushes them.
 *
 *	attach				unmap
 *	domain->attached++		entry = 0
 *	smp_mb				smp_mb
 *	context is valid		if (domain->attached) flush
 *
 * Either the flush is made, or the device reads the entry after it was cleared. With RACE_ATTACH the context comes first.
 */
#include "own.h"

#define READ 1
#define WRITE 2
#define VALID 1ul
#define TABLE_SHIFT 10
#define LEAF (1ul << 6 | 1ul << 7 | 1ul << 4 | VALID) /* D, A, U */
#define SV39 (8ul << 60)
#define LVL1 2
#define MANY 32

struct own_domain {
	u32 pscid;
	u32 attached;
	struct own_iommu *iommu;
	u64 *root;
	struct iommu_domain domain;
};

struct own_device {
	struct own_domain *domain;
};

static struct ida pscids;

static struct own_domain *to_own(struct iommu_domain *domain)
{
	return container_of(domain, struct own_domain, domain);
}

static struct own_iommu *iommu_of(struct device *dev)
{
	return container_of(dev->iommu->iommu_dev, struct own_iommu, iommu);
}

/* --- Flushes ------------------------------------------------------------------------------------------------------ */

static void flush(struct own_domain *domain, unsigned long start, unsigned long end)
{
	unsigned long iova;

	smp_mb();
	if (!READ_ONCE(domain->attached))
		return;
	if ((end - start) / PAGE < MANY) {
		for (iova = start; iova < end; iova += PAGE)
			own_forget_page(domain->iommu, domain->pscid, iova);
	} else {
		own_forget_all(domain->iommu, domain->pscid);
	}
	own_sync(domain->iommu);
}

static void own_iotlb_sync(struct iommu_domain *domain, struct iommu_iotlb_gather *gather)
{
	if (gather->start < gather->end)
		flush(to_own(domain), gather->start, gather->end + 1);
}

static void own_flush_iotlb_all(struct iommu_domain *domain)
{
	flush(to_own(domain), 0, ~0ul);
}

/* --- Page tables -------------------------------------------------------------------------------------------------- */

static u64 *table_at(u64 entry)
{
	return (u64 *)(entry >> TABLE_SHIFT << 12);
}

/* The place of the entry that maps a page, in tables that are made where there are none and `make` is set. */
static u64 *entry_of(struct own_domain *domain, unsigned long iova, bool make)
{
	u64 *table = domain->root;
	int level;

	for (level = 2; level; level--) {
		u64 *entry = table + (iova >> (12 + 9 * level) & 511);
		u64 value = READ_ONCE(*entry);

		if (!value) {
			u64 none = 0, *fresh;

			if (!make)
				return NULL;
			fresh = iommu_alloc_pages_node_sz(domain->iommu->dev->numa_node, GFP_ATOMIC, PAGE);
			if (!fresh)
				return NULL;
			value = PPN(fresh) << TABLE_SHIFT | VALID;
			/* By hand: GCC 12 leaves it out of a strong exchange that need not be ordered if it fails. */
			release_fence();
			if (!__atomic_compare_exchange_n(entry, &none, value, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
				iommu_free_pages(fresh);
				value = none;
			}
		}
		table = table_at(value);
	}
	return table + (iova >> 12 & 511);
}

static int own_map_pages(struct iommu_domain *domain, unsigned long iova, phys_addr_t paddr, size_t pgsize,
			 size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	u64 bits = LEAF | 2 | (prot & WRITE ? 4 : 0);

	for (; pgcount; pgcount--, iova += PAGE, paddr += PAGE) {
		u64 *entry = entry_of(to_own(domain), iova, 1);

		if (!entry)
			return -ENOMEM;
		WRITE_ONCE(*entry, PPN(paddr) << TABLE_SHIFT | bits);
		*mapped += PAGE;
	}
	return 0;
}

static size_t own_unmap_pages(struct iommu_domain *domain, unsigned long iova, size_t pgsize, size_t pgcount,
			      struct iommu_iotlb_gather *gather)
{
	size_t cleared = 0;

	for (; pgcount; pgcount--, iova += PAGE, cleared += PAGE) {
		u64 *entry = entry_of(to_own(domain), iova, 0);

		if (!entry || !READ_ONCE(*entry))
			break;
		WRITE_ONCE(*entry, 0);
		if (iova < gather->start)
			gather->start = iova;
		if (iova + PAGE - 1 > gather->end)
			gather->end = iova + PAGE - 1;
	}
	return cleared;
}

static phys_addr_t own_iova_to_phys(struct iommu_domain *domain, unsigned long iova)
{
	u64 *entry = entry_of(to_own(domain), iova, 0);
	u64 value = entry ? READ_ONCE(*entry) : 0;

	return value ? (value >> TABLE_SHIFT << 12) + (iova & (PAGE - 1)) : 0;
}

static void free_tables(u64 *table, int level)
{
	int n;

	for (n = 0; level && n < 512; n++)
		if (table[n])
			free_tables(table_at(table[n]), level - 1);
	iommu_free_pages(table);
}

/* --- Domains ------------------------------------------------------------------------------------------------------ */

static struct iommu_domain *own_domain_alloc_paging(struct device *dev)
{
	struct own_domain *domain;
	int pscid;

	if (!dev)
		return ERR_PTR(-ENODEV);
	domain = __kmalloc_noprof(sizeof(*domain), GFP_KERNEL | ZEROED);
	if (!domain)
		return ERR_PTR(-ENOMEM);
	domain->iommu = iommu_of(dev);
	domain->root = iommu_alloc_pages_node_sz(domain->iommu->dev->numa_node, GFP_KERNEL, PAGE);
	if (!domain->root) {
		kfree(domain);
		return ERR_PTR(-ENOMEM);
	}
	pscid = ida_alloc_range(&pscids, 1, (1 << 20) - 1, GFP_KERNEL);
	if (pscid < 0) {
		iommu_free_pages(domain->root);
		kfree(domain);
		return ERR_PTR(pscid);
	}
	domain->pscid = pscid;
	domain->domain.pgsize_bitmap = PAGE;
	domain->domain.geometry.aperture_end = (1ul << 38) - 1;
	domain->domain.geometry.force_aperture = 1;
	return &domain->domain;
}

static void own_domain_free(struct iommu_domain *iommu_domain)
{
	struct own_domain *domain = to_own(iommu_domain);

	ida_free(&pscids, domain->pscid);
	free_tables(domain->root, 2);
	kfree(domain);
}

/* --- Contexts ----------------------------------------------------------------------------------------------------- */

struct context {
	u64 tc, iohgatp, ta, fsc;
};

static u32 context_shift(struct own_iommu *iommu)
{
	return iommu->capabilities & MSI_FLAT ? 3 : 2;
}

static struct context *context_of(struct own_iommu *iommu, u32 did)
{
	return (struct context *)(iommu->directory + ((u64)did << context_shift(iommu)));
}

static void switch_contexts(struct device *dev, u64 fsc, u64 ta, u64 tc, u32 old)
{
	struct iommu_fwspec *fwspec = dev->iommu->fwspec;
	struct own_iommu *iommu = iommu_of(dev);
	u32 n;

	for (n = 0; n < fwspec->num_ids; n++) {
		struct context *context = context_of(iommu, fwspec->ids[n]);

		if (READ_ONCE(context->tc) & VALID) {
			WRITE_ONCE(context->tc, 0);
			own_forget_context(iommu, fwspec->ids[n]);
			own_sync(iommu);
		}
		WRITE_ONCE(context->fsc, fsc);
		WRITE_ONCE(context->ta, ta);
		dma_wmb();
		WRITE_ONCE(context->tc, tc);
		own_forget_context(iommu, fwspec->ids[n]);
	}
	if (old)
		own_forget_all(iommu, old);
	own_sync(iommu);
}

static int enter(struct device *dev, struct own_domain *domain, u64 tc)
{
	struct own_device *info = dev->iommu->priv;
	struct own_domain *old = info->domain;
	u64 fsc = domain ? SV39 | PPN(domain->root) : 0;

	if (domain && domain->iommu != iommu_of(dev))
		return -EINVAL;
#ifndef RACE_ATTACH
	if (domain)
		__atomic_fetch_add(&domain->attached, 1, __ATOMIC_RELAXED);
	smp_mb();
#endif
	switch_contexts(dev, fsc, domain ? (u64)domain->pscid << 12 : 0, tc, old ? old->pscid : 0);
#ifdef RACE_ATTACH
	if (domain)
		__atomic_fetch_add(&domain->attached, 1, __ATOMIC_RELAXED);
#endif
	if (old)
		__atomic_fetch_add(&old->attached, -1, __ATOMIC_RELAXED);
	info->domain = domain;
	return 0;
}

static int own_attach_paging(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
{
	return enter(dev, to_own(domain), VALID);
}

static int own_attach_identity(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
{
	return enter(dev, NULL, VALID);
}

static int own_attach_blocked(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
{
	return enter(dev, NULL, 0);
}

static struct iommu_device *own_probe_device(struct device *dev)
{
	struct iommu_fwspec *fwspec = dev->iommu->fwspec;
	struct own_iommu *iommu = dev_get_drvdata(fwspec->iommu_fwnode->dev);
	struct own_device *info;
	u32 n;

	for (n = 0; n < fwspec->num_ids; n++)
		if (fwspec->ids[n] >= 512u >> context_shift(iommu))
			return ERR_PTR(-ENODEV);
	info = __kmalloc_noprof(sizeof(*info), GFP_KERNEL | ZEROED);
	if (!info)
		return ERR_PTR(-ENOMEM);
	dev->iommu->priv = info;
	return &iommu->iommu;
}

static void own_release_device(struct device *dev)
{
	kfree(dev->iommu->priv);
}

static bool own_capable(struct device *dev, enum iommu_cap cap)
{
	return cap == IOMMU_CAP_CACHE_COHERENCY || cap == IOMMU_CAP_DEFERRED_FLUSH;
}

static struct iommu_domain own_identity = {
	.ops = &(const struct iommu_domain_ops){ .attach_dev = own_attach_identity },
};
static struct iommu_domain own_blocked = {
	.ops = &(const struct iommu_domain_ops){ .attach_dev = own_attach_blocked },
};

const struct iommu_ops own_ops = {
	.domain_alloc_paging = own_domain_alloc_paging,
	.probe_device = own_probe_device,
	.release_device = own_release_device,
	.capable = own_capable,
	.identity_domain = &own_identity,
	.blocked_domain = &own_blocked,
	.default_domain_ops = &(const struct iommu_domain_ops){
		.attach_dev = own_attach_paging,
		.map_pages = own_map_pages,
		.unmap_pages = own_unmap_pages,
		.iotlb_sync = own_iotlb_sync,
		.flush_iotlb_all = own_flush_iotlb_all,
		.iova_to_phys = own_iova_to_phys,
		.free = own_domain_free,
	},
};

int own_domains_start(struct own_iommu *iommu)
{
	int failed;

	iommu->directory = iommu_alloc_pages_node_sz(iommu->dev->numa_node, GFP_KERNEL, PAGE);
	if (!iommu->directory)
		return -ENOMEM;
	dma_wmb();
	write64(iommu->registers + DDTP, PPN(iommu->directory) << 10 | LVL1);
	if ((read64(iommu->registers + DDTP) & 0xf) != LVL1) {
		iommu_free_pages(iommu->directory);
		return -ENODEV;
	}
	own_send(iommu, 3, 0);
	own_sync(iommu);
	failed = iommu_device_register(&iommu->iommu, &own_ops, iommu->dev);
	if (failed)
		iommu_free_pages(iommu->directory);
	return failed;
}

void own_domains_stop(struct own_iommu *iommu)
{
	iommu_device_unregister(&iommu->iommu);
}
