/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DSA work queues as virtual devices: what the files of idxd_vdev.ko share
 *
 *   main.c	the WQs that are there to be used, and the vdevs that use them
 *   regs.c	BAR0: the register file and its commands
 *   portal.c	BAR2: the portals, direct and mediated
 */
#ifndef IDXD_VDEV_H
#define IDXD_VDEV_H

#include <linux/mdev_pasid.h>

#include "idxd.h"

#define VDEV_NUM_VECTORS	2

/* BAR0: registers, MSI-X table, PBA */
#define VDEV_REGS_SIZE		0x700
#define VDEV_NUM_REGS		(VDEV_REGS_SIZE / sizeof(u32))
#define VDEV_MSIX_TABLE		0x2000
#define VDEV_MSIX_PBA		0x3000
#define VDEV_MMIO_SIZE		0x4000

/* BAR2: unlimited and limited portal; the IMS portals that follow are not there */
#define VDEV_NUM_PORTALS	2
#define VDEV_WQ_BAR_SIZE	0x4000
#define VDEV_DESC_SIZE		sizeof(struct dsa_raw_desc)
#define VDEV_NUM_SLOTS		(VDEV_NUM_PORTALS * IDXD_PORTAL_SIZE / VDEV_DESC_SIZE)

/**
 * struct vdev_pf - a PF with WQs that back vdevs
 * @parent: the PF as an mdev parent
 * @type: its only type
 * @types: array of types, for mdev
 * @registered: it is one now
 * @idxd: the DSA
 * @dev: its PCI device
 * @node: in the list of all PFs
 * @lock: protects @wqs, @nr_vdevs and who owns which WQ.  Taken before
 *	&mdev_pasid_vdev.lock, hence never in a callback that holds that.
 * @wqs: the WQs that are bound to this driver, by ascending number
 * @nr_vdevs: vdevs that exist
 * @halt_work: takes the hardware from the vdevs of a PF that has halted
 */
struct vdev_pf {
	struct mdev_pasid_parent parent;
	struct mdev_type type;
	struct mdev_type *types[1];
	bool registered;
	struct idxd_device *idxd;
	struct device *dev;
	struct list_head node;

	struct mutex lock;	/* see above */
	struct list_head wqs;
	unsigned int nr_vdevs;
	struct work_struct halt_work;
};

/**
 * struct vdev_wq - a WQ that is bound to this driver
 * @node: in &vdev_pf.wqs
 * @pf: its PF
 * @wq: the WQ; its hardware is disabled unless the owner runs it
 * @owner: the vdev that it backs, or NULL
 * @regs: BAR0 of that vdev after power-on
 */
struct vdev_wq {
	struct list_head node;
	struct vdev_pf *pf;
	struct idxd_wq *wq;
	struct idxd_vdev *owner;
	u32 regs[VDEV_NUM_REGS];
};

/**
 * struct vdev_slot - a descriptor that is being written, piece by piece
 * @bytes: the descriptor
 * @next: how much of it is there
 * @writer: the thread that writes it
 * @place: where in the portals, in descriptors
 */
struct vdev_slot {
	u8 bytes[VDEV_DESC_SIZE];
	u8 next;
	pid_t writer;
	unsigned int place;
};

/**
 * struct idxd_vdev - a vdev that is backed by a WQ
 * @core: first member, as the core wants it
 * @pf: its PF
 * @lease: its WQ, or NULL if the WQ was taken away: the vdev is dead.  Changed with
 *	both &vdev_pf.lock and &mdev_pasid_vdev.lock held.
 * @wq: lease->wq, or NULL
 * @used: it was opened before, and keeps its WQ from then on
 * @open: a user has it: @irq, @portal and @slots are there
 * @direct: the user may map the portals
 * @dma: between dma_start() and dma_stop()
 * @dev_enabled: the user has enabled the device; changes with @regs_lock held as well
 * @wq_enabled: the user has enabled the WQ; likewise
 * @hw_on: the hardware WQ runs: @dma and @dev_enabled and @wq_enabled
 * @int_handle: the interrupt handle that the user holds, or -1; see @revoked
 * @irq: Linux number of the vector of the WQ
 * @portal: mapping of the WQ's portals
 * @slots: the descriptors that are being written
 * @begun: which of @slots are in use
 * @bad_opcode: one that the device does not have
 * @regs_lock: protects @regs, @halted and @revoked, which the event handler changes
 * @regs: BAR0
 * @halted: the device has halted, for good
 * @revoked: the device has taken @int_handle back
 *
 * What has no lock here is protected by &mdev_pasid_vdev.lock.
 */
struct idxd_vdev {
	struct mdev_pasid_vdev core;
	struct vdev_pf *pf;
	struct vdev_wq *lease;
	struct idxd_wq *wq;

	bool used;
	bool open;
	bool direct;
	bool dma;
	bool dev_enabled;
	bool wq_enabled;
	bool hw_on;

	int int_handle;
	int irq;
	void __iomem *portal;
	struct vdev_slot *slots;
	DECLARE_BITMAP(begun, VDEV_NUM_SLOTS);
	u8 bad_opcode;

	spinlock_t regs_lock;	/* see above */
	u32 regs[VDEV_NUM_REGS];
	bool halted;
	bool revoked;
};

static inline struct idxd_vdev *to_idxd_vdev(struct mdev_pasid_vdev *vdev)
{
	return container_of(vdev, struct idxd_vdev, core);
}

/* main.c */
int vdev_hw_start(struct idxd_vdev *v);
void vdev_hw_stop(struct idxd_vdev *v, bool abort);

/* regs.c */
void vdev_regs_build(u32 *regs, struct idxd_wq *wq);
void vdev_regs_reset(struct idxd_vdev *v);
u64 vdev_regs_read(struct idxd_vdev *v, u64 off, unsigned int len);
void vdev_regs_write(struct idxd_vdev *v, u64 off, u64 val, unsigned int len);
void vdev_regs_report_error(struct idxd_vdev *v, const union sw_err_reg *err);
void vdev_regs_halt(struct idxd_vdev *v);
void vdev_regs_revoke(struct idxd_vdev *v);

/* portal.c */
int vdev_portal_open(struct idxd_vdev *v);
void vdev_portal_close(struct idxd_vdev *v);
void vdev_portal_reset(struct idxd_vdev *v);
void vdev_portal_write(struct idxd_vdev *v, u64 off, u64 val, unsigned int len);
phys_addr_t vdev_portal_addr(struct idxd_vdev *v, unsigned long page);

#endif /* IDXD_VDEV_H */
