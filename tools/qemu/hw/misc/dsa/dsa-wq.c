/*
 * Data Streaming Accelerator: portals, work queues, engines, error reports
 *
 * A portal write puts a job on its WQ.  The engines of the WQ's group take jobs
 * from there in a bottom half, a slice at a time, so that neither the guest's
 * CPUs nor other devices wait long for the BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "dsa.h"
#include "trace.h"

/* Bytes (and what stands for the cost of a descriptor) per engine and slice */
#define DSA_SLICE   (64 * KiB)

bool dsa_wq_dedicated(const DSAWq *wq)
{
    return FIELD_EX32(wq->cfg[2], WQCFG2, MODE);
}

/* The group of a WQ, or -1 */
int dsa_wq_group(DSAState *s, unsigned wq)
{
    for (int i = 0; i < DSA_NUM_GROUPS; i++) {
        if (s->group[i].wqs & BIT_ULL(wq)) {
            return i;
        }
    }
    return -1;
}

/* Error reports */

void dsa_evl_set_tail(DSAState *s, uint16_t tail)
{
    s->evl_tail = tail;
    if (!s->evl_pending) {
        s->evl_pending = true;
        if (FIELD_EX32(s->genctrl, GENCTRL, EVL_INT_EN)) {
            dsa_raise(s, R_INTCAUSE_EVL_MASK);
        }
    }
}

static void dsa_evl_append(DSAState *s, const uint64_t *report,
                           const DSAJob *job)
{
    uint16_t size = FIELD_EX64(s->evlcfg[1], EVLCFG1, SIZE);
    AddressSpace *as;
    uint64_t word[DSA_EVL_ENTRY_SIZE / 8] = { };
    uint32_t info = 0;
    hwaddr addr;

    if (size < DSA_EVL_SIZE_MIN || (s->evl_tail + 1) % size == s->evl_head) {
        return;                 /* no room */
    }
    word[0] = report[0] & ~(R_SWERR0_VALID_MASK | R_SWERR0_OVERFLOW_MASK);
    word[1] = report[1];
    word[2] = report[2];
    if (job) {
        uint8_t cr[DSA_CR_SIZE];

        if (job->status == DSA_COMP_INVALID_FLAGS) {
            info = job->invalid_flags;
        } else {
            info = extract64(job->word[4], 32, 16);
            info |= job->flags & DSA_FLAG_RCI ? DSA_EVL_INFO_RCI : 0;
            info |= job->flags & DSA_FLAG_RCR ? DSA_EVL_INFO_RCR : 0;
            info |= job->first_error ? DSA_EVL_INFO_FIRST_ERR : 0;
        }
        word[0] = FIELD_DP64(word[0], EVL0, ERR_INFO_VALID, 1);
        dsa_job_record(job, cr);
        memcpy(&word[4], cr, sizeof(cr));
    }
    word[1] = FIELD_DP64(word[1], EVL1, ERR_INFO, info);
    for (int i = 0; i < 4; i++) {
        word[i] = cpu_to_le64(word[i]);
    }

    addr = (s->evlcfg[0] & R_EVLCFG0_BASE_MASK) +
           s->evl_tail * DSA_EVL_ENTRY_SIZE;
    as = dsa_address_space(s, FIELD_EX64(s->evlcfg[0], EVLCFG0, PASID_EN),
                           FIELD_EX64(s->evlcfg[1], EVLCFG1, PASID));
    if (!as || address_space_write(as, addr, MEMTXATTRS_UNSPECIFIED, word,
                                   sizeof(word)) != MEMTX_OK) {
        return;
    }
    dsa_evl_set_tail(s, (s->evl_tail + 1) % size);
}

/* @report has the layout of SWERR; @job can be NULL */
void dsa_append_report(DSAState *s, bool evl, const uint64_t *report,
                       const DSAJob *job)
{
    if (evl) {
        dsa_evl_append(s, report, job);
    } else if (FIELD_EX64(s->swerr[0], SWERR0, VALID)) {
        s->swerr[0] = FIELD_DP64(s->swerr[0], SWERR0, OVERFLOW, 1);
    } else {
        memcpy(s->swerr, report, sizeof(s->swerr));
        if (FIELD_EX32(s->genctrl, GENCTRL, SOFTERR_INT_EN)) {
            dsa_raise(s, R_INTCAUSE_ERR_MASK);
        }
    }
}

