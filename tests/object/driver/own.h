/* A small driver of the RISC-V IOMMU, in two files: its queues, and its domains. */
#ifndef OWN_H
#define OWN_H

#include "kernel.h"

struct own_iommu {
	struct device *dev;
	char *registers;
	u64 capabilities;
	u32 irq[2];
	bool by_message;

	raw_spinlock_t queue_lock;
	u32 entries;
	u64 produced, consumed; /* commands, without end */
	u64 *commands;
	u32 fault_entries;
	u64 *faults;

	u64 *directory;
	struct iommu_device iommu;
};

/* Offsets of registers (5 "Memory-mapped registers"). */
enum { CAPABILITIES = 0, FCTL = 8, DDTP = 16, CQB = 24, CQH = 32, CQT = 36, FQB = 40, FQH = 48, FQT = 52, CQCSR = 72,
       FQCSR = 76, IPSR = 84, ICVEC = 760, MSI_ADDR = 768, MSI_DATA = 776, MSI_VEC_CTL = 780 };

#define MSI_FLAT (1ul << 22)
#define PAGE 4096ul
#define PPN(address) ((u64)(address) >> 12)

/* queue.c */
void own_send(struct own_iommu *, u64 first, u64 second);
void own_sync(struct own_iommu *);
void own_forget_context(struct own_iommu *, u32 did);
void own_forget_page(struct own_iommu *, u32 pscid, unsigned long iova);
void own_forget_all(struct own_iommu *, u32 pscid);

/* domain.c */
extern const struct iommu_ops own_ops;
int own_domains_start(struct own_iommu *);
void own_domains_stop(struct own_iommu *);

#endif
