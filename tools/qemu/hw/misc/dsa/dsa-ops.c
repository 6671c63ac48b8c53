/*
 * Data Streaming Accelerator: descriptor checks, operations, completion
 *
 * Operations work in pieces that do not cross a page of any operand, so that
 * a fault names its page and everything before it has been done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/host-utils.h"
#include "qemu/range.h"
#include "hw/pci/msix.h"
#include "dsa.h"
#include "trace.h"

#define DSA_PAGE        4096
/* What a descriptor or a piece costs in the budget of a slice, beside bytes */
#define DSA_STEP_COST   256

typedef struct DSAOp {
    uint32_t flags;             /* that it has beside those that all have */
    bool data;                  /* the size is one in bytes */
    uint64_t word[8];           /* bits of the descriptor that it uses */
    /* further checks, and setting up: a status, or DSA_COMP_NONE to go on */
    uint8_t (*start)(DSAState *s, DSAJob *job);
    DSAStep (*step)(DSAState *s, DSAJob *job, int *budget);
} DSAOp;

#define DSA_FLAGS_ALL   (DSA_FLAG_CRAV | DSA_FLAG_RCR | DSA_FLAG_RCI | \
                         DSA_FLAG_CRSTS | DSA_FLAG_CR_TCS)
#define DSA_FLAGS_WRITE (DSA_FLAG_BOF | DSA_FLAG_CC | DSA_FLAG_STORD | \
                         DSA_FLAG_DRDBK | DSA_FLAG_DSTS)
#define DSA_WORD0       (~MAKE_64BIT_MASK(20, 11))
#define DSA_WORD4       (R_DESC4_SIZE_MASK | R_DESC4_INT_HANDLE_MASK)

/* Access memory for a job.  Must not cross a page. */
static bool dsa_dma(DSAState *s, DSAJob *job, uint64_t addr, void *buf,
                    uint32_t len, bool write)
{
    AddressSpace *as = dsa_address_space(s, job->pasid_en, job->pasid);

    if (as && address_space_rw(as, addr, MEMTXATTRS_UNSPECIFIED, buf, len,
                               write) == MEMTX_OK) {
        return true;
    }
    trace_dsa_dma_fault(job->pasid_en, job->pasid, addr, write);
    job->fault_addr = addr & ~(DSA_PAGE - 1ull);
    job->fault_write = write;
    return false;
}

/*
 * The same for an operand: a fault ends the job.  There is no page request
 * service, so blocking on a fault gets an "invalid request" at once.
 */
static bool dsa_access(DSAState *s, DSAJob *job, uint64_t addr, void *buf,
                       uint32_t len, bool write)
{
    if (dsa_dma(s, job, addr, buf, len, write)) {
        return true;
    }
    job->status = job->flags & DSA_FLAG_BOF ? DSA_COMP_PAGE_FAULT_IR :
                                              DSA_COMP_PAGE_FAULT_NOBOF;
    if (write) {
        job->status |= DSA_COMP_WRITE;
    }
    job->result = job->backward;
    return false;
}

static uint32_t dsa_page_left(uint64_t addr)
{
    return DSA_PAGE - addr % DSA_PAGE;
}

/* How far the next piece reaches from the byte at @done of one operand on */
static uint32_t dsa_piece(const DSAJob *job, uint64_t addr)
{
    return MIN(job->size - job->done, dsa_page_left(addr + job->done));
}

static uint32_t dsa_piece2(const DSAJob *job, uint64_t addr, uint64_t addr2)
{
    return MIN(dsa_piece(job, addr), dsa_page_left(addr2 + job->done));
}

/* A piece of @len bytes is done */
static DSAStep dsa_advance(DSAJob *job, uint32_t len, int *budget)
{
    *budget -= len;
    job->done += len;
    if (job->done < job->size) {
        return DSA_STEP_MORE;
    }
    job->status = DSA_COMP_SUCCESS;
    return DSA_STEP_DONE;
}

