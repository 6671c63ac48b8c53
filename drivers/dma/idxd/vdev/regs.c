// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR0: the register file of a DSA with one WQ, one group and one engine, whose
 * configuration is read-only, so that the idxd driver of a guest drives it.
 *
 * Registers are values in an array; only the writes that mean something are handled
 * here.  A command has done its work on the hardware WQ when the write returns.
 */
#include <linux/bitmap.h>
#include <linux/pci.h>

#include "vdev.h"

/* Where the tables are, see IDXD_TABLE_OFFSET */
#define VDEV_GRPCFG		0x400
#define VDEV_WQCFG		0x500
#define VDEV_MSIX_PERM		0x600

#define VDEV_WQCFG_DW(n)	(VDEV_WQCFG + (n) * sizeof(u32))
#define VDEV_NUM_RDBUFS		8
/* 64 bytes per event log entry, the size that holds DSA's */
#define VDEV_EVL_SUPPORT	1

#define WQCFG_DW2_PASID		(GENMASK(27, 8) | BIT(28) | BIT(29))
#define WQCFG_DW2_PASID_EN	BIT(28)
#define WQCFG_DW6_STATE		GENMASK(31, 30)
#define WQCFG_DW6_ENABLED	BIT(30)

static u32 *reg32(struct idxd_vdev *v, unsigned int off)
{
	return &v->regs[off / sizeof(u32)];
}

static void set32(u32 *regs, unsigned int off, u32 val)
{
	regs[off / sizeof(u32)] = val;
}

static void set64(u32 *regs, unsigned int off, u64 val)
{
	set32(regs, off, lower_32_bits(val));
	set32(regs, off + sizeof(u32), upper_32_bits(val));
}

static void build_capabilities(u32 *regs, struct idxd_wq *wq)
{
	struct idxd_device *idxd = wq->idxd;
	union gen_cap_reg gencap = idxd->hw.gen_cap;
	union group_cap_reg grpcap = { .num_groups = 1, .total_rdbufs = VDEV_NUM_RDBUFS };
	union wq_cap_reg wqcap = { .total_wq_size = wq->size, .num_wqs = 1, .dedicated_mode = 1 };
	union offsets_reg offsets = {
		.grpcfg = VDEV_GRPCFG / IDXD_TABLE_MULT,
		.wqcfg = VDEV_WQCFG / IDXD_TABLE_MULT,
		.msix_perm = VDEV_MSIX_PERM / IDXD_TABLE_MULT,
	};
	unsigned int i;
	u64 opcap[4];

	set32(regs, IDXD_VER_OFFSET, idxd->hw.version);

	/*
	 * Drivers look for the limits in GENCAP, hence they are the WQ's.  The event log
	 * is there because drivers crash without one; errors go to SWERR anyway.
	 */
	gencap.block_on_fault = 0;
	gencap.cmd_cap = 1;
	gencap.evl_support = VDEV_EVL_SUPPORT;
	gencap.max_xfer_shift = ilog2(wq->max_xfer_bytes);
	gencap.max_batch_shift = ilog2(wq->max_batch_size);
	gencap.max_ims_mult = 0;
	gencap.config_en = 0;
	set64(regs, IDXD_GENCAP_OFFSET, gencap.bits);

	set64(regs, IDXD_WQCAP_OFFSET, wqcap.bits);
	set64(regs, IDXD_GRPCAP_OFFSET, grpcap.bits);
	set64(regs, IDXD_ENGCAP_OFFSET, 1);
	set64(regs, IDXD_TABLE_OFFSET, offsets.bits[0]);
	set64(regs, IDXD_TABLE_OFFSET + sizeof(u64), offsets.bits[1]);
	set32(regs, IDXD_CMDCAP_OFFSET, GENMASK(IDXD_CMD_RELEASE_INT_HANDLE,
						IDXD_CMD_ENABLE_DEVICE));

	/* BATCH as idxd's own op_cap attribute has it */
	bitmap_to_arr64(opcap, wq->opcap_bmap ?: idxd->opcap_bmap, IDXD_MAX_OPCAP_BITS);
	if (!idxd->user_submission_safe)
		opcap[0] &= ~BIT_ULL(DSA_OPCODE_BATCH);
	for (i = 0; i < ARRAY_SIZE(opcap); i++)
		set64(regs, IDXD_OPCAP_OFFSET + i * sizeof(u64), opcap[i]);
}

