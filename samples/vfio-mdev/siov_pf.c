// SPDX-License-Identifier: GPL-2.0-only
/*
 * A physical function in software: a copy engine with thousands of contexts.
 *
 * This file is the hardware of the sample. It knows nothing of mdev, VFIO or iommufd: it
 * has registers, doorbell pages and interrupts, and its DMA goes through the IOMMU of
 * siov_iommu.c with the PASID of the context.
 *
 * A doorbell page is memory that user space maps, and a store to memory tells nobody. So
 * a thread looks at the doorbells of all running contexts in turn, and sleeps between two
 * rounds if nobody rings: 20 us at first, up to 1 ms, and at least as long as the round has
 * taken. While no context runs, it is not scheduled at all. A real device is told by the
 * bus instead.
 *
 * A copy that meets a page which is not there may be allowed to ask for it. It is put aside
 * then, with what is done of it, until the response comes; other contexts go on.
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "siov_pf.h"

/* PASID 0 is the PF's own, so there is one context less than PASIDs */
static unsigned int pasid_bits = 13;
module_param(pasid_bits, uint, 0444);
MODULE_PARM_DESC(pasid_bits, "width of a PASID, 2 to 20; there are 2^width - 1 contexts");

#define SIOV_SLEEP_MIN_US	20
#define SIOV_SLEEP_MAX_US	1000
#define SIOV_BATCH		64
#define SIOV_MAX_PRG		512	/* page request groups, as PCI defines them */

/* What has become of the page request of a context */
enum siov_wait {
	SIOV_NOT_WAITING,
	SIOV_WAITING,
	SIOV_MAPPED,
	SIOV_REFUSED,
};

struct siov_ctx {
	struct list_head node;		/* in siov_running, or empty */
	u64 regs[SIOV_NUM_REGS];
	u32 *doorbell;
	u64 done;			/* bytes of the copy that are copied */
	enum siov_wait wait;
	struct irq_work irq_work;
	void (*irq)(void *data);
	void *data;
};

/*
 * Page requests that have no response yet: group -> the context, or SIOV_NOBODY if that does
 * not wait for it any more. Its lock protects siov_ctx::wait while it is SIOV_WAITING.
 */
static DEFINE_XARRAY_ALLOC(siov_prgs);
#define SIOV_NOBODY	xa_mk_value(0)

static struct platform_device *siov_pf;
static struct task_struct *siov_engine;
static DECLARE_WAIT_QUEUE_HEAD(siov_work);
static u8 siov_buf[PAGE_SIZE];

/*
 * Protects all that follows, and the registers of all contexts: the hardware does one
 * thing at a time. Held for one copy at most.
 */
static DEFINE_MUTEX(siov_lock);
static LIST_HEAD(siov_running);
static unsigned int siov_nr_running;
static unsigned int siov_used;

static u64 *reg(struct siov_ctx *ctx, u32 off)
{
	return &ctx->regs[off / sizeof(u64)];
}

/* The copy engine */

/* A page response. All of them come here, also those that nobody waits for any more. */
static void respond(u32 grpid, bool mapped)
{
	struct siov_ctx *ctx;

	xa_lock(&siov_prgs);
	ctx = __xa_erase(&siov_prgs, grpid);
	if (ctx && ctx != SIOV_NOBODY)
		ctx->wait = mapped ? SIOV_MAPPED : SIOV_REFUSED;
	xa_unlock(&siov_prgs);
}

/* Put the copy aside and ask for a page; false if nobody is there to ask */
static bool ask_for_page(struct siov_ctx *ctx, u64 iova, bool write)
{
	ioasid_t pasid = *reg(ctx, SIOV_PASID);
	u32 grpid;

	/* The response may come before we return */
	ctx->wait = SIOV_WAITING;
	if (xa_alloc(&siov_prgs, &grpid, ctx, XA_LIMIT(0, SIOV_MAX_PRG - 1), GFP_KERNEL)) {
		/* Too many have asked: as if it had been refused */
		ctx->wait = SIOV_REFUSED;
		return true;
	}
	if (siov_iommu_page_request(pasid, iova, write, grpid))
		return true;
	xa_erase(&siov_prgs, grpid);
	ctx->wait = SIOV_NOT_WAITING;
	return false;
}

