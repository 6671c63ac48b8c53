// SPDX-License-Identifier: GPL-2.0-only
/*
 * Intel DSA work queues as virtual devices
 *
 * A driver on the dsa bus.  The dedicated WQs that it is bound to make a pool for each
 * PF, and the PF becomes an mdev parent: a vdev that is created on it takes a WQ out of
 * the pool.  Between its users, and whenever its vdev may not do DMA, the hardware
 * of a WQ is disabled and holds no PASID.
 *
 * When a WQ is unbound it goes back to idxd at once.  A vdev that it backs is dead from
 * then on: its registers read as all ones, it does nothing, and stays until it is removed.  So the
 * administrator who takes a WQ away never waits for the vdev's user.  The PF itself
 * cannot go before its last vdev has been removed.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "vdev.h"

static struct mdev_pasid_driver vdev_mdev_driver;

static LIST_HEAD(pf_list);
/*
 * Protects pf_list and serialises the registration of mdev parents.  Not taken in
 * what the mdev core calls, hence it may be held while a parent is unregistered.
 */
static DEFINE_MUTEX(pf_mutex);

static void reap_work_fn(struct work_struct *work);
static DECLARE_WORK(reap_work, reap_work_fn);

/* The hardware behind a vdev */

static irqreturn_t vdev_interrupt(int irq, void *data)
{
	struct idxd_vdev *v = data;

	mdev_pasid_signal(&v->core, 1);
	return IRQ_HANDLED;
}

static void vdev_event(struct idxd_wq *wq, enum idxd_wq_event event,
		       const union sw_err_reg *err, void *data)
{
	struct idxd_vdev *v = data;

	switch (event) {
	case IDXD_WQ_ERROR:
		vdev_regs_report_error(v, err);
		break;
	case IDXD_WQ_HALTED:
		vdev_regs_halt(v);
		schedule_work(&v->pf->halt_work);
		break;
	case IDXD_WQ_REVOKED:
		vdev_regs_revoke(v);
		break;
	}
}

/**
 * vdev_hw_start - start the hardware WQ if everything says so
 * @v: the vdev, with a WQ
 *
 * Context: may sleep, with &mdev_pasid_vdev.lock held.
 * Return: 0, or -ENXIO if the device refused.
 */
int vdev_hw_start(struct idxd_vdev *v)
{
	int ret;

	/* There is nothing to start if the device has halted, which has been said */
	if (!v->dma || !v->dev_enabled || !v->wq_enabled || READ_ONCE(v->halted))
		return 0;

	ret = idxd_wq_hw_start(v->wq, v->core.pasid);
	if (ret) {
		mdev_pasid_refuse(&v->core,
				  "cannot start %s: the device refused (error %d); see its errors in the log, and reset the vdev",
				  dev_name(wq_confdev(v->wq)), ret);
		return ret;
	}
	v->hw_on = true;
	/* What was dropped until now is to reach the WQ */
	mdev_pasid_unmap_portals(&v->core);
	return 0;
}

/**
 * vdev_hw_stop - stop the hardware WQ if it runs
 * @v: the vdev, with a WQ
 * @abort: abandon what it holds
 *
 * Context: may sleep, with &mdev_pasid_vdev.lock held.
 */
void vdev_hw_stop(struct idxd_vdev *v, bool abort)
{
	if (!v->hw_on)
		return;
	v->hw_on = false;
	mdev_pasid_unmap_portals(&v->core);
	/* For stores that are on their way to the portal; idxd itself allows them as much */
	fsleep(100);
	if (idxd_wq_hw_stop(v->wq, abort))
		v->core.keep_pasid = true;
}

/* Nothing is behind the portals of a PF that has halted. */
static void pf_halt_work_fn(struct work_struct *work)
{
	struct vdev_pf *pf = container_of(work, struct vdev_pf, halt_work);
	struct vdev_wq *w;

	mutex_lock(&pf->lock);
	list_for_each_entry(w, &pf->wqs, node) {
		if (!w->owner)
			continue;
		mutex_lock(&w->owner->core.lock);
		if (READ_ONCE(w->owner->halted))
			vdev_hw_stop(w->owner, true);
		mutex_unlock(&w->owner->core.lock);
	}
	mutex_unlock(&pf->lock);
}