static DSAStep dsa_noop_step(DSAState *s, DSAJob *job, int *budget)
{
    job->status = DSA_COMP_SUCCESS;
    return DSA_STEP_DONE;
}

/* Batch */

static uint8_t dsa_batch_start(DSAState *s, DSAJob *job)
{
    uint32_t max = 1u << FIELD_EX32(job->wq->cfg[3], WQCFG3, MAX_BATCH_SHIFT);

    if (job->word[2] % DSA_DESC_SIZE) {
        return DSA_COMP_DESCLIST_ALIGN;
    }
    if (job->size < 2 || job->size > max) {
        return DSA_COMP_DESC_CNT_ERANGE;
    }
    return DSA_COMP_NONE;
}

static void dsa_batch_end(DSAJob *job)
{
    job->status = job->child_failed ? DSA_COMP_BATCH_FAIL : DSA_COMP_SUCCESS;
}

static bool dsa_batch_fetch(DSAState *s, DSAJob *job)
{
    uint64_t desc[DSA_DESC_SIZE / 8];

    if (!dsa_dma(s, job, job->word[2] + (uint64_t)job->done * DSA_DESC_SIZE,
                 desc, sizeof(desc), false)) {
        job->status = DSA_COMP_BATCH_PAGE_FAULT;
        return false;
    }
    for (int i = 0; i < ARRAY_SIZE(desc); i++) {
        desc[i] = le64_to_cpu(desc[i]);
    }
    job->child = dsa_job_new(s, job->wq, desc);
    /* A descriptor acts for whoever has submitted its batch */
    job->child->pasid_en = job->pasid_en;
    job->child->pasid = job->pasid;
    job->child->priv = job->priv;
    job->child->seq = job->seq;
    job->child->in_batch = true;
    job->child->first_error = !job->child_failed;
    job->child->batch_idx = job->done;
    return true;
}

/* The descriptors of a batch run one after the other: a fence waits for none */
static DSAStep dsa_batch_step(DSAState *s, DSAJob *job, int *budget)
{
    if (!job->child) {
        if (job->done == job->size) {
            dsa_batch_end(job);
            return DSA_STEP_DONE;
        }
        if (!dsa_batch_fetch(s, job)) {
            return DSA_STEP_DONE;
        }
        if (job->child_failed && (job->child->flags & DSA_FLAG_FENCE)) {
            dsa_batch_end(job);
            return DSA_STEP_DONE;
        }
    }
    if (dsa_job_step(s, job->child, budget) == DSA_STEP_DONE) {
        if (job->child->status != DSA_COMP_SUCCESS) {
            job->child_failed = true;
        }
        dsa_job_free(job->child);
        job->child = NULL;
        job->done++;
    }
    return DSA_STEP_MORE;
}

/* Drain: all that its submitter has put on the WQ before has ended */

static DSAStep dsa_drain_step(DSAState *s, DSAJob *job, int *budget)
{
    static const uint32_t flag[] = { DSA_FLAG_RDBK1, DSA_FLAG_RDBK2 };
    DSAMatch match = {
        .wqs = BIT(job->wq->id),
        .by_pasid = job->pasid_en,
        .pasid = job->pasid,
    };
    uint8_t byte;

    if (dsa_jobs_pending(s, match, job->seq)) {
        return DSA_STEP_BLOCKED;
    }
    for (int i = 0; i < ARRAY_SIZE(flag); i++) {
        if ((job->flags & flag[i]) &&
            !dsa_dma(s, job, job->word[2 + i], &byte, 1, false)) {
            job->status = DSA_COMP_PFAULT_RDBA;
            return DSA_STEP_DONE;
        }
    }
    job->status = DSA_COMP_SUCCESS;
    return DSA_STEP_DONE;
}

/* Copying */

static uint8_t dsa_memmove_start(DSAState *s, DSAJob *job)
{
    uint64_t src = job->word[2], dst = job->word[3];

    job->backward = dst > src && dst - src < job->size;
    return DSA_COMP_NONE;
}