/*
 * Report what a completion record cannot: to the event log if there is one,
 * else to SWERR.  @job is NULL for a write that never became a job, @wq for an
 * error of the device itself.
 */
void dsa_report_error(DSAState *s, DSAWq *wq, const DSAJob *job, uint8_t error,
                      uint64_t fault_addr)
{
    bool evl = FIELD_EX32(s->gencfg, GENCFG, EVL_EN);
    uint64_t word[4] = { };

    trace_dsa_error(wq ? wq->id : -1, error, fault_addr,
                    evl ? "event log" : "SWERR");
    word[0] = FIELD_DP64(word[0], SWERR0, VALID, 1);
    if (wq) {
        word[0] = FIELD_DP64(word[0], SWERR0, WQ_IDX_VALID, 1);
        word[0] = FIELD_DP64(word[0], SWERR0, WQ_IDX, wq->id);
    }
    word[0] = FIELD_DP64(word[0], SWERR0, ERROR, error);
    if (job) {
        word[0] = FIELD_DP64(word[0], SWERR0, DESC_VALID, 1);
        word[0] = FIELD_DP64(word[0], SWERR0, BATCH, job->in_batch);
        word[0] = FIELD_DP64(word[0], SWERR0, FAULT_RW, job->fault_write);
        word[0] = FIELD_DP64(word[0], SWERR0, PRIV, job->priv);
        word[0] = FIELD_DP64(word[0], SWERR0, OPERATION, job->opcode);
        word[0] = FIELD_DP64(word[0], SWERR0, PASID, job->pasid);
        word[1] = FIELD_DP64(word[1], SWERR1, BATCH_IDX, job->batch_idx);
        word[1] = FIELD_DP64(word[1], SWERR1, INVALID_FLAGS,
                             job->invalid_flags);
    }
    word[2] = fault_addr;

    dsa_append_report(s, evl, word, job);
}

/* Work queues */

static bool dsa_job_matches(const DSAJob *job, DSAMatch match, uint64_t before)
{
    return (match.wqs & BIT(job->wq->id)) && job->seq < before &&
           (!match.by_pasid || (job->pasid_en && job->pasid == match.pasid));
}

/* Is any job of the set, older than the one numbered @before, unfinished? */
bool dsa_jobs_pending(DSAState *s, DSAMatch match, uint64_t before)
{
    DSAJob *job;

    for (int i = 0; i < DSA_NUM_ENGINES; i++) {
        job = s->engine[i].job;
        if (job && dsa_job_matches(job, match, before)) {
            return true;
        }
    }
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        QSIMPLEQ_FOREACH(job, &s->wq[i].queue, next) {
            if (dsa_job_matches(job, match, before)) {
                return true;
            }
        }
    }
    return false;
}

static void dsa_engine_drop(DSAEngine *engine)
{
    timer_del(engine->latency);
    dsa_job_free(engine->job);
    engine->job = NULL;
}

/* Forget jobs: no completion record, no interrupt, no further access */
void dsa_jobs_abort(DSAState *s, DSAMatch match)
{
    DSAJob *job, *tmp;

    for (int i = 0; i < DSA_NUM_ENGINES; i++) {
        job = s->engine[i].job;
        if (job && dsa_job_matches(job, match, UINT64_MAX)) {
            trace_dsa_abort(job->wq->id, job->seq);
            dsa_engine_drop(&s->engine[i]);
        }
    }
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        DSAWq *wq = &s->wq[i];

        QSIMPLEQ_FOREACH_SAFE(job, &wq->queue, next, tmp) {
            if (dsa_job_matches(job, match, UINT64_MAX)) {
                trace_dsa_abort(wq->id, job->seq);
                QSIMPLEQ_REMOVE(&wq->queue, job, DSAJob, next);
                wq->occupancy--;
                dsa_job_free(job);
            }
        }
    }
    qemu_bh_schedule(s->bh);
}