static void build_configuration(u32 *regs, struct idxd_wq *wq)
{
	union group_flags flags = {
		.tc_a = wq->group->grpcfg.flags.tc_a,
		.tc_b = wq->group->grpcfg.flags.tc_b,
		.rdbufs_allowed = VDEV_NUM_RDBUFS,
	};
	union wqcfg wqcfg = { };

	/* WQ 0 and engine 0 are in group 0 */
	set64(regs, VDEV_GRPCFG, BIT(0));
	set64(regs, VDEV_GRPCFG + offsetof(struct grpcfg, engines), BIT(0));
	set64(regs, VDEV_GRPCFG + offsetof(struct grpcfg, flags), flags.bits);

	wqcfg.wq_size = wq->size;
	wqcfg.mode = 1;
	wqcfg.priority = wq->priority;
	wqcfg.max_xfer_shift = ilog2(wq->max_xfer_bytes);
	wqcfg.max_batch_shift = ilog2(wq->max_batch_size);
	/* The 32 bytes that WQCAP announces */
	memcpy(&regs[VDEV_WQCFG / sizeof(u32)], wqcfg.bits, BIT(IDXD_WQCFG_MIN));
}

/**
 * vdev_regs_build - make the registers of a vdev that a WQ backs
 * @regs: VDEV_REGS_SIZE bytes of zeroes, to become BAR0 as it is after power-on
 * @wq: the WQ, enabled, so that its configuration does not change
 */
void vdev_regs_build(u32 *regs, struct idxd_wq *wq)
{
	build_capabilities(regs, wq);
	build_configuration(regs, wq);
}

static void set_state(struct idxd_vdev *v)
{
	u32 *dw6 = reg32(v, VDEV_WQCFG_DW(6));
	union gensts_reg gensts = { };

	lockdep_assert_held(&v->regs_lock);

	if (v->halted) {
		gensts.state = IDXD_DEVICE_STATE_HALT;
		gensts.reset_type = IDXD_DEVICE_RESET_FLR;
	} else if (v->dev_enabled) {
		gensts.state = IDXD_DEVICE_STATE_ENABLED;
	}
	*reg32(v, IDXD_GENSTATS_OFFSET) = gensts.bits;

	*dw6 &= ~WQCFG_DW6_STATE;
	if (v->wq_enabled)
		*dw6 |= WQCFG_DW6_ENABLED;
}

static void set_enabled(struct idxd_vdev *v, bool dev, bool wq)
{
	spin_lock(&v->regs_lock);
	v->dev_enabled = dev;
	v->wq_enabled = wq;
	set_state(v);
	spin_unlock(&v->regs_lock);
}

/* Vector 0 tells what INTCAUSE says */
static void raise_cause(struct idxd_vdev *v, u32 cause)
{
	spin_lock(&v->regs_lock);
	*reg32(v, IDXD_INTCAUSE_OFFSET) |= cause;
	spin_unlock(&v->regs_lock);

	mdev_pasid_signal(&v->core, 0);
}

/**
 * vdev_regs_report_error - put an error into SWERR
 * @v: the vdev
 * @err: the error; its PASID and WQ number are the host's business and not shown
 *
 * Context: any but interrupts.
 */
void vdev_regs_report_error(struct idxd_vdev *v, const union sw_err_reg *err)
{
	u32 *swerr = reg32(v, IDXD_SWERR_OFFSET);
	union sw_err_reg shown = *err;
	bool notify;

	shown.overflow = 0;
	shown.wq_idx = 0;
	shown.pasid = 0;
	shown.priv = 0;

	spin_lock(&v->regs_lock);
	if (*swerr & IDXD_SWERR_VALID)
		*swerr |= IDXD_SWERR_OVERFLOW;
	else
		memcpy(swerr, shown.bits, sizeof(shown.bits));
	notify = *reg32(v, IDXD_GENCTRL_OFFSET) & BIT(0);	/* softerr_int_en */
	spin_unlock(&v->regs_lock);

	if (notify)
		raise_cause(v, IDXD_INTC_ERR);
}

/**
 * vdev_regs_halt - show that the device has halted
 * @v: the vdev
 *
 * Context: any but interrupts.
 */
