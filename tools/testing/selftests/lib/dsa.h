/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A DSA seen from user space: its registers, its commands, its descriptors, and
 * the pool of work queues that idxd_vdev makes vdevs from.
 */
#ifndef SELFTESTS_DSA_H
#define SELFTESTS_DSA_H

#include <linux/idxd.h>
#include <linux/pci_regs.h>

#include "vdev.h"

#define DSA_DRIVERS		"/sys/bus/dsa/drivers"
#define DSA_DEVICES		"/sys/bus/dsa/devices"
#define DSA_PCI_DRIVER		"/sys/bus/pci/drivers/idxd"
#define IDXD_CMD_TIMEOUT	"/sys/module/idxd/parameters/cmd_timeout_ms"
#define IDXD_CMD_TIMEOUT_DEFAULT "30000"
/*
 * With a timeout that is much shorter than the default, what hangs ends long before that.
 * The seconds are no performance: they tell the two apart, on a slow machine as well.
 */
#define IDXD_CMD_TIMEOUT_SHORT	"500"
#define IDXD_SHORT_SECONDS	20
#define DSA_WQ_DRIVER		"vdev"
#define DSA_TYPE		"idxd-1dwq"
#define DSA_WQ_SIZE		16

/* --- BAR0 registers (numbers from the DSA specification) ----------------- */
#define DSA_VERSION		0x00
#define DSA_GENCAP		0x10
#define   GENCAP_OVERLAP	(1ull << 1)
#define   GENCAP_CMD_CAP	(1ull << 4)
#define   GENCAP_MAX_XFER(v)	(((v) >> 16) & 0x1f)
#define   GENCAP_MAX_BATCH(v)	(((v) >> 21) & 0xf)
#define   GENCAP_IMS(v)		(((v) >> 25) & 0x3f)
#define   GENCAP_CONFIG_EN	(1ull << 31)
#define DSA_WQCAP		0x20
#define   WQCAP_TOTAL_SIZE(v)	((v) & 0xffff)
#define   WQCAP_NUM(v)		(((v) >> 16) & 0xff)
#define   WQCAP_STRIDE(v)	(32u << (((v) >> 24) & 0xf))
#define   WQCAP_SHARED		(1ull << 48)
#define   WQCAP_DEDICATED	(1ull << 49)
#define DSA_GRPCAP		0x30
#define DSA_ENGCAP		0x38
#define DSA_OPCAP		0x40
#define DSA_OFFSETS		0x60
#define DSA_GENCFG		0x80
#define   GENCFG_USER_INT_EN	(1u << 12)
#define DSA_GENCTRL		0x88
#define   GENCTRL_SOFTERR_INT	(1u << 0)
#define   GENCTRL_HALT_INT	(1u << 1)
#define DSA_GENSTS		0x90
#define   GENSTS_STATE(v)	((v) & 3)
#define   GENSTS_DISABLED	0
#define   GENSTS_ENABLED	1
#define   GENSTS_HALT		3
#define   GENSTS_RESET_TYPE(v)	(((v) >> 2) & 3)
#define   GENSTS_RESET_FLR	1
#define DSA_INTCAUSE		0x98
#define   INTC_ERR		(1u << 0)
#define   INTC_CMD		(1u << 1)
#define   INTC_HALT		(1u << 4)
#define   INTC_REVOKED		(1u << 31)
#define DSA_CMD			0xa0
#define   CMD_INT_REQ		(1u << 31)
#define   CMD_IMS_HANDLE	(1u << 16)
#define DSA_CMDSTS		0xa8
#define   CMDSTS_ACTIVE		(1u << 31)
#define   CMDSTS_ERR(v)		((v) & 0xff)
#define   CMDSTS_RESULT(v)	(((v) >> 8) & 0xffff)
#define DSA_CMDCAP		0xb0
#define DSA_SWERR		0xc0
#define   SWERR_VALID		(1u << 0)
#define   SWERR_OVERFLOW	(1u << 1)
#define   SWERR_ERROR(v)	(((v) >> 8) & 0xff)

