// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusals, and where an administrator reads them: the pasid/ directory of a vdev,
 * the mdev_pasid/ directory of a PF, and the driver on the mdev bus for a PF that
 * could not become a parent, and so has no such directory.
 */
#include <linux/ratelimit.h>
#include <linux/sysfs.h>
#include <linux/timekeeping.h>

#include "pasid_private.h"

void mdev_pasid_refusal_init(struct mdev_pasid_refusal *refusal)
{
	spin_lock_init(&refusal->lock);
	ratelimit_default_init(&refusal->ratelimit);
}

static void refusal_record(struct mdev_pasid_refusal *refusal, struct va_format *vaf)
{
	spin_lock(&refusal->lock);
	/* Read without the lock by who wants to know whether there is a new one */
	WRITE_ONCE(refusal->count, refusal->count + 1);
	refusal->time = ktime_get_real_seconds();
	scnprintf(refusal->text, sizeof(refusal->text), "%pV", vaf);
	spin_unlock(&refusal->lock);
}

/* A user can provoke refusals at will, but floods neither the log nor what others have there */
static void refusal_log(struct mdev_pasid_refusal *refusal, struct device *dev,
			struct va_format *vaf)
{
	if (__ratelimit(&refusal->ratelimit))
		dev_notice(dev, "%pV\n", vaf);
}

/**
 * mdev_pasid_refuse() - leave a sentence about a refusal at a vdev
 * @vdev: the vdev
 * @fmt: the object, the cause and the remedy, without a newline
 *
 * Goes to pasid/last_error of the vdev and, rate-limited, to the log. While the
 * vdev is being created it goes to mdev_pasid/last_error of the PF, too, since
 * that is what remains.
 *
 * Context: process context.
 */
void mdev_pasid_refuse(struct mdev_pasid_vdev *vdev, const char *fmt, ...)
{
	struct mdev_pasid_parent *parent = vdev->parent;
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	refusal_record(&vdev->refusal, &vaf);
	if (vdev->exists) {
		refusal_log(&vdev->refusal, vdev->vfio.dev, &vaf);
	} else {
		refusal_record(&parent->refusal, &vaf);
		refusal_log(&parent->refusal, parent->dev, &vaf);
	}
	va_end(args);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_refuse, MDEV_PASID);

/**
 * mdev_pasid_refuse_create - leave a sentence about a refused create
 * @parent: the PF
 * @fmt: the object, the cause and the remedy, without a newline
 *
 * As mdev_pasid_refuse(), for a vdev that is not there.
 */
void mdev_pasid_refuse_create(struct mdev_pasid_parent *parent, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	refusal_record(&parent->refusal, &vaf);
	refusal_log(&parent->refusal, parent->dev, &vaf);
	va_end(args);
}

/**
 * mdev_pasid_refuse_parent() - leave a sentence about a device that cannot back vdevs
 * @drv: the driver of the vdevs
 * @dev: the device
 * @fmt: the object, the cause and the remedy, without a newline
 *
 * Goes to last_error of the driver on the mdev bus, which is there before
 * any parent is, and, rate-limited, to the log.
 *
 * Context: process context.
 */
void mdev_pasid_refuse_parent(struct mdev_pasid_driver *drv, struct device *dev,
			      const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	refusal_record(&drv->refusal, &vaf);
	refusal_log(&drv->refusal, dev, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_refuse_parent, MDEV_PASID);

static ssize_t refusal_show(struct mdev_pasid_refusal *refusal, char *buf)
{
	ssize_t len;

	spin_lock(&refusal->lock);
	if (refusal->count)
		len = sysfs_emit(buf, "%ptT%s #%lu %s\n", &refusal->time, "Z", refusal->count,
				 refusal->text);
	else
		len = sysfs_emit(buf, "\n");
	spin_unlock(&refusal->lock);
	return len;
}

static ssize_t pasid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", vdev->pasid);
}
static DEVICE_ATTR_RO(pasid);

static ssize_t parent_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", dev_name(vdev->parent->dev));
}
static DEVICE_ATTR_RO(parent);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(dev);
	const char *state = "closed";

	mutex_lock(&vdev->lock);
	if (vdev->translated || vdev->replacing)
		state = "attached";
	else if (vdev->open)
		state = "bound";
	mutex_unlock(&vdev->lock);
	return sysfs_emit(buf, "%s\n", state);
}
static DEVICE_ATTR_RO(state);

static ssize_t faults_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", mdev_pasid_faults_total(dev_get_drvdata(dev)));
}
static DEVICE_ATTR_RO(faults);

static ssize_t last_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(dev);

	return refusal_show(&vdev->refusal, buf);
}
static DEVICE_ATTR_RO(last_error);

static struct attribute *mdev_pasid_attrs[] = {
	&dev_attr_pasid.attr,
	&dev_attr_parent.attr,
	&dev_attr_state.attr,
	&dev_attr_faults.attr,
	&dev_attr_last_error.attr,
	NULL
};

const struct attribute_group mdev_pasid_attr_group = {
	.name = "pasid",
	.attrs = mdev_pasid_attrs,
};
EXPORT_SYMBOL_NS_GPL(mdev_pasid_attr_group, MDEV_PASID);

static ssize_t driver_last_error_show(struct device_driver *driver, char *buf)
{
	struct mdev_pasid_driver *drv = container_of(driver, struct mdev_pasid_driver, mdev.driver);

	return refusal_show(&drv->refusal, buf);
}

static struct driver_attribute driver_last_error =
	__ATTR(last_error, 0444, driver_last_error_show, NULL);

static struct attribute *mdev_pasid_driver_attrs[] = {
	&driver_last_error.attr,
	NULL
};

const struct attribute_group mdev_pasid_driver_group = {
	.attrs = mdev_pasid_driver_attrs,
};

static ssize_t parent_last_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_parent *parent = container_of(attr, struct mdev_pasid_parent, last_error);

	return refusal_show(&parent->refusal, buf);
}

int mdev_pasid_parent_sysfs_add(struct mdev_pasid_parent *parent)
{
	struct device_attribute *attr = &parent->last_error;

	/* The PF's drvdata is its driver's: the attribute itself leads to the parent */
	sysfs_attr_init(&attr->attr);
	attr->attr.name = "last_error";
	attr->attr.mode = 0444;
	attr->show = parent_last_error_show;
	parent->attrs[0] = &attr->attr;
	parent->group.name = "mdev_pasid";
	parent->group.attrs = parent->attrs;
	return sysfs_create_group(&parent->dev->kobj, &parent->group);
}

void mdev_pasid_parent_sysfs_remove(struct mdev_pasid_parent *parent)
{
	sysfs_remove_group(&parent->dev->kobj, &parent->group);
}
