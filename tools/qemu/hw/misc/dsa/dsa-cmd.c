/*
 * Data Streaming Accelerator: commands
 *
 * A write of CMD starts a command; it ends in the bottom half, which asks
 * again and again while a command waits for jobs to end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "dsa.h"
#include "trace.h"

/* Result of a command that has not ended */
#define DSA_CMD_WAIT    (-1)

static const char *const dsa_cmd_names[] = {
    [DSA_CMD_ENABLE_DEVICE]      = "enable device",
    [DSA_CMD_DISABLE_DEVICE]     = "disable device",
    [DSA_CMD_DRAIN_ALL]          = "drain all",
    [DSA_CMD_ABORT_ALL]          = "abort all",
    [DSA_CMD_RESET_DEVICE]       = "reset device",
    [DSA_CMD_ENABLE_WQ]          = "enable WQ",
    [DSA_CMD_DISABLE_WQ]         = "disable WQ",
    [DSA_CMD_DRAIN_WQ]           = "drain WQ",
    [DSA_CMD_ABORT_WQ]           = "abort WQ",
    [DSA_CMD_RESET_WQ]           = "reset WQ",
    [DSA_CMD_DRAIN_PASID]        = "drain PASID",
    [DSA_CMD_ABORT_PASID]        = "abort PASID",
    [DSA_CMD_REQUEST_INT_HANDLE] = "request int handle",
    [DSA_CMD_RELEASE_INT_HANDLE] = "release int handle",
};

/* Groups must be disjoint, and those with WQs must have engines */
static int dsa_check_groups(DSAState *s)
{
    uint64_t wqs = 0, engines = 0;
    unsigned rdbufs = 0;

    for (int i = 0; i < DSA_NUM_GROUPS; i++) {
        DSAGroup *group = &s->group[i];
        unsigned reserved = FIELD_EX64(group->flags, GRPFLAGS,
                                       RDBUFS_RESERVED);
        unsigned allowed = FIELD_EX64(group->flags, GRPFLAGS, RDBUFS_ALLOWED);

        if ((group->wqs & wqs) || group->wqs >> DSA_NUM_WQS) {
            return DSA_CMDSTS_GRP_WQ;
        }
        if ((group->engines & engines) || group->engines >> DSA_NUM_ENGINES) {
            return DSA_CMDSTS_GRP_ENGINE;
        }
        if (group->wqs && !group->engines) {
            return DSA_CMDSTS_GRP_NO_ENGINE;
        }
        wqs |= group->wqs;
        engines |= group->engines;
        rdbufs += reserved;
        if (group->engines &&
            (allowed < reserved || allowed > DSA_NUM_RDBUFS)) {
            return DSA_CMDSTS_GRP_RDBUFS;
        }
    }
    return rdbufs > DSA_NUM_RDBUFS ? DSA_CMDSTS_GRP_RDBUFS : 0;
}

static unsigned dsa_wq_size(const DSAWq *wq)
{
    return FIELD_EX32(wq->cfg[0], WQCFG0, SIZE);
}

static int dsa_enable_device(DSAState *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    unsigned size = 0;
    int err;

    if (s->state != DSA_STATE_DISABLED) {
        return DSA_CMDSTS_DEV_ENABLED;
    }
    if (!(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        return DSA_CMDSTS_BUSMASTER_EN;
    }
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        size += dsa_wq_size(&s->wq[i]);
    }
    if (size > DSA_TOTAL_WQ_SIZE) {
        return DSA_CMDSTS_WQ_SIZE_RANGE;
    }
    err = dsa_check_groups(s);
    if (!err) {
        s->state = DSA_STATE_ENABLED;
    }
    return err;
}