/* WQCFG, in 32-bit words of a WQ's block */
#define WQCFG_SIZE		0
#define WQCFG_MODE		2
#define   WQCFG_DEDICATED	(1u << 0)
#define   WQCFG_BLOCK_ON_FAULT	(1u << 1)
#define   WQCFG_PRS_DISABLE	(1u << 3)
#define   WQCFG_PASID(v)	(((v) >> 8) & 0xfffff)
#define   WQCFG_PASID_EN	(1u << 28)
#define WQCFG_LIMITS		3
#define   WQCFG_MAX_XFER(v)	((v) & 0x1f)
#define   WQCFG_MAX_BATCH(v)	(((v) >> 5) & 0xf)
#define WQCFG_STATE		6
#define   WQCFG_WQ_STATE(v)	((v) >> 30)

enum dsa_cmd_code {
	CMD_ENABLE_DEVICE = 1,
	CMD_DISABLE_DEVICE,
	CMD_DRAIN_ALL,
	CMD_ABORT_ALL,
	CMD_RESET_DEVICE,
	CMD_ENABLE_WQ,
	CMD_DISABLE_WQ,
	CMD_DRAIN_WQ,
	CMD_ABORT_WQ,
	CMD_RESET_WQ,
	CMD_DRAIN_PASID,
	CMD_ABORT_PASID,
	CMD_REQUEST_INT_HANDLE,
	CMD_RELEASE_INT_HANDLE,
	CMD_LAST = CMD_RELEASE_INT_HANDLE,
};

enum dsa_cmd_err {
	ERR_INVAL_CMD = 0x01,
	ERR_INVAL_WQIDX = 0x02,
	ERR_DEV_ENABLED = 0x10,
	ERR_BUSMASTER = 0x12,
	ERR_DEV_NOT_EN = 0x20,
	ERR_WQ_ENABLED = 0x21,
	ERR_DIS_DEV_NOT_EN = 0x31,	/* DISABLE_DEVICE */
	ERR_WQ_DEV_NOT_EN = 0x32,	/* DISABLE / DRAIN / ABORT / RESET WQ */
	ERR_INT_IDX = 0x41,
	ERR_HW = 0x03,
};

/* --- portals: pages of BAR2 ---------------------------------------------- */
#define PORTAL_PAGE		0x1000
#define PORTAL_UNLIMITED	0
#define PORTAL_LIMITED		1

/* --- the pool of WQs ----------------------------------------------------- */

struct dsa_pool {
	char dsa[16];		/* "dsa0" */
	char parent[32];	/* the PF: "0000:6a:01.0" */
	unsigned int nr_wqs;
};

/*
 * Load the modules, configure dedicated WQs 0..@nr-1 of the first DSA ($DSA
 * names another one) for the vdev driver, and enable them. What is there
 * already stays. -ENODEV means that this machine has no DSA.
 */
int dsa_pool_get(struct dsa_pool *pool, unsigned int nr);
/*
 * What of the dsa bus is enabled now; dsa_restore() disables all else again, so
 * that a test leaves a machine as it was.
 */
struct dsa_snapshot {
	char name[32][16];
	unsigned int nr;
};

void dsa_snapshot(struct dsa_snapshot *snap);
void dsa_restore(const struct dsa_snapshot *snap);

/* Configure, and enable, one WQ; "vdev" or "dmaengine" is the usual @driver. */
int dsa_wq_configure(const struct dsa_pool *pool, unsigned int wq, const char *type,
		     const char *driver);
int dsa_wq_enable(const struct dsa_pool *pool, unsigned int wq, const char *type,
		  const char *driver);
int dsa_wq_disable(const struct dsa_pool *pool, unsigned int wq, const char *driver);
/* Bind the driver of the PF anew: that is what it takes to use a broken device again. */
int dsa_rebind(const struct dsa_pool *pool);
/* Double word @dw of what the PF itself has in WQCFG, or a negative error */
long long dsa_host_wqcfg(const struct dsa_pool *pool, unsigned int wq, unsigned int dw);

/* --- one device ---------------------------------------------------------- */

