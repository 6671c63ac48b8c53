// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vdev from create to destroy, and the one question that decides all else:
 * whether it may do DMA. It may while its PASID has a translation and its user has
 * set Bus Master Enable. mdev_pasid_update_dma() is the only place of the core that starts
 * and stops the hardware, and it is called wherever one of the two changes.
 */
#include <linux/pci_regs.h>

#include "pasid_private.h"
#include "trace.h"

/**
 * mdev_pasid_update_dma - start or stop DMA as the state of the vdev demands
 * @vdev: the vdev, whose lock is held
 * @how: what happens to accepted work if it is stopped
 *
 * Hardware that does not start leaves DMA off and a sentence about it.
 */
void mdev_pasid_update_dma(struct mdev_pasid_vdev *vdev, enum mdev_pasid_stop how)
{
	bool dma = vdev->translated && (mdev_pasid_command(vdev) & PCI_COMMAND_MASTER);
	unsigned long before = READ_ONCE(vdev->refusal.count);
	int ret;

	lockdep_assert_held(&vdev->lock);

	if (dma == vdev->dma)
		return;

	if (dma) {
		ret = vdev_ops(vdev)->dma_start(vdev);
		vdev->dma = !ret;
		/* What was dropped until now is to reach the hardware */
		mdev_pasid_unmap_portals(vdev);
		if (ret && READ_ONCE(vdev->refusal.count) == before)
			mdev_pasid_refuse(vdev,
					  "DMA stays off: the hardware of %s did not start (error %d); reset the vdev",
					  dev_name(vdev->parent->dev), ret);
	} else {
		vdev->dma = false;
		/* Nobody may reach the hardware that is about to leave the PASID */
		mdev_pasid_unmap_portals(vdev);
		vdev_ops(vdev)->dma_stop(vdev, how);
	}
}

/*
 * The translation comes or goes. If it goes to make room for another then a user who
 * reaches for the vdev is made to wait, and the end of that wakes him up.
 *
 * Returns false if the hardware did not stop: the PASID may have no translation any more.
 */
static bool mdev_pasid_set_translated(struct mdev_pasid_vdev *vdev, bool translated,
				      bool replacing, enum mdev_pasid_stop how)
{
	bool stopped;

	mutex_lock(&vdev->lock);
	vdev->translated = translated;
	WRITE_ONCE(vdev->replacing, replacing);
	mdev_pasid_update_dma(vdev, how);
	if (!translated)
		mdev_pasid_unmap_portals(vdev);
	stopped = !vdev->keep_pasid;
	mutex_unlock(&vdev->lock);
	if (!replacing)
		wake_up_all(&vdev->replaced);
	return stopped;
}

/* The part of mdev_pasid_lock_settled() that waits; its lock is held until then */
int mdev_pasid_settle(struct mdev_pasid_vdev *vdev)
{
	int ret;

	do {
		mutex_unlock(&vdev->lock);
		ret = wait_event_killable(vdev->replaced, !READ_ONCE(vdev->replacing));
		if (ret)
			return ret;
		mutex_lock(&vdev->lock);
	} while (vdev->replacing);
	return 0;
}

/*
 * Brings the vdev to the state after create, as a function level reset does:
 * config space too, so Bus Master Enable is off and DMA stays stopped.
 */
void mdev_pasid_reset(struct mdev_pasid_vdev *vdev)
{
	lockdep_assert_held(&vdev->lock);

	mdev_pasid_config_reset(vdev);
	mdev_pasid_unmap_portals(vdev);
	mdev_pasid_update_dma(vdev, MDEV_PASID_ABORT);
	vdev_ops(vdev)->reset(vdev);
	trace_mdev_pasid_reset(vdev);
}