static unsigned dsa_wq_limit(const DSAWq *wq, bool limited)
{
    return limited && !dsa_wq_dedicated(wq) ?
           FIELD_EX32(wq->cfg[1], WQCFG1, THRESHOLD) :
           FIELD_EX32(wq->cfg[0], WQCFG0, SIZE);
}

/*
 * A descriptor has come in at a portal: true if it was accepted.  A sender of
 * a deferrable write learns of a full or disabled WQ by that; what is posted
 * and not accepted is lost, so it is an error.
 */
static bool dsa_submit(DSAState *s, DSAWq *wq, bool limited, bool deferrable,
                       const uint64_t *desc)
{
    uint8_t error = 0;
    DSAJob *job;

    if (s->gone || s->state == DSA_STATE_HALT) {
        return false;
    }
    if (s->state != DSA_STATE_ENABLED || !wq->accepting) {
        error = DSA_ERR_WQ_NOT_ENABLED;
    } else if (dsa_wq_dedicated(wq) == deferrable) {
        error = DSA_ERR_WQ_MODE;
    } else if (wq->occupancy >= dsa_wq_limit(wq, limited)) {
        error = DSA_ERR_WQ_FULL;
    }
    if (error) {
        if (deferrable) {
            trace_dsa_submit_retry(wq->id, wq->occupancy);
        }
        if (!deferrable || error == DSA_ERR_WQ_MODE) {
            dsa_report_error(s, wq, NULL, error, 0);
        }
        return false;
    }

    job = dsa_job_new(s, wq, desc);
    job->seq = s->next_seq++;
    trace_dsa_submit(wq->id, job->seq, job->opcode, job->flags, job->word[2],
                     job->word[3], job->size);
    QSIMPLEQ_INSERT_TAIL(&wq->queue, job, next);
    wq->occupancy++;
    qemu_bh_schedule(s->bh);
    return true;
}

static uint64_t dsa_portal_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

/*
 * MOVDIR64B: eight writes in ascending order from a 64-byte aligned address on,
 * with nothing between them.  Anything else is no descriptor and is ignored.
 */
static void dsa_portal_write(void *opaque, hwaddr addr, uint64_t val,
                             unsigned size)
{
    DSAState *s = opaque;
    DSAWq *wq = &s->wq[addr / DSA_PORTAL_STRIDE];
    unsigned page = addr % DSA_PORTAL_STRIDE / DSA_PORTAL_PAGE;
    unsigned index = addr % DSA_DESC_SIZE / 8;

    if (page > DSA_PORTAL_LIMITED || size != 8 || addr % 8 ||
        (index && index != wq->gather[page].filled)) {
        trace_dsa_portal_ignored(addr, size);
        if (page <= DSA_PORTAL_LIMITED) {
            wq->gather[page].filled = 0;
        }
        return;
    }
    wq->gather[page].word[index] = val;
    wq->gather[page].filled = index + 1;
    if (index == 7) {
        wq->gather[page].filled = 0;
        dsa_submit(s, wq, page == DSA_PORTAL_LIMITED, false,
                   wq->gather[page].word);
    }
}

/* ENQCMD and ENQCMDS; the descriptor comes as a whole */
static bool dsa_portal_deferrable_write(void *opaque, hwaddr addr,
                                        const void *buf, unsigned size,
                                        MemTxAttrs attrs)
{
    DSAState *s = opaque;
    DSAWq *wq = &s->wq[addr / DSA_PORTAL_STRIDE];
    unsigned page = addr % DSA_PORTAL_STRIDE / DSA_PORTAL_PAGE;
    uint64_t desc[DSA_DESC_SIZE / 8];

    if (page > DSA_PORTAL_LIMITED || size != DSA_DESC_SIZE) {
        trace_dsa_portal_ignored(addr, size);
        return false;
    }
    for (int i = 0; i < ARRAY_SIZE(desc); i++) {
        desc[i] = ldq_le_p(buf + i * 8);
    }
    return dsa_submit(s, wq, page == DSA_PORTAL_LIMITED, true, desc);
}

