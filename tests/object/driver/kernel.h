/*
 * The little of a kernel that this driver needs. Structures and functions have the names that Linux gives them, so that
 * they are found in the same way; their layouts are of our own, and differ from Linux's on purpose.
 */
#ifndef KERNEL_H
#define KERNEL_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef unsigned long size_t;
typedef unsigned long phys_addr_t;
typedef unsigned int gfp_t;
typedef _Bool bool;

#define NULL ((void *)0)
#define GFP_KERNEL 0xcc0u
#define GFP_ATOMIC 0x820u
#define ZEROED 0x100u

#define EIO 5
#define ENOMEM 12
#define EBUSY 16
#define ENODEV 19
#define EINVAL 22
#define ETIMEDOUT 110

#define container_of(at, type, member) ((type *)((char *)(at) - __builtin_offsetof(type, member)))
#define ERR_PTR(code) ((void *)(long)(code))
#define IS_ERR(at) ((unsigned long)(at) >= -4095ul)
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

#define smp_mb() __asm__ __volatile__("fence rw, rw" ::: "memory")
#define release_fence() __asm__ __volatile__("fence rw, w" ::: "memory")
#define dma_wmb() __asm__ __volatile__("fence ow, ow" ::: "memory")
#define dma_rmb() __asm__ __volatile__("fence ir, ir" ::: "memory")
#define mmiowb() __asm__ __volatile__("fence o, w" ::: "memory")

static inline u32 read32(const void *at) { return *(const volatile u32 *)at; }
static inline u64 read64(const void *at) { return *(const volatile u64 *)at; }
static inline void write32(void *at, u32 value) { *(volatile u32 *)at = value; }
static inline void write64(void *at, u64 value) { *(volatile u64 *)at = value; }

typedef struct raw_spinlock {
	u32 word;
} raw_spinlock_t;

struct ida {
	u64 unused;
};

struct list_head {
	struct list_head *next, *prev;
};

struct iommu_pages_list {
	struct list_head pages;
};

struct thread_info {
	unsigned long flags;
	int cpu;
	int preempt_count;
};

struct task_struct {
	long state;
	struct thread_info thread_info;
	unsigned long stack_canary;
};

#define current ((struct task_struct *)__builtin_thread_pointer())

/* --- Devices ------------------------------------------------------------------------------------------------------ */

struct iommu_ops;
struct iommu_domain;

struct dev_msi_info {
	void *data;
	struct irq_domain *domain;
};

struct iommu_device {
	void *fwnode;
	const struct iommu_ops *ops;
};

struct device;

struct fwnode_handle {
	void *secondary;
	struct device *dev;
};

struct iommu_fwspec {
	struct fwnode_handle *iommu_fwnode;
	u32 flags;
	u32 num_ids;
	u32 ids[];
};

struct dev_iommu {
	void *priv;
	struct iommu_device *iommu_dev;
	struct iommu_fwspec *fwspec;
};

struct device {
	void *driver_data;
	int numa_node;
	bool offline;
	struct dev_iommu *iommu;
	struct dev_msi_info msi;
	const char *init_name;
};

struct platform_device {
	const char *name;
	int id;
	struct device dev;
};

struct platform_driver {
	void (*shutdown)(struct platform_device *);
	int (*probe)(struct platform_device *);
	void (*remove)(struct platform_device *);
};

static inline void *dev_get_drvdata(const struct device *dev) { return dev->driver_data; }
static inline void dev_set_drvdata(struct device *dev, void *data) { dev->driver_data = data; }

/* --- The IOMMU core ----------------------------------------------------------------------------------------------- */

struct iommu_iotlb_gather {
	bool queued;
	size_t pgsize;
	unsigned long end, start;
	struct iommu_pages_list freelist;
};