static void vdev_release(struct idxd_vdev *v)
{
	if (!v->open)
		return;
	v->open = false;
	idxd_wq_set_event_handler(v->wq, NULL, NULL);
	/* What it was told until now is not for the next user */
	vdev_regs_reset(v);
	free_irq(v->irq, v);
	vdev_portal_close(v);
}

/* What a user needs of the WQ; vdev_release() undoes it. */
static int vdev_acquire(struct idxd_vdev *v)
{
	int ret;

	ret = vdev_portal_open(v);
	if (ret)
		return ret;

	/* idxd has allocated vector n + 1 for WQ n, and uses it for kernel WQs only */
	v->irq = pci_irq_vector(v->wq->idxd->pdev, v->wq->id + 1);
	ret = request_irq(v->irq, vdev_interrupt, 0, dev_name(mdev_dev(v->core.mdev)), v);
	if (ret) {
		vdev_portal_close(v);
		return ret;
	}

	v->open = true;
	idxd_wq_set_event_handler(v->wq, vdev_event, v);
	/* From now on the handler is told */
	if (idxd_wq_hw_alive(v->wq))
		return 0;
	vdev_release(v);
	return -EIO;
}

/* Which WQ backs which vdev */

static void vdev_take_wq(struct idxd_vdev *v, struct vdev_wq *w)
{
	lockdep_assert_held(&w->pf->lock);
	lockdep_assert_held(&v->core.lock);

	if (v->lease)
		v->lease->owner = NULL;
	w->owner = v;
	v->lease = w;
	v->wq = w->wq;
	vdev_regs_reset(v);
}

static void vdev_kill(struct idxd_vdev *v)
{
	lockdep_assert_held(&v->pf->lock);

	mutex_lock(&v->core.lock);
	vdev_regs_reset(v);
	vdev_release(v);
	v->lease->owner = NULL;
	v->lease = NULL;
	v->wq = NULL;
	mutex_unlock(&v->core.lock);

	mdev_pasid_refuse(&v->core,
			  "the vdev is dead: its WQ was disabled; remove it and create another");
	/* A driver that looks for the cause of this finds a halted device */
	mdev_pasid_signal(&v->core, 0);
}

/* That of a device that has halted cannot be lent */
static bool wq_is_free(struct vdev_wq *w)
{
	return !w->owner && idxd_wq_hw_alive(w->wq);
}

static struct vdev_wq *pf_free_wq(struct vdev_pf *pf, const char *name)
{
	struct vdev_wq *w;

	lockdep_assert_held(&pf->lock);

	list_for_each_entry(w, &pf->wqs, node)
		if (wq_is_free(w) && (!name || sysfs_streq(dev_name(wq_confdev(w->wq)), name)))
			return w;
	return NULL;
}

/* Callbacks of the core */

static int vdev_create(struct mdev_pasid_vdev *core)
{
	struct vdev_pf *pf = container_of(core->parent, struct vdev_pf, parent);
	struct pci_dev *pdev = to_pci_dev(pf->dev);
	struct idxd_vdev *v = to_idxd_vdev(core);
	struct vdev_wq *w;
	int ret;

	v->pf = pf;
	v->int_handle = -1;
	spin_lock_init(&v->regs_lock);

	mdev_pasid_config_identity(core, pdev->vendor, pdev->device,
				   pdev->class << 8 | pdev->revision,
				   pdev->subsystem_vendor, pdev->subsystem_device);
	core->bar[IDXD_MMIO_BAR].size = VDEV_MMIO_SIZE;
	core->bar[IDXD_WQ_BAR].size = VDEV_WQ_BAR_SIZE;
	ret = mdev_pasid_config_msix(core, VDEV_NUM_VECTORS, IDXD_MMIO_BAR,
				     VDEV_MSIX_TABLE, VDEV_MSIX_PBA);
	if (ret)
		return ret;

	mutex_lock(&pf->lock);
	w = pf_free_wq(pf, NULL);
	if (w) {
		mutex_lock(&core->lock);
		vdev_take_wq(v, w);
		mutex_unlock(&core->lock);
		pf->nr_vdevs++;
	}
	mutex_unlock(&pf->lock);

	if (w)
		return 0;
	if (pf->idxd->state == IDXD_DEV_ENABLED)
		mdev_pasid_refuse(core,
				  "cannot create %s: no WQ of %s is free; enable another with driver_name vdev",
				  dev_name(mdev_dev(core->mdev)), dev_name(pf->dev));
	else
		mdev_pasid_refuse(core,
				  "cannot create %s: %s has halted; bind idxd to it again",
				  dev_name(mdev_dev(core->mdev)), dev_name(pf->dev));
	return -ENOSPC;
}

