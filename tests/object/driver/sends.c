/* The function by which Linux's driver sends, in the place that its structure of an IOMMU has; linked for the tests. */
#include "own.h"

struct riscv_iommu_queue {
	u64 sent[2];
	u64 size;
};

struct riscv_iommu_device {
	struct device *dev;
	struct riscv_iommu_queue cmdq;
	struct iommu_device iommu;
	int answer;
};

int riscv_iommu_queue_send(struct riscv_iommu_queue *queue, const u64 *command, size_t size, unsigned int timeout)
{
	WRITE_ONCE(queue->sent[0], command[0]);
	WRITE_ONCE(queue->sent[1], command[1]);
	WRITE_ONCE(queue->size, size + timeout);
	return READ_ONCE(container_of(queue, struct riscv_iommu_device, cmdq)->answer);
}
