/*
 * QTest testcase for intel-iommu: DMA with PASID in scalable mode
 *
 * The device that sends it is the DSA model: each of its work queues copies
 * memory under the PASID that it is given.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libqos/pci-pc.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/misc/dsa/dsa-regs.h"
#include "hw/pci/pci_regs.h"

#define VTD(reg)            (Q35_HOST_BRIDGE_IOMMU_ADDR + (reg))

/* VT-d structures in guest memory */
#define ROOT_TABLE          0x100000
#define CONTEXT_TABLE       0x101000
#define INV_QUEUE           0x102000
#define PASID_DIR           0x120000    /* 128 KiB for 20 bits */
#define TABLES              0x200000    /* what is allocated, upwards */
/* Where data is: one page each for the source, the destination, the record */
#define DATA(n)             (0x1000000 + (n) * 0x10000)

#define PAGE                0x1000
#define PCIEXBAR            0x60
#define ECAM_BASE           0xb0000000ull
#define DEVFN               (4 << 3)
#define LEN                 1024

/* PASID entry: 48-bit second-stage tables, or pass-through, both present */
#define PE_AW_48            (2 << 2)
#define PE_SLT  (VTD_SM_PASID_ENTRY_SLT | PE_AW_48 | VTD_PASID_ENTRY_P)
#define PE_PT   (VTD_SM_PASID_ENTRY_PT | PE_AW_48 | VTD_PASID_ENTRY_P)

/* A second PASID that needs all of the 20 bits */
#define PASID_A             5
#define PASID_B             0xf1234

typedef struct Test {
    QTestState *qts;
    QPCIBus *bus;
    QPCIDevice *dev;
    QPCIBar regs;
    QPCIBar portals;
    uint64_t next_table;
    unsigned inv_tail;
} Test;

static uint64_t table_alloc(Test *t)
{
    uint64_t table = t->next_table;

    t->next_table += PAGE;
    qtest_memset(t->qts, table, 0, PAGE);
    return table;
}

/* The entry of @table at @addr, which is a table itself: made if need be */
static uint64_t table_next(Test *t, uint64_t addr, uint64_t flags)
{
    uint64_t entry = qtest_readq(t->qts, addr);

    if (!entry) {
        entry = table_alloc(t) | flags;
        qtest_writeq(t->qts, addr, entry);
    }
    return entry & ~0xfffull;
}

static uint64_t pasid_entry(Test *t, uint32_t pasid)
{
    return table_next(t, PASID_DIR + VTD_PASID_DIR_INDEX(pasid) * 8, 1) +
           VTD_PASID_TABLE_INDEX(pasid) * VTD_PASID_ENTRY_SIZE;
}

static void pasid_set(Test *t, uint32_t pasid, uint64_t entry, uint16_t domain)
{
    uint64_t addr = pasid_entry(t, pasid);

    qtest_writeq(t->qts, addr + 8, domain);
    qtest_writeq(t->qts, addr, entry);
}

/* Map a page; @pa of 0 takes it away */
static void map(Test *t, uint64_t pgd, uint64_t iova, uint64_t pa)
{
    uint64_t table = pgd;

    for (int level = 4; level > 1; level--) {
        table = table_next(t, table + (iova >> (3 + 9 * level) & 0x1ff) * 8,
                           VTD_SL_R | VTD_SL_W);
    }
    qtest_writeq(t->qts, table + (iova >> 12 & 0x1ff) * 8,
                 pa ? pa | VTD_SL_R | VTD_SL_W : 0);
}

static void invalidate(Test *t, uint64_t lo, uint64_t hi)
{
    uint64_t desc = INV_QUEUE + t->inv_tail * 32;

    qtest_writeq(t->qts, desc, lo);
    qtest_writeq(t->qts, desc + 8, hi);
    qtest_writeq(t->qts, desc + 16, 0);
    qtest_writeq(t->qts, desc + 24, 0);
    t->inv_tail++;
    qtest_writeq(t->qts, VTD(DMAR_IQT_REG), t->inv_tail << 5);
    g_assert_cmphex(qtest_readq(t->qts, VTD(DMAR_IQH_REG)), ==,
                    t->inv_tail << 5);
}