static void vdev_destroy(struct mdev_pasid_vdev *core)
{
	struct idxd_vdev *v = to_idxd_vdev(core);
	struct vdev_pf *pf = v->pf;

	mutex_lock(&pf->lock);
	if (v->lease)
		v->lease->owner = NULL;
	pf->nr_vdevs--;
	/* The mdev core holds locks that the removal of the parent takes */
	if (!pf->nr_vdevs && list_empty(&pf->wqs))
		schedule_work(&reap_work);
	mutex_unlock(&pf->lock);
}

static int vdev_open(struct mdev_pasid_vdev *core)
{
	struct idxd_vdev *v = to_idxd_vdev(core);
	int ret;

	if (!v->lease) {
		mdev_pasid_refuse(core,
				  "cannot bind: the vdev has no WQ any more; remove it and create another");
		return -ENODEV;
	}

	ret = vdev_acquire(v);
	if (ret == -EIO)
		mdev_pasid_refuse(core,
				  "cannot bind: %s has halted; remove the vdev, and bind idxd to it again",
				  dev_name(v->pf->dev));
	else if (ret)
		mdev_pasid_refuse(core,
				  "cannot bind: there is no memory or interrupt for %s (error %d); free some",
				  dev_name(wq_confdev(v->wq)), ret);
	else
		v->used = true;
	return ret;
}

static void vdev_close(struct mdev_pasid_vdev *core)
{
	vdev_release(to_idxd_vdev(core));
}

static int vdev_dma_start(struct mdev_pasid_vdev *core)
{
	struct idxd_vdev *v = to_idxd_vdev(core);
	int ret;

	v->dma = true;
	if (!v->lease)
		return 0;
	ret = vdev_hw_start(v);
	if (ret)
		v->dma = false;
	return ret;
}

static void vdev_dma_stop(struct mdev_pasid_vdev *core, enum mdev_pasid_stop how)
{
	struct idxd_vdev *v = to_idxd_vdev(core);

	v->dma = false;
	if (v->lease)
		vdev_hw_stop(v, how == MDEV_PASID_ABORT);
}

static void vdev_reset(struct mdev_pasid_vdev *core)
{
	struct idxd_vdev *v = to_idxd_vdev(core);

	if (v->lease)
		vdev_regs_reset(v);
}

static u64 vdev_read(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, unsigned int len)
{
	struct idxd_vdev *v = to_idxd_vdev(core);

	/* Portals, and a device that is gone */
	if (bar != IDXD_MMIO_BAR || !v->lease)
		return GENMASK_ULL(len * BITS_PER_BYTE - 1, 0);
	return vdev_regs_read(v, off, len);
}

static void vdev_write(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, u64 val,
		       unsigned int len)
{
	struct idxd_vdev *v = to_idxd_vdev(core);

	if (!v->lease)
		return;
	if (bar == IDXD_MMIO_BAR)
		vdev_regs_write(v, off, val, len);
	else
		vdev_portal_write(v, off, val, len);
}

static phys_addr_t vdev_portal(struct mdev_pasid_vdev *core, unsigned int bar, unsigned long page)
{
	struct idxd_vdev *v = to_idxd_vdev(core);

	return v->lease ? vdev_portal_addr(v, page) : 0;
}

static const struct mdev_pasid_ops vdev_ops = {
	.create		= vdev_create,
	.destroy	= vdev_destroy,
	.open		= vdev_open,
	.close		= vdev_close,
	.dma_start	= vdev_dma_start,
	.dma_stop	= vdev_dma_stop,
	.reset		= vdev_reset,
	.read		= vdev_read,
	.write		= vdev_write,
	.portal		= vdev_portal,
};