static DSAStep dsa_memmove_step(DSAState *s, DSAJob *job, int *budget)
{
    uint64_t src = job->word[2], dst = job->word[3];
    uint8_t buf[DSA_PAGE];
    uint32_t len, pos;

    if (job->backward) {
        uint32_t end = job->size - job->done;

        len = MIN(end, (src + end - 1) % DSA_PAGE + 1);
        len = MIN(len, (dst + end - 1) % DSA_PAGE + 1);
        pos = end - len;
    } else {
        len = dsa_piece2(job, src, dst);
        pos = job->done;
    }
    if (!dsa_access(s, job, src + pos, buf, len, false) ||
        !dsa_access(s, job, dst + pos, buf, len, true)) {
        return DSA_STEP_DONE;
    }
    return dsa_advance(job, len, budget);
}

static uint8_t dsa_dualcast_start(DSAState *s, DSAJob *job)
{
    uint64_t src = job->word[2], dst = job->word[3], dst2 = job->word[5];

    if ((dst ^ dst2) % DSA_PAGE) {
        return DSA_COMP_DCAST_ERR;
    }
    if (ranges_overlap(src, job->size, dst, job->size) ||
        ranges_overlap(src, job->size, dst2, job->size) ||
        ranges_overlap(dst, job->size, dst2, job->size)) {
        return DSA_COMP_OVERLAP_BUFFERS;
    }
    return DSA_COMP_NONE;
}

static DSAStep dsa_dualcast_step(DSAState *s, DSAJob *job, int *budget)
{
    uint64_t src = job->word[2], dst = job->word[3], dst2 = job->word[5];
    uint32_t len = dsa_piece2(job, src, dst);
    uint8_t buf[DSA_PAGE];

    if (!dsa_access(s, job, src + job->done, buf, len, false) ||
        !dsa_access(s, job, dst + job->done, buf, len, true) ||
        !dsa_access(s, job, dst2 + job->done, buf, len, true)) {
        return DSA_STEP_DONE;
    }
    return dsa_advance(job, len, budget);
}

/* Filling and comparing */

static void dsa_pattern(const DSAJob *job, uint64_t pattern, uint8_t *buf,
                        uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        buf[i] = pattern >> (job->done + i) % 8 * 8;
    }
}

static DSAStep dsa_memfill_step(DSAState *s, DSAJob *job, int *budget)
{
    uint32_t len = dsa_piece(job, job->word[3]);
    uint8_t buf[DSA_PAGE];

    dsa_pattern(job, job->word[2], buf, len);
    if (!dsa_access(s, job, job->word[3] + job->done, buf, len, true)) {
        return DSA_STEP_DONE;
    }
    return dsa_advance(job, len, budget);
}

static DSAStep dsa_compare_piece(DSAJob *job, const uint8_t *a,
                                 const uint8_t *b, uint32_t len, int *budget)
{
    DSAStep step;

    if (memcmp(a, b, len)) {
        while (*a == *b) {
            a++;
            b++;
            job->done++;
        }
        job->result = 1;
        job->status = DSA_COMP_SUCCESS;
        step = DSA_STEP_DONE;
    } else {
        step = dsa_advance(job, len, budget);
    }
    if (step == DSA_STEP_DONE && (job->flags & DSA_FLAG_CR) &&
        job->result != (uint8_t)job->word[5]) {
        job->status = DSA_COMP_SUCCESS_PRED;
    }
    return step;
}

static DSAStep dsa_compare_step(DSAState *s, DSAJob *job, int *budget)
{
    uint64_t src = job->word[2], src2 = job->word[3];
    uint32_t len = dsa_piece2(job, src, src2);
    uint8_t a[DSA_PAGE], b[DSA_PAGE];

    if (!dsa_access(s, job, src + job->done, a, len, false) ||
        !dsa_access(s, job, src2 + job->done, b, len, false)) {
        return DSA_STEP_DONE;
    }
    return dsa_compare_piece(job, a, b, len, budget);
}

