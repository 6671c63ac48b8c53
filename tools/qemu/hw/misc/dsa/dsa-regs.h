/*
 * Data Streaming Accelerator: registers, descriptors, completion records
 *
 * The names are those of the DSA architecture specification and of the Linux
 * driver.  See docs/specs/dsa.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_DSA_REGS_H
#define HW_MISC_DSA_REGS_H

#include "hw/registerfields.h"

#define DSA_PCI_DEVICE_ID_V1    0x0b25
#define DSA_PCI_DEVICE_ID_V2    0x11fb

#define DSA_NUM_GROUPS          4
#define DSA_NUM_WQS             8
#define DSA_NUM_ENGINES         4
#define DSA_TOTAL_WQ_SIZE       128
#define DSA_NUM_RDBUFS          96
#define DSA_MAX_XFER_SHIFT      21
#define DSA_MAX_BATCH_SHIFT     10
/* Vector 0 reports commands and errors, vector n + 1 is meant for WQ n */
#define DSA_NUM_VECTORS         (DSA_NUM_WQS + 1)
/* What REQUEST_INT_HANDLE adds to an MSI-X index, so that nobody mixes them */
#define DSA_INT_HANDLE_BASE     0x100

/* BAR 0 */
#define DSA_REG_BAR             0
#define DSA_REG_SIZE            0x10000
#define DSA_GRPCFG_BASE         0x0400
#define DSA_GRPCFG_STRIDE       64
#define DSA_WQCFG_BASE          0x0600
#define DSA_WQCFG_STRIDE        64
#define DSA_MSIXPERM_BASE       0x0900
#define DSA_MSIX_TABLE          0x2000
#define DSA_MSIX_PBA            0x3000

/* BAR 2: per WQ an unlimited and a limited portal page, and two for IMS */
#define DSA_PORTAL_BAR          2
#define DSA_PORTAL_PAGE         0x1000
#define DSA_PORTAL_STRIDE       0x4000
#define DSA_PORTAL_SIZE         (DSA_NUM_WQS * DSA_PORTAL_STRIDE)

enum {
    DSA_PORTAL_UNLIMITED,
    DSA_PORTAL_LIMITED,
    DSA_PORTAL_IMS_UNLIMITED,
    DSA_PORTAL_IMS_LIMITED,
};

REG32(VER, 0x00)
#define DSA_VER_1               0x100
#define DSA_VER_2               0x200

REG64(GENCAP, 0x10)
    FIELD(GENCAP, BLOCK_ON_FAULT, 0, 1)
    FIELD(GENCAP, OVERLAP_COPY, 1, 1)
    FIELD(GENCAP, CACHE_CONTROL_MEM, 2, 1)
    FIELD(GENCAP, CACHE_CONTROL_CACHE, 3, 1)
    FIELD(GENCAP, CMD_CAP, 4, 1)
    FIELD(GENCAP, DEST_READBACK, 8, 1)
    FIELD(GENCAP, DRAIN_READBACK, 9, 1)
    FIELD(GENCAP, EVL_SUPPORT, 13, 2)
    FIELD(GENCAP, MAX_XFER_SHIFT, 16, 5)
    FIELD(GENCAP, MAX_BATCH_SHIFT, 21, 4)
    FIELD(GENCAP, CONFIG_EN, 31, 1)

REG64(WQCAP, 0x20)
    FIELD(WQCAP, TOTAL_SIZE, 0, 16)
    FIELD(WQCAP, NUM_WQS, 16, 8)
    FIELD(WQCAP, WQCFG_SIZE, 24, 4)
    FIELD(WQCAP, SHARED_MODE, 48, 1)
    FIELD(WQCAP, DEDICATED_MODE, 49, 1)
    FIELD(WQCAP, PRIORITY, 51, 1)
    FIELD(WQCAP, OCCUPANCY, 52, 1)
    FIELD(WQCAP, OP_CONFIG, 54, 1)
    FIELD(WQCAP, PRS, 55, 1)

REG64(GRPCAP, 0x30)
    FIELD(GRPCAP, NUM_GROUPS, 0, 8)
    FIELD(GRPCAP, TOTAL_RDBUFS, 8, 8)
    FIELD(GRPCAP, RDBUF_CTRL, 16, 1)
    FIELD(GRPCAP, RDBUF_LIMIT, 17, 1)
    FIELD(GRPCAP, PROGRESS_LIMIT, 18, 1)

REG64(ENGCAP, 0x38)
REG64(OPCAP, 0x40)              /* 256 bits, one per opcode */

REG64(OFFSETS0, 0x60)           /* in units of 0x100 bytes */
    FIELD(OFFSETS0, GRPCFG, 0, 16)
    FIELD(OFFSETS0, WQCFG, 16, 16)
    FIELD(OFFSETS0, MSIXPERM, 32, 16)
    FIELD(OFFSETS0, IMS, 48, 16)