static unsigned int vdev_get_available(struct mdev_type *type)
{
	struct vdev_pf *pf = container_of(type, struct vdev_pf, type);
	unsigned int available = 0;
	struct vdev_wq *w;

	mutex_lock(&pf->lock);
	list_for_each_entry(w, &pf->wqs, node)
		available += wq_is_free(w);
	mutex_unlock(&pf->lock);
	return available;
}

static ssize_t vdev_show_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf, "DSA with one dedicated work queue\n");
}

/* Attributes of a vdev: dsa/ */

static struct idxd_vdev *dev_to_vdev(struct device *dev)
{
	struct mdev_pasid_vdev *core = dev_get_drvdata(dev);

	return to_idxd_vdev(core);
}

static ssize_t wq_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct idxd_vdev *v = dev_to_vdev(dev);
	ssize_t len;

	mutex_lock(&v->pf->lock);
	len = sysfs_emit(buf, "%s\n", v->wq ? dev_name(wq_confdev(v->wq)) : "none");
	mutex_unlock(&v->pf->lock);
	return len;
}

static ssize_t wq_store(struct device *dev, struct device_attribute *attr, const char *buf,
			size_t count)
{
	struct idxd_vdev *v = dev_to_vdev(dev);
	struct vdev_pf *pf = v->pf;
	struct vdev_wq *w;
	int ret = 0;

	mutex_lock(&pf->lock);
	mutex_lock(&v->core.lock);
	w = pf_free_wq(pf, buf);
	if (v->used) {
		mdev_pasid_refuse(&v->core,
				  "cannot change the WQ: the vdev has been bound; create another");
		ret = -EBUSY;
	} else if (w) {
		vdev_take_wq(v, w);
	} else if (!v->wq || !sysfs_streq(dev_name(wq_confdev(v->wq)), buf)) {
		mdev_pasid_refuse(&v->core,
				  "cannot change the WQ: %s has no free WQ of that name; enable it with driver_name vdev",
				  dev_name(pf->dev));
		ret = -ENODEV;
	}
	mutex_unlock(&v->core.lock);
	mutex_unlock(&pf->lock);
	return ret ?: count;
}
static DEVICE_ATTR_RW(wq);

static ssize_t portal_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct idxd_vdev *v = dev_to_vdev(dev);
	const char *mode = "closed";

	mutex_lock(&v->core.lock);
	if (v->open)
		mode = v->direct ? "direct" : "mediated";
	mutex_unlock(&v->core.lock);
	return sysfs_emit(buf, "%s\n", mode);
}
static DEVICE_ATTR_RO(portal);

static struct attribute *vdev_dsa_attrs[] = {
	&dev_attr_wq.attr,
	&dev_attr_portal.attr,
	NULL
};

static const struct attribute_group vdev_dsa_group = {
	.name = "dsa",
	.attrs = vdev_dsa_attrs,
};

static const struct attribute_group *vdev_groups[] = {
	&mdev_pasid_attr_group,
	&vdev_dsa_group,
	NULL
};

static struct mdev_pasid_driver vdev_mdev_driver = {
	.mdev = {
		.get_available		= vdev_get_available,
		.show_description	= vdev_show_description,
		.driver = {
			.name		= "idxd_vdev",
			.owner		= THIS_MODULE,
			.mod_name	= KBUILD_MODNAME,
			.dev_groups	= vdev_groups,
		},
	},
	.ops		= &vdev_ops,
	.vdev_size	= sizeof(struct idxd_vdev),
};

/* PFs */

/*
 * Removes the vdevs, too, and waits until nobody has them open, bound or not.  Without
 * vdevs it may be called with pf_mutex held.
 */
static void pf_unregister(struct vdev_pf *pf)
{
	mdev_pasid_unregister_parent(&pf->parent);
	pf->registered = false;
}

/* With pf_mutex held if it is in pf_list */
static void pf_free(struct vdev_pf *pf)
{
	list_del(&pf->node);
	cancel_work_sync(&pf->halt_work);
	mutex_destroy(&pf->lock);
	kfree(pf);
}

static struct vdev_pf *pf_find(struct device *dev)
{
	struct vdev_pf *pf;