static DSAStep dsa_compval_step(DSAState *s, DSAJob *job, int *budget)
{
    uint64_t src = job->word[2];
    uint32_t len = dsa_piece(job, src);
    uint8_t a[DSA_PAGE], b[DSA_PAGE];

    if (!dsa_access(s, job, src + job->done, a, len, false)) {
        return DSA_STEP_DONE;
    }
    dsa_pattern(job, job->word[3], b, len);
    return dsa_compare_piece(job, a, b, len, budget);
}

/*
 * CRC-32C.  The state is kept as for reflected data; data that is not to be
 * reflected is reversed bit by bit in each byte, the result as a whole.
 */

static uint8_t dsa_crc_start(DSAState *s, DSAJob *job)
{
    uint32_t seed = job->word[5];

    if (job->opcode == DSA_OP_COPY_CRC &&
        ranges_overlap(job->word[2], job->size, job->word[3], job->size)) {
        return DSA_COMP_OVERLAP_BUFFERS;
    }
    if (job->flags & DSA_FLAG_RD_SEED) {
        if (job->word[6] % 4) {
            return DSA_COMP_ADDR_ALIGN;
        }
        if (!dsa_access(s, job, job->word[6], &seed, 4, false)) {
            return job->status;
        }
        seed = le32_to_cpu(seed);
    }
    if (!(job->flags & DSA_FLAG_NO_INVERT)) {
        seed = ~seed;
    }
    job->crc = job->flags & DSA_FLAG_NO_REFLECT ? revbit32(seed) : seed;
    return DSA_COMP_NONE;
}

static DSAStep dsa_crc_step(DSAState *s, DSAJob *job, int *budget)
{
    uint64_t src = job->word[2], dst = job->word[3];
    bool copy = job->opcode == DSA_OP_COPY_CRC;
    uint32_t len = copy ? dsa_piece2(job, src, dst) : dsa_piece(job, src);
    uint8_t buf[DSA_PAGE];
    DSAStep step;
    uint32_t crc;

    if (!dsa_access(s, job, src + job->done, buf, len, false) ||
        (copy && !dsa_access(s, job, dst + job->done, buf, len, true))) {
        return DSA_STEP_DONE;
    }
    if (job->flags & DSA_FLAG_NO_REFLECT) {
        for (uint32_t i = 0; i < len; i++) {
            buf[i] = revbit8(buf[i]);
        }
    }
    job->crc = ~crc32c(job->crc, buf, len);     /* undo its final inversion */
    step = dsa_advance(job, len, budget);
    if (step == DSA_STEP_DONE) {
        crc = job->flags & DSA_FLAG_NO_REFLECT ? revbit32(job->crc) : job->crc;
        job->crc_val = job->flags & DSA_FLAG_NO_INVERT ? crc : (uint32_t)~crc;
    }
    return step;
}

/* Cache flush: nothing to flush here, but the addresses must be good */
static DSAStep dsa_cflush_step(DSAState *s, DSAJob *job, int *budget)
{
    uint32_t len = dsa_piece(job, job->word[3]);
    uint8_t byte;

    if (!dsa_access(s, job, job->word[3] + job->done, &byte, 1, false)) {
        return DSA_STEP_DONE;
    }
    return dsa_advance(job, len, budget);
}