REG64(OFFSETS1, 0x68)
    FIELD(OFFSETS1, PERFMON, 0, 16)

REG32(GENCFG, 0x80)
    FIELD(GENCFG, RDBUF_LIMIT, 0, 8)
    FIELD(GENCFG, USER_INT_EN, 12, 1)
    FIELD(GENCFG, EVL_EN, 13, 1)

REG32(GENCTRL, 0x88)
    FIELD(GENCTRL, SOFTERR_INT_EN, 0, 1)
    FIELD(GENCTRL, HALT_INT_EN, 1, 1)
    FIELD(GENCTRL, EVL_INT_EN, 2, 1)

REG32(GENSTS, 0x90)
    FIELD(GENSTS, STATE, 0, 2)
    FIELD(GENSTS, RESET_TYPE, 2, 2)

enum {
    DSA_STATE_DISABLED,
    DSA_STATE_ENABLED,
    DSA_STATE_DRAIN,
    DSA_STATE_HALT,
};

/* What it takes to get out of the state above */
enum {
    DSA_RESET_SOFTWARE,
    DSA_RESET_FLR,
    DSA_RESET_WARM,
    DSA_RESET_COLD,
    DSA_RESET_MAX = DSA_RESET_COLD,
};

REG32(INTCAUSE, 0x98)
    FIELD(INTCAUSE, ERR, 0, 1)
    FIELD(INTCAUSE, CMD, 1, 1)
    FIELD(INTCAUSE, OCCUPY, 2, 1)
    FIELD(INTCAUSE, PERFMON, 3, 1)
    FIELD(INTCAUSE, HALT, 4, 1)
    FIELD(INTCAUSE, EVL, 5, 1)
    FIELD(INTCAUSE, REVOKED, 31, 1)

REG32(CMD, 0xa0)
    FIELD(CMD, OPERAND, 0, 20)
    FIELD(CMD, CODE, 20, 5)
    FIELD(CMD, INT_REQ, 31, 1)

enum {
    DSA_CMD_ENABLE_DEVICE = 1,
    DSA_CMD_DISABLE_DEVICE,
    DSA_CMD_DRAIN_ALL,
    DSA_CMD_ABORT_ALL,
    DSA_CMD_RESET_DEVICE,
    DSA_CMD_ENABLE_WQ,
    DSA_CMD_DISABLE_WQ,
    DSA_CMD_DRAIN_WQ,
    DSA_CMD_ABORT_WQ,
    DSA_CMD_RESET_WQ,
    DSA_CMD_DRAIN_PASID,
    DSA_CMD_ABORT_PASID,
    DSA_CMD_REQUEST_INT_HANDLE,
    DSA_CMD_RELEASE_INT_HANDLE,
};

REG32(CMDSTS, 0xa8)
    FIELD(CMDSTS, ERR, 0, 8)
    FIELD(CMDSTS, RESULT, 8, 16)
    FIELD(CMDSTS, ACTIVE, 31, 1)

enum {
    DSA_CMDSTS_SUCCESS              = 0x00,
    DSA_CMDSTS_INVAL_CMD            = 0x01,
    DSA_CMDSTS_INVAL_WQIDX          = 0x02,
    DSA_CMDSTS_HW_ERR               = 0x03,
    /* enable device */
    DSA_CMDSTS_DEV_ENABLED          = 0x10,
    DSA_CMDSTS_CONFIG               = 0x11,
    DSA_CMDSTS_BUSMASTER_EN         = 0x12,
    DSA_CMDSTS_WQ_SIZE_RANGE        = 0x14,
    DSA_CMDSTS_GRP_RDBUFS           = 0x15,
    DSA_CMDSTS_GRP_NO_ENGINE        = 0x16,
    DSA_CMDSTS_GRP_WQ               = 0x17,
    DSA_CMDSTS_GRP_ENGINE           = 0x18,
    /* enable WQ */
    DSA_CMDSTS_DEV_NOT_ENABLED      = 0x20,
    DSA_CMDSTS_WQ_ENABLED           = 0x21,
    DSA_CMDSTS_WQ_SIZE              = 0x22,
    DSA_CMDSTS_WQ_MODE              = 0x24,
    DSA_CMDSTS_BOF_EN               = 0x25,
    DSA_CMDSTS_PASID_EN             = 0x26,
    DSA_CMDSTS_MAX_BATCH            = 0x27,
    DSA_CMDSTS_MAX_XFER             = 0x28,
    /* disable device */
    DSA_CMDSTS_DIS_DEV_EN           = 0x31,
    /* disable, drain, abort, reset WQ: device or WQ not enabled */
    DSA_CMDSTS_NOT_EN               = 0x32,
    /* interrupt handles */
    DSA_CMDSTS_INVAL_INT_IDX        = 0x41,
    DSA_CMDSTS_NO_HANDLE            = 0x42,
};