void vdev_regs_halt(struct idxd_vdev *v)
{
	bool again, notify;

	spin_lock(&v->regs_lock);
	again = v->halted;
	WRITE_ONCE(v->halted, true);
	set_state(v);
	notify = *reg32(v, IDXD_GENCTRL_OFFSET) & BIT(1);	/* halt_int_en */
	spin_unlock(&v->regs_lock);
	if (again)
		return;

	mdev_pasid_refuse(&v->core,
			  "the vdev has halted: its device %s failed; remove it, and bind idxd to the device again",
			  dev_name(v->pf->dev));
	if (notify)
		raise_cause(v, IDXD_INTC_HALT_STATE);
	mdev_pasid_signal_error(&v->core);
}

/**
 * vdev_regs_revoke - tell the user to request its interrupt handle again
 * @v: the vdev
 *
 * Context: any but interrupts.
 */
void vdev_regs_revoke(struct idxd_vdev *v)
{
	spin_lock(&v->regs_lock);
	v->revoked = true;
	spin_unlock(&v->regs_lock);

	raise_cause(v, IDXD_INTC_INT_HANDLE_REVOKED);
}

/* Forget a handle that the device has taken back. */
static void drop_revoked_handle(struct idxd_vdev *v)
{
	spin_lock(&v->regs_lock);
	if (v->revoked)
		v->int_handle = -1;
	v->revoked = false;
	spin_unlock(&v->regs_lock);
}

static void release_int_handle(struct idxd_vdev *v)
{
	struct idxd_device *idxd = v->wq->idxd;

	drop_revoked_handle(v);
	if (v->int_handle >= 0 && idxd->request_int_handles)
		idxd_device_release_int_handle(idxd, v->int_handle, IDXD_IRQ_MSIX);
	v->int_handle = -1;
}

static void reset_device(struct idxd_vdev *v, bool keep_intcause)
{
	u32 intcause;

	vdev_hw_stop(v, true);
	vdev_portal_reset(v);
	release_int_handle(v);

	spin_lock(&v->regs_lock);
	v->dev_enabled = false;
	v->wq_enabled = false;
	intcause = keep_intcause ? *reg32(v, IDXD_INTCAUSE_OFFSET) : 0;
	memcpy(v->regs, v->lease->regs, sizeof(v->regs));
	*reg32(v, IDXD_INTCAUSE_OFFSET) = intcause;
	set_state(v);
	spin_unlock(&v->regs_lock);
}

/**
 * vdev_regs_reset - bring the device to its state after power-on
 * @v: the vdev, with a WQ
 *
 * Context: may sleep, with &mdev_pasid_vdev.lock held.
 */
void vdev_regs_reset(struct idxd_vdev *v)
{
	reset_device(v, false);
}

static u32 enable_device(struct idxd_vdev *v)
{
	if (v->dev_enabled)
		return IDXD_CMDSTS_ERR_DEV_ENABLED;
	if (!mdev_pasid_bus_master(&v->core))
		return IDXD_CMDSTS_ERR_BUSMASTER_EN;
	set_enabled(v, true, false);
	return IDXD_CMDSTS_SUCCESS;
}

static u32 disable_device(struct idxd_vdev *v)
{
	if (!v->dev_enabled)
		return IDXD_CMDSTS_ERR_DIS_DEV_EN;
	vdev_hw_stop(v, false);
	vdev_portal_reset(v);
	set_enabled(v, false, false);
	return IDXD_CMDSTS_SUCCESS;
}

static u32 enable_wq(struct idxd_vdev *v, u32 id)
{
	if (id)
		return IDXD_CMDSTS_INVAL_WQIDX;
	if (!v->dev_enabled)
		return IDXD_CMDSTS_ERR_DEV_NOTEN;
	if (v->wq_enabled)
		return IDXD_CMDSTS_ERR_WQ_ENABLED;
	/* A vdev has no PASID capability: it is one PASID */
	if (*reg32(v, VDEV_WQCFG_DW(WQCFG_PASID_IDX)) & WQCFG_DW2_PASID_EN)
		return IDXD_CMDSTS_ERR_PASID_EN;

	set_enabled(v, true, true);
	if (vdev_hw_start(v)) {
		set_enabled(v, true, false);
		return IDXD_CMDSTS_HW_ERR;
	}
	return IDXD_CMDSTS_SUCCESS;
}

/* What the WQ holds; it holds nothing unless it runs. */
static u32 wq_drain(struct idxd_vdev *v)
{
	return v->hw_on && idxd_wq_hw_drain(v->wq) ? IDXD_CMDSTS_HW_ERR : IDXD_CMDSTS_SUCCESS;
}