static void invalidate_pasid(Test *t, uint32_t pasid, uint16_t domain)
{
    invalidate(t, VTD_INV_DESC_PC | VTD_INV_DESC_PC_PASID_SI |
               (uint64_t)domain << 16 | (uint64_t)pasid << 32, 0);
}

static void invalidate_domain(Test *t, uint16_t domain)
{
    invalidate(t, VTD_INV_DESC_IOTLB | VTD_INV_DESC_IOTLB_DOMAIN |
               (uint64_t)domain << 16, 0);
}

static void command(Test *t, unsigned code, unsigned operand)
{
    uint32_t status;

    qpci_io_writel(t->dev, t->regs, A_CMD, code << R_CMD_CODE_SHIFT | operand);
    do {
        status = qpci_io_readl(t->dev, t->regs, A_CMDSTS);
    } while (status & R_CMDSTS_ACTIVE_MASK);
    g_assert_cmphex(status, ==, 0);
}

/* WQ @id is dedicated to @pasid, or to requests without one if that is -1 */
static void wq_config(Test *t, unsigned id, int64_t pasid)
{
    uint64_t cfg = DSA_WQCFG_BASE + id * DSA_WQCFG_STRIDE;
    uint32_t mode = R_WQCFG2_MODE_MASK | 1 << R_WQCFG2_PRIORITY_SHIFT;

    if (pasid >= 0) {
        mode |= pasid << R_WQCFG2_PASID_SHIFT | R_WQCFG2_PASID_EN_MASK;
    }
    qpci_io_writel(t->dev, t->regs, cfg, 8);
    qpci_io_writel(t->dev, t->regs, cfg + 8, mode);
    qpci_io_writel(t->dev, t->regs, cfg + 12, DSA_MAX_XFER_SHIFT |
                   5 << R_WQCFG3_MAX_BATCH_SHIFT_SHIFT);
}

static void setup(Test *t, int64_t pasid0, int64_t pasid1)
{
    QPCIDevice *host;
    QTestState *qts;

    *t = (Test) { .next_table = TABLES };
    t->qts = qts = qtest_init("-nodefaults -M q35 "
                              "-device intel-iommu,x-scalable-mode=on,"
                              "x-flts=off,x-pasid-mode=on,aw-bits=48 "
                              "-device dsa,addr=4");
    t->bus = qpci_new_pc(qts, NULL);

    /* The PASID capability is in the extended configuration space */
    host = qpci_device_find(t->bus, 0);
    g_assert_nonnull(host);
    qpci_config_writel(host, PCIEXBAR + 4, 0);
    qpci_config_writel(host, PCIEXBAR, ECAM_BASE | 1);
    g_free(host);
    qtest_writew(qts, ECAM_BASE + (DEVFN << 12) + DSA_PASID_CTRL,
                 R_PASID_CTRL_EN_MASK);

    t->dev = qpci_device_find(t->bus, DEVFN);
    g_assert_nonnull(t->dev);
    qpci_device_enable(t->dev);
    t->regs = qpci_iomap(t->dev, DSA_REG_BAR, NULL);
    t->portals = qpci_iomap(t->dev, DSA_PORTAL_BAR, NULL);

    /* Scalable mode; RID_PASID is 0 and has no entry until a test makes one */
    qtest_writeq(qts, ROOT_TABLE, CONTEXT_TABLE | 1);
    qtest_writeq(qts, CONTEXT_TABLE + DEVFN * 32,
                 PASID_DIR | 7 << 9 | 1 << 3 | 1);
    qtest_writeq(qts, VTD(DMAR_RTADDR_REG), ROOT_TABLE | VTD_RTADDR_SMT);
    qtest_writel(qts, VTD(DMAR_GCMD_REG), VTD_GCMD_SRTP);
    qtest_writeq(qts, VTD(DMAR_IQA_REG), INV_QUEUE | VTD_IQA_DW_MASK);
    qtest_writel(qts, VTD(DMAR_GCMD_REG), VTD_GCMD_QIE);
    qtest_writel(qts, VTD(DMAR_GCMD_REG), VTD_GCMD_QIE | VTD_GCMD_TE);
    g_assert_cmphex(qtest_readl(qts, VTD(DMAR_GSTS_REG)) & VTD_GSTS_TES, ==,
                    VTD_GSTS_TES);

    /* Both WQs in a group with one engine */
    qpci_io_writeq(t->dev, t->regs, DSA_GRPCFG_BASE, 3);
    qpci_io_writeq(t->dev, t->regs, DSA_GRPCFG_BASE + 32, 1);
    wq_config(t, 0, pasid0);
    wq_config(t, 1, pasid1);
    command(t, DSA_CMD_ENABLE_DEVICE, 0);
    command(t, DSA_CMD_ENABLE_WQ, 0);
    command(t, DSA_CMD_ENABLE_WQ, 1);
}

