// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of a vdev: MSI-X vectors, the error, the request and the fault
 * interrupt, each delivered to an eventfd of the user's.
 */
#include <linux/eventfd.h>
#include <linux/slab.h>

#include "pasid_private.h"

unsigned int mdev_pasid_irq_count(struct mdev_pasid_vdev *vdev, unsigned int index)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return vdev->num_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
	case VFIO_MDEV_PASID_FAULT_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

static struct eventfd_ctx **irq_trigger(struct mdev_pasid_vdev *vdev, unsigned int index,
					unsigned int n)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return &vdev->trigger[n];
	case VFIO_PCI_ERR_IRQ_INDEX:
		return &vdev->err_trigger;
	case VFIO_MDEV_PASID_FAULT_IRQ_INDEX:
		return &vdev->fault_trigger;
	default:
		return &vdev->req_trigger;
	}
}

bool mdev_pasid_irq_signal(struct mdev_pasid_vdev *vdev, struct eventfd_ctx **trigger)
{
	unsigned long flags;
	bool signalled;

	spin_lock_irqsave(&vdev->irq_lock, flags);
	signalled = *trigger;
	if (signalled)
		eventfd_signal(*trigger);
	spin_unlock_irqrestore(&vdev->irq_lock, flags);
	return signalled;
}

/**
 * mdev_pasid_signal() - raise an MSI-X vector of a vdev
 * @vdev: the vdev
 * @vector: its number; one that the user has not set up is ignored
 *
 * Context: any, hard interrupts too (threaded ones only with PREEMPT_RT).
 */
void mdev_pasid_signal(struct mdev_pasid_vdev *vdev, unsigned int vector)
{
	if (vector < vdev->num_vectors)
		mdev_pasid_irq_signal(vdev, &vdev->trigger[vector]);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_signal, MDEV_PASID);

/**
 * mdev_pasid_signal_error() - tell the user that a vdev has failed for good
 * @vdev: the vdev
 *
 * Raises VFIO_PCI_ERR_IRQ_INDEX, at which a VMM stops its guest.  For errors that the
 * user cannot recover from; all others are the business of the device's own registers.
 *
 * Context: as mdev_pasid_signal().
 */
void mdev_pasid_signal_error(struct mdev_pasid_vdev *vdev)
{
	mdev_pasid_irq_signal(vdev, &vdev->err_trigger);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_signal_error, MDEV_PASID);

/* Takes over @new, which may be NULL, and lets go of what was there */
static void irq_set_trigger(struct mdev_pasid_vdev *vdev, struct eventfd_ctx **trigger,
			    struct eventfd_ctx *new)
{
	struct eventfd_ctx *old;

	spin_lock_irq(&vdev->irq_lock);
	old = *trigger;
	*trigger = new;
	spin_unlock_irq(&vdev->irq_lock);
	if (old)
		eventfd_ctx_put(old);
}

static int irq_set_eventfds(struct mdev_pasid_vdev *vdev, const struct vfio_irq_set *hdr,
			    const s32 *fds)
{
	struct eventfd_ctx **ctx;
	int ret = 0;
	u32 i;

	/* All or nothing: get each of them before the first is put in place */
	ctx = kcalloc(hdr->count, sizeof(*ctx), GFP_KERNEL);
	if (!ctx)
		return -ENOMEM;
	for (i = 0; i < hdr->count; i++) {
		if (fds[i] == -1)
			continue;
		ctx[i] = eventfd_ctx_fdget(fds[i]);
		if (IS_ERR(ctx[i])) {
			ret = PTR_ERR(ctx[i]);
			ctx[i] = NULL;
			break;
		}
	}
	for (i = 0; i < hdr->count; i++) {
		if (!ret)
			irq_set_trigger(vdev, irq_trigger(vdev, hdr->index, hdr->start + i),
					ctx[i]);
		else if (ctx[i])
			eventfd_ctx_put(ctx[i]);
	}
	kfree(ctx);
	return ret;
}

/**
 * mdev_pasid_set_irqs - VFIO_DEVICE_SET_IRQS
 * @vdev: the vdev
 * @hdr: checked by vfio_set_irqs_validate_and_prepare()
 * @data: as many file descriptors or booleans as @hdr says
 *
 * Returns 0, -ENOTTY for an action that there is not (an eventfd cannot be masked),
 * or the error of an eventfd. Nothing changes on an error.
 */
int mdev_pasid_set_irqs(struct mdev_pasid_vdev *vdev, const struct vfio_irq_set *hdr, void *data)
{
	const u8 *bools = data;
	u32 i;

	if ((hdr->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY;

	switch (hdr->flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return irq_set_eventfds(vdev, hdr, data);
	case VFIO_IRQ_SET_DATA_NONE:
		/* A count of 0 takes all of the index away, whatever the start */
		if (!hdr->count)
			for (i = 0; i < mdev_pasid_irq_count(vdev, hdr->index); i++)
				irq_set_trigger(vdev, irq_trigger(vdev, hdr->index, i), NULL);
		for (i = 0; i < hdr->count; i++)
			mdev_pasid_irq_signal(vdev, irq_trigger(vdev, hdr->index, hdr->start + i));
		return 0;
	case VFIO_IRQ_SET_DATA_BOOL:
		for (i = 0; i < hdr->count; i++)
			if (bools[i])
				mdev_pasid_irq_signal(vdev, irq_trigger(vdev, hdr->index,
									hdr->start + i));
		return 0;
	default:
		return -EINVAL;
	}
}

/* The vdev is to go, and VFIO asks its user to close it, again every 10 seconds */
void mdev_pasid_request(struct vfio_device *vfio, unsigned int count)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	if (mdev_pasid_irq_signal(vdev, &vdev->req_trigger)) {
		if (!(count % 10))
			dev_notice_ratelimited(vfio->dev, "asked the user to release the vdev (%u times)\n",
					       count + 1);
	} else if (!count) {
		dev_warn(vfio->dev, "the user has set no request interrupt; removal waits until the vdev is closed\n");
	}
}

void mdev_pasid_clear_irqs(struct mdev_pasid_vdev *vdev)
{
	unsigned int index, i;

	for (index = 0; index < MDEV_PASID_NUM_IRQS; index++)
		for (i = 0; i < mdev_pasid_irq_count(vdev, index); i++)
			irq_set_trigger(vdev, irq_trigger(vdev, index, i), NULL);
}