static int mdev_pasid_bind_iommufd(struct vfio_device *vfio, struct iommufd_ctx *ictx,
				   u32 *out_device_id)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	struct device *pf = vdev->parent->dev;
	char other[64];
	int ret;

	ret = mdev_pasid_check_group(pf, other, sizeof(other));
	if (ret && ret != -ENODEV) {
		mdev_pasid_refuse(vdev,
				  "cannot bind: %s shares its IOMMU group with %s now; remove that device",
				  dev_name(pf), other);
		return ret;
	}

	ret = vfio_iommufd_pasid_bind(vfio, ictx, vdev->pasid, vdev->parent->dma.page_faults,
				      out_device_id);
	if (ret)
		mdev_pasid_refuse(vdev,
				  "cannot bind: iommufd does not take PASID %u of %s (error %d); see the log, and free some memory",
				  vdev->pasid, dev_name(pf), ret);
	trace_mdev_pasid_bind(vdev, *out_device_id, ret);
	if (ret)
		return ret;

	vdev->holder = task_tgid_nr(current);
	get_task_comm(vdev->holder_comm, current->group_leader);
	vdev->devid = *out_device_id;
	return 0;
}

/* What VFIO refuses before we are asked */
static void mdev_pasid_bind_refused(struct vfio_device *vfio, int error)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	switch (error) {
	case -EBUSY:
		/* Its user chooses the name of a process, which may be no text */
		mdev_pasid_refuse(vdev,
				  "cannot bind: process %d (%*pE) has bound the vdev to an iommufd; close that file first, wherever it was passed",
				  vdev->holder, (int)strlen(vdev->holder_comm),
				  vdev->holder_comm);
		break;
	case -EINVAL:
		mdev_pasid_refuse(vdev,
				  "cannot bind: this file of the vdev is bound already; close it, which unbinds, and open the vdev again");
		break;
	default:
		mdev_pasid_refuse(vdev,
				  "cannot bind: the file descriptor is of no iommufd (error %d); pass one of /dev/iommu",
				  error);
	}
}

static int mdev_pasid_attach_ioas(struct vfio_device *vfio, u32 *pt_id)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	bool replace = vfio->iommufd_attached, stopped;
	u32 id = *pt_id;
	int ret;

	/*
	 * iommufd pins user memory in here, so not under vdev->lock. Nothing
	 * else sets translated: the lock of the device set is held.
	 * Work accepted before a replace completes in the old address space, and
	 * what is submitted meanwhile waits for the new one.
	 */
	stopped = mdev_pasid_set_translated(vdev, false, replace, MDEV_PASID_DRAIN);
	ret = stopped ? vfio_iommufd_physical_attach_ioas(vfio, pt_id) : -EIO;
	/* A PASID that got back neither page table is blocked, but counts as attached */
	if (replace && (ret == -ENOTRECOVERABLE || !stopped)) {
		vfio_iommufd_physical_detach_ioas(vfio);
		mdev_pasid_endpoint_set(vdev, 0, 0);
	}
	mdev_pasid_set_translated(vdev, vfio->iommufd_attached, false, MDEV_PASID_ABORT);
	if (replace)
		trace_mdev_pasid_replace(vdev, id, *pt_id, ret);
	else
		trace_mdev_pasid_attach(vdev, id, *pt_id, ret);

	if (!stopped) {
		mdev_pasid_refuse(vdev,
				  "cannot attach: the hardware of %s did not stop, and PASID %u is not safe; remove the vdev and create another",
				  dev_name(vdev->parent->dev), vdev->pasid);
		return ret;
	}
	switch (ret) {
	case 0:
		mdev_pasid_endpoint_set(vdev, id, *pt_id);
		break;
	case -ENOENT:
		mdev_pasid_refuse(vdev,
				  "cannot attach: the iommufd has no object %u; pass the ID of an IOAS or HWPT of the iommufd that the vdev is bound to",
				  id);
		break;
	case -EINVAL:
		mdev_pasid_refuse(vdev,
				  "cannot attach: object %u is no IOAS or HWPT that the IOMMU of %s can use for a PASID; pass an IOAS or a HWPT without dirty tracking",
				  id, dev_name(vdev->parent->dev));
		break;
	case -EOPNOTSUPP:
		mdev_pasid_refuse(vdev,
				  "cannot attach: object %u has a fault queue, and driver %s plans no page requests; attach a page table without one",
				  id, vdev->parent->drv->mdev.driver.name);
		break;
	case -ENOTRECOVERABLE:
		mdev_pasid_refuse(vdev,
				  "cannot attach: PASID %u got neither the page table of object %u nor its old one back; free some memory and attach it again, until then it does no DMA",
				  vdev->pasid, id);
		break;
	default:
		mdev_pasid_refuse(vdev,
				  "cannot attach: no page table can be made of object %u for PASID %u (error %d); see that the memory mapped in it is still there, and at RLIMIT_MEMLOCK",
				  id, vdev->pasid, ret);
	}
	return ret;
}

