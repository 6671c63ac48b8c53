// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sub-device drivers and the PFs they share: registration, and the check that a
 * PF and its IOMMU can do the DMA that a driver plans.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>

#include "pasid_private.h"

/**
 * mdev_pasid_register_driver() - register a sub-device driver
 * @drv: the driver, which stays valid until mdev_pasid_unregister_driver()
 *
 * Context: may sleep.
 *
 * Return: 0 or a negative error code.
 */
int mdev_pasid_register_driver(struct mdev_pasid_driver *drv)
{
	static const struct attribute_group *default_groups[] = { &mdev_pasid_attr_group, NULL };

	if (WARN_ON(drv->vdev_size < sizeof(struct mdev_pasid_vdev)))
		return -EINVAL;

	drv->mdev.device_api = VFIO_DEVICE_API_PCI_STRING;
	drv->mdev.probe = mdev_pasid_probe;
	drv->mdev.remove = mdev_pasid_remove;
	if (!drv->mdev.driver.dev_groups)
		drv->mdev.driver.dev_groups = default_groups;
	return mdev_register_driver(&drv->mdev);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_register_driver, MDEV_PASID);

/**
 * mdev_pasid_unregister_driver() - undo mdev_pasid_register_driver()
 * @drv: the driver; all its parents have been unregistered
 *
 * Context: may sleep.
 */
void mdev_pasid_unregister_driver(struct mdev_pasid_driver *drv)
{
	mdev_unregister_driver(&drv->mdev);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_unregister_driver, MDEV_PASID);

struct mdev_pasid_group_search {
	struct device *dev;
	char *other;
	size_t size;
};

static int mdev_pasid_other_device(struct device *dev, void *data)
{
	struct mdev_pasid_group_search *search = data;

	if (dev == search->dev)
		return 0;
	/* Named here: the group can lose the device as soon as we return */
	strscpy(search->other, dev_name(dev), search->size);
	return 1;
}

/*
 * Devices that share an IOMMU group can reach each other's memory requests. A
 * PASID of one of them is then no protection against the others, whatever any
 * single one of them promises, so the group must hold this device alone. The
 * group can grow by hot plug; hence this is asked again for each bind.
 *
 * Returns 0, -ENODEV without a group, or -EXDEV with the name of another
 * device of the group in @other.
 */
int mdev_pasid_check_group(struct device *dev, char *other, size_t size)
{
	struct mdev_pasid_group_search search = { .dev = dev, .other = other, .size = size };
	struct iommu_group *group;
	int ret;

	group = iommu_group_get(dev);
	if (!group)
		return -ENODEV;
	ret = iommu_group_for_each_dev(group, &search, mdev_pasid_other_device);
	iommu_group_put(group);
	return ret ? -EXDEV : 0;
}