static void teardown(Test *t)
{
    g_free(t->dev);
    qpci_free_pc(t->bus);
    qtest_quit(t->qts);
}

static void copy(Test *t, unsigned wq, uint64_t src, uint64_t dst, uint64_t cr)
{
    uint64_t desc[DSA_DESC_SIZE / 8] = {
        (uint64_t)DSA_OP_MEMMOVE << R_DESC0_OPCODE_SHIFT |
        (uint64_t)(DSA_FLAG_CRAV | DSA_FLAG_RCR) << R_DESC0_FLAGS_SHIFT,
        cr, src, dst, LEN
    };

    for (int i = 0; i < ARRAY_SIZE(desc); i++) {
        qpci_io_writeq(t->dev, t->portals, wq * DSA_PORTAL_STRIDE + i * 8,
                       desc[i]);
    }
}

/* The status of the completion record at the physical address @cr */
static uint8_t wait_record(Test *t, uint64_t cr)
{
    for (int i = 0; i < 5000; i++) {
        uint8_t status = qtest_readb(t->qts, cr + DSA_CR_STATUS);

        if (status) {
            return status;
        }
        g_usleep(1000);
    }
    g_assert_not_reached();
}

/* The error of a descriptor whose record cannot be written */
static uint8_t wait_swerr(Test *t)
{
    for (int i = 0; i < 5000; i++) {
        uint64_t err = qpci_io_readq(t->dev, t->regs, A_SWERR0);

        if (err & R_SWERR0_VALID_MASK) {
            qpci_io_writeq(t->dev, t->regs, A_SWERR0, R_SWERR0_VALID_MASK |
                           R_SWERR0_OVERFLOW_MASK);
            return err >> R_SWERR0_ERROR_SHIFT;
        }
        g_usleep(1000);
    }
    g_assert_not_reached();
}

static void data_fill(Test *t, unsigned n, uint8_t pattern)
{
    qtest_memset(t->qts, DATA(n), pattern, LEN);
    qtest_memset(t->qts, DATA(n) + PAGE, 0, 2 * PAGE);
}

static bool data_copied(Test *t, unsigned n, uint8_t pattern)
{
    uint8_t dst[LEN];

    qtest_memread(t->qts, DATA(n) + PAGE, dst, sizeof(dst));
    for (int i = 0; i < LEN; i++) {
        if (dst[i] != pattern) {
            return false;
        }
    }
    return true;
}

/* Second-stage tables that map the three pages of DATA(n) at @iova */
static uint64_t data_map(Test *t, unsigned n, uint64_t iova)
{
    uint64_t pgd = table_alloc(t);

    for (int i = 0; i < 3; i++) {
        map(t, pgd, iova + i * PAGE, DATA(n) + i * PAGE);
    }
    return pgd;
}

/* The one fault record, which is cleared.  @pasid of -1: one without PASID */
static void assert_fault(Test *t, uint8_t reason, uint64_t addr, int64_t pasid)
{
    uint64_t lo = qtest_readq(t->qts, VTD(DMAR_FRCD_REG_OFFSET));
    uint64_t hi = qtest_readq(t->qts, VTD(DMAR_FRCD_REG_OFFSET + 8));

    g_assert_cmphex(hi & VTD_FRCD_F, ==, VTD_FRCD_F);
    g_assert_cmphex(hi & 0xffff, ==, DEVFN);
    g_assert_cmphex(extract64(hi, 32, 8), ==, reason);
    g_assert_cmphex(lo, ==, addr);
    g_assert_cmpint(extract64(hi, 31, 1), ==, pasid >= 0);
    g_assert_cmphex(extract64(hi, 40, 20), ==, pasid >= 0 ? pasid : 0);

    qtest_writeq(t->qts, VTD(DMAR_FRCD_REG_OFFSET + 8), VTD_FRCD_F);
    qtest_writel(t->qts, VTD(DMAR_FSTS_REG), VTD_FSTS_PFO);
}