REG32(CMDCAP, 0xb0)

REG64(SWERR0, 0xc0)             /* and three more 64-bit words */
    FIELD(SWERR0, VALID, 0, 1)
    FIELD(SWERR0, OVERFLOW, 1, 1)
    FIELD(SWERR0, DESC_VALID, 2, 1)
    FIELD(SWERR0, WQ_IDX_VALID, 3, 1)
    FIELD(SWERR0, BATCH, 4, 1)
    FIELD(SWERR0, FAULT_RW, 5, 1)
    FIELD(SWERR0, PRIV, 6, 1)
    FIELD(SWERR0, ERROR, 8, 8)
    FIELD(SWERR0, WQ_IDX, 16, 8)
    FIELD(SWERR0, OPERATION, 32, 8)
    FIELD(SWERR0, PASID, 40, 20)
REG64(SWERR1, 0xc8)
    FIELD(SWERR1, BATCH_IDX, 0, 16)
    FIELD(SWERR1, INVALID_FLAGS, 32, 32)

REG64(EVLCFG0, 0xe0)
    FIELD(EVLCFG0, PASID_EN, 0, 1)
    FIELD(EVLCFG0, PRIV, 1, 1)
    FIELD(EVLCFG0, BASE, 12, 52)
REG64(EVLCFG1, 0xe8)
    FIELD(EVLCFG1, SIZE, 0, 16)
    FIELD(EVLCFG1, PASID, 16, 20)

REG64(EVLSTATUS, 0xf0)
    FIELD(EVLSTATUS, HEAD, 0, 16)
    FIELD(EVLSTATUS, TAIL, 32, 16)
    FIELD(EVLSTATUS, INT_PENDING, 62, 1)

/* Event log entry: the words of SWERR but for some bits, then the record */
#define DSA_EVL_ENTRY_SIZE      64
#define DSA_EVL_SIZE_MIN        64
    FIELD(EVL0, DESC_VALID, 2, 1)
    FIELD(EVL0, ERR_INFO_VALID, 7, 1)
    FIELD(EVL1, BATCH_IDX, 0, 16)
    FIELD(EVL1, ERR_INFO, 32, 32)
/* ERR_INFO when it does not hold the invalid flags */
#define DSA_EVL_INFO_RCI        (1u << 16)
#define DSA_EVL_INFO_RCR        (1u << 18)
#define DSA_EVL_INFO_FIRST_ERR  (1u << 19)

    FIELD(MSIXPERM, PASID_EN, 3, 1)
    FIELD(MSIXPERM, PASID, 12, 20)

    FIELD(GRPFLAGS, USE_RDBUF_LIMIT, 7, 1)
    FIELD(GRPFLAGS, RDBUFS_RESERVED, 8, 8)
    FIELD(GRPFLAGS, RDBUFS_ALLOWED, 20, 8)

/* Double words of a WQCFG entry */
    FIELD(WQCFG0, SIZE, 0, 16)
    FIELD(WQCFG1, THRESHOLD, 0, 16)
    FIELD(WQCFG2, MODE, 0, 1)           /* 1: dedicated */
    FIELD(WQCFG2, BOF, 1, 1)
    FIELD(WQCFG2, PRS_DISABLE, 3, 1)
    FIELD(WQCFG2, PRIORITY, 4, 4)
    FIELD(WQCFG2, PASID, 8, 20)
    FIELD(WQCFG2, PASID_EN, 28, 1)
    FIELD(WQCFG2, PRIV, 29, 1)
    FIELD(WQCFG3, MAX_XFER_SHIFT, 0, 5)
    FIELD(WQCFG3, MAX_BATCH_SHIFT, 5, 4)
    FIELD(WQCFG6, OCCUPANCY, 0, 16)
    FIELD(WQCFG6, STATE, 30, 2)
#define DSA_WQCFG_OP_CONFIG     8       /* first of 8 double words */

/* Descriptors: eight little-endian 64-bit words */
#define DSA_DESC_SIZE           64
    FIELD(DESC0, PASID, 0, 20)
    FIELD(DESC0, PRIV, 31, 1)
    FIELD(DESC0, FLAGS, 32, 24)
    FIELD(DESC0, OPCODE, 56, 8)
    FIELD(DESC4, SIZE, 0, 32)
    FIELD(DESC4, INT_HANDLE, 32, 16)

