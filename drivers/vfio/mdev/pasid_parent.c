// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sub-device drivers and the PFs they share: registration, and the check that a
 * PF and its IOMMU can do the DMA that a driver plans.
 */
#include <linux/cleanup.h>
#include <linux/list.h>
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
	static const struct attribute_group *driver_groups[] = { &mdev_pasid_driver_group, NULL };

	if (WARN_ON(drv->vdev_size < sizeof(struct mdev_pasid_vdev)))
		return -EINVAL;

	drv->mdev.device_api = VFIO_DEVICE_API_PCI_STRING;
	drv->mdev.probe = mdev_pasid_probe;
	drv->mdev.remove = mdev_pasid_remove;
	drv->mdev.create_refused = mdev_pasid_create_refused;
	drv->mdev.driver.groups = driver_groups;
	if (!drv->mdev.driver.dev_groups)
		drv->mdev.driver.dev_groups = default_groups;
	mdev_pasid_refusal_init(&drv->refusal);
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

/* How much a device of the same IOMMU group says about why a PF cannot have vdevs */
enum mdev_pasid_neighbour {
	NEIGHBOUR_NONE,
	NEIGHBOUR_BRIDGE,	/* does not do ACS */
	NEIGHBOUR_DEVICE,
	NEIGHBOUR_NO_PASIDS,
};

struct mdev_pasid_group_search {
	struct device *dev;
	enum mdev_pasid_neighbour found;
	char *other;
	size_t size;
};

static int mdev_pasid_look_at(struct device *dev, void *data)
{
	struct mdev_pasid_group_search *search = data;
	enum mdev_pasid_neighbour what = NEIGHBOUR_DEVICE;

	if (dev == search->dev)
		return 0;
	if (dev_is_pci(dev) && pci_is_bridge(to_pci_dev(dev)))
		what = NEIGHBOUR_BRIDGE;
	else if (!dev->iommu || !dev->iommu->max_pasids)
		what = NEIGHBOUR_NO_PASIDS;
	if (what > search->found) {
		search->found = what;
		/* Named here: the group can lose the device as soon as we return */
		strscpy(search->other, dev_name(dev), search->size);
	}
	return 0;
}

/*
 * Devices that share an IOMMU group can reach each other's memory requests. A
 * PASID of one of them is then no protection against the others, whatever any
 * single one of them promises, so the group must hold this device alone. The
 * group can grow by hot plug; hence this is asked again for each bind.
 *
 * What a group can do is what each device of it can. So if one has no PASIDs then
 * it is the one to be named.
 *
 * Returns 0, -ENODEV without a group, or with the name of another device of the
 * group in @other -EOPNOTSUPP if that has no PASIDs, else -EXDEV.
 */
int mdev_pasid_check_group(struct device *dev, char *other, size_t size)
{
	struct mdev_pasid_group_search search = { .dev = dev, .other = other, .size = size };
	struct iommu_group *group;

	group = iommu_group_get(dev);
	if (!group)
		return -ENODEV;
	iommu_group_for_each_dev(group, &search, mdev_pasid_look_at);
	iommu_group_put(group);

	switch (search.found) {
	case NEIGHBOUR_NONE:
		return 0;
	case NEIGHBOUR_NO_PASIDS:
		return -EOPNOTSUPP;
	default:
		return -EXDEV;
	}
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

static int mdev_pasid_check_plan(struct mdev_pasid_driver *drv, struct device *dev,
				 const struct mdev_pasid_dma *dma)
{
	const char *name = dev_name(dev);
	char other[64];
	int ret;

	ret = mdev_pasid_check_group(dev, other, sizeof(other));
	if (ret == -ENODEV || !dev->iommu) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: no IOMMU translates it; enable the IOMMU (intel_iommu=on,sm_on)",
					 name);
		return -ENODEV;
	}
	if (ret == -EOPNOTSUPP) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: %s of the same IOMMU group has no PASIDs; enable ACS or use another slot",
					 name, other);
		return ret;
	}
	if (ret) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: it shares its IOMMU group with %s; enable ACS or use another slot",
					 name, other);
		return ret;
	}

	if (!dev->iommu->max_pasids ||
	    (dev_is_pci(dev) && !to_pci_dev(dev)->pasid_enabled)) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: it has no PASIDs; use a device with the PASID capability, and the scalable mode of the IOMMU (intel_iommu=on,sm_on)",
					 name);
		return -EOPNOTSUPP;
	}
	/* PASID 0 is the device itself */
	if (!dma->max_pasids || dma->max_pasids > dev->iommu->max_pasids - 1) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: the driver plans %u PASIDs, device and IOMMU have %u; plan 1 to that many",
					 name, dma->max_pasids, dev->iommu->max_pasids - 1);
		return -ENOSPC;
	}

	if (!device_iommu_capable(dev, IOMMU_CAP_CACHE_COHERENCY)) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: its DMA is not cache coherent, so that no user can be given it; use another device",
					 name);
		return -EOPNOTSUPP;
	}
	if (dma->coherent && !device_iommu_capable(dev, IOMMU_CAP_ENFORCE_CACHE_COHERENCY)) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: the driver plans on enforced cache coherency, which the IOMMU cannot do; plan without",
					 name);
		return -EOPNOTSUPP;
	}
	if (mdev_pasid_check_width(dev, dma->addr_width)) {
		mdev_pasid_refuse_parent(drv, dev,
					 "cannot register %s: the IOMMU translates no address of %u bits; plan the width that the device has",
					 name, dma->addr_width);
		return -ERANGE;
	}
	return 0;
}

