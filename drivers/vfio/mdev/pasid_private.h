/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of mdev-pasid.ko share
 *
 *   pasid_parent.c	drivers and PFs: registration and its checks
 *   pasid_vdev.c	a vdev from create to destroy; binding, attaching, DMA
 *   pasid_config.c	config space
 *   pasid_region.c	BARs: access and mmap
 *   pasid_irq.c	interrupts
 *   pasid_ioctl.c	VFIO_DEVICE_* ioctls
 *   pasid_sysfs.c	refusals, and the files that show them
 *   pasid_faults.c	DMA that was refused
 *   pasid_endpoints.c	debugfs, trace events
 */
#ifndef MDEV_PASID_PRIVATE_H
#define MDEV_PASID_PRIVATE_H

#include <linux/mdev_pasid.h>
#include <linux/pci_regs.h>
#include <linux/unaligned.h>

/* A region is found by the upper bits of the file offset, as with vfio-pci */
#define MDEV_PASID_OFFSET_SHIFT		40
#define MDEV_PASID_OFFSET(index)	((u64)(index) << MDEV_PASID_OFFSET_SHIFT)
#define MDEV_PASID_OFFSET_MASK		(MDEV_PASID_OFFSET(1) - 1)

/* Behind the regions and interrupts of a PCI device */
#define MDEV_PASID_FAULT_REGION_INDEX	VFIO_PCI_NUM_REGIONS
#define MDEV_PASID_NUM_REGIONS		(MDEV_PASID_FAULT_REGION_INDEX + 1)
#define MDEV_PASID_NUM_IRQS		(VFIO_MDEV_PASID_FAULT_IRQ_INDEX + 1)

static inline struct mdev_pasid_vdev *to_vdev(struct vfio_device *vfio)
{
	return container_of(vfio, struct mdev_pasid_vdev, vfio);
}

static inline const struct mdev_pasid_ops *vdev_ops(struct mdev_pasid_vdev *vdev)
{
	return vdev->parent->drv->ops;
}

/* What the user has allowed the vdev in config space; its lock is held */
static inline u16 mdev_pasid_command(struct mdev_pasid_vdev *vdev)
{
	return get_unaligned_le16(vdev->config + PCI_COMMAND);
}

/* pasid_parent.c */
int mdev_pasid_check_group(struct device *dev, char *other, size_t size);

/* pasid_vdev.c */
void mdev_pasid_create_refused(struct mdev_type *type, const guid_t *uuid, int error);
int mdev_pasid_settle(struct mdev_pasid_vdev *vdev);
int mdev_pasid_probe(struct mdev_device *mdev);
void mdev_pasid_remove(struct mdev_device *mdev);
void mdev_pasid_update_dma(struct mdev_pasid_vdev *vdev, enum mdev_pasid_stop how);
void mdev_pasid_reset(struct mdev_pasid_vdev *vdev);

/**
 * mdev_pasid_lock_settled - take the lock of a vdev that is not between two address spaces
 * @vdev: the vdev
 *
 * Context: may sleep, as long as a replace takes, so not under a lock that it needs:
 * it pins user memory under mmap_lock.
 *
 * Returns 0 with &mdev_pasid_vdev.lock held, or -ERESTARTSYS if the task is killed.
 */
static inline int mdev_pasid_lock_settled(struct mdev_pasid_vdev *vdev)
{
	mutex_lock(&vdev->lock);
	return vdev->replacing ? mdev_pasid_settle(vdev) : 0;
}

/* pasid_config.c */
int mdev_pasid_config_alloc(struct mdev_pasid_vdev *vdev);
void mdev_pasid_config_free(struct mdev_pasid_vdev *vdev);
int mdev_pasid_config_finish(struct mdev_pasid_vdev *vdev);
void mdev_pasid_config_reset(struct mdev_pasid_vdev *vdev);
ssize_t mdev_pasid_config_read(struct mdev_pasid_vdev *vdev, u64 off, char __user *buf,
			       size_t count);
ssize_t mdev_pasid_config_write(struct mdev_pasid_vdev *vdev, u64 off, const char __user *buf,
				size_t count);

/* pasid_region.c */
ssize_t mdev_pasid_read(struct vfio_device *vfio, char __user *buf, size_t count, loff_t *ppos);
ssize_t mdev_pasid_write(struct vfio_device *vfio, const char __user *buf, size_t count,
			 loff_t *ppos);
int mdev_pasid_mmap(struct vfio_device *vfio, struct vm_area_struct *vma);

/* pasid_irq.c */
unsigned int mdev_pasid_irq_count(struct mdev_pasid_vdev *vdev, unsigned int index);
int mdev_pasid_set_irqs(struct mdev_pasid_vdev *vdev, const struct vfio_irq_set *hdr, void *data);
bool mdev_pasid_irq_signal(struct mdev_pasid_vdev *vdev, struct eventfd_ctx **trigger);
void mdev_pasid_request(struct vfio_device *vfio, unsigned int count);
void mdev_pasid_clear_irqs(struct mdev_pasid_vdev *vdev);

/* pasid_ioctl.c */
long mdev_pasid_ioctl(struct vfio_device *vfio, unsigned int cmd, unsigned long arg);

/* pasid_sysfs.c */
extern const struct attribute_group mdev_pasid_driver_group;

void mdev_pasid_refusal_init(struct mdev_pasid_refusal *refusal);
__printf(2, 3) void mdev_pasid_refuse_create(struct mdev_pasid_parent *parent,
					     const char *fmt, ...);
int mdev_pasid_parent_sysfs_add(struct mdev_pasid_parent *parent);
void mdev_pasid_parent_sysfs_remove(struct mdev_pasid_parent *parent);

/* pasid_faults.c */
void mdev_pasid_dma_fault(struct vfio_device *vfio, u64 addr, bool write);
void mdev_pasid_faults_init(struct mdev_pasid_vdev *vdev);
void mdev_pasid_faults_reset(struct mdev_pasid_vdev *vdev);
u64 mdev_pasid_faults_count(struct mdev_pasid_vdev *vdev);
u64 mdev_pasid_faults_total(struct mdev_pasid_vdev *vdev);
size_t mdev_pasid_faults_size(void);
ssize_t mdev_pasid_faults_read(struct mdev_pasid_vdev *vdev, u64 off, char __user *buf,
			       size_t count);

/* pasid_endpoints.c */
void mdev_pasid_endpoint_add(struct mdev_pasid_vdev *vdev);
void mdev_pasid_endpoint_del(struct mdev_pasid_vdev *vdev);
void mdev_pasid_endpoint_set(struct mdev_pasid_vdev *vdev, u32 pt, u32 hwpt);

#endif /* MDEV_PASID_PRIVATE_H */
