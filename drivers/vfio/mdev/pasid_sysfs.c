// SPDX-License-Identifier: GPL-2.0-only
/*
 * Refusals, and where an administrator reads them: the pasid/ directory of a vdev
 * and the mdev_pasid/ directory of a PF.
 */
#include <linux/sysfs.h>

#include "pasid_private.h"

static void mdev_pasid_record(struct mdev_pasid_refusal *refusal, struct device *dev,
			      struct va_format *vaf)
{
	spin_lock(&refusal->lock);
	scnprintf(refusal->text, sizeof(refusal->text), "%pV", vaf);
	spin_unlock(&refusal->lock);

	/* A user can provoke refusals at will */
	dev_notice_ratelimited(dev, "%pV\n", vaf);
}

/**
 * mdev_pasid_refuse() - leave a sentence about a refusal at a vdev
 * @vdev: the vdev
 * @fmt: the object, the cause and the remedy, without a newline
 *
 * Goes to pasid/last_error of the vdev and, rate-limited, to the log.
 *
 * Context: process context.
 */
void mdev_pasid_refuse(struct mdev_pasid_vdev *vdev, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	mdev_pasid_record(&vdev->refusal, vdev->vfio.dev, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_refuse, MDEV_PASID);

/**
 * mdev_pasid_refuse_create() - leave a sentence about a refused create
 * @parent: the PF
 * @fmt: the object, the cause and the remedy, without a newline
 *
 * As mdev_pasid_refuse(), for a vdev that does not come to exist: goes to
 * mdev_pasid/last_error of the PF.
 *
 * Context: process context.
 */
void mdev_pasid_refuse_create(struct mdev_pasid_parent *parent, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	vaf.va = &args;
	mdev_pasid_record(&parent->refusal, parent->dev, &vaf);
	va_end(args);
}
EXPORT_SYMBOL_NS_GPL(mdev_pasid_refuse_create, MDEV_PASID);

static ssize_t mdev_pasid_show_refusal(struct mdev_pasid_refusal *refusal, char *buf)
{
	ssize_t len;

	spin_lock(&refusal->lock);
	len = sysfs_emit(buf, "%s\n", refusal->text);
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

static ssize_t last_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_vdev *vdev = dev_get_drvdata(dev);

	return mdev_pasid_show_refusal(&vdev->refusal, buf);
}
static DEVICE_ATTR_RO(last_error);

static struct attribute *mdev_pasid_attrs[] = {
	&dev_attr_pasid.attr,
	&dev_attr_parent.attr,
	&dev_attr_state.attr,
	&dev_attr_last_error.attr,
	NULL
};

const struct attribute_group mdev_pasid_attr_group = {
	.name = "pasid",
	.attrs = mdev_pasid_attrs,
};
EXPORT_SYMBOL_NS_GPL(mdev_pasid_attr_group, MDEV_PASID);

static ssize_t parent_last_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct mdev_pasid_parent *parent = container_of(attr, struct mdev_pasid_parent, last_error);

	return mdev_pasid_show_refusal(&parent->refusal, buf);
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