static LIST_HEAD(mdev_pasid_parents);
static DEFINE_MUTEX(mdev_pasid_parents_lock);

/* A second parent of the same device would get in the way of the first in sysfs */
static int mdev_pasid_add_parent(struct mdev_pasid_parent *parent)
{
	struct mdev_pasid_parent *pos;

	guard(mutex)(&mdev_pasid_parents_lock);
	list_for_each_entry(pos, &mdev_pasid_parents, node) {
		if (pos->dev == parent->dev) {
			mdev_pasid_refuse_parent(parent->drv, parent->dev,
						 "cannot register %s: driver %s offers vdevs on it already; let that one go first",
						 dev_name(parent->dev), pos->drv->mdev.driver.name);
			return -EBUSY;
		}
	}
	list_add(&parent->node, &mdev_pasid_parents);
	return 0;
}

static void mdev_pasid_del_parent(struct mdev_pasid_parent *parent)
{
	guard(mutex)(&mdev_pasid_parents_lock);
	list_del(&parent->node);
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
 * sentence in last_error of @drv on the mdev bus and in the kernel log.
 *
 * Context: may sleep.
 *
 * Return: 0, -ENODEV without IOMMU, -EXDEV if @dev shares its IOMMU group,
 * -EOPNOTSUPP, -ENOSPC, -ERANGE or what iommu_dev_enable_feature() says for a
 * plan that the hardware cannot fulfil, -EBUSY if @dev is a parent already, or
 * the error of sysfs.
 */
int mdev_pasid_register_parent(struct mdev_pasid_parent *parent, struct device *dev,
			       struct mdev_pasid_driver *drv, const struct mdev_pasid_dma *dma,
			       struct mdev_type **types, unsigned int nr_types)
{
	int ret;

	ret = mdev_pasid_check_plan(drv, dev, dma);
	if (ret)
		return ret;

	parent->dev = dev;
	parent->drv = drv;
	parent->dma = *dma;
	mdev_pasid_refusal_init(&parent->refusal);
	ret = mdev_pasid_add_parent(parent);
	if (ret)
		return ret;

	if (dma->page_faults) {
		ret = iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF);
		if (ret) {
			mdev_pasid_refuse_parent(drv, dev,
						 "cannot register %s: the driver plans on page requests, which device or IOMMU cannot do (error %d); plan without",
						 dev_name(dev), ret);
			goto err_list;
		}
	}

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
	mdev_pasid_refuse_parent(drv, dev,
				 "cannot register %s: its files in sysfs cannot be made (error %d); see the log, and free some memory",
				 dev_name(dev), ret);
err_list:
	mdev_pasid_del_parent(parent);
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
	mdev_pasid_del_parent(parent);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_unregister_parent, MDEV_PASID);

MODULE_DESCRIPTION("PASID-backed virtual devices on the mdev bus");
MODULE_LICENSE("GPL");
