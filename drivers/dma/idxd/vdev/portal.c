// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR2: the portals
 *
 * A user who may have it gets the WQ's portal pages mapped and submits directly.
 * INTEL-SA-01084 makes that unsafe on some devices; there it takes CAP_SYS_RAWIO, of who
 * binds the vdev: a VMM may have the file from him.  Everybody else's stores trap: the pieces of
 * a descriptor are collected, the descriptor is checked, and the kernel submits it.
 */
#include <linux/bitmap.h>
#include <linux/capability.h>
#include <linux/io.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "vdev.h"

static phys_addr_t portal_phys(struct idxd_wq *wq, enum idxd_portal_prot prot)
{
	return pci_resource_start(wq->idxd->pdev, IDXD_WQ_BAR) +
	       idxd_get_wq_portal_full_offset(wq->id, prot);
}

/**
 * vdev_portal_open - prepare the portals for a user
 * @v: the vdev
 *
 * Decides between direct and mediated submission.
 *
 * Context: may sleep, in the user's context, with &mdev_pasid_vdev.lock held.
 * Return: 0 or -ENOMEM.
 */
int vdev_portal_open(struct idxd_vdev *v)
{
	struct idxd_device *idxd = v->wq->idxd;

	v->slots = kcalloc(VDEV_NUM_SLOTS, sizeof(*v->slots), GFP_KERNEL_ACCOUNT);
	if (!v->slots)
		return -ENOMEM;

	v->portal = ioremap(portal_phys(v->wq, IDXD_PORTAL_UNLIMITED),
			    VDEV_NUM_PORTALS * IDXD_PORTAL_SIZE);
	if (!v->portal) {
		kfree(v->slots);
		v->slots = NULL;
		return -ENOMEM;
	}

	bitmap_zero(v->begun, VDEV_NUM_SLOTS);
	v->bad_opcode = find_first_zero_bit(idxd->opcap_bmap, IDXD_MAX_OPCAP_BITS);
	v->direct = idxd->user_submission_safe || capable(CAP_SYS_RAWIO);
	v->core.bar[IDXD_WQ_BAR].portals = v->direct ? GENMASK(VDEV_NUM_PORTALS - 1, 0) : 0;
	return 0;
}

/**
 * vdev_portal_close - undo vdev_portal_open()
 * @v: the vdev
 */
void vdev_portal_close(struct idxd_vdev *v)
{
	iounmap(v->portal);
	v->portal = NULL;
	kfree(v->slots);
	v->slots = NULL;
}

/**
 * vdev_portal_reset - forget the pieces of descriptors that are not complete
 * @v: the vdev
 */
void vdev_portal_reset(struct idxd_vdev *v)
{
	bitmap_zero(v->begun, VDEV_NUM_SLOTS);
}

/**
 * vdev_portal_addr - where a portal page of a vdev is to be mapped
 * @v: the vdev
 * @page: its page of BAR2
 *
 * Return: physical address, or 0 if the WQ does not run.
 */
phys_addr_t vdev_portal_addr(struct idxd_vdev *v, unsigned long page)
{
	/* The pages have the order of enum idxd_portal_prot */
	return v->direct && v->hw_on ? portal_phys(v->wq, page) : 0;
}

static void portal_submit(struct idxd_vdev *v, unsigned int place, const void *bytes)
{
	struct dsa_hw_desc desc __aligned(VDEV_DESC_SIZE);

	memcpy(&desc, bytes, sizeof(desc));

	/*
	 * The engine of some devices gets confused by such a descriptor, so it must
	 * not see it.  Without a place for a completion record, SWERR reports it.
	 */
	if (!IS_ALIGNED(desc.completion_addr, v->wq->idxd->data->align)) {
		const union sw_err_reg err = {
			.valid = 1,
			.desc_valid = 1,
			.wq_idx_valid = 1,
			.error = DSA_COMP_CRA_ALIGN,
			.operation = desc.opcode,
			.fault_addr = desc.completion_addr,
		};

		vdev_regs_report_error(v, &err);
		return;
	}

	/* The descriptors of a batch are read from memory, where nobody checks them. */
	if (desc.opcode == DSA_OPCODE_BATCH && !v->direct)
		/* Lets the device itself complete it as unsupported, through the vdev's IOAS */
		desc.opcode = v->bad_opcode;

	/* The WQ decides both, but nothing of the user's gets there */
	desc.pasid = 0;
	desc.priv = 0;

	/* The data that the descriptor is about must be there before it */
	wmb();
	iosubmit_cmds512(v->portal + place * VDEV_DESC_SIZE, &desc, 1);
}

/*
 * The slot of what this thread writes to a place, or a free one. Few are in use at a time.
 * Whoever begins descriptors and does not end them may lose some.
 */
static struct vdev_slot *portal_slot(struct idxd_vdev *v, unsigned int place)
{
	pid_t writer = task_pid_nr(current);
	struct vdev_slot *slot;
	unsigned int i;

	for_each_set_bit(i, v->begun, VDEV_NUM_SLOTS) {
		slot = &v->slots[i];
		if (slot->writer == writer && slot->place == place)
			return slot;
	}
	i = find_first_zero_bit(v->begun, VDEV_NUM_SLOTS);
	slot = &v->slots[i < VDEV_NUM_SLOTS ? i : place];
	slot->next = 0;
	slot->writer = writer;
	slot->place = place;
	return slot;
}

/**
 * vdev_portal_write - take a piece of a descriptor
 * @v: the vdev
 * @off: offset in BAR2
 * @val: the piece
 * @len: its length
 *
 * MOVDIR64B arrives as eight pieces of 8 bytes.  From a virtual machine each comes by
 * itself, with those of other CPUs in between, be it for the same place of the portal: a
 * guest's driver rightly takes the store for one.  But those of a CPU come from its
 * thread, and in ascending order.  What does not fit in starts anew.
 *
 * Context: may sleep, in the user's context, with &mdev_pasid_vdev.lock held.
 */
void vdev_portal_write(struct idxd_vdev *v, u64 off, u64 val, unsigned int len)
{
	unsigned int place = off / VDEV_DESC_SIZE, pos = off % VDEV_DESC_SIZE;
	struct vdev_slot *slot;

	if (place >= VDEV_NUM_SLOTS || !v->slots || len < 4)
		return;

	slot = portal_slot(v, place);
	if (pos && pos != slot->next) {
		__clear_bit(slot - v->slots, v->begun);
		return;
	}
	memcpy(slot->bytes + pos, &val, len);
	slot->next = pos + len;
	if (slot->next < VDEV_DESC_SIZE) {
		__set_bit(slot - v->slots, v->begun);
		return;
	}

	__clear_bit(slot - v->slots, v->begun);
	/* A WQ that is not enabled drops descriptors */
	if (v->hw_on)
		portal_submit(v, place, slot->bytes);
}