/* The context does not wait any more; a response that comes now is for nobody */
static void give_up_page(struct siov_ctx *ctx)
{
	struct siov_ctx *pos;
	unsigned long grpid;

	xa_lock(&siov_prgs);
	if (ctx->wait == SIOV_WAITING)
		xa_for_each(&siov_prgs, grpid, pos)
			if (pos == ctx)
				__xa_store(&siov_prgs, grpid, SIOV_NOBODY, 0);
	ctx->wait = SIOV_NOT_WAITING;
	xa_unlock(&siov_prgs);
}

static enum siov_status fault(struct siov_ctx *ctx, u64 iova, bool write, bool refused)
{
	if (!refused && ask_for_page(ctx, iova, write))
		return SIOV_IDLE;
	if (refused)
		siov_iommu_fault(*reg(ctx, SIOV_PASID), iova, write);
	*reg(ctx, SIOV_FAULT) = iova;
	return write ? SIOV_WRITE_FAULT : SIOV_READ_FAULT;
}

/* From where it was put aside, if it was; SIOV_IDLE if it is put aside */
static enum siov_status copy(struct siov_ctx *ctx, bool refused)
{
	ioasid_t pasid = *reg(ctx, SIOV_PASID);
	u64 len = *reg(ctx, SIOV_LEN);
	u64 part, moved;

	if (!len || len > SIOV_MAX_LEN)
		return SIOV_BAD_LEN;
	for (; ctx->done < len; ctx->done += part) {
		u64 src = *reg(ctx, SIOV_SRC) + ctx->done, dst = *reg(ctx, SIOV_DST) + ctx->done;

		part = min(len - ctx->done, sizeof(siov_buf));
		moved = siov_iommu_access(pasid, src, siov_buf, part, false);
		if (moved < part)
			return fault(ctx, src + moved, false, refused);
		moved = siov_iommu_access(pasid, dst, siov_buf, part, true);
		if (moved < part)
			return fault(ctx, dst + moved, true, refused);
		/* The next page may be asked for */
		refused = false;
	}
	return SIOV_DONE;
}

/* Does what the doorbell asks for, if it was rung, or goes on with what was put aside */
static bool obey(struct siov_ctx *ctx)
{
	enum siov_wait wait = READ_ONCE(ctx->wait);
	enum siov_status status;

	lockdep_assert_held(&siov_lock);

	if (wait == SIOV_WAITING)
		return false;
	if (wait == SIOV_NOT_WAITING) {
		if (!READ_ONCE(*ctx->doorbell))
			return false;
		/* Taken before the copy: rung again meanwhile, it makes another one */
		xchg(ctx->doorbell, 0);
		ctx->done = 0;
	}
	ctx->wait = SIOV_NOT_WAITING;
	status = copy(ctx, wait == SIOV_REFUSED);
	if (status == SIOV_IDLE)
		return true;
	*reg(ctx, SIOV_STATUS) = status;
	++*reg(ctx, SIOV_COUNT);
	irq_work_queue(&ctx->irq_work);
	return true;
}

/*
 * To let a context finish, also the copy that it was rung for while another one waited. It
 * cannot wait for a user who may never respond to a page request: such a copy ends with a
 * fault. The doorbell is unmapped, so nobody rings any more.
 */
static void drain(struct siov_ctx *ctx)
{
	while (ctx->wait != SIOV_NOT_WAITING || READ_ONCE(*ctx->doorbell)) {
		if (ctx->wait != SIOV_NOT_WAITING) {
			give_up_page(ctx);
			ctx->wait = SIOV_REFUSED;
		}
		obey(ctx);
	}
}

/*
 * One round; true if somebody had rung. The lock is dropped after each copy and now and
 * then between, so that who wants to stop a context does not wait for a round.
 */
static bool look_at_doorbells(void)
{
	unsigned int batch, left = READ_ONCE(siov_nr_running);
	struct siov_ctx *ctx;
	bool rung = false;

	while (left) {
		mutex_lock(&siov_lock);
		left = min(left, siov_nr_running);
		for (batch = min(left, SIOV_BATCH); batch; batch--) {
			ctx = list_first_entry(&siov_running, struct siov_ctx, node);
			list_move_tail(&ctx->node, &siov_running);
			left--;
			if (obey(ctx)) {
				rung = true;
				break;
			}
		}
		mutex_unlock(&siov_lock);
		cond_resched();
	}
	return rung;
}