static void mdev_pasid_detach_ioas(struct vfio_device *vfio)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	if (!vfio->iommufd_attached)
		return;

	/* First the hardware is quiet, then the translation goes */
	mdev_pasid_set_translated(vdev, false, false, MDEV_PASID_ABORT);
	vfio_iommufd_physical_detach_ioas(vfio);
	mdev_pasid_endpoint_set(vdev, 0, 0);
	trace_mdev_pasid_detach(vdev);
}

static void mdev_pasid_unbind_iommufd(struct vfio_device *vfio)
{
	mdev_pasid_detach_ioas(vfio);
	vfio_iommufd_physical_unbind(vfio);
	trace_mdev_pasid_unbind(to_vdev(vfio));
}

static int mdev_pasid_open_device(struct vfio_device *vfio)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	unsigned long before = READ_ONCE(vdev->refusal.count);
	int ret = 0;

	mdev_pasid_faults_reset(vdev);
	mutex_lock(&vdev->lock);
	if (vdev->keep_pasid) {
		/* What did not end would reach the memory of the new user */
		mdev_pasid_refuse(vdev,
				  "cannot bind: the hardware of %s did not stop for the last user, and PASID %u is not safe; remove the vdev and create another",
				  dev_name(vdev->parent->dev), vdev->pasid);
		ret = -EIO;
	} else if (vdev_ops(vdev)->open) {
		ret = vdev_ops(vdev)->open(vdev);
	}
	if (ret && READ_ONCE(vdev->refusal.count) == before)
		mdev_pasid_refuse(vdev,
				  "cannot bind: driver %s does not open the vdev (error %d); see the log",
				  vdev->parent->drv->mdev.driver.name, ret);
	vdev->open = !ret;
	mutex_unlock(&vdev->lock);
	if (!ret)
		mdev_pasid_endpoint_add(vdev);
	return ret;
}

static void mdev_pasid_close_device(struct vfio_device *vfio)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	mdev_pasid_endpoint_del(vdev);
	mutex_lock(&vdev->lock);
	vdev->translated = false;
	mdev_pasid_reset(vdev);
	if (vdev_ops(vdev)->close)
		vdev_ops(vdev)->close(vdev);
	vdev->open = false;
	/* A mapping keeps the file open, so none is left that has the sink */
	if (vdev->sink)
		__free_page(vdev->sink);
	vdev->sink = NULL;
	mutex_unlock(&vdev->lock);

	mdev_pasid_clear_irqs(vdev);
	/* VFIO unbinds next, and detaches with it */
}

static int mdev_pasid_init_device(struct vfio_device *vfio)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	vdev->mdev = to_mdev_device(vfio->dev);
	vdev->parent = container_of(vdev->mdev->type->parent, struct mdev_pasid_parent, mdev);
	mutex_init(&vdev->lock);
	init_waitqueue_head(&vdev->replaced);
	spin_lock_init(&vdev->irq_lock);
	mdev_pasid_refusal_init(&vdev->refusal);
	mdev_pasid_faults_init(vdev);
	return mdev_pasid_config_alloc(vdev);
}

static void mdev_pasid_release_device(struct vfio_device *vfio)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);

	irq_work_sync(&vdev->faults.work);
	mdev_pasid_config_free(vdev);
	mutex_destroy(&vdev->lock);
}