struct dsa {
	int fd;				/* the vdev's device file */
	struct vdev_region cfg;
	struct vdev_region regs;
	struct vdev_region portals;
	void *portal;			/* mmapped portal page; NULL: write() to it */
	unsigned int page;		/* which portal page: PORTAL_* */
	uint16_t int_handle;
};

/* Learn the regions of a bound vdev. */
int dsa_init(struct dsa *dsa, int fd);
bool dsa_can_map(const struct dsa *dsa);
/* From now on submit through the mapped page @page of BAR2. */
int dsa_map(struct dsa *dsa, unsigned int page);
void dsa_unmap(struct dsa *dsa);

uint32_t dsa_read32(struct dsa *dsa, uint64_t reg);
uint64_t dsa_read64(struct dsa *dsa, uint64_t reg);
int dsa_write32(struct dsa *dsa, uint64_t reg, uint32_t value);
int dsa_write64(struct dsa *dsa, uint64_t reg, uint64_t value);
uint32_t dsa_wqcfg(struct dsa *dsa, unsigned int word);

/* Run a command and wait for its end: CMDSTS, -ETIMEDOUT, or -ENODEV if the device is gone. */
long dsa_cmd(struct dsa *dsa, uint32_t code, uint32_t operand);
/* The second half of that */
long dsa_cmd_wait(struct dsa *dsa);
/* The operand that selects WQ 0 in the commands that take a WQ mask. */
#define WQ_MASK(set, mask) (((set) << 16) | (mask))
#define WQ0 WQ_MASK(0, 1)

int dsa_set_command(struct dsa *dsa, uint16_t command);
/* Memory and bus mastering on, device and WQ enabled (both may be already). */
int dsa_start(struct dsa *dsa);
/* Get the interrupt handle for MSI-X vector 1 into dsa->int_handle. */
int dsa_request_int_handle(struct dsa *dsa);

/*
 * Submit one descriptor: MOVDIR64B to the mapped page, or a 64-byte write() to
 * the same place in the region. A mapped page that must not be used raises SIGBUS.
 */
int dsa_submit(struct dsa *dsa, const struct dsa_hw_desc *desc);
/* Wait until the device has written the record; its status or -ETIMEDOUT. */
int dsa_wait(const struct dsa_completion_record *cr, int ms);
/* Wait until there is an error in SWERR; its first 64 bits, or 0. */
uint64_t dsa_wait_swerr(struct dsa *dsa);

/* --- memory for descriptors and data ------------------------------------- */

/* Page-aligned memory, shared with children, that is mapped at @iova in one IOAS. */
struct dsa_mem {
	uint8_t *va;
	uint64_t iova;
	size_t size;
};

int dsa_mem_alloc(struct dsa_mem *mem, int iommufd, uint32_t ioas, uint64_t iova, size_t size);
void dsa_mem_free(struct dsa_mem *mem);

/* The first page of a dsa_mem holds 32-byte completion records. */
#define DSA_MEM_RECORDS		(0x1000 / sizeof(struct dsa_completion_record))

static inline struct dsa_completion_record *dsa_cr(const struct dsa_mem *mem, unsigned int i)
{
	return (struct dsa_completion_record *)mem->va + i;
}

/* A descriptor that asks for record @i, which is cleared. */
struct dsa_hw_desc dsa_desc(const struct dsa_mem *mem, unsigned int i, enum dsa_opcode opcode);
struct dsa_hw_desc dsa_desc_move(const struct dsa_mem *mem, unsigned int i, size_t src,
				 size_t dst, uint32_t len);
/* Clear the record, submit and wait: the record's status, or a negative errno. */
int dsa_run(struct dsa *dsa, const struct dsa_mem *mem, const struct dsa_hw_desc *desc);

/* Bytes that depend on their place and on @seed. */
void dsa_fill(uint8_t *buf, size_t len, uint32_t seed);
/* Offset of the first byte that dsa_fill() would have made otherwise, or -1. */
long dsa_check(const uint8_t *buf, size_t len, uint32_t seed);

#endif