static int mdev_pasid_check_width(struct device *dev, u8 addr_width)
{
	struct iommu_domain *domain;
	bool reachable;

	domain = iommu_paging_domain_alloc(dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	reachable = addr_width > PAGE_SHIFT && addr_width <= 64 &&
		    domain->geometry.aperture_start <= DMA_BIT_MASK(addr_width);
	iommu_domain_free(domain);
	return reachable ? 0 : -ERANGE;
}

static int mdev_pasid_check_plan(struct device *dev, const struct mdev_pasid_dma *dma)
{
	char other[64];
	int ret;

	ret = mdev_pasid_check_group(dev, other, sizeof(other));
	if (ret == -ENODEV || !dev->iommu) {
		dev_err(dev, "no vdevs: no IOMMU translates this device; enable the IOMMU (intel_iommu=on,sm_on)\n");
		return -ENODEV;
	}
	if (ret) {
		dev_err(dev, "no vdevs: shares its IOMMU group with %s; enable ACS or use another slot\n",
			other);
		return ret;
	}

	if (!dev->iommu->max_pasids ||
	    (dev_is_pci(dev) && !to_pci_dev(dev)->pasid_enabled)) {
		dev_err(dev, "no vdevs: no PASIDs; the device needs the PASID capability and the IOMMU scalable mode (intel_iommu=on,sm_on)\n");
		return -EOPNOTSUPP;
	}
	/* PASID 0 is the device itself */
	if (!dma->max_pasids || dma->max_pasids > dev->iommu->max_pasids - 1) {
		dev_err(dev, "no vdevs: %u PASIDs planned, device and IOMMU have %u; plan fewer\n",
			dma->max_pasids, dev->iommu->max_pasids - 1);
		return -ENOSPC;
	}

	if (!device_iommu_capable(dev, IOMMU_CAP_CACHE_COHERENCY)) {
		dev_err(dev, "no vdevs: the IOMMU does not do cache coherent DMA; such a device cannot be given to users\n");
		return -EOPNOTSUPP;
	}
	if (dma->coherent && !device_iommu_capable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY)) {
		dev_err(dev, "no vdevs: the IOMMU cannot enforce cache coherency, which the driver plans on; plan without\n");
		return -EOPNOTSUPP;
	}
	if (mdev_pasid_check_width(dev, dma->addr_width)) {
		dev_err(dev, "no vdevs: the IOMMU translates no address of %u bits; check the planned width\n",
			dma->addr_width);
		return -ERANGE;
	}
	return 0;
}

/**
 * mdev_pasid_register_parent() - offer vdevs on a PF
 * @parent: zeroed; belongs to the core until mdev_pasid_unregister_parent()
 * @dev: the PF, bound to its driver, with PASIDs enabled
 * @drv: a registered driver
 * @dma: the DMA that is planned on all vdevs of @dev together; copied
 * @types: the mdev types
 * @nr_types: how many
 *
 * The plan is checked here and what cannot be fulfilled is refused, with a
 * sentence in the kernel log.
 *
 * Context: may sleep.
 *
 * Return: 0, -ENODEV without IOMMU, -EXDEV if @dev shares its IOMMU group,
 * -EOPNOTSUPP, -ENOSPC or -ERANGE for a plan that the hardware cannot fulfil.
 */
int mdev_pasid_register_parent(struct mdev_pasid_parent *parent, struct device *dev,
			       struct mdev_pasid_driver *drv, const struct mdev_pasid_dma *dma,
			       struct mdev_type **types, unsigned int nr_types)
{
	int ret;

	ret = mdev_pasid_check_plan(dev, dma);
	if (ret)
		return ret;
	if (dma->page_faults) {
		ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);
		if (ret) {
			dev_err(dev, "no vdevs: page requests are planned, but device or IOMMU has none; plan without\n");
			return ret;
		}
	}

	parent->dev = dev;
	parent->drv = drv;
	parent->dma = *dma;
	spin_lock_init(&parent->refusal.lock);

	ret = mdev_pasid_parent_sysfs_add(parent);
	if (ret)
		goto err_iopf;
	ret = mdev_register_parent(&parent->mdev, dev, &drv->mdev, types, nr_types);
	if (ret)
		goto err_sysfs;
	return 0;

err_sysfs:
	mdev_pasid_parent_sysfs_remove(parent);
err_iopf:
	if (dma->page_faults)
		iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
	return ret;
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_register_parent, MDEV_PASID);

/**
 * mdev_pasid_unregister_parent() - undo mdev_pasid_register_parent()
 * @parent: the parent
 *
 * Removes all vdevs of @parent, and waits for their users to let go of them.
 *
 * Context: may sleep, for as long as a user keeps a vdev.
 */
void mdev_pasid_unregister_parent(struct mdev_pasid_parent *parent)
{
	mdev_unregister_parent(&parent->mdev);
	mdev_pasid_parent_sysfs_remove(parent);
	if (parent->dma.page_faults)
		iommu_dev_disable_feature(parent->dev, IOMMU_DEV_FEAT_IOPF);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_unregister_parent, MDEV_PASID);

MODULE_DESCRIPTION("PASID-backed virtual devices on the mdev bus");
MODULE_LICENSE("GPL");
