// SPDX-License-Identifier: GPL-2.0-only
/*
 * As long as it is loaded, a DSA is one without INTEL-SA-01084, of which idxd lets
 * everybody map the portals. Linux 6.12 knows none.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "idxd.h"

static char *pf;
module_param(pf, charp, 0444);
MODULE_PARM_DESC(pf, "PCI device that idxd drives");

static bool was;

static int set_safe(bool safe)
{
	struct idxd_device *idxd;
	struct device *dev;
	int ret = -ENODEV;

	dev = pf ? bus_find_device_by_name(&pci_bus_type, NULL, pf) : NULL;
	if (!dev)
		return -ENODEV;
	device_lock(dev);
	if (dev->driver && !strcmp(dev->driver->name, "idxd")) {
		idxd = dev_get_drvdata(dev);
		was = idxd->user_submission_safe;
		idxd->user_submission_safe = safe;
		ret = 0;
	}
	device_unlock(dev);
	put_device(dev);
	return ret;
}

static int __init safe_init(void)
{
	return set_safe(true);
}
module_init(safe_init);

static void __exit safe_exit(void)
{
	set_safe(was);
}
module_exit(safe_exit);

MODULE_DESCRIPTION("Has a DSA taken for safe, for tests");
MODULE_LICENSE("GPL");