static u32 wq_abort(struct idxd_vdev *v)
{
	return v->hw_on && idxd_wq_hw_abort(v->wq) ? IDXD_CMDSTS_HW_ERR : IDXD_CMDSTS_SUCCESS;
}

static u32 disable_wq(struct idxd_vdev *v, bool reset)
{
	vdev_hw_stop(v, reset);
	vdev_portal_reset(v);
	set_enabled(v, v->dev_enabled, false);
	/* All else in WQCFG is read-only, and survives a reset */
	if (reset)
		*reg32(v, VDEV_WQCFG_DW(WQCFG_PASID_IDX)) &= ~WQCFG_DW2_PASID;
	return IDXD_CMDSTS_SUCCESS;
}

/* Commands on running WQs name them by a bit in a block of 16. */
static u32 wq_cmd(struct idxd_vdev *v, enum idxd_cmd cmd, u32 operand)
{
	if (operand != BIT(0))
		return IDXD_CMDSTS_INVAL_WQIDX;
	/* Stands for a WQ that is not enabled, too */
	if (!v->wq_enabled)
		return IDXD_CMDSTS_ERR_DEV_NOT_EN;

	switch (cmd) {
	case IDXD_CMD_DRAIN_WQ:
		return wq_drain(v);
	case IDXD_CMD_ABORT_WQ:
		return wq_abort(v);
	default:
		return disable_wq(v, cmd == IDXD_CMD_RESET_WQ);
	}
}

/*
 * The handle names the vector of the WQ on the host, whose permission entry lets only
 * the PASID of this vdev use it.
 */
static u32 request_int_handle(struct idxd_vdev *v, u32 operand)
{
	struct idxd_device *idxd = v->wq->idxd;

	/* Vector 0 is the device's own; there is no IMS, which is bit 16 */
	if (operand != 1)
		return IDXD_CMDSTS_ERR_INVAL_INT_IDX;

	drop_revoked_handle(v);
	if (v->int_handle < 0) {
		int handle = v->wq->id + 1;

		if (idxd->request_int_handles &&
		    idxd_device_request_int_handle(idxd, handle, &handle, IDXD_IRQ_MSIX))
			return IDXD_CMDSTS_ERR_NO_HANDLE;
		v->int_handle = handle;
	}
	return (u32)v->int_handle << IDXD_CMDSTS_RES_SHIFT;
}

static u32 run_command(struct idxd_vdev *v, union idxd_command_reg cmd)
{
	if (READ_ONCE(v->halted))
		return IDXD_CMDSTS_HW_ERR;

	switch (cmd.cmd) {
	case IDXD_CMD_ENABLE_DEVICE:
		return enable_device(v);
	case IDXD_CMD_DISABLE_DEVICE:
		return disable_device(v);
	case IDXD_CMD_RESET_DEVICE:
		/* A driver that resets may wait for the interrupt of this very command */
		reset_device(v, true);
		return IDXD_CMDSTS_SUCCESS;
	case IDXD_CMD_ENABLE_WQ:
		return enable_wq(v, cmd.operand);
	case IDXD_CMD_DISABLE_WQ:
	case IDXD_CMD_DRAIN_WQ:
	case IDXD_CMD_ABORT_WQ:
	case IDXD_CMD_RESET_WQ:
		return wq_cmd(v, cmd.cmd, cmd.operand);
	case IDXD_CMD_DRAIN_ALL:
		return wq_drain(v);
	case IDXD_CMD_ABORT_ALL:
		return wq_abort(v);
	case IDXD_CMD_DRAIN_PASID:
	case IDXD_CMD_ABORT_PASID:
		/*
		 * No descriptor has the PASID that is named here.  To abort the others
		 * would be wrong; that they are complete is no less than what is asked for.
		 */
		return wq_drain(v);
	case IDXD_CMD_REQUEST_INT_HANDLE:
		return request_int_handle(v, cmd.operand);
	case IDXD_CMD_RELEASE_INT_HANDLE:
		drop_revoked_handle(v);
		if (v->int_handle < 0 || cmd.operand != v->int_handle)
			return IDXD_CMDSTS_ERR_INVAL_INT_IDX;
		release_int_handle(v);
		return IDXD_CMDSTS_SUCCESS;
	default:
		return IDXD_CMDSTS_INVAL_CMD;
	}
}

