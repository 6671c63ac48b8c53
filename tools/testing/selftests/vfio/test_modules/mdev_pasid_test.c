// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of vdevs without hardware, which can be told to plan what cannot be and to
 * fail where a driver can fail. It offers vdevs on any device: their PASIDs
 * are real, but no DMA carries them.
 *
 * It stays loaded if it is refused the device, so that the reason can be read.
 */
#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/mdev_pasid.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci_ids.h>
#include <linux/platform_device.h>

#define NAME "mdev_pasid_test"

static char *pf;
module_param(pf, charp, 0444);
MODULE_PARM_DESC(pf, "PCI or platform device to offer vdevs on");

static struct mdev_pasid_dma plan = { .max_pasids = 1, .addr_width = 64 };
module_param_named(max_pasids, plan.max_pasids, uint, 0444);
module_param_named(addr_width, plan.addr_width, byte, 0444);
module_param_named(coherent, plan.coherent, bool, 0444);
module_param_named(page_faults, plan.page_faults, bool, 0444);

static int result;
module_param(result, int, 0444);
MODULE_PARM_DESC(result, "what the registration of the device said");

static char *neighbour;
module_param(neighbour, charp, 0444);
MODULE_PARM_DESC(neighbour, "device whose IOMMU group gets another one, as by hot plug");

static char fail[16];
module_param_string(fail, fail, sizeof(fail), 0644);
MODULE_PARM_DESC(fail, "what fails from now on: create, msix, bar, open, start, stop or nothing");

struct test_vdev {
	struct mdev_pasid_vdev core;
};

static struct platform_device *pdev;
static struct mdev_pasid_parent parent;
static struct mdev_type type = { .sysfs_name = "none", .pretty_name = "vdev without hardware" };
static struct mdev_type *types[] = { &type };

static bool fails(const char *what)
{
	return sysfs_streq(fail, what);
}

static int test_create(struct mdev_pasid_vdev *core)
{
	mdev_pasid_config_identity(core, PCI_VENDOR_ID_REDHAT_QUMRANET, 0x10fe,
				   PCI_CLASS_SYSTEM_OTHER << 16, 0, 0);
	core->bar[0].size = fails("bar") ? PAGE_SIZE + 1 : PAGE_SIZE;
	if (fails("create"))
		return -EIO;
	if (fails("msix"))
		return mdev_pasid_config_msix(core, 1, 0, PAGE_SIZE, 0);
	return 0;
}

static int test_open(struct mdev_pasid_vdev *core)
{
	return fails("open") ? -EIO : 0;
}

static int test_dma_start(struct mdev_pasid_vdev *core)
{
	return fails("start") ? -EIO : 0;
}

static void test_dma_stop(struct mdev_pasid_vdev *core, enum mdev_pasid_stop how)
{
	if (fails("stop"))
		core->keep_pasid = true;
}

static void test_nothing(struct mdev_pasid_vdev *core)
{
}

static u64 test_read(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, unsigned int len)
{
	return 0;
}

static void test_write(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, u64 val,
		       unsigned int len)
{
}

static const struct mdev_pasid_ops test_ops = {
	.create		= test_create,
	.destroy	= test_nothing,
	.open		= test_open,
	.dma_start	= test_dma_start,
	.dma_stop	= test_dma_stop,
	.reset		= test_nothing,
	.read		= test_read,
	.write		= test_write,
};

static unsigned int test_get_available(struct mdev_type *mtype)
{
	return plan.max_pasids;
}

static struct mdev_pasid_driver test_driver = {
	.mdev = {
		.get_available		= test_get_available,
		.driver = {
			.name		= NAME,
			.owner		= THIS_MODULE,
			.mod_name	= KBUILD_MODNAME,
		},
	},
	.ops		= &test_ops,
	.vdev_size	= sizeof(struct test_vdev),
};

static struct device *find(const char *name)
{
	return bus_find_device_by_name(&pci_bus_type, NULL, name) ?:
	       bus_find_device_by_name(&platform_bus_type, NULL, name);
}

static int join(const char *name)
{
	struct device *dev = find(name);
	struct iommu_group *group;
	int ret;

	if (!dev)
		return -ENODEV;
	group = iommu_group_get(dev);
	put_device(dev);
	if (!group)
		return -ENODEV;
	ret = iommu_group_add_device(group, &pdev->dev);
	iommu_group_put(group);
	return ret;
}

static int __init test_init(void)
{
	struct device *dev;
	int ret;

	pdev = platform_device_register_simple(NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	if (neighbour) {
		ret = join(neighbour);
		if (ret)
			goto err_pdev;
	}
	ret = mdev_pasid_register_driver(&test_driver);
	if (ret)
		goto err_group;
	if (pf) {
		dev = find(pf);
		if (!dev) {
			ret = -ENODEV;
			goto err_driver;
		}
		result = mdev_pasid_register_parent(&parent, dev, &test_driver, &plan, types,
						    ARRAY_SIZE(types));
		/* A parent holds the device until the end */
		if (result)
			put_device(dev);
	}
	return 0;

err_driver:
	mdev_pasid_unregister_driver(&test_driver);
err_group:
	if (neighbour)
		iommu_group_remove_device(&pdev->dev);
err_pdev:
	platform_device_unregister(pdev);
	return ret;
}
module_init(test_init);

static void __exit test_exit(void)
{
	if (pf && !result) {
		mdev_pasid_unregister_parent(&parent);
		put_device(parent.dev);
	}
	mdev_pasid_unregister_driver(&test_driver);
	if (neighbour)
		iommu_group_remove_device(&pdev->dev);
	platform_device_unregister(pdev);
}
module_exit(test_exit);

MODULE_DESCRIPTION("Driver of vdevs that fails as it is told, for tests");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(MDEV_PASID);
