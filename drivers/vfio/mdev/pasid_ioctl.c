// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_* ioctls of a vdev, as <linux/vfio.h> describes them for a PCI
 * device.
 */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "pasid_private.h"

static long get_info(struct mdev_pasid_vdev *vdev, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = MDEV_PASID_NUM_REGIONS;
	info.num_irqs = MDEV_PASID_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

/* One area for each run of portal pages */
static int add_sparse_mmap(struct vfio_info_cap *caps, unsigned long portals)
{
	struct vfio_region_info_cap_sparse_mmap *sparse;
	unsigned int start, end, nr = 0;
	int ret;

	sparse = kzalloc(struct_size(sparse, areas, BITS_PER_LONG / 2), GFP_KERNEL);
	if (!sparse)
		return -ENOMEM;
	sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
	sparse->header.version = 1;
	for_each_set_bitrange(start, end, &portals, BITS_PER_LONG) {
		sparse->areas[nr].offset = (u64)start << PAGE_SHIFT;
		sparse->areas[nr].size = (u64)(end - start) << PAGE_SHIFT;
		nr++;
	}
	sparse->nr_areas = nr;
	ret = vfio_info_add_capability(caps, &sparse->header, struct_size(sparse, areas, nr));
	kfree(sparse);
	return ret;
}

static long get_region_info(struct mdev_pasid_vdev *vdev, void __user *arg)
{
	struct vfio_region_info_cap_type type = {
		.header = { .id = VFIO_REGION_INFO_CAP_TYPE, .version = 1 },
		.type = VFIO_REGION_TYPE_MDEV_PASID,
		.subtype = VFIO_REGION_SUBTYPE_MDEV_PASID_FAULTS,
	};
	unsigned long minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_info_cap caps = {};
	struct vfio_region_info info;
	unsigned long portals = 0;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= MDEV_PASID_NUM_REGIONS)
		return -EINVAL;

	info.flags = 0;
	info.cap_offset = 0;
	info.size = 0;
	info.offset = MDEV_PASID_OFFSET(info.index);
	if (info.index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info.size = MDEV_PASID_CONFIG_SIZE;
	} else if (info.index == MDEV_PASID_FAULT_REGION_INDEX) {
		info.size = mdev_pasid_faults_size();
	} else if (info.index < MDEV_PASID_NUM_BARS) {
		mutex_lock(&vdev->lock);
		info.size = vdev->bar[info.index].size;
		portals = vdev->bar[info.index].portals;
		mutex_unlock(&vdev->lock);
	}
	if (info.size)
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (info.index == MDEV_PASID_FAULT_REGION_INDEX) {
		info.flags = VFIO_REGION_INFO_FLAG_READ;
		ret = vfio_info_add_capability(&caps, &type.header, sizeof(type));
		if (ret)
			return ret;
	}
	if (portals) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
		ret = add_sparse_mmap(&caps, portals);
		if (ret)
			return ret;
	}

	if (caps.size) {
		info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
		if (info.argsz < sizeof(info) + caps.size) {
			info.argsz = sizeof(info) + caps.size;
		} else {
			vfio_info_cap_shift(&caps, sizeof(info));
			if (copy_to_user(arg + sizeof(info), caps.buf, caps.size)) {
				kfree(caps.buf);
				return -EFAULT;
			}
			info.cap_offset = sizeof(info);
		}
		kfree(caps.buf);
	}
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long get_irq_info(struct mdev_pasid_vdev *vdev, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= MDEV_PASID_NUM_IRQS)
		return -EINVAL;

	info.count = mdev_pasid_irq_count(vdev, info.index);
	info.flags = info.count ? VFIO_IRQ_INFO_EVENTFD : 0;
	if (info.index != VFIO_PCI_MSIX_IRQ_INDEX && info.count)
		info.flags |= VFIO_IRQ_INFO_NORESIZE;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long set_irqs(struct mdev_pasid_vdev *vdev, void __user *arg)
{
	unsigned long minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set hdr;
	size_t data_size = 0;
	void *data = NULL;
	long ret;

	if (copy_from_user(&hdr, arg, minsz))
		return -EFAULT;
	ret = vfio_set_irqs_validate_and_prepare(&hdr, mdev_pasid_irq_count(vdev, hdr.index),
						 MDEV_PASID_NUM_IRQS, &data_size);
	if (ret)
		return ret;
	if (data_size) {
		data = memdup_user(arg + minsz, data_size);
		if (IS_ERR(data))
			return PTR_ERR(data);
	}
	ret = mdev_pasid_set_irqs(vdev, &hdr, data);
	kfree(data);
	return ret;
}

static long reset(struct mdev_pasid_vdev *vdev)
{
	mutex_lock(&vdev->lock);
	mdev_pasid_reset(vdev);
	mutex_unlock(&vdev->lock);
	return 0;
}

long mdev_pasid_ioctl(struct vfio_device *vfio, unsigned int cmd, unsigned long arg)
{
	struct mdev_pasid_vdev *vdev = to_vdev(vfio);
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(vdev, uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(vdev, uarg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(vdev, uarg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(vdev, uarg);
	case VFIO_DEVICE_RESET:
		return reset(vdev);
	default:
		return -ENOTTY;
	}
}