const MemoryRegionOps dsa_portal_ops = {
    .read = dsa_portal_read,
    .write = dsa_portal_write,
    .deferrable_write = dsa_portal_deferrable_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid.min_access_size = 1,
    .valid.max_access_size = 8,
    .valid.unaligned = true,
    .impl.min_access_size = 1,
    .impl.max_access_size = 8,
    .impl.unaligned = true,
};

/* Engines */

/*
 * The next job of the engine's group: the WQs take turns, and a turn is as many
 * descriptors long as the WQ's priority says.
 */
static DSAJob *dsa_arbitrate(DSAState *s, DSAEngine *engine)
{
    uint64_t wqs = 0;

    for (int i = 0; i < DSA_NUM_GROUPS; i++) {
        if (s->group[i].engines & BIT_ULL(engine->id)) {
            wqs = s->group[i].wqs;
        }
    }
    for (int i = 0; i <= DSA_NUM_WQS; i++) {
        DSAWq *wq = &s->wq[(engine->wq + i) % DSA_NUM_WQS];
        DSAJob *job = QSIMPLEQ_FIRST(&wq->queue);

        if (i) {
            engine->credits = MAX(1, FIELD_EX32(wq->cfg[2], WQCFG2, PRIORITY));
        }
        if ((wqs & BIT_ULL(wq->id)) && job && engine->credits) {
            engine->wq = wq->id;
            engine->credits--;
            QSIMPLEQ_REMOVE_HEAD(&wq->queue, next);
            wq->occupancy--;
            trace_dsa_dispatch(engine->id, wq->id, job->seq);
            return job;
        }
    }
    return NULL;
}

/* Work for a slice; true if there is more to do at once */
static bool dsa_engine_run(DSAState *s, DSAEngine *engine)
{
    int budget = DSA_SLICE;

    while (budget > 0 && !s->hang_engines) {
        if (!engine->job) {
            engine->job = dsa_arbitrate(s, engine);
            if (!engine->job) {
                return false;
            }
            if (s->latency_ns) {
                timer_mod(engine->latency, s->latency_ns +
                          qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
            }
        }
        if (timer_pending(engine->latency)) {
            return false;
        }
        switch (dsa_job_step(s, engine->job, &budget)) {
        case DSA_STEP_MORE:
            break;
        case DSA_STEP_BLOCKED:
            return false;
        case DSA_STEP_DONE:
            dsa_engine_drop(engine);
            /* what waits for this job, in another engine, is to look again */
            qemu_bh_schedule(s->bh);
            break;
        }
    }
    return !s->hang_engines;
}

static void dsa_latency_over(void *opaque)
{
    DSAEngine *engine = opaque;

    qemu_bh_schedule(engine->dev->bh);
}

static void dsa_cmd_latency_over(void *opaque)
{
    DSAState *s = opaque;

    qemu_bh_schedule(s->bh);
}

static void dsa_bh(void *opaque)
{
    DSAState *s = opaque;
    bool more = false;

    for (int i = 0; i < DSA_NUM_ENGINES; i++) {
        more |= dsa_engine_run(s, &s->engine[i]);
    }
    dsa_cmd_poll(s);
    if (more) {
        qemu_bh_schedule(s->bh);
    }
}

void dsa_wq_init(DSAState *s)
{
    s->bh = qemu_bh_new_guarded(dsa_bh, s,
                                &DEVICE(s)->mem_reentrancy_guard);
    s->cmd_timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, dsa_cmd_latency_over, s);
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        s->wq[i].id = i;
        QSIMPLEQ_INIT(&s->wq[i].queue);
    }
    for (int i = 0; i < DSA_NUM_ENGINES; i++) {
        s->engine[i].dev = s;
        s->engine[i].id = i;
        s->engine[i].latency = timer_new_ns(QEMU_CLOCK_VIRTUAL,
                                            dsa_latency_over, &s->engine[i]);
    }
}

void dsa_wq_uninit(DSAState *s)
{
    dsa_jobs_abort(s, DSA_MATCH_ALL);
    for (int i = 0; i < DSA_NUM_ENGINES; i++) {
        timer_free(s->engine[i].latency);
    }
    timer_free(s->cmd_timer);
    qemu_bh_delete(s->bh);
}