static const struct vfio_device_ops mdev_pasid_vfio_ops = {
	.name		= "mdev-pasid",
	.init		= mdev_pasid_init_device,
	.release	= mdev_pasid_release_device,
	.bind_iommufd	= mdev_pasid_bind_iommufd,
	.unbind_iommufd	= mdev_pasid_unbind_iommufd,
	.attach_ioas	= mdev_pasid_attach_ioas,
	.detach_ioas	= mdev_pasid_detach_ioas,
	.open_device	= mdev_pasid_open_device,
	.close_device	= mdev_pasid_close_device,
	.read		= mdev_pasid_read,
	.write		= mdev_pasid_write,
	.mmap		= mdev_pasid_mmap,
	.ioctl		= mdev_pasid_ioctl,
	.request	= mdev_pasid_request,
	.bind_refused	= mdev_pasid_bind_refused,
	.dma_fault	= mdev_pasid_dma_fault,
};

/* What mdev refuses before we are asked */
void mdev_pasid_create_refused(struct mdev_type *type, const guid_t *uuid, int error)
{
	struct mdev_pasid_parent *parent =
		container_of(type->parent, struct mdev_pasid_parent, mdev);

	if (uuid)
		mdev_pasid_refuse_create(parent,
					 "cannot create %pUl: a vdev has this UUID already; choose another one",
					 uuid);
	else
		mdev_pasid_refuse_create(parent,
					 "cannot create a vdev on %s: what was written is no UUID; write one as uuidgen prints it",
					 dev_name(parent->dev));
}

int mdev_pasid_probe(struct mdev_device *mdev)
{
	struct mdev_pasid_parent *parent =
		container_of(mdev->type->parent, struct mdev_pasid_parent, mdev);
	struct mdev_pasid_driver *drv = parent->drv;
	struct mdev_pasid_vdev *vdev;
	struct vfio_device *vfio;
	int ret;

	vfio = _vfio_alloc_device(drv->vdev_size, &mdev->dev, &mdev_pasid_vfio_ops);
	if (IS_ERR(vfio)) {
		ret = PTR_ERR(vfio);
		mdev_pasid_refuse_create(parent,
					 "cannot create %s: there is no memory for it (error %d); free some",
					 dev_name(&mdev->dev), ret);
		return ret;
	}
	vdev = to_vdev(vfio);

	vdev->pasid = iommu_alloc_global_pasid(parent->dev);
	if (vdev->pasid == IOMMU_PASID_INVALID) {
		mdev_pasid_refuse(vdev, "cannot create %s: no PASID is free; remove another vdev",
				  dev_name(&mdev->dev));
		ret = -ENOSPC;
		goto err_put;
	}

	ret = drv->ops->create(vdev);
	if (ret) {
		if (!vdev->refusal.count)
			mdev_pasid_refuse(vdev,
					  "cannot create %s: driver %s does not make it (error %d); see the log",
					  dev_name(&mdev->dev), drv->mdev.driver.name, ret);
		goto err_pasid;
	}
	ret = mdev_pasid_config_finish(vdev);
	if (ret)
		goto err_destroy;

	dev_set_drvdata(&mdev->dev, vdev);
	vdev->exists = true;
	ret = vfio_register_pasid_iommu_dev(vfio, parent->dev);
	if (ret) {
		mdev_pasid_refuse_create(parent,
					 "cannot create %s: VFIO does not take it (error %d); see the log, and free some memory",
					 dev_name(&mdev->dev), ret);
		goto err_destroy;
	}
	return 0;

err_destroy:
	drv->ops->destroy(vdev);
err_pasid:
	iommu_free_global_pasid(vdev->pasid);
err_put:
	vfio_put_device(vfio);
	return ret;
}

void mdev_pasid_remove(struct mdev_device *mdev)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(&mdev->dev);

	/* Returns when the last user has closed it: unbound, its hardware quiet */
	vfio_unregister_group_dev(&vdev->vfio);
	vdev_ops(vdev)->destroy(vdev);
	if (!vdev->keep_pasid)
		iommu_free_global_pasid(vdev->pasid);
	vfio_put_device(&vdev->vfio);
}