struct iommu_domain_ops {
	int (*attach_dev)(struct iommu_domain *, struct device *, struct iommu_domain *old);
	int (*map_pages)(struct iommu_domain *, unsigned long iova, phys_addr_t, size_t pgsize, size_t pgcount, int prot,
			 gfp_t, size_t *mapped);
	size_t (*unmap_pages)(struct iommu_domain *, unsigned long iova, size_t pgsize, size_t pgcount,
			      struct iommu_iotlb_gather *);
	void (*flush_iotlb_all)(struct iommu_domain *);
	void (*iotlb_sync)(struct iommu_domain *, struct iommu_iotlb_gather *);
	phys_addr_t (*iova_to_phys)(struct iommu_domain *, unsigned long iova);
	void (*free)(struct iommu_domain *);
};

struct iommu_domain_geometry {
	bool force_aperture;
	u64 aperture_start, aperture_end;
};

struct iommu_domain {
	const struct iommu_domain_ops *ops;
	unsigned long pgsize_bitmap;
	struct iommu_domain_geometry geometry;
};

enum iommu_cap { IOMMU_CAP_CACHE_COHERENCY, IOMMU_CAP_NOEXEC, IOMMU_CAP_DEFERRED_FLUSH };

struct iommu_ops {
	struct iommu_domain *(*domain_alloc_paging)(struct device *);
	struct iommu_device *(*probe_device)(struct device *);
	void (*release_device)(struct device *);
	bool (*capable)(struct device *, enum iommu_cap);
	const struct iommu_domain_ops *default_domain_ops;
	struct iommu_domain *identity_domain;
	struct iommu_domain *blocked_domain;
};

/* --- Functions ---------------------------------------------------------------------------------------------------- */

void _raw_spin_lock(raw_spinlock_t *);
void _raw_spin_unlock(raw_spinlock_t *);
unsigned long _raw_spin_lock_irqsave(raw_spinlock_t *);
void _raw_spin_unlock_irqrestore(raw_spinlock_t *, unsigned long flags);

void kvfree_call_rcu(void *head, void *at);
void *__devres_alloc_node(void (*release)(struct device *, void *), size_t, gfp_t, int node, const char *name);
void devres_add(struct device *, void *);
int devres_release(struct device *, void (*release)(struct device *, void *), int (*match)(struct device *, void *, void *),
		   void *data);
void iommu_put_pages_list(struct iommu_pages_list *);
int ___ratelimit(void *state, const char *name);
void *memcpy(void *, const void *, size_t);
void *devm_kmalloc(struct device *, size_t, gfp_t);
void *devm_platform_ioremap_resource(struct platform_device *, u32 index);
int platform_get_irq(struct platform_device *, u32 index);
void *__kmalloc_noprof(size_t, gfp_t);
void kfree(const void *);
void *iommu_alloc_pages_node_sz(int node, gfp_t, size_t);
void iommu_free_pages(void *);
int ida_alloc_range(struct ida *, u32 min, u32 max, gfp_t);
void ida_free(struct ida *, u32 id);

enum irqreturn { IRQ_NONE = 0, IRQ_HANDLED = 1, IRQ_WAKE_THREAD = 2 };
typedef enum irqreturn irqreturn_t;
typedef irqreturn_t (*irq_handler_t)(int, void *);
int request_threaded_irq(u32 irq, irq_handler_t, irq_handler_t thread, unsigned long flags, const char *name, void *);
const void *free_irq(u32 irq, void *);

struct msi_msg {
	u32 data, address_hi, address_lo;
};

struct msi_desc {
	struct device *dev;
	int msi_index;
	u32 irq;
};

void of_msi_configure(struct device *, const void *node);
int platform_device_msi_init_and_alloc_irqs(struct device *, u32 count, void (*write)(struct msi_desc *, struct msi_msg *));
void platform_device_msi_free_irqs_all(struct device *);
u32 msi_domain_get_virq(struct device *, u32 domain, u32 index);

int iommu_device_register(struct iommu_device *, const struct iommu_ops *, struct device *);
void iommu_device_unregister(struct iommu_device *);
long ktime_get(void);
void usleep_range_state(unsigned long min, unsigned long max, u32 state);
void _dev_err(const struct device *, const char *format, ...);
void _dev_warn(const struct device *, const char *format, ...);

#endif