enum {
    DSA_OP_NOOP         = 0x00,
    DSA_OP_BATCH        = 0x01,
    DSA_OP_DRAIN        = 0x02,
    DSA_OP_MEMMOVE      = 0x03,
    DSA_OP_MEMFILL      = 0x04,
    DSA_OP_COMPARE      = 0x05,
    DSA_OP_COMPVAL      = 0x06,
    DSA_OP_DUALCAST     = 0x09,
    DSA_OP_CRCGEN       = 0x10,
    DSA_OP_COPY_CRC     = 0x11,
    DSA_OP_CFLUSH       = 0x20,
    DSA_OP_MAX,
};

enum {
    DSA_FLAG_FENCE      = 0x000001,
    DSA_FLAG_BOF        = 0x000002,
    DSA_FLAG_CRAV       = 0x000004,
    DSA_FLAG_RCR        = 0x000008,
    DSA_FLAG_RCI        = 0x000010,
    DSA_FLAG_CRSTS      = 0x000020,
    DSA_FLAG_CR         = 0x000080,
    DSA_FLAG_CC         = 0x000100,
    DSA_FLAG_ADDR1_TCS  = 0x000200,
    DSA_FLAG_ADDR2_TCS  = 0x000400,
    DSA_FLAG_ADDR3_TCS  = 0x000800,
    DSA_FLAG_CR_TCS     = 0x001000,
    DSA_FLAG_STORD      = 0x002000,
    DSA_FLAG_DRDBK      = 0x004000,
    DSA_FLAG_DSTS       = 0x008000,
    /* DRAIN */
    DSA_FLAG_RDBK1      = 0x010000,
    DSA_FLAG_RDBK2      = 0x020000,
    DSA_FLAG_NO_TCA     = 0x040000,
    DSA_FLAG_NO_TCB     = 0x080000,
    /* CRCGEN, COPY_CRC */
    DSA_FLAG_RD_SEED    = 0x010000,
    DSA_FLAG_NO_INVERT  = 0x020000,
    DSA_FLAG_NO_REFLECT = 0x040000,
};

/* Completion record */
#define DSA_CR_SIZE             32
#define DSA_CR_STATUS           0
#define DSA_CR_RESULT           1
#define DSA_CR_BYTES            4
#define DSA_CR_FAULT_ADDR       8
#define DSA_CR_INVALID_FLAGS    16
#define DSA_CR_CRC              16

enum {
    DSA_COMP_NONE               = 0x00,
    DSA_COMP_SUCCESS            = 0x01,
    DSA_COMP_SUCCESS_PRED       = 0x02,
    DSA_COMP_PAGE_FAULT_NOBOF   = 0x03,
    DSA_COMP_PAGE_FAULT_IR      = 0x04,
    DSA_COMP_BATCH_FAIL         = 0x05,
    DSA_COMP_BATCH_PAGE_FAULT   = 0x06,
    DSA_COMP_BAD_OPCODE         = 0x10,
    DSA_COMP_INVALID_FLAGS      = 0x11,
    DSA_COMP_NOZERO_RESERVE     = 0x12,
    DSA_COMP_XFER_ERANGE        = 0x13,
    DSA_COMP_DESC_CNT_ERANGE    = 0x14,
    DSA_COMP_OVERLAP_BUFFERS    = 0x16,
    DSA_COMP_DCAST_ERR          = 0x17,
    DSA_COMP_DESCLIST_ALIGN     = 0x18,
    DSA_COMP_INT_HANDLE_INVAL   = 0x19,
    DSA_COMP_CRA_XLAT           = 0x1a,
    DSA_COMP_CRA_ALIGN          = 0x1b,
    DSA_COMP_ADDR_ALIGN         = 0x1c,
    DSA_COMP_PRIV_BAD           = 0x1d,
    DSA_COMP_PFAULT_RDBA        = 0x1f,
    DSA_COMP_WRITE              = 0x80, /* added to a fault on a write */
    /* Submissions that were dropped: in SWERR and the event log only */
    DSA_ERR_WQ_NOT_ENABLED      = 0x81,
    DSA_ERR_WQ_FULL             = 0x82,
    DSA_ERR_WQ_MODE             = 0x83,
};

/* PASID extended capability, at the start of the extended config space */
#define DSA_PASID_CAP           0x100
#define DSA_PASID_CAP_ID        0x1b
#define DSA_PASID_CAPS          (DSA_PASID_CAP + 4)
#define DSA_PASID_CTRL          (DSA_PASID_CAP + 6)
#define DSA_PASID_WIDTH         20
    FIELD(PASID_CAPS, PRIV, 2, 1)
    FIELD(PASID_CAPS, WIDTH, 8, 5)
    FIELD(PASID_CTRL, EN, 0, 1)
    FIELD(PASID_CTRL, PRIV_EN, 2, 1)

#endif
