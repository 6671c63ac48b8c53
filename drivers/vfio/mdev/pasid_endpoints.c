// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs mdev_pasid/endpoints: a line for each vdev that is bound to an iommufd, with
 * its endpoint (the PASID of the PF and the page table that translates it), who holds
 * it and since when.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"

#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>

#include "pasid_private.h"

static struct dentry *endpoints_dir;
static LIST_HEAD(endpoints);
/*
 * Protects the list and what its lines are made of. Not the lock of a vdev, under which one
 * vdev can wait for its hardware for long: the others are to be opened and closed meanwhile.
 */
static DEFINE_MUTEX(endpoints_lock);

/* The vdev is bound */
void mdev_pasid_endpoint_add(struct mdev_pasid_vdev *vdev)
{
	guard(mutex)(&endpoints_lock);
	vdev->since = ktime_get_real_seconds();
	list_add_tail(&vdev->endpoint, &endpoints);
}

/* Its file is closed. What the line was made of can go when this returns. */
void mdev_pasid_endpoint_del(struct mdev_pasid_vdev *vdev)
{
	guard(mutex)(&endpoints_lock);
	list_del(&vdev->endpoint);
}

/* It was attached to @pt, which made @hwpt translate it; or detached, and both are 0 */
void mdev_pasid_endpoint_set(struct mdev_pasid_vdev *vdev, u32 pt, u32 hwpt)
{
	guard(mutex)(&endpoints_lock);
	vdev->pt = pt;
	vdev->hwpt = hwpt;
	vdev->since = ktime_get_real_seconds();
}

static int endpoints_show(struct seq_file *s, void *unused)
{
	struct mdev_pasid_vdev *vdev;

	guard(mutex)(&endpoints_lock);
	list_for_each_entry(vdev, &endpoints, endpoint) {
		seq_printf(s, "%s pf %s pasid %u device %u", dev_name(vdev->vfio.dev),
			   dev_name(vdev->parent->dev), vdev->pasid, vdev->devid);
		if (!vdev->hwpt)
			seq_puts(s, " unattached");
		else if (vdev->pt == vdev->hwpt)
			seq_printf(s, " hwpt %u", vdev->hwpt);
		else
			seq_printf(s, " ioas %u hwpt %u", vdev->pt, vdev->hwpt);
		/* The name is the user's choice, and may be no text */
		seq_printf(s, " faults %llu since %ptT holder %d %*pE\n",
			   mdev_pasid_faults_count(vdev), &vdev->since, vdev->holder,
			   (int)strlen(vdev->holder_comm), vdev->holder_comm);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(endpoints);

static int __init mdev_pasid_init(void)
{
	endpoints_dir = debugfs_create_dir("mdev_pasid", NULL);
	debugfs_create_file("endpoints", 0400, endpoints_dir, NULL, &endpoints_fops);
	return 0;
}
module_init(mdev_pasid_init);

static void __exit mdev_pasid_exit(void)
{
	debugfs_remove(endpoints_dir);
}
module_exit(mdev_pasid_exit);