static const DSAOp dsa_ops[DSA_OP_MAX] = {
    [DSA_OP_NOOP] = {
        .word = { [4] = R_DESC4_INT_HANDLE_MASK },
        .step = dsa_noop_step,
    },
    [DSA_OP_BATCH] = {
        .flags = DSA_FLAG_BOF | DSA_FLAG_ADDR1_TCS,
        .word = { [2] = -1, [4] = DSA_WORD4 },
        .start = dsa_batch_start,
        .step = dsa_batch_step,
    },
    [DSA_OP_DRAIN] = {
        .flags = DSA_FLAG_RDBK1 | DSA_FLAG_RDBK2 | DSA_FLAG_NO_TCA |
                 DSA_FLAG_NO_TCB,
        .word = { [2] = -1, [3] = -1, [4] = R_DESC4_INT_HANDLE_MASK },
        .step = dsa_drain_step,
    },
    [DSA_OP_MEMMOVE] = {
        .flags = DSA_FLAGS_WRITE | DSA_FLAG_ADDR1_TCS | DSA_FLAG_ADDR2_TCS,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4 },
        .start = dsa_memmove_start,
        .step = dsa_memmove_step,
    },
    [DSA_OP_MEMFILL] = {
        .flags = DSA_FLAGS_WRITE | DSA_FLAG_ADDR2_TCS,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4 },
        .step = dsa_memfill_step,
    },
    [DSA_OP_COMPARE] = {
        .flags = DSA_FLAG_BOF | DSA_FLAG_CR | DSA_FLAG_ADDR1_TCS |
                 DSA_FLAG_ADDR2_TCS,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4, [5] = 0xff },
        .step = dsa_compare_step,
    },
    [DSA_OP_COMPVAL] = {
        .flags = DSA_FLAG_BOF | DSA_FLAG_CR | DSA_FLAG_ADDR1_TCS,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4, [5] = 0xff },
        .step = dsa_compval_step,
    },
    [DSA_OP_DUALCAST] = {
        .flags = DSA_FLAGS_WRITE | DSA_FLAG_ADDR1_TCS | DSA_FLAG_ADDR2_TCS |
                 DSA_FLAG_ADDR3_TCS,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4, [5] = -1 },
        .start = dsa_dualcast_start,
        .step = dsa_dualcast_step,
    },
    [DSA_OP_CRCGEN] = {
        .flags = DSA_FLAG_BOF | DSA_FLAG_ADDR1_TCS | DSA_FLAG_ADDR3_TCS |
                 DSA_FLAG_RD_SEED | DSA_FLAG_NO_INVERT | DSA_FLAG_NO_REFLECT,
        .data = true,
        .word = { [2] = -1, [4] = DSA_WORD4, [5] = UINT32_MAX, [6] = -1 },
        .start = dsa_crc_start,
        .step = dsa_crc_step,
    },
    [DSA_OP_COPY_CRC] = {
        .flags = DSA_FLAGS_WRITE | DSA_FLAG_ADDR1_TCS | DSA_FLAG_ADDR2_TCS |
                 DSA_FLAG_ADDR3_TCS | DSA_FLAG_RD_SEED | DSA_FLAG_NO_INVERT |
                 DSA_FLAG_NO_REFLECT,
        .data = true,
        .word = { [2] = -1, [3] = -1, [4] = DSA_WORD4, [5] = UINT32_MAX,
                  [6] = -1 },
        .start = dsa_crc_start,
        .step = dsa_crc_step,
    },
    [DSA_OP_CFLUSH] = {
        .flags = DSA_FLAG_BOF | DSA_FLAG_CC | DSA_FLAG_ADDR2_TCS,
        .data = true,
        .word = { [3] = -1, [4] = DSA_WORD4 },
        .step = dsa_cflush_step,
    },
};

/* @desc is in host byte order */
DSAJob *dsa_job_new(DSAState *s, DSAWq *wq, const uint64_t *desc)
{
    DSAJob *job = g_new0(DSAJob, 1);

    job->wq = wq;
    memcpy(job->word, desc, sizeof(job->word));
    job->flags = FIELD_EX64(desc[0], DESC0, FLAGS);
    job->opcode = FIELD_EX64(desc[0], DESC0, OPCODE);
    job->size = FIELD_EX64(desc[4], DESC4, SIZE);
    job->pasid_en = FIELD_EX32(wq->cfg[2], WQCFG2, PASID_EN);
    if (dsa_wq_dedicated(wq)) {
        job->pasid = FIELD_EX32(wq->cfg[2], WQCFG2, PASID);
        job->priv = FIELD_EX32(wq->cfg[2], WQCFG2, PRIV);
    } else {
        job->pasid = FIELD_EX64(desc[0], DESC0, PASID);
        job->priv = FIELD_EX64(desc[0], DESC0, PRIV);
    }
    job->vector = -1;
    return job;
}

