/*
 * Data Streaming Accelerator: device state
 *
 * dsa.c        PCI device and registers
 * dsa-cmd.c    commands (CMD, CMDSTS)
 * dsa-wq.c     portals, work queues, engines, error reports
 * dsa-ops.c    descriptor checks, operations, completion
 * dsa-fault.c  misbehaviour on demand
 *
 * Everything runs under the BQL.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_DSA_H
#define HW_MISC_DSA_H

#include "qemu/queue.h"
#include "qemu/timer.h"
#include "hw/pci/pci_device.h"
#include "qom/object.h"
#include "dsa-regs.h"

#define TYPE_DSA "dsa"
OBJECT_DECLARE_SIMPLE_TYPE(DSAState, DSA)

typedef struct DSAWq DSAWq;
typedef struct DSAJob DSAJob;

/* A descriptor from its acceptance to its completion */
struct DSAJob {
    QSIMPLEQ_ENTRY(DSAJob) next;
    DSAWq *wq;
    uint64_t seq;               /* order of acceptance in the device */

    /* decoded descriptor */
    uint64_t word[8];
    uint32_t flags;
    uint32_t size;
    uint8_t opcode;
    bool pasid_en;
    bool priv;
    uint32_t pasid;

    /* progress, and what becomes the completion record */
    bool started;
    int vector;                 /* to raise at completion, or -1 */
    uint32_t done;              /* bytes, or descriptors of a batch */
    bool backward;
    uint32_t crc;
    uint8_t status;
    uint8_t result;
    bool fault_write;
    uint64_t fault_addr;
    uint32_t invalid_flags;
    uint64_t crc_val;

    /* batches: the descriptor being run; in that, its place */
    DSAJob *child;
    bool child_failed;
    bool in_batch;
    bool first_error;           /* nothing in its batch has failed before it */
    uint16_t batch_idx;
};

struct DSAWq {
    unsigned id;
    uint32_t cfg[DSA_WQCFG_STRIDE / 4];
    bool enabled;
    bool accepting;             /* false while it is being disabled */
    QSIMPLEQ_HEAD(, DSAJob) queue;
    unsigned occupancy;
    /* a 64-byte write arrives as eight of 8 bytes, in order */
    struct {
        uint64_t word[8];
        unsigned filled;
    } gather[2];
};

typedef struct DSAEngine {
    DSAState *dev;
    unsigned id;
    DSAJob *job;
    QEMUTimer *latency;         /* pending while the job waits for its time */
    unsigned wq;                /* arbitration: the WQ served last ... */
    unsigned credits;           /* ... and how often it may be served again */
} DSAEngine;

typedef struct DSAGroup {
    uint64_t wqs;
    uint64_t engines;
    uint64_t flags;
} DSAGroup;

struct DSAState {
    PCIDevice parent_obj;

    /* properties */
    uint8_t version;
    bool int_handles;
    bool evl;
    uint64_t latency_ns;

    /* faults, which can be changed at run time */
    uint64_t cmd_latency_ns;
    uint32_t hang_cmds;         /* bitmap of command codes */
    bool hang_engines;
    bool gone;
    bool pending;

    MemoryRegion regs;
    MemoryRegion portals;
    QEMUBH *bh;
    QEMUTimer *cmd_timer;       /* pending while a command waits for its time */

    uint32_t gencfg;
    uint32_t genctrl;
    uint8_t state;
    uint8_t reset_type;
    uint32_t intcause;
    uint32_t cmd;
    uint32_t cmdsts;
    uint64_t cmd_seq;           /* drains wait for jobs older than this */
    uint64_t swerr[4];
    uint64_t evlcfg[2];
    uint16_t evl_head;
    uint16_t evl_tail;
    bool evl_pending;
    uint32_t msixperm[DSA_NUM_VECTORS];
    uint32_t handles;           /* bitmap of MSI-X indices with a handle */
    uint16_t handle_base;       /* the handle of index 0 */

    DSAGroup group[DSA_NUM_GROUPS];
    DSAWq wq[DSA_NUM_WQS];
    DSAEngine engine[DSA_NUM_ENGINES];
    uint64_t next_seq;
};

/* A set of jobs */
typedef struct DSAMatch {
    uint32_t wqs;               /* bitmap */
    bool by_pasid;
    uint32_t pasid;
} DSAMatch;

#define DSA_MATCH_ALL ((DSAMatch) { .wqs = (1u << DSA_NUM_WQS) - 1 })

/* dsa.c */
uint64_t dsa_gencap(DSAState *s);
uint32_t dsa_cmdcap(DSAState *s);
uint64_t dsa_opcap(void);
uint16_t dsa_pasid_ctrl(DSAState *s);
AddressSpace *dsa_address_space(DSAState *s, bool pasid_en, uint32_t pasid);
void dsa_raise(DSAState *s, uint32_t cause);
void dsa_clear_config(DSAState *s);
void dsa_reset_function(DSAState *s);

/* dsa-cmd.c */
void dsa_cmd_write(DSAState *s, uint32_t val);
void dsa_cmd_poll(DSAState *s);

/* dsa-fault.c */
void dsa_fault_init(Object *obj);

/* dsa-wq.c */
extern const MemoryRegionOps dsa_portal_ops;
void dsa_wq_init(DSAState *s);
void dsa_wq_uninit(DSAState *s);
int dsa_wq_group(DSAState *s, unsigned wq);
bool dsa_wq_dedicated(const DSAWq *wq);
bool dsa_jobs_pending(DSAState *s, DSAMatch match, uint64_t before);
void dsa_jobs_abort(DSAState *s, DSAMatch match);
void dsa_evl_set_tail(DSAState *s, uint16_t tail);
void dsa_append_report(DSAState *s, bool evl, const uint64_t *report,
                       const DSAJob *job);
void dsa_report_error(DSAState *s, DSAWq *wq, const DSAJob *job, uint8_t error,
                      uint64_t fault_addr);

/* dsa-ops.c */
typedef enum DSAStep {
    DSA_STEP_MORE,              /* call again */
    DSA_STEP_BLOCKED,           /* call again when another job has ended */
    DSA_STEP_DONE,
} DSAStep;

DSAJob *dsa_job_new(DSAState *s, DSAWq *wq, const uint64_t *desc);
void dsa_job_free(DSAJob *job);
DSAStep dsa_job_step(DSAState *s, DSAJob *job, int *budget);
void dsa_job_record(const DSAJob *job, uint8_t *cr);

#endif
