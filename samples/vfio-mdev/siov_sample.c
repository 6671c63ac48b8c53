// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sample sub-device driver: how to share a PF between users by PASID
 *
 * The PF is a copy engine with many contexts. Each has registers, a doorbell page, an
 * interrupt, and a PASID that all its DMA carries. This driver turns a context into a
 * vdev: a PCI device to its user, to be opened as /dev/vfio/devices/vfioN.
 *
 * Read it from top to bottom; it is in the order in which things happen to a vdev. What it
 * decides, and what each such driver has to decide:
 *
 *	what is a vdev?			sample_create()
 *	when may it do DMA?		sample_dma_start(), sample_dma_stop()
 *	what is trapped?		sample_read(), sample_write()
 *	what is mapped?			sample_portal()
 *	how does an interrupt arrive?	sample_interrupt()
 *	what does a reset undo?		sample_reset()
 *	what DMA does the PF plan?	sample_probe()
 *
 * All else is in mdev-pasid.ko. The hardware is not there: siov_pf.c plays it, and
 * siov_pf.h is the whole of the way to it. "DSA:" says where drivers/dma/idxd/vdev does
 * the same to real hardware.
 */
#include <linux/mdev_pasid.h>
#include <linux/module.h>
#include <linux/pci_ids.h>
#include <linux/platform_device.h>

#include "siov_pf.h"

#define NUM_VECTORS	1
#define MSIX_TABLE	0x800	/* in BAR 0, behind the registers */
#define MSIX_PBA	0xc00

/* The core allocates this, and its part of it comes first. DSA: struct idxd_vdev */
struct sample_vdev {
	struct mdev_pasid_vdev core;
	struct siov_ctx *ctx;
};

static struct sample_vdev *to_sample(struct mdev_pasid_vdev *core)
{
	return container_of(core, struct sample_vdev, core);
}

/*
 * The end of a copy. It goes from the hard interrupt straight to the eventfd that the user
 * gave for vector 0; nobody is woken up in between. DSA: vdev_interrupt()
 */
static void sample_interrupt(void *data)
{
	struct sample_vdev *v = data;

	mdev_pasid_signal(&v->core, 0);
}

/*
 * A UUID was written to mdev_supported_types/siov_sample-copy/create. Claim the hardware,
 * and say what it will look like. The core makes a PCI config space of that and adds
 * the capabilities. DSA: vdev_create()
 */
static int sample_create(struct mdev_pasid_vdev *core)
{
	struct sample_vdev *v = to_sample(core);
	int ret;

	/* Class: system peripheral, other */
	mdev_pasid_config_identity(core, SIOV_VENDOR_ID, SIOV_DEVICE_ID,
				   PCI_CLASS_SYSTEM_OTHER << 16, SIOV_VENDOR_ID, 0);

	/*
	 * Registers are trapped and the doorbell is mapped, so they cannot share a page.
	 * They could share a BAR: portals has a bit for each of its pages.
	 */
	core->bar[SIOV_REGS_BAR].size = SIOV_REGS_SIZE;
	core->bar[SIOV_DOORBELL_BAR].size = SIOV_DOORBELL_SIZE;
	core->bar[SIOV_DOORBELL_BAR].portals = BIT(0);

	ret = mdev_pasid_config_msix(core, NUM_VECTORS, SIOV_REGS_BAR, MSIX_TABLE, MSIX_PBA);
	if (ret)
		return ret;

	/*
	 * The context is the vdev's until sample_destroy(), so that a vdev which exists can
	 * be used. An errno alone helps nobody: say what to do.
	 */
	v->ctx = siov_ctx_get(sample_interrupt, v);
	if (IS_ERR(v->ctx)) {
		ret = PTR_ERR(v->ctx);
		mdev_pasid_refuse(core,
				  "cannot create %s: no context of %s is free (error %d); remove another vdev",
				  dev_name(mdev_dev(core->mdev)), dev_name(core->parent->dev), ret);
	}
	return ret;
}

/* Nobody has the vdev open, and nobody will. DSA: vdev_destroy() */
static void sample_destroy(struct mdev_pasid_vdev *core)
{
	siov_ctx_put(to_sample(core)->ctx);
}

/*
 * The user has attached the vdev to an IOAS and has set Bus Master Enable: the PASID has
 * a page table. The PASID is the core's choice, and goes to a register that no user can
 * reach; therein lies the isolation. DSA: vdev_dma_start(), idxd_wq_hw_start()
 */
static int sample_dma_start(struct mdev_pasid_vdev *core)
{
	struct sample_vdev *v = to_sample(core);

	siov_ctx_write(v->ctx, SIOV_PASID, core->pasid);
	siov_ctx_write(v->ctx, SIOV_CTRL, SIOV_CTRL_RUN);
	return 0;
}

/*
 * The translation is about to go, and maybe the PASID to another vdev. So this must leave
 * nothing under way, and cannot fail. The core has unmapped the doorbell already:
 * nobody can ring it any more. DSA: vdev_dma_stop(), idxd_wq_hw_stop()
 */
static void sample_dma_stop(struct mdev_pasid_vdev *core, enum mdev_pasid_stop how)
{
	siov_ctx_write(to_sample(core)->ctx, SIOV_CTRL,
		       how == MDEV_PASID_DRAIN ? SIOV_CTRL_DRAIN : SIOV_CTRL_STOP);
}