	list_for_each_entry(pf, &pf_list, node)
		if (pf->dev == dev)
			return pf;
	return NULL;
}

static struct vdev_pf *pf_get(struct idxd_device *idxd)
{
	struct device *dev = &idxd->pdev->dev;
	const struct mdev_pasid_dma dma = {
		.max_pasids = idxd->max_wqs,
		.addr_width = fls64(dma_get_mask(dev)),
		/* DSA makes no no-snoop requests that would have to be overridden */
		.coherent = false,
		.page_faults = false,
	};
	struct vdev_pf *pf;
	int ret;

	lockdep_assert_held(&pf_mutex);

	if (test_bit(IDXD_FLAG_REMOVING, &idxd->flags)) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend a WQ of %s: idxd is leaving the device; wait for it to come back",
					 dev_name(dev));
		return ERR_PTR(-ENODEV);
	}

	pf = pf_find(dev);
	if (pf)
		return pf;

	pf = kzalloc(sizeof(*pf), GFP_KERNEL);
	if (!pf)
		return ERR_PTR(-ENOMEM);

	mutex_init(&pf->lock);
	INIT_LIST_HEAD(&pf->wqs);
	INIT_WORK(&pf->halt_work, pf_halt_work_fn);
	list_add_tail(&pf->node, &pf_list);
	pf->idxd = idxd;
	pf->dev = dev;
	pf->type.sysfs_name = "1dwq";
	pf->type.pretty_name = "DSA, 1 dedicated WQ";
	pf->types[0] = &pf->type;

	ret = mdev_pasid_register_parent(&pf->parent, dev, &vdev_mdev_driver, &dma,
					 pf->types, ARRAY_SIZE(pf->types));
	if (ret) {
		pf_free(pf);
		return ERR_PTR(ret);
	}
	pf->registered = true;
	return pf;
}

/* Give up a PF which has neither a WQ nor a vdev, unless idxd is about to anyway. */
static void pf_put(struct vdev_pf *pf)
{
	bool idle;

	lockdep_assert_held(&pf_mutex);

	mutex_lock(&pf->lock);
	idle = !pf->nr_vdevs && list_empty(&pf->wqs);
	mutex_unlock(&pf->lock);

	if (idle && !test_bit(IDXD_FLAG_REMOVING, &pf->idxd->flags)) {
		pf_unregister(pf);
		pf_free(pf);
	}
}

static void reap_work_fn(struct work_struct *work)
{
	struct vdev_pf *pf, *next;

	mutex_lock(&pf_mutex);
	list_for_each_entry_safe(pf, next, &pf_list, node)
		pf_put(pf);
	mutex_unlock(&pf_mutex);
}

/*
 * When idxd leaves a PF, the vdevs and their PASIDs have to go before another driver can
 * have it.  As with the removal of every VFIO device this waits for the users to close
 * them; until then they can work.
 */
static int vdev_idxd_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct idxd_device *idxd = data;
	struct vdev_pf *pf;

	mutex_lock(&pf_mutex);
	pf = pf_find(&idxd->pdev->dev);
	if (pf && event == IDXD_EVENT_REMOVED)
		pf_free(pf);
	mutex_unlock(&pf_mutex);

	/* Only the next event frees it */
	if (pf && event == IDXD_EVENT_REMOVING)
		pf_unregister(pf);
	return NOTIFY_OK;
}

static struct notifier_block vdev_idxd_notifier = {
	.notifier_call = vdev_idxd_event,
};

/* The driver on the dsa bus */

/*
 * A command that waits for all that a WQ holds must end before idxd gives the device up, or
 * one user could take it away from all. This is what a DSA does in the 30 s that a command
 * has, at half a GiB a second, which is a small part of its speed.
 */
#define VDEV_MAX_WORK	(16ULL * SZ_1G)

/* The bytes that a WQ can hold descriptors for */
static u64 vdev_wq_work(const struct idxd_wq *wq)
{
	return (u64)wq->size * wq->max_batch_size * wq->max_xfer_bytes;
}