void dsa_job_free(DSAJob *job)
{
    if (job && job->child) {
        dsa_job_free(job->child);
    }
    g_free(job);
}

/*
 * The MSI-X vector of an interrupt handle if the job may use it, else -1: the
 * PASID of the vector's permission entry must be that of the job.
 */
static int dsa_job_vector(DSAState *s, const DSAJob *job)
{
    uint32_t index = FIELD_EX64(job->word[4], DESC4, INT_HANDLE);
    uint32_t perm;

    if (s->int_handles) {
        index -= s->handle_base;
    }
    if (index >= DSA_NUM_VECTORS ||
        (s->int_handles && !(s->handles & BIT(index)))) {
        return -1;
    }
    perm = s->msixperm[index];
    if (FIELD_EX32(perm, MSIXPERM, PASID_EN) != job->pasid_en ||
        (job->pasid_en && FIELD_EX32(perm, MSIXPERM, PASID) != job->pasid)) {
        return -1;
    }
    return index;
}

static bool dsa_opcode_allowed(DSAState *s, const DSAJob *job)
{
    const uint32_t *op_config = &job->wq->cfg[DSA_WQCFG_OP_CONFIG];

    if (job->opcode >= DSA_OP_MAX || !dsa_ops[job->opcode].step) {
        return false;
    }
    if (job->in_batch && (job->opcode == DSA_OP_BATCH ||
                          job->opcode == DSA_OP_DRAIN)) {
        return false;
    }
    return s->version < 2 ||
           (op_config[job->opcode / 32] & BIT(job->opcode % 32));
}

static uint32_t dsa_invalid_flags(DSAState *s, const DSAJob *job)
{
    uint32_t allowed = DSA_FLAGS_ALL | dsa_ops[job->opcode].flags;

    if (job->in_batch) {
        allowed |= DSA_FLAG_FENCE;
    }
    if (!FIELD_EX32(job->wq->cfg[2], WQCFG2, BOF)) {
        allowed &= ~DSA_FLAG_BOF;
    }
    if (!(job->flags & DSA_FLAG_CRAV)) {
        allowed &= ~DSA_FLAG_RCR;
    }
    if (!job->priv && !FIELD_EX32(s->gencfg, GENCFG, USER_INT_EN)) {
        allowed &= ~DSA_FLAG_RCI;
    }
    return job->flags & ~allowed;
}

static bool dsa_reserved_set(const DSAJob *job)
{
    const DSAOp *op = &dsa_ops[job->opcode];
    uint64_t used;

    for (int i = 0; i < ARRAY_SIZE(job->word); i++) {
        used = i == 0 ? DSA_WORD0 : i == 1 ? UINT64_MAX : op->word[i];
        if (job->word[i] & ~used) {
            return true;
        }
    }
    return false;
}

/* Everything that can be wrong with a descriptor before it touches memory */
static uint8_t dsa_job_start(DSAState *s, DSAJob *job)
{
    const DSAOp *op;
    uint32_t max = 1u << FIELD_EX32(job->wq->cfg[3], WQCFG3, MAX_XFER_SHIFT);

    if ((job->flags & DSA_FLAG_CRAV) && job->word[1] % DSA_CR_SIZE) {
        return DSA_COMP_CRA_ALIGN;
    }
    /* A descriptor that is refused ends with its interrupt, too */
    if (job->flags & DSA_FLAG_RCI) {
        job->vector = dsa_job_vector(s, job);
    }
    if (!dsa_opcode_allowed(s, job)) {
        return DSA_COMP_BAD_OPCODE;
    }
    op = &dsa_ops[job->opcode];
    job->invalid_flags = dsa_invalid_flags(s, job);
    if (job->invalid_flags & DSA_FLAG_RCI) {
        job->vector = -1;
    }
    if (job->invalid_flags) {
        return DSA_COMP_INVALID_FLAGS;
    }
    if ((job->flags & DSA_FLAG_RCI) && job->vector < 0) {
        return DSA_COMP_INT_HANDLE_INVAL;
    }
    if (!dsa_wq_dedicated(job->wq) && job->priv &&
        !FIELD_EX16(dsa_pasid_ctrl(s), PASID_CTRL, PRIV_EN)) {
        return DSA_COMP_PRIV_BAD;
    }
    if (dsa_reserved_set(job)) {
        return DSA_COMP_NOZERO_RESERVE;
    }
    if (op->data && (!job->size || job->size > max)) {
        return DSA_COMP_XFER_ERANGE;
    }
    return op->start ? op->start(s, job) : DSA_COMP_NONE;
}