/*
 * By ioctl, by function level reset, or since the last user has gone and the next must
 * find nothing of him. DMA has been stopped. DSA: vdev_regs_reset()
 */
static void sample_reset(struct mdev_pasid_vdev *core)
{
	siov_ctx_write(to_sample(core)->ctx, SIOV_CTRL, SIOV_CTRL_RESET);
}

/*
 * The trapped part. Offset and size have been checked to be aligned and within the BAR, but
 * not that there is a register: that only we know. Behind the registers of the user,
 * the hardware has those of the driver. DSA: vdev_regs_read()
 */
static u64 sample_read(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, unsigned int len)
{
	u32 reg = round_down(off, sizeof(u64));

	if (bar != SIOV_REGS_BAR || reg >= SIOV_USER_REGS)
		return 0;
	/* A narrow read gets its bytes of the register */
	return siov_ctx_read(to_sample(core)->ctx, reg) >> (off - reg) * BITS_PER_BYTE;
}

/*
 * The hardware takes 64 bits or nothing, so that a copy never sees half an address. It
 * ignores writes to what is read-only. A doorbell that is not mapped but written with
 * pwrite() could be emulated here; this device does without. DSA: vdev_regs_write()
 */
static void sample_write(struct mdev_pasid_vdev *core, unsigned int bar, u64 off, u64 val,
			 unsigned int len)
{
	if (bar == SIOV_REGS_BAR && off < SIOV_USER_REGS && len == sizeof(u64))
		siov_ctx_write(to_sample(core)->ctx, off, val);
}

/*
 * The mapped part. The user has touched the doorbell page for the first time since
 * DMA started: where is it? From then on his stores go to the hardware and nothing
 * here runs, which is the point of it all. DSA: vdev_portal_addr()
 */
static phys_addr_t sample_portal(struct mdev_pasid_vdev *core, unsigned int bar, unsigned long page)
{
	return siov_ctx_doorbell(to_sample(core)->ctx);
}

static const struct mdev_pasid_ops sample_ops = {
	.create		= sample_create,
	.destroy	= sample_destroy,
	.dma_start	= sample_dma_start,
	.dma_stop	= sample_dma_stop,
	.reset		= sample_reset,
	.read		= sample_read,
	.write		= sample_write,
	.portal		= sample_portal,
};

static unsigned int sample_get_available(struct mdev_type *type)
{
	return siov_pf_free_contexts();
}

static ssize_t sample_show_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf, "copy engine with a doorbell page\n");
}

/* DSA: vdev_mdev_driver */
static struct mdev_pasid_driver sample_mdev_driver = {
	.mdev = {
		.get_available		= sample_get_available,
		.show_description	= sample_show_description,
		.driver = {
			.name		= "siov_sample",
			.owner		= THIS_MODULE,
			.mod_name	= KBUILD_MODNAME,
		},
	},
	.ops		= &sample_ops,
	.vdev_size	= sizeof(struct sample_vdev),
};

/* A PF with vdevs of one type, so one entry in mdev_supported_types/. DSA: struct vdev_pf */
struct sample_pf {
	struct mdev_type *types[1];
	struct mdev_type type;
	struct mdev_pasid_parent parent;
};

/*
 * The driver of the PF offers vdevs on it. It says what DMA they will do, and the core
 * checks now what would else fail at the first user: that an IOMMU translates the PF, that
 * no other device shares its group, that there are so many PASIDs. DSA: pf_get()
 */
static int sample_probe(struct platform_device *pdev)
{
	const struct mdev_pasid_dma dma = {
		.max_pasids	= siov_pf_num_contexts(),
		.addr_width	= SIOV_ADDR_WIDTH,
		.coherent	= true,
		.page_faults	= true,
	};
	struct sample_pf *pf = devm_kzalloc(&pdev->dev, sizeof(*pf), GFP_KERNEL);

	if (!pf)
		return -ENOMEM;
	pf->type.sysfs_name = "copy";
	pf->type.pretty_name = "SIOV sample, copy engine";
	pf->types[0] = &pf->type;
	platform_set_drvdata(pdev, pf);
	return mdev_pasid_register_parent(&pf->parent, &pdev->dev, &sample_mdev_driver, &dma,
					  pf->types, ARRAY_SIZE(pf->types));
}

/* Waits until the users have let go of all vdevs, and removes them. DSA: pf_unregister() */
static void sample_remove(struct platform_device *pdev)
{
	struct sample_pf *pf = platform_get_drvdata(pdev);

	mdev_pasid_unregister_parent(&pf->parent);
}

static struct platform_driver sample_driver = {
	.probe		= sample_probe,
	.remove		= sample_remove,
	.driver.name	= "siov_sample",
	.id_table	= (const struct platform_device_id[]){ { SIOV_PF_NAME }, { } },
};

static int __init sample_init(void)
{
	int ret;

	ret = mdev_pasid_register_driver(&sample_mdev_driver);
	if (ret)
		return ret;
	ret = platform_driver_register(&sample_driver);
	if (ret)
		mdev_pasid_unregister_driver(&sample_mdev_driver);
	return ret;
}
module_init(sample_init);

static void __exit sample_exit(void)
{
	platform_driver_unregister(&sample_driver);
	mdev_pasid_unregister_driver(&sample_mdev_driver);
}
module_exit(sample_exit);

MODULE_DESCRIPTION("Sample driver for PASID-backed virtual devices");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(MDEV_PASID);
MODULE_IMPORT_NS(SIOV);