static int engine(void *unused)
{
	unsigned int us = SIOV_SLEEP_MIN_US;
	unsigned int round;
	ktime_t start;

	while (!kthread_should_stop()) {
		wait_event_idle(siov_work, READ_ONCE(siov_nr_running) || kthread_should_stop());
		start = ktime_get();
		if (look_at_doorbells()) {
			us = SIOV_SLEEP_MIN_US;
			continue;
		}
		round = max_t(u32, us, ktime_us_delta(ktime_get(), start));
		usleep_range(round, 2 * round);
		us = min(2 * us, SIOV_SLEEP_MAX_US);
	}
	return 0;
}

/* What the driver of the PF does to it */

static void raise_irq(struct irq_work *work)
{
	struct siov_ctx *ctx = container_of(work, struct siov_ctx, irq_work);

	ctx->irq(ctx->data);
}

/**
 * siov_pf_num_contexts() - contexts that the PF has
 *
 * Return: their number.
 */
u32 siov_pf_num_contexts(void)
{
	return BIT(pasid_bits) - 1;
}
EXPORT_SYMBOL_NS_GPL(siov_pf_num_contexts, SIOV);

/**
 * siov_pf_free_contexts() - contexts that nobody has taken
 *
 * Return: their number.
 */
u32 siov_pf_free_contexts(void)
{
	return siov_pf_num_contexts() - READ_ONCE(siov_used);
}
EXPORT_SYMBOL_NS_GPL(siov_pf_free_contexts, SIOV);

/**
 * siov_ctx_get() - take a context, which is stopped and clear
 * @irq: called in hard interrupt context at the end of each copy
 * @data: its argument
 *
 * Return: the context, or ERR_PTR(-EBUSY) if none is free, or ERR_PTR(-ENOMEM).
 */
struct siov_ctx *siov_ctx_get(void (*irq)(void *data), void *data)
{
	struct siov_ctx *ctx;
	bool free;

	ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	if (!ctx)
		return ERR_PTR(-ENOMEM);
	ctx->doorbell = (u32 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!ctx->doorbell) {
		kfree(ctx);
		return ERR_PTR(-ENOMEM);
	}
	INIT_LIST_HEAD(&ctx->node);
	init_irq_work(&ctx->irq_work, raise_irq);
	ctx->irq = irq;
	ctx->data = data;

	mutex_lock(&siov_lock);
	free = siov_used < siov_pf_num_contexts();
	siov_used += free;
	mutex_unlock(&siov_lock);
	if (!free) {
		free_page((unsigned long)ctx->doorbell);
		kfree(ctx);
		return ERR_PTR(-EBUSY);
	}
	return ctx;
}
EXPORT_SYMBOL_NS_GPL(siov_ctx_get, SIOV);

/**
 * siov_ctx_put() - give a context back
 * @ctx: the context, which has been stopped and whose doorbell nobody maps
 */
void siov_ctx_put(struct siov_ctx *ctx)
{
	mutex_lock(&siov_lock);
	WARN_ON(!list_empty(&ctx->node));
	siov_used--;
	mutex_unlock(&siov_lock);
	irq_work_sync(&ctx->irq_work);
	free_page((unsigned long)ctx->doorbell);
	kfree(ctx);
}
EXPORT_SYMBOL_NS_GPL(siov_ctx_put, SIOV);

/**
 * siov_ctx_read() - read a register of a context
 * @ctx: the context
 * @off: its offset
 *
 * Return: its value.
 */
u64 siov_ctx_read(struct siov_ctx *ctx, u32 off)
{
	u64 val;

	mutex_lock(&siov_lock);
	val = *reg(ctx, off);
	mutex_unlock(&siov_lock);
	return val;
}
EXPORT_SYMBOL_NS_GPL(siov_ctx_read, SIOV);

