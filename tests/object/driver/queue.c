/*
 * Registers and queues. Senders share a lock; each rings the doorbell itself:
 *
 *	slot = command
 *	fence ow,ow		without it the doorbell may overtake the command (RACE_DOORBELL)
 *	cqt = next slot
 *	fence o,w		the next holder's doorbell is later
 */
#include "own.h"

#define QUEUE_ENTRIES 256
#define FAULT_ENTRIES 128
#define ON (1u << 16)
#define BUSY (1u << 17)
#define WIRES 2u /* fctl.WSI */
#define FENCE_NS 10000000l
#define ROOM_NS 10000000l

static void look(struct own_iommu *iommu)
{
	u32 head = read32(iommu->registers + CQH);

	iommu->consumed += (head - iommu->consumed) & (iommu->entries - 1);
}

void own_send(struct own_iommu *iommu, u64 first, u64 second)
{
	unsigned long flags = _raw_spin_lock_irqsave(&iommu->queue_lock);
	long until = 0;
	u64 *slot;

	while (iommu->produced - iommu->consumed >= iommu->entries - 1) {
		look(iommu);
		if (!until)
			until = ktime_get() + ROOM_NS;
		else if (ktime_get() > until) {
			_dev_err(iommu->dev, "command %#lx found no room\n", first);
			goto out;
		}
	}
	slot = iommu->commands + 2 * (iommu->produced & (iommu->entries - 1));
	WRITE_ONCE(slot[0], first);
	WRITE_ONCE(slot[1], second);
#ifndef RACE_DOORBELL
	dma_wmb();
#endif
	iommu->produced++;
	write32(iommu->registers + CQT, iommu->produced & (iommu->entries - 1));
	mmiowb();
out:
	_raw_spin_unlock_irqrestore(&iommu->queue_lock, flags);
}

void own_sync(struct own_iommu *iommu)
{
	long until = ktime_get() + FENCE_NS;
	unsigned long flags;
	u64 target;
	bool done;

	own_send(iommu, 0x3002, 0);
	target = READ_ONCE(iommu->produced);
	do {
		flags = _raw_spin_lock_irqsave(&iommu->queue_lock);
		look(iommu);
		done = iommu->consumed >= target;
		_raw_spin_unlock_irqrestore(&iommu->queue_lock, flags);
		if (!done && ktime_get() > until) {
			_dev_err(iommu->dev, "a fence is not done, cqcsr %#x\n", read32(iommu->registers + CQCSR));
			return;
		}
	} while (!done);
}

void own_forget_context(struct own_iommu *iommu, u32 did)
{
	own_send(iommu, 3 | 1ul << 33 | (u64)did << 40, 0);
}

void own_forget_page(struct own_iommu *iommu, u32 pscid, unsigned long iova)
{
	own_send(iommu, 1 | 1ul << 10 | (u64)pscid << 12 | 1ul << 32, PPN(iova) << 10);
}

void own_forget_all(struct own_iommu *iommu, u32 pscid)
{
	own_send(iommu, 1 | (u64)pscid << 12 | 1ul << 32, 0);
}

/* --- Interrupts --------------------------------------------------------------------------------------------------- */

static irqreturn_t commands_pending(int irq, void *data)
{
	struct own_iommu *iommu = data;

	return read32(iommu->registers + IPSR) & 1 ? IRQ_WAKE_THREAD : IRQ_NONE;
}

static irqreturn_t serve_commands(int irq, void *data)
{
	struct own_iommu *iommu = data;
	u32 csr = read32(iommu->registers + CQCSR);

	_dev_warn(iommu->dev, "command queue error, cqcsr %#x\n", csr);
	write32(iommu->registers + CQCSR, csr);
	write32(iommu->registers + IPSR, 1);
	return IRQ_HANDLED;
}

static irqreturn_t faults_pending(int irq, void *data)
{
	struct own_iommu *iommu = data;

	return read32(iommu->registers + IPSR) & 2 ? IRQ_WAKE_THREAD : IRQ_NONE;
}

static irqreturn_t serve_faults(int irq, void *data)
{
	struct own_iommu *iommu = data;
	u32 head = read32(iommu->registers + FQH), tail, csr;
	const u64 *record;

	write32(iommu->registers + IPSR, 2);
	while ((tail = read32(iommu->registers + FQT)) != head) {
		dma_rmb();
		for (; head != tail; head = (head + 1) & (iommu->fault_entries - 1)) {
			record = iommu->faults + 4 * head;
			_dev_warn(iommu->dev, "fault %u device %#x iotval %#lx iotval2 %#lx\n", (u32)record[0] & 0xfff,
				  (u32)(record[0] >> 40), record[2], record[3]);
		}
		write32(iommu->registers + FQH, head);
	}
	csr = read32(iommu->registers + FQCSR);
	if (csr & 0x300) {
		_dev_warn(iommu->dev, "fault queue error, fqcsr %#x\n", csr);
		write32(iommu->registers + FQCSR, csr);
	}
	return IRQ_HANDLED;
}

/* --- Coming and going --------------------------------------------------------------------------------------------- */

static int switch_queue(struct own_iommu *iommu, u32 csr, u32 value)
{
	long until = ktime_get() + ROOM_NS;
	u32 now;

	write32(iommu->registers + csr, value);
	while ((now = read32(iommu->registers + csr)) & BUSY) {
		if (ktime_get() > until)
			return -ETIMEDOUT;
		usleep_range_state(5, 10, 2);
	}
	return !(now & ON) == !(value & 1) ? 0 : -EBUSY;
}