/* @cr: DSA_CR_SIZE bytes */
void dsa_job_record(const DSAJob *job, uint8_t *cr)
{
    memset(cr, 0, DSA_CR_SIZE);
    cr[DSA_CR_STATUS] = job->status;
    cr[DSA_CR_RESULT] = job->result;
    stl_le_p(cr + DSA_CR_BYTES, job->done);
    stq_le_p(cr + DSA_CR_FAULT_ADDR, job->fault_addr);
    if (job->status == DSA_COMP_INVALID_FLAGS) {
        stl_le_p(cr + DSA_CR_INVALID_FLAGS, job->invalid_flags);
    } else {
        stq_le_p(cr + DSA_CR_CRC, job->crc_val);
    }
}

/* The status goes last, by a store of its own: somebody may be polling it */
static bool dsa_write_record(DSAState *s, DSAJob *job)
{
    uint64_t addr = job->word[1];
    uint8_t cr[DSA_CR_SIZE];
    uint64_t fault_addr = job->fault_addr;
    bool fault_write = job->fault_write;

    dsa_job_record(job, cr);
    if (dsa_dma(s, job, addr + 8, cr + 8, DSA_CR_SIZE - 8, true)) {
        smp_wmb();              /* the status says that the rest is there */
        if (dsa_dma(s, job, addr, cr, 8, true)) {
            job->fault_addr = fault_addr;
            job->fault_write = fault_write;
            return true;
        }
    }
    return false;
}

static void dsa_job_complete(DSAState *s, DSAJob *job)
{
    trace_dsa_complete(job->wq->id, job->seq, job->opcode, job->status,
                       job->result, job->done, job->fault_addr, job->vector);

    if (!(job->flags & DSA_FLAG_CRAV) || job->status == DSA_COMP_CRA_ALIGN) {
        if (job->status != DSA_COMP_SUCCESS &&
            job->status != DSA_COMP_SUCCESS_PRED) {
            /* The direction of a fault has a field of its own there */
            dsa_report_error(s, job->wq, job, job->status & ~DSA_COMP_WRITE,
                             job->fault_addr);
        }
    } else if ((job->flags & DSA_FLAG_RCR) || job->status != DSA_COMP_SUCCESS) {
        if (!dsa_write_record(s, job)) {
            dsa_report_error(s, job->wq, job, DSA_COMP_CRA_XLAT, job->word[1]);
            job->status = DSA_COMP_CRA_XLAT;
            return;
        }
    }
    if (job->vector >= 0) {
        msix_notify(PCI_DEVICE(s), job->vector);
    }
}

DSAStep dsa_job_step(DSAState *s, DSAJob *job, int *budget)
{
    DSAStep step = DSA_STEP_DONE;

    *budget -= DSA_STEP_COST;
    if (!job->started) {
        job->started = true;
        job->status = dsa_job_start(s, job);
    }
    if (job->status == DSA_COMP_NONE) {
        step = dsa_ops[job->opcode].step(s, job, budget);
    }
    if (step == DSA_STEP_DONE) {
        dsa_job_complete(s, job);
    }
    return step;
}