static void write_command(struct idxd_vdev *v, u32 val)
{
	union idxd_command_reg cmd = { .bits = val };
	u32 status = run_command(v, cmd);

	/* The device may have been lost over it */
	if (READ_ONCE(v->halted))
		status = IDXD_CMDSTS_HW_ERR;
	*reg32(v, IDXD_CMD_OFFSET) = val;
	*reg32(v, IDXD_CMDSTS_OFFSET) = status;
	if (cmd.int_req)
		raise_cause(v, IDXD_INTC_CMD);
}

static void write_masked(struct idxd_vdev *v, unsigned int off, u32 val, u32 mask)
{
	spin_lock(&v->regs_lock);
	*reg32(v, off) = (*reg32(v, off) & ~mask) | (val & mask);
	spin_unlock(&v->regs_lock);
}

static void write_1_to_clear(struct idxd_vdev *v, unsigned int off, u32 val)
{
	spin_lock(&v->regs_lock);
	*reg32(v, off) &= ~val;
	spin_unlock(&v->regs_lock);
}

static void write32(struct idxd_vdev *v, unsigned int off, u32 val)
{
	switch (off) {
	case IDXD_CMD_OFFSET:
		write_command(v, val);
		break;
	case IDXD_INTCAUSE_OFFSET:
		write_1_to_clear(v, off, val);
		break;
	case IDXD_SWERR_OFFSET:
		write_1_to_clear(v, off, val & IDXD_SWERR_ACK);
		break;
	case IDXD_GENCFG_OFFSET:
		write_masked(v, off, val, BIT(12) | BIT(13));	/* user_int_en, evl_en */
		break;
	case IDXD_GENCTRL_OFFSET:
		write_masked(v, off, val, GENMASK(2, 0));	/* interrupt enables */
		break;
	case IDXD_EVLCFG_OFFSET:
		write_masked(v, off, val, GENMASK(31, 12));	/* address */
		break;
	case IDXD_EVLCFG_OFFSET + 4:
		write_masked(v, off, val, ~0);
		break;
	case IDXD_EVLCFG_OFFSET + 8:
		write_masked(v, off, val, GENMASK(15, 0));	/* entries */
		break;
	case VDEV_WQCFG_DW(WQCFG_PASID_IDX):
		if (!v->wq_enabled)
			write_masked(v, off, val, WQCFG_DW2_PASID);
		break;
	case VDEV_MSIX_PERM:
	case VDEV_MSIX_PERM + 8:
		/* The PF's entry has the vdev's PASID, and is never what is written here */
		write_masked(v, off, val, GENMASK(31, 12) | GENMASK(3, 2));
		break;
	}
}

/**
 * vdev_regs_write - write a register
 * @v: the vdev, with a WQ
 * @off: offset in BAR0
 * @val: value
 * @len: 1, 2, 4 or 8.  Registers take 4 and 8, the others have no effect.
 *
 * Context: may sleep, with &mdev_pasid_vdev.lock held.
 */
void vdev_regs_write(struct idxd_vdev *v, u64 off, u64 val, unsigned int len)
{
	if (len < sizeof(u32) || off + len > VDEV_REGS_SIZE)
		return;
	write32(v, off, lower_32_bits(val));
	if (len == sizeof(u64))
		write32(v, off + sizeof(u32), upper_32_bits(val));
}

/**
 * vdev_regs_read - read a register
 * @v: the vdev, with a WQ
 * @off: offset in BAR0
 * @len: 1, 2, 4 or 8
 *
 * Context: may sleep, with &mdev_pasid_vdev.lock held.
 * Return: the value in its lower @len bytes, 0 where there is no register.
 */
u64 vdev_regs_read(struct idxd_vdev *v, u64 off, unsigned int len)
{
	const u32 *pair = reg32(v, round_down(off, sizeof(u64)));
	u64 val;

	if (off + len > VDEV_REGS_SIZE)
		return 0;
	/* A driver that polls for the end of its device finds it, told or not */
	if (off == IDXD_GENSTATS_OFFSET && v->open)
		idxd_wq_hw_alive(v->wq);
	spin_lock(&v->regs_lock);
	val = pair[0] | (u64)pair[1] << 32;
	spin_unlock(&v->regs_lock);
	return val >> off % sizeof(u64) * BITS_PER_BYTE;
}