static u64 *new_queue(struct own_iommu *iommu, u32 base, u32 entries, u32 size)
{
	u64 *queue = iommu_alloc_pages_node_sz(iommu->dev->numa_node, GFP_KERNEL, entries * size);

	if (queue)
		write64(iommu->registers + base, PPN(queue) << 10 | (__builtin_ctz(entries) - 1));
	return queue;
}

static int own_start(struct own_iommu *iommu)
{
	int failed = -ENOMEM;

	iommu->entries = QUEUE_ENTRIES;
	iommu->fault_entries = FAULT_ENTRIES;
	iommu->commands = new_queue(iommu, CQB, QUEUE_ENTRIES, 16);
	iommu->faults = new_queue(iommu, FQB, FAULT_ENTRIES, 32);
	if (!iommu->commands || !iommu->faults)
		goto pages;
	failed = request_threaded_irq(iommu->irq[0], commands_pending, serve_commands, 0, "own-commands", iommu);
	if (failed)
		goto pages;
	failed = request_threaded_irq(iommu->irq[1], faults_pending, serve_faults, 0, "own-faults", iommu);
	if (failed)
		goto commands;
	write32(iommu->registers + CQT, 0);
	failed = switch_queue(iommu, CQCSR, 3);
	if (failed)
		goto faults;
	write32(iommu->registers + FQH, 0);
	failed = switch_queue(iommu, FQCSR, 3);
	if (!failed)
		failed = own_domains_start(iommu);
	if (!failed)
		return 0;
	switch_queue(iommu, FQCSR, 0);
	switch_queue(iommu, CQCSR, 0);
faults:
	free_irq(iommu->irq[1], iommu);
commands:
	free_irq(iommu->irq[0], iommu);
pages:
	if (iommu->faults)
		iommu_free_pages(iommu->faults);
	if (iommu->commands)
		iommu_free_pages(iommu->commands);
	return failed;
}

static void send_to(struct msi_desc *vector, struct msi_msg *message)
{
	struct own_iommu *iommu = dev_get_drvdata(vector->dev);
	char *registers = iommu->registers + 16 * vector->msi_index;

	write64(registers + MSI_ADDR, (u64)message->address_hi << 32 | message->address_lo);
	write32(registers + MSI_DATA, message->data);
	write32(registers + MSI_VEC_CTL, 0);
}

static int own_probe(struct platform_device *pdev)
{
	struct own_iommu *iommu = devm_kmalloc(&pdev->dev, sizeof(*iommu), GFP_KERNEL | ZEROED);
	u32 fctl;
	int n, irq;

	if (!iommu)
		return -ENOMEM;
	iommu->dev = &pdev->dev;
	iommu->registers = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(iommu->registers))
		return (long)iommu->registers;
	dev_set_drvdata(&pdev->dev, iommu);
	iommu->capabilities = read64(iommu->registers + CAPABILITIES);
	fctl = read32(iommu->registers + FCTL);
	if (fctl & 1)
		return -EINVAL;
	of_msi_configure(iommu->dev, NULL);
	if (fctl & WIRES) { /* messages, if it can */
		write32(iommu->registers + FCTL, fctl & ~WIRES);
		fctl = read32(iommu->registers + FCTL);
	}
	if (!(fctl & WIRES) && iommu->dev->msi.domain) {
		n = platform_device_msi_init_and_alloc_irqs(iommu->dev, 2, send_to);
		if (n)
			return n;
	} else if (!(fctl & WIRES)) {
		write32(iommu->registers + FCTL, fctl | WIRES);
		fctl = read32(iommu->registers + FCTL);
		if (!(fctl & WIRES)) {
			_dev_err(iommu->dev, "this IOMMU interrupts by message only\n");
			return -ENODEV;
		}
	}
	iommu->by_message = !(fctl & WIRES);
	if (read64(iommu->registers + DDTP) & 0xf) {
		_dev_err(iommu->dev, "the IOMMU is in use\n");
		return -EBUSY;
	}
	write64(iommu->registers + ICVEC, 0x10);
	for (n = 0; n < 2; n++) {
		irq = iommu->by_message ? msi_domain_get_virq(iommu->dev, 0, n) : platform_get_irq(pdev, n);
		if (n && irq <= 0)
			irq = iommu->irq[0]; /* one vector for both */
		if (irq < 0)
			return irq;
		iommu->irq[n] = irq;
	}
	return own_start(iommu);
}

static void own_quiet(struct own_iommu *iommu)
{
	write64(iommu->registers + DDTP, 0);
	switch_queue(iommu, CQCSR, 0);
	switch_queue(iommu, FQCSR, 0);
}

static void own_remove(struct platform_device *pdev)
{
	struct own_iommu *iommu = dev_get_drvdata(&pdev->dev);

	own_domains_stop(iommu);
	free_irq(iommu->irq[0], iommu);
	free_irq(iommu->irq[1], iommu);
	own_quiet(iommu);
	if (iommu->by_message)
		platform_device_msi_free_irqs_all(iommu->dev);
	iommu_free_pages(iommu->directory);
	iommu_free_pages(iommu->commands);
	iommu_free_pages(iommu->faults);
}

static void own_shutdown(struct platform_device *pdev)
{
	own_quiet(dev_get_drvdata(&pdev->dev));
}

struct platform_driver own_platform_driver = {
	.probe = own_probe,
	.remove = own_remove,
	.shutdown = own_shutdown,
};
