/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hardware of the sample, as its driver sees it. There is no such card: the files
 * siov_pf.c and siov_iommu.c play its part, and what a driver does to a real one
 * with readq(), writeq() and request_irq() it does to this one by these functions.
 */
#ifndef SIOV_PF_H
#define SIOV_PF_H

#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/types.h>

#include "siov_regs.h"

/* The PF is a platform device of this name */
#define SIOV_PF_NAME		"siov-pf"
#define SIOV_ADDR_WIDTH		48

/*
 * A context is the part of the PF that does the work of one user: registers, a doorbell
 * page, an interrupt. SIOV calls it an ADI, an assignable device interface. Behind the
 * user's registers of siov_regs.h it has two for its driver alone.
 */
#define SIOV_PASID		0x30	/* the PASID that all DMA carries */
#define SIOV_CTRL		0x38	/* one of enum siov_ctrl, write-only */
#define SIOV_NUM_REGS		8

enum siov_ctrl {
	SIOV_CTRL_RUN,		/* obey the doorbell */
	SIOV_CTRL_DRAIN,	/* do what it asks for, then stop */
	SIOV_CTRL_STOP,		/* stop at once */
	SIOV_CTRL_RESET,	/* stop and clear all registers */
};

struct siov_ctx;

u32 siov_pf_num_contexts(void);
u32 siov_pf_free_contexts(void);

struct siov_ctx *siov_ctx_get(void (*irq)(void *data), void *data);
void siov_ctx_put(struct siov_ctx *ctx);
u64 siov_ctx_read(struct siov_ctx *ctx, u32 reg);
void siov_ctx_write(struct siov_ctx *ctx, u32 reg, u64 val);
phys_addr_t siov_ctx_doorbell(struct siov_ctx *ctx);

/* Between the PF and its IOMMU */
struct fwnode_handle *siov_iommu_fwnode(void);
size_t siov_iommu_access(ioasid_t pasid, u64 iova, void *buf, size_t len, bool write);
bool siov_iommu_page_request(ioasid_t pasid, u64 iova, bool write, u32 grpid);
void siov_iommu_fault(ioasid_t pasid, u64 iova, bool write);
void siov_iommu_set_respond(void (*respond)(u32 grpid, bool mapped));

#endif /* SIOV_PF_H */