static int dsa_enable_wq(DSAState *s, uint32_t id)
{
    bool pasid_en, priv;
    unsigned size = 0;
    DSAWq *wq;

    if (id >= DSA_NUM_WQS) {
        return DSA_CMDSTS_INVAL_WQIDX;
    }
    wq = &s->wq[id];
    if (s->state != DSA_STATE_ENABLED) {
        return DSA_CMDSTS_DEV_NOT_ENABLED;
    }
    if (wq->enabled) {
        return DSA_CMDSTS_WQ_ENABLED;
    }

    /* A WQ outside of all groups has no storage and no engine */
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        if (i == id || s->wq[i].enabled) {
            size += dsa_wq_size(&s->wq[i]);
        }
    }
    if (!dsa_wq_size(wq) || size > DSA_TOTAL_WQ_SIZE ||
        dsa_wq_group(s, id) < 0) {
        return DSA_CMDSTS_WQ_SIZE;
    }

    pasid_en = FIELD_EX32(wq->cfg[2], WQCFG2, PASID_EN);
    priv = FIELD_EX32(wq->cfg[2], WQCFG2, PRIV);
    if (!dsa_wq_dedicated(wq)) {
        if (FIELD_EX32(wq->cfg[1], WQCFG1, THRESHOLD) > dsa_wq_size(wq)) {
            return DSA_CMDSTS_WQ_SIZE;
        }
        /* The descriptors name their PASIDs: they must mean something */
        if (!pasid_en) {
            return DSA_CMDSTS_PASID_EN;
        }
    }
    if (pasid_en && !FIELD_EX16(dsa_pasid_ctrl(s), PASID_CTRL, EN)) {
        return DSA_CMDSTS_PASID_EN;
    }
    if (pasid_en && dsa_wq_dedicated(wq) && priv &&
        !FIELD_EX16(dsa_pasid_ctrl(s), PASID_CTRL, PRIV_EN)) {
        return DSA_CMDSTS_PASID_EN;
    }
    if (FIELD_EX32(wq->cfg[3], WQCFG3, MAX_BATCH_SHIFT) > DSA_MAX_BATCH_SHIFT) {
        return DSA_CMDSTS_MAX_BATCH;
    }
    if (FIELD_EX32(wq->cfg[3], WQCFG3, MAX_XFER_SHIFT) > DSA_MAX_XFER_SHIFT) {
        return DSA_CMDSTS_MAX_XFER;
    }
    wq->enabled = true;
    wq->accepting = true;
    return DSA_CMDSTS_SUCCESS;
}

/* Bits 19:16 of the operand select 16 WQs, bits 15:0 are a bitmap of those */
static int dsa_operand_wqs(DSAState *s, uint32_t operand, uint32_t *wqs)
{
    if (!operand || operand >> DSA_NUM_WQS) {
        return DSA_CMDSTS_INVAL_WQIDX;
    }
    *wqs = operand;
    if (s->state != DSA_STATE_ENABLED) {
        return DSA_CMDSTS_NOT_EN;
    }
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        if ((operand & BIT(i)) && !s->wq[i].enabled) {
            return DSA_CMDSTS_NOT_EN;
        }
    }
    return DSA_CMDSTS_SUCCESS;
}

/* Wait for what was there when the command came, not for what came after */
static int dsa_drain(DSAState *s, DSAMatch match)
{
    return dsa_jobs_pending(s, match, s->cmd_seq) ? DSA_CMD_WAIT :
                                                    DSA_CMDSTS_SUCCESS;
}

/* Take no more descriptors, finish those that were taken, stop */
static int dsa_disable_wqs(DSAState *s, uint32_t wqs)
{
    DSAMatch match = { .wqs = wqs };

    for (int i = 0; i < DSA_NUM_WQS; i++) {
        if (wqs & BIT(i)) {
            s->wq[i].accepting = false;
        }
    }
    if (dsa_jobs_pending(s, match, UINT64_MAX)) {
        return DSA_CMD_WAIT;
    }
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        if (wqs & BIT(i)) {
            s->wq[i].enabled = false;
        }
    }
    return DSA_CMDSTS_SUCCESS;
}

static int dsa_wqs_command(DSAState *s, unsigned code, uint32_t operand)
{
    DSAMatch match = { };
    int err = dsa_operand_wqs(s, operand, &match.wqs);

    if (err) {
        return err;
    }
    switch (code) {
    case DSA_CMD_DISABLE_WQ:
        return dsa_disable_wqs(s, match.wqs);
    case DSA_CMD_DRAIN_WQ:
        return dsa_drain(s, match);
    case DSA_CMD_ABORT_WQ:
        dsa_jobs_abort(s, match);
        break;
    case DSA_CMD_RESET_WQ:
        dsa_jobs_abort(s, match);
        for (int i = 0; i < DSA_NUM_WQS; i++) {
            if (match.wqs & BIT(i)) {
                s->wq[i].enabled = false;
                s->wq[i].accepting = false;
                memset(s->wq[i].cfg, 0, sizeof(s->wq[i].cfg));
            }
        }
        break;
    }
    return DSA_CMDSTS_SUCCESS;
}

static int dsa_disable_device(DSAState *s)
{
    if (s->state != DSA_STATE_ENABLED && s->state != DSA_STATE_DRAIN) {
        return DSA_CMDSTS_DIS_DEV_EN;
    }
    s->state = DSA_STATE_DRAIN;
    if (dsa_disable_wqs(s, DSA_MATCH_ALL.wqs) == DSA_CMD_WAIT) {
        return DSA_CMD_WAIT;
    }
    s->state = DSA_STATE_DISABLED;
    return DSA_CMDSTS_SUCCESS;
}

static int dsa_request_int_handle(DSAState *s, uint32_t operand,
                                  uint16_t *handle)
{
    /* Bit 16 asks for the IMS, which is not there */
    if (operand >= DSA_NUM_VECTORS) {
        return DSA_CMDSTS_INVAL_INT_IDX;
    }
    s->handles |= BIT(operand);
    *handle = s->handle_base + operand;
    return DSA_CMDSTS_SUCCESS;
}