static int vdev_check_wq(struct idxd_wq *wq, struct device *dev)
{
	struct idxd_device *idxd = wq->idxd;

	if (!idxd_wq_driver_name_match(wq, dev)) {
		/* The bus offers all WQs when the driver is loaded, wanted or not */
		if (wq->driver_name[0])
			mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
						 "cannot lend %s: its driver_name is \"%s\"; set it to vdev",
						 dev_name(dev), wq->driver_name);
		idxd->cmd_status = IDXD_SCMD_WQ_NO_DRV_NAME;
		return -ENODEV;
	}
	if (idxd->data->type != IDXD_TYPE_DSA) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: %s is no DSA; set another driver_name",
					 dev_name(dev), dev_name(&idxd->pdev->dev));
		idxd->cmd_status = IDXD_SCMD_WQ_NO_DRV_NAME;
		return -ENODEV;
	}
	if (idxd->state != IDXD_DEV_ENABLED) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: its device is not enabled; enable %s first",
					 dev_name(dev), dev_name(idxd_confdev(idxd)));
		idxd->cmd_status = IDXD_SCMD_DEV_NOT_ENABLED;
		return -ENXIO;
	}
	if (!wq_dedicated(wq)) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: it is shared; set its mode to dedicated",
					 dev_name(dev));
		idxd->cmd_status = IDXD_SCMD_WQ_NO_SWQ_SUPPORT;
		return -EOPNOTSUPP;
	}
	if (test_bit(WQ_FLAG_BLOCK_ON_FAULT, &wq->flags)) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: it waits for page faults, which nobody serves; set its block_on_fault to 0",
					 dev_name(dev));
		idxd->cmd_status = IDXD_SCMD_WQ_NO_SVM;
		return -EOPNOTSUPP;
	}
	if (vdev_wq_work(wq) > VDEV_MAX_WORK) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: its user could keep the device busy with %llu GiB, and %llu is what commands have time for; lower its size, max_batch_size or max_transfer_size",
					 dev_name(dev), vdev_wq_work(wq) / SZ_1G,
					 VDEV_MAX_WORK / SZ_1G);
		idxd->cmd_status = IDXD_SCMD_WQ_NO_SIZE;
		return -EINVAL;
	}
	return 0;
}

static void pf_add_wq(struct vdev_pf *pf, struct vdev_wq *w)
{
	char *event[2] = { "MDEV_STATE=registered" };
	struct vdev_wq *pos;

	mutex_lock(&pf->lock);
	list_for_each_entry(pos, &pf->wqs, node)
		if (pos->wq->id > w->wq->id)
			break;
	/* Before @pos, which is the list's head if no WQ has a higher number */
	list_add_tail(&w->node, &pos->node);
	mutex_unlock(&pf->lock);

	/* mdevctl starts vdevs at this event, of which mdev sent one before there was a WQ */
	kobject_uevent_env(&pf->dev->kobj, KOBJ_CHANGE, event);
}

static int vdev_enable_wq(struct vdev_wq *w, struct device *dev)
{
	struct idxd_wq *wq = w->wq;
	int ret;

	lockdep_assert_held(&wq->wq_lock);

	ret = vdev_check_wq(wq, dev);
	if (ret)
		return ret;

	mutex_lock(&pf_mutex);
	w->pf = pf_get(wq->idxd);
	if (IS_ERR(w->pf)) {
		ret = PTR_ERR(w->pf);
		wq->idxd->cmd_status = IDXD_SCMD_WQ_USER_NO_IOMMU;
		goto out;
	}

	wq->type = IDXD_WQT_USER;
	ret = idxd_drv_enable_wq(wq);
	if (ret) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: idxd does not enable it (error %d); see cmd_status of %s",
					 dev_name(dev), ret, dev_name(idxd_confdev(wq->idxd)));
		goto err_type;
	}
	ret = idxd_wq_hw_stop(wq, false);
	/* The DMA of a device that was lost over it has ended: it has stopped, but for good */
	if (!ret && !idxd_wq_hw_alive(wq))
		ret = -EIO;
	if (ret) {
		mdev_pasid_refuse_parent(&vdev_mdev_driver, dev,
					 "cannot lend %s: the device does not stop it (error %d); disable and enable %s",
					 dev_name(dev), ret, dev_name(idxd_confdev(wq->idxd)));
		goto err_enable;
	}

	vdev_regs_build(w->regs, wq);
	idxd_wq_set_private(wq, w);
	pf_add_wq(w->pf, w);
	wq->idxd->cmd_status = 0;
	goto out;

