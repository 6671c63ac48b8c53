// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA faults of a vdev: counted, the last of them kept, and its user told, by the fault
 * region and its interrupt. They come from the IOMMU's interrupt, at any rate that
 * the user of the vdev likes; so all that is done there takes the same short time, and the
 * log gets one line for each user.
 */
#include <linux/cleanup.h>
#include <linux/uaccess.h>

#include "pasid_private.h"
#include "trace.h"

struct fault_region {
	struct mdev_pasid_fault_header header;
	struct mdev_pasid_fault slots[MDEV_PASID_FAULT_SLOTS];
};

/* Called in any context, hard interrupts too, with raw spinlocks held */
void mdev_pasid_dma_fault(struct vfio_device *vfio, u64 addr, bool write)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	struct mdev_pasid_faults *f = &vdev->faults;

	scoped_guard(raw_spinlock_irqsave, &f->lock) {
		f->slots[f->count++ % MDEV_PASID_FAULT_SLOTS] = (struct mdev_pasid_fault) {
			.addr = addr,
			.pasid = vdev->pasid,
			.flags = write ? MDEV_PASID_FAULT_WRITE : 0,
		};
		f->total++;
	}
	trace_mdev_pasid_fault(vdev, addr, write);
	/* Once, however many faults come before it runs */
	irq_work_queue(&f->work);
}

/* What needs locks that an interrupt of the IOMMU cannot take */
static void tell_user(struct irq_work *work)
{
	struct mdev_pasid_vdev *vdev = container_of(work, struct mdev_pasid_vdev, faults.work);
	struct mdev_pasid_faults *f = &vdev->faults;
	struct mdev_pasid_fault last;
	bool log;

	scoped_guard(raw_spinlock_irqsave, &f->lock) {
		log = f->count && !f->logged;
		f->logged |= log;
		last = f->slots[(f->count - 1) % MDEV_PASID_FAULT_SLOTS];
	}
	mdev_pasid_irq_signal(vdev, &vdev->fault_trigger);
	/* A limit for each vdev: who comes and goes takes no line from the others */
	if (log && __ratelimit(&vdev->refusal.ratelimit))
		dev_notice(vdev->vfio.dev,
			   "DMA fault: PASID %u %s 0x%llx; those that follow are only counted, in pasid/faults\n",
			   last.pasid, last.flags & MDEV_PASID_FAULT_WRITE ? "wrote" : "read",
			   last.addr);
}

void mdev_pasid_faults_init(struct mdev_pasid_vdev *vdev)
{
	raw_spin_lock_init(&vdev->faults.lock);
	init_irq_work(&vdev->faults.work, tell_user);
}

/* A new user, who is not told of the faults of the last one */
void mdev_pasid_faults_reset(struct mdev_pasid_vdev *vdev)
{
	struct mdev_pasid_faults *f = &vdev->faults;

	scoped_guard(raw_spinlock_irq, &f->lock) {
		f->count = 0;
		f->logged = false;
		memset(f->slots, 0, sizeof(f->slots));
	}
}

u64 mdev_pasid_faults_count(struct mdev_pasid_vdev *vdev)
{
	u64 count;

	scoped_guard(raw_spinlock_irq, &vdev->faults.lock)
		count = vdev->faults.count;
	return count;
}

u64 mdev_pasid_faults_total(struct mdev_pasid_vdev *vdev)
{
	u64 total;

	scoped_guard(raw_spinlock_irq, &vdev->faults.lock)
		total = vdev->faults.total;
	return total;
}

size_t mdev_pasid_faults_size(void)
{
	return sizeof(struct fault_region);
}

ssize_t mdev_pasid_faults_read(struct mdev_pasid_vdev *vdev, u64 off, char __user *buf,
			       size_t count)
{
	struct mdev_pasid_faults *f = &vdev->faults;
	struct fault_region region = {
		.header = {
			.offset = offsetof(struct fault_region, slots),
			.slot_size = sizeof(region.slots[0]),
			.slots = MDEV_PASID_FAULT_SLOTS,
		},
	};

	if (off >= sizeof(region) || count > sizeof(region) - off)
		return -EINVAL;
	scoped_guard(raw_spinlock_irq, &f->lock) {
		region.header.count = f->count;
		memcpy(region.slots, f->slots, sizeof(region.slots));
	}
	return copy_to_user(buf, (u8 *)&region + off, count) ? -EFAULT : count;
}