static void assert_no_fault(Test *t)
{
    g_assert_cmphex(qtest_readq(t->qts, VTD(DMAR_FRCD_REG_OFFSET + 8)) &
                    VTD_FRCD_F, ==, 0);
}

#define IOVA    0x40000000ull

static void test_capability(void)
{
    uint64_t ecap;
    Test t;

    setup(&t, PASID_A, PASID_B);
    ecap = qtest_readq(t.qts, VTD(DMAR_ECAP_REG));
    g_assert_cmphex(ecap & VTD_ECAP_PASID, ==, VTD_ECAP_PASID);
    g_assert_cmpint(extract64(ecap, 35, 5), ==, 19);
    teardown(&t);
}

/* The same IOVAs are other memory for another PASID */
static void test_isolation(void)
{
    Test t;

    setup(&t, PASID_A, PASID_B);
    pasid_set(&t, PASID_A, data_map(&t, 0, IOVA) | PE_SLT, 1);
    pasid_set(&t, PASID_B, data_map(&t, 1, IOVA) | PE_SLT, 2);
    data_fill(&t, 0, 0xaa);
    data_fill(&t, 1, 0xbb);

    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==, DSA_COMP_SUCCESS);
    g_assert_true(data_copied(&t, 0, 0xaa));
    g_assert_true(data_copied(&t, 1, 0));

    copy(&t, 1, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(1) + 2 * PAGE), ==, DSA_COMP_SUCCESS);
    g_assert_true(data_copied(&t, 0, 0xaa));
    g_assert_true(data_copied(&t, 1, 0xbb));
    assert_no_fault(&t);
    teardown(&t);
}

/* Every fault says whose it is */
static void test_faults(void)
{
    uint64_t pgd;
    Test t;

    setup(&t, PASID_B, -1);

    /* No directory entry; no table entry; one that is not present any more */
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_DIR_ENTRY_P, IOVA, PASID_B);

    pasid_entry(&t, PASID_B);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_ENTRY_P, IOVA, PASID_B);

    data_fill(&t, 0, 0xaa);
    pgd = data_map(&t, 0, IOVA);
    pasid_set(&t, PASID_B, (pgd | PE_SLT) & ~(uint64_t)VTD_PASID_ENTRY_P, 1);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_ENTRY_P, IOVA, PASID_B);
    g_assert_true(data_copied(&t, 0, 0));

    /* FPD of an entry that is not present: no record */
    pasid_set(&t, PASID_B, VTD_PASID_ENTRY_FPD, 1);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_no_fault(&t);

    /* A page that is not mapped: source, then destination */
    pasid_set(&t, PASID_B, pgd | PE_SLT, 1);
    copy(&t, 0, IOVA + 0x5000, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF);
    assert_fault(&t, VTD_FR_READ, IOVA + 0x5000, PASID_B);

    data_fill(&t, 0, 0xaa);
    copy(&t, 0, IOVA, IOVA + 0x6000, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    assert_fault(&t, VTD_FR_WRITE, IOVA + 0x6000, PASID_B);

    /* A request without PASID is not one of RID_PASID */
    copy(&t, 1, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_DIR_ENTRY_P, IOVA, -1);

    pasid_set(&t, 0, table_alloc(&t) | PE_SLT, 3);
    copy(&t, 1, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_READ, IOVA, -1);
    teardown(&t);
}