static void control(struct siov_ctx *ctx, enum siov_ctrl ctrl)
{
	bool running = !list_empty(&ctx->node);

	switch (ctrl) {
	case SIOV_CTRL_RUN:
		if (running)
			return;
		list_add(&ctx->node, &siov_running);
		WRITE_ONCE(siov_nr_running, siov_nr_running + 1);
		wake_up(&siov_work);
		return;
	case SIOV_CTRL_DRAIN:
		if (running)
			drain(ctx);
		break;
	case SIOV_CTRL_RESET:
		memset(ctx->regs, 0, sizeof(ctx->regs));
		break;
	case SIOV_CTRL_STOP:
		break;
	}
	/* The lock is held, so no copy is under way; and none will begin or go on */
	give_up_page(ctx);
	if (running) {
		list_del_init(&ctx->node);
		WRITE_ONCE(siov_nr_running, siov_nr_running - 1);
	}
	/* Not only the doorbell: the next user is to find nothing of this one */
	clear_page(ctx->doorbell);
}

/**
 * siov_ctx_write() - write a register of a context
 * @ctx: the context
 * @off: its offset
 * @val: the value
 *
 * Writing the control register to stop a context returns when it has stopped. With a
 * real device a driver polls for that.
 *
 * Context: may sleep.
 */
void siov_ctx_write(struct siov_ctx *ctx, u32 off, u64 val)
{
	mutex_lock(&siov_lock);
	switch (off) {
	case SIOV_CTRL:
		control(ctx, val);
		break;
	case SIOV_SRC:
	case SIOV_DST:
	case SIOV_LEN:
	case SIOV_PASID:
		*reg(ctx, off) = val;
		break;
	}
	mutex_unlock(&siov_lock);
}
EXPORT_SYMBOL_NS_GPL(siov_ctx_write, SIOV);

/**
 * siov_ctx_doorbell() - where the doorbell page of a context is
 * @ctx: the context
 *
 * Return: its physical address.
 */
phys_addr_t siov_ctx_doorbell(struct siov_ctx *ctx)
{
	return virt_to_phys(ctx->doorbell);
}
EXPORT_SYMBOL_NS_GPL(siov_ctx_doorbell, SIOV);

/* The PF comes and goes */

/*
 * Tells the IOMMU core which IOMMU the device is behind, before it is added, as firmware
 * would. iommu_fwspec_init() wants a lock that modules cannot take; nobody else sees the
 * device yet, so none is needed.
 */
static int set_iommu(struct device *dev)
{
	struct dev_iommu *param = kzalloc(sizeof(*param), GFP_KERNEL);
	struct iommu_fwspec *fwspec = kzalloc(struct_size(fwspec, ids, 1), GFP_KERNEL);

	if (!param || !fwspec) {
		kfree(fwspec);
		kfree(param);
		return -ENOMEM;
	}
	mutex_init(&param->lock);
	fwspec->iommu_fwnode = fwnode_handle_get(siov_iommu_fwnode());
	dev->iommu = param;
	dev_iommu_fwspec_set(dev, fwspec);
	return 0;
}

static int add_pf(void)
{
	const struct property_entry properties[] = {
		PROPERTY_ENTRY_U32("pasid-num-bits", pasid_bits),
		{ }
	};
	struct device *dev;
	int ret;

	siov_pf = platform_device_alloc(SIOV_PF_NAME, PLATFORM_DEVID_NONE);
	if (!siov_pf)
		return -ENOMEM;
	dev = &siov_pf->dev;
	ret = device_create_managed_software_node(dev, properties, NULL);
	if (ret)
		goto err_put;
	ret = set_iommu(dev);
	if (ret)
		goto err_put;
	ret = platform_device_add(siov_pf);
	if (ret)
		goto err_iommu;
	return 0;

err_iommu:
	iommu_fwspec_free(dev);
	kfree(dev->iommu);
	dev->iommu = NULL;
err_put:
	platform_device_put(siov_pf);
	return ret;
}

static int __init siov_pf_init(void)
{
	int ret;

	if (pasid_bits < 2 || pasid_bits > 20)
		return -EINVAL;
	siov_iommu_set_respond(respond);
	siov_engine = kthread_run(engine, NULL, SIOV_PF_NAME);
	if (IS_ERR(siov_engine))
		return PTR_ERR(siov_engine);
	ret = add_pf();
	if (ret)
		kthread_stop(siov_engine);
	return ret;
}
module_init(siov_pf_init);

static void __exit siov_pf_exit(void)
{
	platform_device_unregister(siov_pf);
	kthread_stop(siov_engine);
}
module_exit(siov_pf_exit);

MODULE_DESCRIPTION("Copy engine in software, the PF of the SIOV sample");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(SIOV);