static int dsa_release_int_handle(DSAState *s, uint32_t operand)
{
    uint32_t index = operand - s->handle_base;

    if (index >= DSA_NUM_VECTORS || !(s->handles & BIT(index))) {
        return DSA_CMDSTS_INVAL_INT_IDX;
    }
    s->handles &= ~BIT(index);
    return DSA_CMDSTS_SUCCESS;
}

static int dsa_cmd_run(DSAState *s, unsigned code, uint32_t operand,
                       uint16_t *result)
{
    if (!(dsa_cmdcap(s) & BIT(code))) {
        return DSA_CMDSTS_INVAL_CMD;
    }
    if (s->state == DSA_STATE_HALT && (code != DSA_CMD_RESET_DEVICE ||
                                       s->reset_type != DSA_RESET_SOFTWARE)) {
        return DSA_CMDSTS_HW_ERR;
    }
    switch (code) {
    case DSA_CMD_ENABLE_DEVICE:
        return dsa_enable_device(s);
    case DSA_CMD_DISABLE_DEVICE:
        return dsa_disable_device(s);
    case DSA_CMD_DRAIN_ALL:
        return dsa_drain(s, DSA_MATCH_ALL);
    case DSA_CMD_ABORT_ALL:
        dsa_jobs_abort(s, DSA_MATCH_ALL);
        return DSA_CMDSTS_SUCCESS;
    case DSA_CMD_RESET_DEVICE:
        dsa_jobs_abort(s, DSA_MATCH_ALL);
        dsa_clear_config(s);
        return DSA_CMDSTS_SUCCESS;
    case DSA_CMD_ENABLE_WQ:
        return dsa_enable_wq(s, operand);
    case DSA_CMD_DISABLE_WQ:
    case DSA_CMD_DRAIN_WQ:
    case DSA_CMD_ABORT_WQ:
    case DSA_CMD_RESET_WQ:
        return dsa_wqs_command(s, code, operand);
    case DSA_CMD_DRAIN_PASID:
    case DSA_CMD_ABORT_PASID: {
        DSAMatch match = DSA_MATCH_ALL;

        match.by_pasid = true;
        match.pasid = operand;
        if (code == DSA_CMD_DRAIN_PASID) {
            return dsa_drain(s, match);
        }
        dsa_jobs_abort(s, match);
        return DSA_CMDSTS_SUCCESS;
    }
    case DSA_CMD_REQUEST_INT_HANDLE:
        return dsa_request_int_handle(s, operand, result);
    case DSA_CMD_RELEASE_INT_HANDLE:
        return dsa_release_int_handle(s, operand);
    default:
        g_assert_not_reached();
    }
}

void dsa_cmd_poll(DSAState *s)
{
    unsigned code = FIELD_EX32(s->cmd, CMD, CODE);
    uint16_t result = 0;
    uint32_t cmdsts = 0;
    int err;

    if (!FIELD_EX32(s->cmdsts, CMDSTS, ACTIVE) ||
        (s->hang_cmds & BIT(code)) || timer_pending(s->cmd_timer)) {
        return;
    }
    err = dsa_cmd_run(s, code, FIELD_EX32(s->cmd, CMD, OPERAND), &result);
    if (err == DSA_CMD_WAIT) {
        return;
    }
    cmdsts = FIELD_DP32(cmdsts, CMDSTS, ERR, err);
    cmdsts = FIELD_DP32(cmdsts, CMDSTS, RESULT, result);
    trace_dsa_cmd_done(code, cmdsts);
    s->cmdsts = cmdsts;
    if (FIELD_EX32(s->cmd, CMD, INT_REQ)) {
        dsa_raise(s, R_INTCAUSE_CMD_MASK);
    }
}

void dsa_cmd_write(DSAState *s, uint32_t val)
{
    unsigned code = FIELD_EX32(val, CMD, CODE);

    if (FIELD_EX32(s->cmdsts, CMDSTS, ACTIVE)) {
        trace_dsa_cmd_busy(code);
        return;
    }
    trace_dsa_cmd(code, code < ARRAY_SIZE(dsa_cmd_names) &&
                  dsa_cmd_names[code] ? dsa_cmd_names[code] : "?",
                  FIELD_EX32(val, CMD, OPERAND), FIELD_EX32(val, CMD, INT_REQ));
    s->cmd = val;
    s->cmdsts = R_CMDSTS_ACTIVE_MASK;
    s->cmd_seq = s->next_seq;
    if (s->cmd_latency_ns) {
        timer_mod(s->cmd_timer, s->cmd_latency_ns +
                  qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    }
    qemu_bh_schedule(s->bh);
}