/* A request with PASID to 0xFEEx_xxxx is never an interrupt */
static void test_interrupt_range(void)
{
    const uint64_t msi = VTD_INTERRUPT_ADDR_FIRST;
    uint64_t pgd;
    Test t;

    setup(&t, PASID_A, PASID_B);
    pgd = data_map(&t, 0, IOVA);
    pasid_set(&t, PASID_A, pgd | PE_SLT, 1);

    /* It faults as any page that is not mapped does ... */
    data_fill(&t, 0, 0xaa);
    copy(&t, 0, IOVA, msi, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    assert_fault(&t, VTD_FR_WRITE, msi, PASID_A);

    /* ... and is translated like any that is */
    data_fill(&t, 0, 0xaa);
    map(&t, pgd, msi, DATA(0) + PAGE);
    copy(&t, 0, IOVA, msi, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==, DSA_COMP_SUCCESS);
    g_assert_true(data_copied(&t, 0, 0xaa));
    assert_no_fault(&t);

    /* It must not be the result of a translation, however */
    data_fill(&t, 0, 0xaa);
    map(&t, pgd, IOVA + 0x5000, msi);
    copy(&t, 0, IOVA, IOVA + 0x5000, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    assert_fault(&t, VTD_FR_SM_INTERRUPT_ADDR, IOVA + 0x5000, PASID_A);

    /*
     * Nor must it be reached by pass-through: that is found out per request
     * if the PASID was used before, until the next invalidation.
     */
    copy(&t, 1, DATA(0), msi, DATA(0) + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_DIR_ENTRY_P, DATA(0), PASID_B);
    pasid_set(&t, PASID_B, PE_PT, 2);
    for (int i = 0; i < 2; i++) {
        data_fill(&t, 0, 0xaa);
        copy(&t, 1, DATA(0), msi + PAGE, DATA(0) + 2 * PAGE);
        g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                        DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
        assert_fault(&t, VTD_FR_SM_INTERRUPT_ADDR, msi + PAGE, PASID_B);
        invalidate_pasid(&t, PASID_B, 2);
    }
    teardown(&t);
}

/* What was mapped is out of reach when its invalidation has completed */
static void test_unmap(void)
{
    uint64_t pgd;
    Test t;

    setup(&t, PASID_A, PASID_B);
    pgd = data_map(&t, 0, IOVA);
    pasid_set(&t, PASID_A, pgd | PE_SLT, 1);
    data_fill(&t, 0, 0xaa);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==, DSA_COMP_SUCCESS);

    data_fill(&t, 0, 0xbb);
    map(&t, pgd, IOVA + PAGE, 0);
    invalidate_domain(&t, 1);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    assert_fault(&t, VTD_FR_WRITE, IOVA + PAGE, PASID_A);
    g_assert_true(data_copied(&t, 0, 0));

    /* The PASID entry goes, and with it all the rest */
    data_fill(&t, 0, 0xcc);
    pasid_set(&t, PASID_A, 0, 0);
    invalidate_pasid(&t, PASID_A, 1);
    invalidate_domain(&t, 1);
    copy(&t, 0, IOVA, IOVA + PAGE, IOVA + 2 * PAGE);
    g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
    assert_fault(&t, VTD_FR_PASID_ENTRY_P, IOVA, PASID_A);
    teardown(&t);
}

/* Pass-through ends when the PASID entry says so, also that of the RID */
static void test_pass_through(void)
{
    Test t;

    setup(&t, PASID_A, -1);
    for (int wq = 0; wq < 2; wq++) {
        uint32_t pasid = wq ? 0 : PASID_A;

        pasid_set(&t, pasid, PE_PT, 1);
        for (int i = 0; i < 2; i++) {
            data_fill(&t, 0, 0xaa + i);
            copy(&t, wq, DATA(0), DATA(0) + PAGE, DATA(0) + 2 * PAGE);
            g_assert_cmphex(wait_record(&t, DATA(0) + 2 * PAGE), ==,
                            DSA_COMP_SUCCESS);
            g_assert_true(data_copied(&t, 0, 0xaa + i));
        }

        data_fill(&t, 0, 0xcc);
        pasid_set(&t, pasid, table_alloc(&t) | PE_SLT, 2);
        invalidate_pasid(&t, pasid, 1);
        invalidate_domain(&t, 1);
        copy(&t, wq, DATA(0), DATA(0) + PAGE, DATA(0) + 2 * PAGE);
        g_assert_cmphex(wait_swerr(&t), ==, DSA_COMP_CRA_XLAT);
        assert_fault(&t, VTD_FR_READ, DATA(0), wq ? -1 : PASID_A);
        g_assert_true(data_copied(&t, 0, 0));
    }
    teardown(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/intel-iommu/pasid/capability", test_capability);
    qtest_add_func("/intel-iommu/pasid/isolation", test_isolation);
    qtest_add_func("/intel-iommu/pasid/faults", test_faults);
    qtest_add_func("/intel-iommu/pasid/interrupt-range", test_interrupt_range);
    qtest_add_func("/intel-iommu/pasid/unmap", test_unmap);
    qtest_add_func("/intel-iommu/pasid/pass-through", test_pass_through);

    return g_test_run();
}