err_enable:
	idxd_drv_disable_wq(wq);
err_type:
	wq->type = IDXD_WQT_NONE;
	pf_put(w->pf);
out:
	mutex_unlock(&pf_mutex);
	return ret;
}

static int vdev_wq_probe(struct idxd_dev *idxd_dev)
{
	struct idxd_wq *wq = idxd_dev_to_wq(idxd_dev);
	struct vdev_wq *w;
	int ret;

	w = kzalloc(sizeof(*w), GFP_KERNEL);
	if (!w)
		return -ENOMEM;
	w->wq = wq;

	mutex_lock(&wq->wq_lock);
	ret = vdev_enable_wq(w, wq_confdev(wq));
	mutex_unlock(&wq->wq_lock);
	if (ret)
		kfree(w);
	return ret;
}

static void vdev_wq_remove(struct idxd_dev *idxd_dev)
{
	struct idxd_wq *wq = idxd_dev_to_wq(idxd_dev);
	struct vdev_wq *w = idxd_wq_get_private(wq);
	struct vdev_pf *pf = w->pf;

	mutex_lock(&pf_mutex);
	mutex_lock(&pf->lock);
	list_del(&w->node);
	if (w->owner)
		vdev_kill(w->owner);
	mutex_unlock(&pf->lock);
	pf_put(pf);
	mutex_unlock(&pf_mutex);

	idxd_wq_set_private(wq, NULL);
	mutex_lock(&wq->wq_lock);
	/* idxd gave the WQ with its hardware enabled, and wants it back so */
	if (idxd_wq_hw_alive(wq) && idxd_wq_hw_start(wq, IOMMU_PASID_INVALID))
		dev_warn(wq_confdev(wq), "not given back clean: the device refused\n");
	idxd_drv_disable_wq(wq);
	wq->type = IDXD_WQT_NONE;
	mutex_unlock(&wq->wq_lock);
	kfree(w);
}

static enum idxd_dev_type vdev_dev_types[] = {
	IDXD_DEV_WQ,
	IDXD_DEV_NONE,
};

static struct idxd_device_driver vdev_idxd_driver = {
	.probe	= vdev_wq_probe,
	.remove	= vdev_wq_remove,
	.name	= "vdev",
	.type	= vdev_dev_types,
};

static int __init vdev_init(void)
{
	int ret;

	ret = mdev_pasid_register_driver(&vdev_mdev_driver);
	if (ret)
		return ret;
	ret = idxd_register_notifier(&vdev_idxd_notifier);
	if (ret)
		goto err_mdev;
	ret = idxd_driver_register(&vdev_idxd_driver);
	if (ret)
		goto err_notifier;
	return 0;

err_notifier:
	idxd_unregister_notifier(&vdev_idxd_notifier);
err_mdev:
	mdev_pasid_unregister_driver(&vdev_mdev_driver);
	return ret;
}
module_init(vdev_init);

static void __exit vdev_exit(void)
{
	struct vdev_pf *pf, *next;
	LIST_HEAD(pfs);

	idxd_driver_unregister(&vdev_idxd_driver);
	idxd_unregister_notifier(&vdev_idxd_notifier);

	/*
	 * The vdevs that are left are dead, and not bound: that would hold the module.  One
	 * that is open nevertheless is waited for.
	 */
	mutex_lock(&pf_mutex);
	list_splice_init(&pf_list, &pfs);
	mutex_unlock(&pf_mutex);
	list_for_each_entry_safe(pf, next, &pfs, node) {
		if (pf->registered)
			pf_unregister(pf);
		pf_free(pf);
	}
	cancel_work_sync(&reap_work);
	mdev_pasid_unregister_driver(&vdev_mdev_driver);
}
module_exit(vdev_exit);

MODULE_DESCRIPTION("Intel DSA work queues as virtual devices");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(IDXD);
MODULE_IMPORT_NS(MDEV_PASID);
MODULE_ALIAS_IDXD_DEVICE(0);
