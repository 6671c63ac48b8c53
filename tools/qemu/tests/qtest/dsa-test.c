/*
 * QTest testcase for the Data Streaming Accelerator model
 *
 * Interrupts are seen without a CPU: each MSI-X vector writes a word of RAM.
 * Only a CPU can send deferrable writes (ENQCMD): the tests of shared WQs have
 * one, which does nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "hw/misc/dsa/dsa-regs.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"

#define ECAM            0xb0000000ull
#define DEVFN           0x20
#define BAR0            0xe0000000ull
#define BAR2            0xe0100000ull
#define DMAR            0xfed90000ull

/* Guest RAM: where things are */
#define MSI_AREA        0x01000000ull
#define CR_AREA         0x01010000ull
#define LOG_AREA        0x01020000ull
#define LIST_AREA       0x01030000ull
#define TABLES          0x01100000ull
#define SRC             0x02000000ull
#define DST             0x03000000ull
#define DST2            0x04000000ull
#define HOLE            0x20000000ull   /* no RAM here */

#define CR(i)           (CR_AREA + (i) * DSA_CR_SIZE)
#define FLAGS           (DSA_FLAG_CRAV | DSA_FLAG_RCR)
#define PATIENCE_US     (10 * 1000 * 1000)

typedef struct Desc {
    uint8_t op;
    uint32_t flags;
    uint64_t cr, src, dst;
    uint32_t size;
    uint16_t handle;
    uint64_t w5, w6;
    uint64_t w0, w4;            /* further bits of these words */
} Desc;

static QTestState *qts;

/* Configuration space */

static uint64_t cfg(unsigned reg)
{
    return ECAM + (DEVFN << 12) + reg;
}

static void dsa_start(const char *args)
{
    uint16_t cap;

    qts = qtest_initf("-M q35 -m 128M -nic none -vga none %s", args);

    /* PCIEXBAR of the host bridge, by the ports */
    qtest_outl(qts, 0xcf8, 0x80000060);
    qtest_outl(qts, 0xcfc, ECAM | 1);

    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_0), BAR0);
    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_0 + 4), 0);
    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_2), BAR2);
    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_2 + 4), 0);
    qtest_writew(qts, cfg(PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

    cap = qtest_readb(qts, cfg(PCI_CAPABILITY_LIST));
    while (cap && qtest_readb(qts, cfg(cap)) != PCI_CAP_ID_MSIX) {
        cap = qtest_readb(qts, cfg(cap + PCI_CAP_LIST_NEXT));
    }
    g_assert_cmphex(cap, !=, 0);
    g_assert_cmpuint(qtest_readw(qts, cfg(cap + PCI_MSIX_FLAGS)) &
                     PCI_MSIX_FLAGS_QSIZE, ==, DSA_NUM_WQS);
    for (int i = 0; i < DSA_NUM_VECTORS; i++) {
        uint64_t entry = BAR0 + DSA_MSIX_TABLE + i * PCI_MSIX_ENTRY_SIZE;

        qtest_writel(qts, entry, MSI_AREA + i * 4);
        qtest_writel(qts, entry + 4, 0);
        qtest_writel(qts, entry + 8, 0x5a + i);
        qtest_writel(qts, entry + 12, 0);
        qtest_writel(qts, MSI_AREA + i * 4, 0);
    }
    qtest_writew(qts, cfg(cap + PCI_MSIX_FLAGS), PCI_MSIX_FLAGS_ENABLE);
}

static void dsa_stop(void)
{
    qtest_quit(qts);
}

/* Has the vector fired since this was last asked? */
static bool irq(unsigned vector)
{
    uint32_t val = qtest_readl(qts, MSI_AREA + vector * 4);

    qtest_writel(qts, MSI_AREA + vector * 4, 0);
    g_assert(val == 0 || val == 0x5a + vector);
    return val;
}

static void wait_irq(unsigned vector)
{
    for (int i = 0; i < PATIENCE_US / 100; i++) {
        if (irq(vector)) {
            return;
        }
        g_usleep(100);
    }
    g_assert_not_reached();
}

/* Registers */

static uint32_t rd32(uint64_t reg)
{
    return qtest_readl(qts, BAR0 + reg);
}

static uint64_t rd64(uint64_t reg)
{
    return qtest_readq(qts, BAR0 + reg);
}

static void wr32(uint64_t reg, uint32_t val)
{
    qtest_writel(qts, BAR0 + reg, val);
}

static void wr64(uint64_t reg, uint64_t val)
{
    qtest_writeq(qts, BAR0 + reg, val);
}

static void cmd_start(unsigned code, uint32_t operand, bool int_req)
{
    uint32_t val = 0;

    val = FIELD_DP32(val, CMD, CODE, code);
    val = FIELD_DP32(val, CMD, OPERAND, operand);
    val = FIELD_DP32(val, CMD, INT_REQ, int_req);
    wr32(A_CMD, val);
}

static bool cmd_active(void)
{
    return FIELD_EX32(rd32(A_CMDSTS), CMDSTS, ACTIVE);
}

static uint32_t cmd_wait(void)
{
    for (int i = 0; i < PATIENCE_US / 100; i++) {
        uint32_t sts = rd32(A_CMDSTS);

        if (!FIELD_EX32(sts, CMDSTS, ACTIVE)) {
            return sts;
        }
        g_usleep(100);
    }
    g_assert_not_reached();
}

static uint32_t cmd(unsigned code, uint32_t operand)
{
    cmd_start(code, operand, false);
    return cmd_wait();
}

static unsigned state(void)
{
    return FIELD_EX32(rd32(A_GENSTS), GENSTS, STATE);
}

static uint64_t wqcfg(unsigned wq, unsigned dword)
{
    return DSA_WQCFG_BASE + wq * DSA_WQCFG_STRIDE + dword * 4;
}

static uint64_t grpcfg(unsigned group, unsigned off)
{
    return DSA_GRPCFG_BASE + group * DSA_GRPCFG_STRIDE + off;
}

static void set_group(unsigned group, uint64_t wqs, uint64_t engines)
{
    wr64(grpcfg(group, 0), wqs);
    wr64(grpcfg(group, 32), engines);
    wr64(grpcfg(group, 40), 0);
}

/* A dedicated WQ without PASID, 2 MiB and 32 descriptors at most */
static void set_wq(unsigned wq, unsigned size, uint32_t dw2)
{
    wr32(wqcfg(wq, 0), size);
    wr32(wqcfg(wq, 1), 0);
    wr32(wqcfg(wq, 2), dw2);
    wr32(wqcfg(wq, 3), 5 << R_WQCFG3_MAX_BATCH_SHIFT_SHIFT | 21);
    for (int i = DSA_WQCFG_OP_CONFIG; i < DSA_WQCFG_STRIDE / 4; i++) {
        wr32(wqcfg(wq, i), UINT32_MAX);
    }
}

#define DEDICATED   R_WQCFG2_MODE_MASK
#define PRIO(p)     ((p) << R_WQCFG2_PRIORITY_SHIFT)

/* WQs 0 and 1 share engine 0; WQ 2 has engine 1; interrupts are allowed */
static void dsa_start_enabled(const char *args)
{
    dsa_start(args);
    wr32(A_GENCFG, R_GENCFG_USER_INT_EN_MASK);
    wr32(A_GENCTRL, R_GENCTRL_SOFTERR_INT_EN_MASK);
    set_group(0, 0x3, 0x1);
    set_group(1, 0x4, 0x2);
    for (int i = 0; i < 3; i++) {
        set_wq(i, 16, DEDICATED | PRIO(1));
    }
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    for (int i = 0; i < 3; i++) {
        g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, i), ==, 0);
    }
}

/* Descriptors */

static void desc_words(const Desc *d, uint64_t *word)
{
    memset(word, 0, DSA_DESC_SIZE);
    word[0] = d->w0;
    word[0] |= (uint64_t)d->flags << R_DESC0_FLAGS_SHIFT;
    word[0] |= (uint64_t)d->op << R_DESC0_OPCODE_SHIFT;
    word[1] = d->cr;
    word[2] = d->src;
    word[3] = d->dst;
    word[4] = d->w4;
    word[4] |= (uint64_t)d->handle << R_DESC4_INT_HANDLE_SHIFT | d->size;
    word[5] = d->w5;
    word[6] = d->w6;
}

/* Write a descriptor to a portal, as MOVDIR64B does */
static void post(unsigned wq, unsigned page, Desc d)
{
    uint64_t portal = BAR2 + wq * DSA_PORTAL_STRIDE + page * DSA_PORTAL_PAGE;
    uint64_t word[8];

    desc_words(&d, word);
    for (int i = 0; i < 8; i++) {
        qtest_writeq(qts, portal + i * 8, word[i]);
    }
}

/* The same, and clear its completion record before */
static void submit(unsigned wq, Desc d)
{
    if (d.cr) {
        qtest_memset(qts, d.cr & ~31ull, 0, DSA_CR_SIZE);
    }
    post(wq, DSA_PORTAL_LIMITED, d);
}

static unsigned status(uint64_t cr)
{
    return qtest_readb(qts, cr);
}

static unsigned wait_status(uint64_t cr)
{
    for (int i = 0; i < PATIENCE_US / 100; i++) {
        if (status(cr)) {
            return status(cr);
        }
        g_usleep(100);
    }
    g_assert_not_reached();
}

/* Run one descriptor with a completion record; its status */
static unsigned run(Desc d)
{
    if (!d.flags) {
        d.flags = FLAGS;
    }
    if (!d.cr) {
        d.cr = CR(0);
    }
    submit(0, d);
    return wait_status(d.cr);
}

#define RUN(...) run((Desc) { __VA_ARGS__ })

static uint32_t cr_bytes(void)
{
    return qtest_readl(qts, CR(0) + DSA_CR_BYTES);
}

static unsigned cr_result(void)
{
    return qtest_readb(qts, CR(0) + DSA_CR_RESULT);
}

static uint64_t cr_fault(void)
{
    return qtest_readq(qts, CR(0) + DSA_CR_FAULT_ADDR);
}

/* Memory */

static void *pattern(uint32_t seed, size_t len)
{
    uint8_t *buf = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        buf[i] = seed >> 24;
    }
    return buf;
}

/* Fill memory with a pattern, which is returned */
static uint8_t *fill(uint64_t addr, uint32_t seed, size_t len)
{
    uint8_t *buf = pattern(seed, len);

    qtest_bufwrite(qts, addr, buf, len);
    return buf;
}

static void assert_mem(uint64_t addr, const void *want, size_t len)
{
    g_autofree uint8_t *got = g_malloc(len);

    qtest_bufread(qts, addr, got, len);
    g_assert(!memcmp(got, want, len));
}

static void assert_filled(uint64_t addr, uint8_t want, size_t len)
{
    g_autofree uint8_t *buf = g_malloc(len);

    memset(buf, want, len);
    assert_mem(addr, buf, len);
}

static uint32_t crc32c_bitwise(uint32_t crc, const uint8_t *buf, size_t len,
                               bool reflect)
{
    while (len--) {
        crc ^= reflect ? *buf++ : (uint32_t)*buf++ << 24;
        for (int i = 0; i < 8; i++) {
            if (reflect) {
                crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
            } else {
                crc = crc << 1 ^ (crc >> 31 ? 0x1edc6f41 : 0);
            }
        }
    }
    return crc;
}

/* PCI and registers */

static void test_pci(void)
{
    dsa_start("-device dsa,addr=4");
    g_assert_cmphex(qtest_readl(qts, cfg(PCI_VENDOR_ID)), ==, 0x0b258086);
    g_assert_cmphex(qtest_readw(qts, cfg(PCI_CLASS_DEVICE)), ==, 0x0880);
    /* PASID capability: first of all, 20 bits, privileged mode */
    g_assert_cmphex(qtest_readl(qts, cfg(DSA_PASID_CAP)) & 0xfffff, ==,
                    0x1001b);
    g_assert_cmphex(qtest_readw(qts, cfg(DSA_PASID_CAPS)), ==, 0x1404);
    qtest_writew(qts, cfg(DSA_PASID_CTRL), 0xffff);
    g_assert_cmphex(qtest_readw(qts, cfg(DSA_PASID_CTRL)), ==, 0x5);
    /* Integrated endpoint with FLR and TLP prefixes */
    g_assert_cmphex(qtest_readw(qts, cfg(0x40 + PCI_EXP_FLAGS)) &
                    PCI_EXP_FLAGS_TYPE, ==, PCI_EXP_TYPE_RC_END << 4);
    g_assert_cmphex(qtest_readl(qts, cfg(0x40 + PCI_EXP_DEVCAP)) &
                    PCI_EXP_DEVCAP_FLR, !=, 0);
    g_assert_cmphex(qtest_readl(qts, cfg(0x40 + PCI_EXP_DEVCAP2)) &
                    PCI_EXP_DEVCAP2_EE_PREFIX, !=, 0);
    dsa_stop();

    dsa_start("-device dsa,version=2,addr=4");
    g_assert_cmphex(qtest_readl(qts, cfg(PCI_VENDOR_ID)), ==, 0x11fb8086);
    dsa_stop();
}

static void test_capabilities(void)
{
    uint64_t gencap, wqcap, offsets;

    dsa_start("-device dsa,addr=4");
    g_assert_cmphex(rd32(A_VER), ==, 0x100);
    gencap = rd64(A_GENCAP);
    g_assert_cmphex(gencap, ==, 0x8155231f);
    g_assert_cmphex(rd32(A_GENCAP), ==, (uint32_t)gencap);
    g_assert_cmphex(rd32(A_GENCAP + 4), ==, gencap >> 32);
    wqcap = rd64(A_WQCAP);
    g_assert_cmpuint(FIELD_EX64(wqcap, WQCAP, TOTAL_SIZE), ==, 128);
    g_assert_cmpuint(FIELD_EX64(wqcap, WQCAP, NUM_WQS), ==, 8);
    g_assert_cmpuint(FIELD_EX64(wqcap, WQCAP, WQCFG_SIZE), ==, 1);
    g_assert_cmpuint(FIELD_EX64(wqcap, WQCAP, OP_CONFIG), ==, 0);
    g_assert_cmpuint(FIELD_EX64(wqcap, WQCAP, PRS), ==, 0);
    g_assert_cmpuint(FIELD_EX64(rd64(A_GRPCAP), GRPCAP, NUM_GROUPS), ==, 4);
    g_assert_cmpuint(rd64(A_ENGCAP), ==, 4);
    g_assert_cmphex(rd64(A_OPCAP), ==, 0x10003027f);
    g_assert_cmphex(rd64(A_OPCAP + 8), ==, 0);
    g_assert_cmphex(rd32(A_CMDCAP), ==, 0x1ffe);
    offsets = rd64(A_OFFSETS0);
    g_assert_cmphex(FIELD_EX64(offsets, OFFSETS0, GRPCFG) * 0x100, ==,
                    DSA_GRPCFG_BASE);
    g_assert_cmphex(FIELD_EX64(offsets, OFFSETS0, WQCFG) * 0x100, ==,
                    DSA_WQCFG_BASE);
    g_assert_cmphex(FIELD_EX64(offsets, OFFSETS0, MSIXPERM) * 0x100, ==,
                    DSA_MSIXPERM_BASE);
    g_assert_cmphex(rd64(A_OFFSETS1), ==, 0);

    /* Read-only ones stay as they are */
    wr64(A_GENCAP, 0);
    wr64(A_OPCAP, 0);
    wr32(A_GENSTS, 1);
    g_assert_cmphex(rd64(A_GENCAP), ==, gencap);
    g_assert_cmphex(rd64(A_OPCAP), ==, 0x10003027f);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    dsa_stop();

    dsa_start("-device dsa,version=2,int-handles=on,evl=off,addr=4");
    g_assert_cmphex(rd32(A_VER), ==, 0x200);
    g_assert_cmpuint(FIELD_EX64(rd64(A_GENCAP), GENCAP, EVL_SUPPORT), ==, 0);
    g_assert_cmpuint(FIELD_EX64(rd64(A_WQCAP), WQCAP, OP_CONFIG), ==, 1);
    g_assert_cmpuint(FIELD_EX64(rd64(A_WQCAP), WQCAP, PRS), ==, 1);
    g_assert_cmpuint(FIELD_EX64(rd64(A_GRPCAP), GRPCAP, PROGRESS_LIMIT), ==, 1);
    g_assert_cmphex(rd32(A_CMDCAP), ==, 0x7ffe);
    set_wq(0, 8, DEDICATED | R_WQCFG2_PRS_DISABLE_MASK);
    g_assert_cmphex(rd32(wqcfg(0, 2)), ==,
                    DEDICATED | R_WQCFG2_PRS_DISABLE_MASK);
    dsa_stop();
}

static void test_config(void)
{
    dsa_start("-device dsa,addr=4");

    /* Reserved bits do not stick */
    wr32(A_GENCFG, UINT32_MAX);
    g_assert_cmphex(rd32(A_GENCFG), ==, 0x30ff);
    wr32(A_GENCFG, 0);
    wr32(A_GENCTRL, UINT32_MAX);
    g_assert_cmphex(rd32(A_GENCTRL), ==, 0x7);
    wr64(DSA_MSIXPERM_BASE + 8, UINT64_MAX);
    g_assert_cmphex(rd64(DSA_MSIXPERM_BASE + 8), ==, 0xfffff008);
    wr32(wqcfg(7, 2), UINT32_MAX);
    g_assert_cmphex(rd32(wqcfg(7, 2)), ==, 0x3ffffff3);
    wr32(wqcfg(7, 8), UINT32_MAX);
    g_assert_cmphex(rd32(wqcfg(7, 8)), ==, 0);
    /* Both halves of a 64-bit write */
    wr64(wqcfg(7, 0), 0x0000000300000010);
    g_assert_cmphex(rd32(wqcfg(7, 0)), ==, 16);
    g_assert_cmphex(rd32(wqcfg(7, 1)), ==, 3);
    wr32(wqcfg(7, 1), 4);
    g_assert_cmphex(rd64(wqcfg(7, 0)), ==, 0x0000000400000010);
    wr64(wqcfg(7, 0), 0);

    /* GRPCFG is locked while the device is enabled, WQCFG while the WQ is */
    set_group(0, 1, 1);
    set_wq(0, 8, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    set_group(0, 3, 3);
    g_assert_cmphex(rd64(grpcfg(0, 0)), ==, 1);
    g_assert_cmphex(rd64(grpcfg(0, 32)), ==, 1);
    set_wq(0, 16, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 6)) >> 30, ==, 1);
    set_wq(0, 8, 0);
    g_assert_cmphex(rd32(wqcfg(0, 0)), ==, 16);
    g_assert_cmphex(rd32(wqcfg(0, 2)), ==, DEDICATED);

    /* Disabling keeps the configuration, resetting a WQ does not */
    g_assert_cmphex(cmd(DSA_CMD_DISABLE_WQ, 1), ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 6)) >> 30, ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 0)), ==, 16);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_RESET_WQ, 1), ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 0)), ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 2)), ==, 0);
    g_assert_cmphex(rd64(grpcfg(0, 0)), ==, 1);

    wr32(A_GENCFG, R_GENCFG_USER_INT_EN_MASK);
    g_assert_cmphex(cmd(DSA_CMD_RESET_DEVICE, 0), ==, 0);
    g_assert_cmphex(rd64(grpcfg(0, 0)), ==, 0);
    g_assert_cmphex(rd32(A_GENCFG), ==, 0);
    g_assert_cmphex(rd64(DSA_MSIXPERM_BASE + 8), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    dsa_stop();
}

/* Commands */

static void test_command_errors(void)
{
    dsa_start("-device dsa,addr=4");

    /* No such command; handles only by property */
    g_assert_cmphex(cmd(0, 0), ==, DSA_CMDSTS_INVAL_CMD);
    g_assert_cmphex(cmd(31, 0), ==, DSA_CMDSTS_INVAL_CMD);
    g_assert_cmphex(cmd(DSA_CMD_REQUEST_INT_HANDLE, 1), ==,
                    DSA_CMDSTS_INVAL_CMD);

    /* Disabled device */
    g_assert_cmphex(cmd(DSA_CMD_DISABLE_DEVICE, 0), ==, DSA_CMDSTS_DIS_DEV_EN);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, DSA_CMDSTS_DEV_NOT_ENABLED);
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_WQ, 1), ==, DSA_CMDSTS_NOT_EN);

    /* Bad configurations of the device */
    set_group(0, 1, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==,
                    DSA_CMDSTS_GRP_NO_ENGINE);
    set_group(0, 1, 1);
    set_group(1, 1, 2);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, DSA_CMDSTS_GRP_WQ);
    set_group(1, 2, 1);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, DSA_CMDSTS_GRP_ENGINE);
    set_group(1, 2, 2);
    wr64(grpcfg(0, 40), 200ull << R_GRPFLAGS_RDBUFS_RESERVED_SHIFT);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, DSA_CMDSTS_GRP_RDBUFS);
    set_group(0, 0x7f, 1);
    set_group(1, 0, 0);
    set_wq(0, 100, DEDICATED);
    set_wq(1, 29, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==,
                    DSA_CMDSTS_WQ_SIZE_RANGE);
    set_wq(1, 28, DEDICATED);
    qtest_writew(qts, cfg(PCI_COMMAND), PCI_COMMAND_MEMORY);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, DSA_CMDSTS_BUSMASTER_EN);
    qtest_writew(qts, cfg(PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_ENABLED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, DSA_CMDSTS_DEV_ENABLED);

    /* WQs */
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 8), ==, DSA_CMDSTS_INVAL_WQIDX);
    g_assert_cmphex(cmd(DSA_CMD_DISABLE_WQ, 0x100), ==, DSA_CMDSTS_INVAL_WQIDX);
    g_assert_cmphex(cmd(DSA_CMD_DISABLE_WQ, 0x10001), ==,
                    DSA_CMDSTS_INVAL_WQIDX);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, DSA_CMDSTS_WQ_SIZE);
    set_wq(7, 1, DEDICATED);        /* not in a group */
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 7), ==, DSA_CMDSTS_WQ_SIZE);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, DSA_CMDSTS_WQ_ENABLED);
    set_wq(2, 29, DEDICATED);       /* 100 + 29 is too much */
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, DSA_CMDSTS_WQ_SIZE);
    set_wq(2, 8, 0);                /* shared, without PASIDs */
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, DSA_CMDSTS_PASID_EN);
    set_wq(2, 8, DEDICATED | R_WQCFG2_PASID_EN_MASK);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, DSA_CMDSTS_PASID_EN);
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    set_wq(2, 8, DEDICATED | R_WQCFG2_PASID_EN_MASK | R_WQCFG2_PRIV_MASK);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, DSA_CMDSTS_PASID_EN);
    qtest_writew(qts, cfg(DSA_PASID_CTRL),
                 R_PASID_CTRL_EN_MASK | R_PASID_CTRL_PRIV_EN_MASK);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 2), ==, 0);
    set_wq(3, 8, R_WQCFG2_PASID_EN_MASK);
    wr32(wqcfg(3, 1), 9);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 3), ==, DSA_CMDSTS_WQ_SIZE);
    wr32(wqcfg(3, 1), 8);
    wr32(wqcfg(3, 3), 22);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 3), ==, DSA_CMDSTS_MAX_XFER);
    wr32(wqcfg(3, 3), 11 << R_WQCFG3_MAX_BATCH_SHIFT_SHIFT);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 3), ==, DSA_CMDSTS_MAX_BATCH);
    wr32(wqcfg(3, 3), 12);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 3), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ABORT_WQ, 0x11), ==, DSA_CMDSTS_NOT_EN);
    g_assert_cmphex(cmd(DSA_CMD_ABORT_WQ, 0x0d), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ABORT_ALL, 0), ==, 0);

    g_assert_cmphex(cmd(DSA_CMD_DISABLE_DEVICE, 0), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    g_assert_cmphex(rd32(wqcfg(0, 6)) >> 30, ==, 0);
    g_assert_cmphex(rd32(wqcfg(0, 0)), ==, 100);
    dsa_stop();
}

static void test_command_interrupt(void)
{
    dsa_start("-device dsa,addr=4");
    g_assert_cmphex(cmd(DSA_CMD_RESET_DEVICE, 0), ==, 0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, 0);
    g_assert_false(irq(0));

    for (int i = 0; i < 2; i++) {
        cmd_start(DSA_CMD_ENABLE_DEVICE, 0, true);
        wait_irq(0);
        g_assert_cmphex(rd32(A_CMDSTS), ==, i ? DSA_CMDSTS_DEV_ENABLED : 0);
        g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_CMD_MASK);
        wr32(A_INTCAUSE, ~R_INTCAUSE_CMD_MASK);
        g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_CMD_MASK);
        wr32(A_INTCAUSE, R_INTCAUSE_CMD_MASK);
        g_assert_cmphex(rd32(A_INTCAUSE), ==, 0);
    }
    dsa_stop();
}

/* Operations */

static void test_noop(void)
{
    dsa_start_enabled("-device dsa,addr=4");
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP), ==, DSA_COMP_SUCCESS);
    /* No record is written that nobody has asked for */
    submit(0, (Desc) { .op = DSA_OP_NOOP, .flags = DSA_FLAG_CRAV,
                       .cr = CR(1) });
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(1)), ==, 0);
    /* Through the other portal */
    qtest_memset(qts, CR(2), 0, DSA_CR_SIZE);
    post(1, DSA_PORTAL_UNLIMITED,
         (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS, .cr = CR(2) });
    g_assert_cmphex(wait_status(CR(2)), ==, DSA_COMP_SUCCESS);
    dsa_stop();
}

/* Only eight writes in order make a descriptor */
static void test_portal(void)
{
    uint64_t portal = BAR2 + DSA_PORTAL_PAGE + 0x40;
    uint64_t word[8];
    Desc noop = { .op = DSA_OP_NOOP, .flags = FLAGS, .cr = CR(0) };

    dsa_start_enabled("-device dsa,addr=4");
    desc_words(&noop, word);
    qtest_memset(qts, CR(0), 0, DSA_CR_SIZE);
    for (int i = 1; i < 8; i++) {           /* the start is missing */
        qtest_writeq(qts, portal + i * 8, word[i]);
    }
    for (int i = 0; i < 8; i++) {           /* a hole */
        if (i != 3) {
            qtest_writeq(qts, portal + i * 8, word[i]);
        }
    }
    for (int i = 0; i < 16; i++) {          /* wrong size */
        qtest_writel(qts, portal + i * 4, word[i / 2] >> i % 2 * 32);
    }
    for (int i = 0; i < 8; i++) {           /* an IMS portal */
        qtest_writeq(qts, portal + 0x2000 + i * 8, word[i]);
    }
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_cmphex(status(CR(0)), ==, 0);
    for (int i = 0; i < 3; i++) {           /* cut short, then begun again */
        qtest_writeq(qts, portal + i * 8, UINT64_MAX);
    }
    for (int i = 0; i < 8; i++) {
        qtest_writeq(qts, portal + i * 8, word[i]);
    }
    g_assert_cmphex(wait_status(CR(0)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    dsa_stop();
}

static void test_memmove(void)
{
    static const struct {
        uint32_t src, dst, size;
    } cases[] = {
        { 0, 0, 1 }, { 1, 0, 1 }, { 4095, 4095, 2 }, { 3, 4090, 4097 },
        { 0, 0, 4096 }, { 17, 1, 65536 }, { 4095, 1, 1 << 20 },
        { 0, 0, 2 << 20 },
    };

    dsa_start_enabled("-device dsa,addr=4");
    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t src = SRC + cases[i].src, dst = DST + cases[i].dst;
        g_autofree uint8_t *want = fill(src, i, cases[i].size);

        qtest_memset(qts, dst, 0xee, cases[i].size + 1);
        qtest_writeb(qts, dst - 1, 0xee);
        g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = src, .dst = dst,
                            .size = cases[i].size), ==, DSA_COMP_SUCCESS);
        g_assert_cmpuint(cr_bytes(), ==, cases[i].size);
        assert_mem(dst, want, cases[i].size);
        g_assert_cmphex(qtest_readb(qts, dst - 1), ==, 0xee);
        g_assert_cmphex(qtest_readb(qts, dst + cases[i].size), ==, 0xee);
    }

    /* Overlapping, in both directions */
    for (int i = -1; i <= 1; i += 2) {
        g_autofree uint8_t *want = fill(SRC + 9000, 7, 20000);

        g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC + 9000,
                            .dst = SRC + 9000 + i * 4321, .size = 20000), ==,
                        DSA_COMP_SUCCESS);
        assert_mem(SRC + 9000 + i * 4321, want, 20000);
    }
    dsa_stop();
}

static void test_fault(void)
{
    dsa_start_enabled("-device dsa,addr=4");

    /* Up to the end of RAM: everything before it is done */
    g_free(fill(SRC, 1, 0x4000));
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC,
                        .dst = 0x8000000 - 0x2345, .size = 0x4000), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(cr_fault(), ==, 0x8000000);
    g_assert_cmphex(cr_bytes(), ==, 0x2345);
    g_assert_cmphex(cr_result(), ==, 0);
    {
        g_autofree uint8_t *want = pattern(1, 0x2345);

        assert_mem(0x8000000 - 0x2345, want, 0x2345);
    }
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = HOLE + 0x123, .dst = DST,
                        .size = 16), ==, DSA_COMP_PAGE_FAULT_NOBOF);
    g_assert_cmphex(cr_fault(), ==, HOLE);
    g_assert_cmphex(cr_bytes(), ==, 0);

    /* From the end of overlapping operands: result says so */
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = 0x8000000 - 0x3000,
                        .dst = 0x8000000 - 0x1000, .size = 0x3000), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(cr_fault(), ==, 0x8001000);
    g_assert_cmphex(cr_result(), ==, 1);

    /* Each of the others */
    g_assert_cmphex(RUN(.op = DSA_OP_MEMFILL, .dst = HOLE, .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(RUN(.op = DSA_OP_COMPARE, .src = SRC, .dst = HOLE,
                        .size = 8), ==, DSA_COMP_PAGE_FAULT_NOBOF);
    g_assert_cmphex(RUN(.op = DSA_OP_COMPVAL, .src = HOLE, .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF);
    g_assert_cmphex(RUN(.op = DSA_OP_DUALCAST, .src = SRC, .dst = DST,
                        .w5 = HOLE, .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = HOLE, .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF);
    g_assert_cmphex(RUN(.op = DSA_OP_COPY_CRC, .src = SRC, .dst = HOLE,
                        .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(RUN(.op = DSA_OP_CFLUSH, .dst = HOLE, .size = 8), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = HOLE, .size = 2), ==,
                    DSA_COMP_BATCH_PAGE_FAULT);
    g_assert_cmphex(cr_fault(), ==, HOLE);
    g_assert_cmphex(RUN(.op = DSA_OP_DRAIN, .src = HOLE,
                        .flags = FLAGS | DSA_FLAG_RDBK1), ==,
                    DSA_COMP_PFAULT_RDBA);

    /* Nothing at all without bus mastering */
    submit(0, (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = CR(0),
                       .dst = DST, .size = 8, .src = UINT64_MAX });
    g_assert_cmphex(wait_status(CR(0)), ==, DSA_COMP_SUCCESS);
    qtest_memset(qts, DST, 0, 8);
    qtest_writew(qts, cfg(PCI_COMMAND), PCI_COMMAND_MEMORY);
    submit(0, (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = CR(0),
                       .dst = DST, .size = 8, .src = UINT64_MAX });
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_cmphex(status(CR(0)), ==, 0);
    g_assert_cmphex(qtest_readq(qts, DST), ==, 0);
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_COMP_CRA_XLAT);
    dsa_stop();
}

static void test_block_on_fault(void)
{
    dsa_start("-device dsa,addr=4");
    set_group(0, 3, 1);
    set_wq(0, 8, DEDICATED | R_WQCFG2_BOF_MASK);
    set_wq(1, 8, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 1), ==, 0);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMFILL, .dst = HOLE, .size = 8,
                        .flags = FLAGS | DSA_FLAG_BOF), ==,
                    DSA_COMP_PAGE_FAULT_IR | DSA_COMP_WRITE);
    submit(1, (Desc) { .op = DSA_OP_MEMFILL, .dst = DST, .size = 8,
                       .flags = FLAGS | DSA_FLAG_BOF, .cr = CR(0) });
    g_assert_cmphex(wait_status(CR(0)), ==, DSA_COMP_INVALID_FLAGS);
    dsa_stop();
}

static void test_memfill(void)
{
    uint8_t want[5000];

    for (int i = 0; i < sizeof(want); i++) {
        want[i] = i % 8 + 1;
    }
    dsa_start_enabled("-device dsa,addr=4");
    qtest_memset(qts, DST, 0, 6000);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMFILL, .src = 0x0807060504030201,
                        .dst = DST + 13, .size = sizeof(want)), ==,
                    DSA_COMP_SUCCESS);
    assert_mem(DST + 13, want, sizeof(want));
    assert_filled(DST, 0, 13);
    assert_filled(DST + 13 + sizeof(want), 0, 8);
    dsa_stop();
}

static void test_compare(void)
{
    uint64_t addr[] = { SRC + 1, DST + 2 };

    dsa_start_enabled("-device dsa,addr=4");
    for (int i = 0; i < 2; i++) {
        g_free(fill(addr[i], 3, 10000));
    }
    g_assert_cmphex(RUN(.op = DSA_OP_COMPARE, .src = addr[0], .dst = addr[1],
                        .size = 10000), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(cr_result(), ==, 0);
    qtest_writeb(qts, addr[1] + 8191, ~qtest_readb(qts, addr[0] + 8191));
    g_assert_cmphex(RUN(.op = DSA_OP_COMPARE, .src = addr[0], .dst = addr[1],
                        .size = 10000), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(cr_result(), ==, 1);
    g_assert_cmpuint(cr_bytes(), ==, 8191);
    g_assert_cmphex(RUN(.op = DSA_OP_COMPARE, .src = addr[0], .dst = addr[1],
                        .size = 8191), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(cr_result(), ==, 0);

    /* With an expected result */
    for (int want = 0; want < 2; want++) {
        g_assert_cmphex(RUN(.op = DSA_OP_COMPARE, .src = addr[0],
                            .dst = addr[1], .size = 8192, .w5 = want,
                            .flags = FLAGS | DSA_FLAG_CR), ==,
                        want ? DSA_COMP_SUCCESS : DSA_COMP_SUCCESS_PRED);
    }
    dsa_stop();
}

static void test_compval(void)
{
    uint64_t val = 0x1122334455667788;

    dsa_start_enabled("-device dsa,addr=4");
    for (int i = 0; i < 1024; i++) {
        qtest_writeq(qts, SRC + 3 + i * 8, val);
    }
    g_assert_cmphex(RUN(.op = DSA_OP_COMPVAL, .src = SRC + 3, .dst = val,
                        .size = 8192), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(cr_result(), ==, 0);
    qtest_writeb(qts, SRC + 3 + 5000, 0);
    g_assert_cmphex(RUN(.op = DSA_OP_COMPVAL, .src = SRC + 3, .dst = val,
                        .size = 8192), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(cr_result(), ==, 1);
    g_assert_cmpuint(cr_bytes(), ==, 5000);
    dsa_stop();
}

static void test_dualcast(void)
{
    dsa_start_enabled("-device dsa,addr=4");
    {
        g_autofree uint8_t *want = fill(SRC + 5, 9, 9000);

        g_assert_cmphex(RUN(.op = DSA_OP_DUALCAST, .src = SRC + 5,
                            .dst = DST + 77, .w5 = DST2 + 77, .size = 9000),
                        ==, DSA_COMP_SUCCESS);
        assert_mem(DST + 77, want, 9000);
        assert_mem(DST2 + 77, want, 9000);
    }
    g_assert_cmphex(RUN(.op = DSA_OP_DUALCAST, .src = SRC, .dst = DST,
                        .w5 = DST2 + 8, .size = 8), ==, DSA_COMP_DCAST_ERR);
    g_assert_cmphex(RUN(.op = DSA_OP_DUALCAST, .src = SRC, .dst = DST,
                        .w5 = DST + 4096, .size = 4097), ==,
                    DSA_COMP_OVERLAP_BUFFERS);
    g_assert_cmphex(RUN(.op = DSA_OP_DUALCAST, .src = DST2 + 4, .dst = DST,
                        .w5 = DST2, .size = 8), ==, DSA_COMP_OVERLAP_BUFFERS);
    dsa_stop();
}

static void test_crc(void)
{
    static const uint8_t check[] = "123456789";
    uint64_t crc = CR(0) + DSA_CR_CRC;

    dsa_start_enabled("-device dsa,addr=4");
    qtest_memwrite(qts, SRC, check, 9);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC, .size = 9), ==,
                    DSA_COMP_SUCCESS);
    g_assert_cmphex(qtest_readq(qts, crc), ==, 0xe3069283);

    /* In two halves: the seed is the result of the first, given or read */
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC, .size = 4), ==,
                    DSA_COMP_SUCCESS);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC + 4, .size = 5,
                        .w5 = qtest_readl(qts, crc)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(qtest_readq(qts, crc), ==, 0xe3069283);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC, .size = 4,
                        .cr = CR(1)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC + 4, .size = 5,
                        .flags = FLAGS | DSA_FLAG_RD_SEED,
                        .w6 = CR(1) + DSA_CR_CRC), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(qtest_readq(qts, crc), ==, 0xe3069283);
    g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .src = SRC, .size = 4,
                        .flags = FLAGS | DSA_FLAG_RD_SEED, .w6 = CR(1) + 1),
                    ==, DSA_COMP_ADDR_ALIGN);

    for (int i = 0; i < 4; i++) {
        uint32_t flags = (i & 1 ? DSA_FLAG_NO_INVERT : 0) |
                         (i & 2 ? DSA_FLAG_NO_REFLECT : 0);
        uint32_t invert = i & 1 ? 0 : UINT32_MAX;
        g_autofree uint8_t *buf = fill(SRC + 11, i, 5000);
        uint32_t want = crc32c_bitwise(0x12345678 ^ invert, buf, 5000,
                                       !(i & 2)) ^ invert;

        g_assert_cmphex(RUN(.op = DSA_OP_COPY_CRC, .flags = FLAGS | flags,
                            .src = SRC + 11, .dst = DST + 22, .size = 5000,
                            .w5 = 0x12345678), ==, DSA_COMP_SUCCESS);
        g_assert_cmphex(qtest_readq(qts, crc), ==, want);
        assert_mem(DST + 22, buf, 5000);
        g_assert_cmphex(RUN(.op = DSA_OP_CRCGEN, .flags = FLAGS | flags,
                            .src = SRC + 11, .size = 5000, .w5 = 0x12345678),
                        ==, DSA_COMP_SUCCESS);
        g_assert_cmphex(qtest_readq(qts, crc), ==, want);
    }
    g_assert_cmphex(RUN(.op = DSA_OP_COPY_CRC, .src = SRC, .dst = SRC + 7,
                        .size = 8), ==, DSA_COMP_OVERLAP_BUFFERS);
    dsa_stop();
}

static void test_cflush(void)
{
    dsa_start_enabled("-device dsa,addr=4");
    {
        g_autofree uint8_t *want = fill(DST, 4, 10000);

        g_assert_cmphex(RUN(.op = DSA_OP_CFLUSH, .dst = DST, .size = 10000),
                        ==, DSA_COMP_SUCCESS);
        assert_mem(DST, want, 10000);
    }
    dsa_stop();
}

static void put_list(const Desc *list, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t word[8];

        desc_words(&list[i], word);
        for (int j = 0; j < 8; j++) {
            qtest_writeq(qts, LIST_AREA + i * DSA_DESC_SIZE + j * 8, word[j]);
        }
        if (list[i].cr) {
            qtest_memset(qts, list[i].cr, 0, DSA_CR_SIZE);
        }
    }
}

static void test_batch(void)
{
    Desc list[32] = { };

    dsa_start_enabled("-device dsa,addr=4");
    qtest_memset(qts, DST, 0, 32 * 8);
    for (int i = 0; i < 32; i++) {
        list[i] = (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS,
                           .cr = CR(i + 1), .src = i, .dst = DST + i * 8,
                           .size = 8 };
    }
    put_list(list, 32);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 32), ==,
                    DSA_COMP_SUCCESS);
    g_assert_cmpuint(cr_bytes(), ==, 32);
    for (int i = 0; i < 32; i++) {
        g_assert_cmphex(status(CR(i + 1)), ==, DSA_COMP_SUCCESS);
        g_assert_cmpuint(qtest_readq(qts, DST + i * 8), ==, i);
    }

    /* A failure spoils the batch, but only a fence stops it */
    list[2].dst = HOLE;
    put_list(list, 32);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 32), ==,
                    DSA_COMP_BATCH_FAIL);
    g_assert_cmpuint(cr_bytes(), ==, 32);
    g_assert_cmphex(status(CR(3)), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(status(CR(32)), ==, DSA_COMP_SUCCESS);
    list[5].flags |= DSA_FLAG_FENCE;
    put_list(list, 32);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 32), ==,
                    DSA_COMP_BATCH_FAIL);
    g_assert_cmpuint(cr_bytes(), ==, 5);
    g_assert_cmphex(status(CR(5)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(6)), ==, 0);

    /* Not in a batch: batches and drains */
    list[0] = (Desc) { .op = DSA_OP_BATCH, .flags = FLAGS, .cr = CR(1),
                       .src = LIST_AREA, .size = 2 };
    list[1] = (Desc) { .op = DSA_OP_DRAIN, .flags = FLAGS, .cr = CR(2) };
    put_list(list, 2);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 2), ==,
                    DSA_COMP_BATCH_FAIL);
    g_assert_cmphex(status(CR(1)), ==, DSA_COMP_BAD_OPCODE);
    g_assert_cmphex(status(CR(2)), ==, DSA_COMP_BAD_OPCODE);

    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 1), ==,
                    DSA_COMP_DESC_CNT_ERANGE);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA, .size = 33), ==,
                    DSA_COMP_DESC_CNT_ERANGE);
    g_assert_cmphex(RUN(.op = DSA_OP_BATCH, .src = LIST_AREA + 32, .size = 2),
                    ==, DSA_COMP_DESCLIST_ALIGN);
    dsa_stop();
}

/* Bad descriptors */

static void test_descriptor_errors(void)
{
    dsa_start_enabled("-device dsa,addr=4");
    g_assert_cmphex(RUN(.op = 0x07), ==, DSA_COMP_BAD_OPCODE);
    g_assert_cmphex(RUN(.op = 0x42), ==, DSA_COMP_BAD_OPCODE);
    g_assert_cmphex(RUN(.op = 0xff), ==, DSA_COMP_BAD_OPCODE);

    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_CC), ==,
                    DSA_COMP_INVALID_FLAGS);
    g_assert_cmphex(qtest_readl(qts, CR(0) + DSA_CR_INVALID_FLAGS), ==,
                    DSA_FLAG_CC);
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_FENCE), ==,
                    DSA_COMP_INVALID_FLAGS);
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .flags = FLAGS | 0x800040), ==,
                    DSA_COMP_INVALID_FLAGS);

    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .w0 = 1 << 20), ==,
                    DSA_COMP_NOZERO_RESERVE);
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .src = 1), ==,
                    DSA_COMP_NOZERO_RESERVE);
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP, .size = 1), ==,
                    DSA_COMP_NOZERO_RESERVE);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC, .dst = DST,
                        .size = 8, .w5 = 1), ==, DSA_COMP_NOZERO_RESERVE);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC, .dst = DST,
                        .size = 8, .w4 = 1ull << 48), ==,
                    DSA_COMP_NOZERO_RESERVE);

    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC, .dst = DST), ==,
                    DSA_COMP_XFER_ERANGE);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC, .dst = DST,
                        .size = (2 << 20) + 1), ==, DSA_COMP_XFER_ERANGE);
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    dsa_stop();

    /* Version 2 has a list of operations per WQ */
    dsa_start("-device dsa,version=2,addr=4");
    set_group(0, 1, 1);
    set_wq(0, 8, DEDICATED);
    wr32(wqcfg(0, DSA_WQCFG_OP_CONFIG), BIT(DSA_OP_MEMFILL));
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMFILL, .dst = DST, .size = 8), ==,
                    DSA_COMP_SUCCESS);
    g_assert_cmphex(RUN(.op = DSA_OP_MEMMOVE, .src = SRC, .dst = DST,
                        .size = 8), ==, DSA_COMP_BAD_OPCODE);
    dsa_stop();
}

static void ack_swerr(void)
{
    wr32(A_INTCAUSE, R_INTCAUSE_ERR_MASK);
    wr64(A_SWERR0, R_SWERR0_VALID_MASK | R_SWERR0_OVERFLOW_MASK);
    g_assert_cmphex(rd64(A_SWERR0) & 3, ==, 0);
}

static void wait_swerr(unsigned error, unsigned wq)
{
    uint64_t swerr;

    wait_irq(0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_ERR_MASK);
    swerr = rd64(A_SWERR0);
    g_assert_cmpuint(FIELD_EX64(swerr, SWERR0, VALID), ==, 1);
    g_assert_cmpuint(FIELD_EX64(swerr, SWERR0, WQ_IDX_VALID), ==, 1);
    g_assert_cmpuint(FIELD_EX64(swerr, SWERR0, WQ_IDX), ==, wq);
    g_assert_cmphex(FIELD_EX64(swerr, SWERR0, ERROR), ==, error);
}

static void test_swerr(void)
{
    dsa_start_enabled("-device dsa,addr=4");

    /* A record that cannot be written */
    submit(0, (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS, .cr = HOLE });
    wait_swerr(DSA_COMP_CRA_XLAT, 0);
    g_assert_cmphex(rd64(A_SWERR0 + 16), ==, HOLE);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, DESC_VALID), ==, 1);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, FAULT_RW), ==, 1);

    /* A second error does not hide the first */
    submit(2, (Desc) { .op = 0xff });
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, OVERFLOW), ==, 1);
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_COMP_CRA_XLAT);
    ack_swerr();

    submit(2, (Desc) { .op = 0xff });
    wait_swerr(DSA_COMP_BAD_OPCODE, 2);
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, OPERATION), ==, 0xff);
    ack_swerr();
    submit(1, (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS, .cr = CR(0) + 8 });
    wait_swerr(DSA_COMP_CRA_ALIGN, 1);
    ack_swerr();
    submit(1, (Desc) { .op = DSA_OP_NOOP, .flags = DSA_FLAG_RCR });
    wait_swerr(DSA_COMP_INVALID_FLAGS, 1);
    g_assert_cmphex(rd64(A_SWERR0 + 8) >> 32, ==, DSA_FLAG_RCR);
    ack_swerr();

    submit(2, (Desc) { .op = DSA_OP_MEMFILL, .dst = HOLE + 5, .size = 8 });
    wait_swerr(DSA_COMP_PAGE_FAULT_NOBOF, 2);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, FAULT_RW), ==, 1);
    g_assert_cmphex(rd64(A_SWERR0 + 16), ==, HOLE);
    ack_swerr();

    /* Lost submissions */
    submit(5, (Desc) { .op = DSA_OP_NOOP });
    wait_swerr(DSA_ERR_WQ_NOT_ENABLED, 5);
    ack_swerr();
    g_assert_cmphex(cmd(DSA_CMD_DISABLE_WQ, 2), ==, 0);
    submit(1, (Desc) { .op = DSA_OP_NOOP });
    wait_swerr(DSA_ERR_WQ_NOT_ENABLED, 1);
    ack_swerr();
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    set_wq(1, 16, R_WQCFG2_PASID_EN_MASK);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 1), ==, 0);
    submit(1, (Desc) { .op = DSA_OP_NOOP });
    wait_swerr(DSA_ERR_WQ_MODE, 1);
    ack_swerr();

    /* Told only if that is asked for */
    wr32(A_GENCTRL, 0);
    submit(0, (Desc) { .op = 0xff });
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, VALID), ==, 1);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, 0);
    g_assert_false(irq(0));
    dsa_stop();
}

static void test_event_log(void)
{
    uint64_t sts, entry = LOG_AREA;
    uint32_t bits;

    dsa_start("-device dsa,addr=4");
    wr64(A_EVLCFG0, LOG_AREA);
    wr64(A_EVLCFG1, 64);
    wr32(A_GENCTRL, R_GENCTRL_EVL_INT_EN_MASK);
    wr32(A_GENCFG, R_GENCFG_EVL_EN_MASK);
    wr64(A_EVLCFG0, 0);             /* locked now */
    g_assert_cmphex(rd64(A_EVLCFG0), ==, LOG_AREA);
    set_group(0, 1, 1);
    set_wq(0, 8, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);

    submit(0, (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS, .cr = HOLE });
    wait_irq(0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_EVL_MASK);
    wr32(A_INTCAUSE, R_INTCAUSE_EVL_MASK);
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    sts = rd64(A_EVLSTATUS);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, HEAD), ==, 0);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, TAIL), ==, 1);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, INT_PENDING), ==, 1);
    g_assert_cmphex(qtest_readb(qts, entry + 1), ==, DSA_COMP_CRA_XLAT);
    g_assert_cmphex(qtest_readb(qts, entry + 2), ==, 0);
    g_assert_cmphex(qtest_readq(qts, entry + 16), ==, HOLE);
    g_assert_cmphex(qtest_readl(qts, entry + 12), ==, DSA_EVL_INFO_RCR);
    g_assert_cmphex(qtest_readb(qts, entry + 32), ==, DSA_COMP_SUCCESS);

    /* One interrupt until it is acknowledged */
    submit(0, (Desc) { .op = 0xff });
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_false(irq(0));
    bits = R_EVLSTATUS_INT_PENDING_MASK >> 32;
    wr32(A_EVLSTATUS + 4, bits);
    wr32(A_EVLSTATUS, 2);
    sts = rd64(A_EVLSTATUS);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, HEAD), ==, 2);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, TAIL), ==, 2);
    g_assert_cmpuint(FIELD_EX64(sts, EVLSTATUS, INT_PENDING), ==, 0);
    submit(0, (Desc) { .op = 0xff });
    wait_irq(0);

    /* A full log loses entries, and keeps what it has */
    for (int i = 0; i < 70; i++) {
        submit(0, (Desc) { .op = 0xff });
        g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    }
    g_assert_cmpuint(FIELD_EX64(rd64(A_EVLSTATUS), EVLSTATUS, TAIL), ==, 1);
    dsa_stop();
}

/* Interrupts */

static void test_interrupt(void)
{
    Desc noop = { .op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_RCI,
                  .handle = 3 };

    dsa_start_enabled("-device dsa,addr=4");
    g_assert_cmphex(run(noop), ==, DSA_COMP_SUCCESS);
    wait_irq(3);
    g_assert_false(irq(0));
    g_assert_false(irq(1));

    /* For errors, too; and without a record */
    noop.size = 1;
    g_assert_cmphex(run(noop), ==, DSA_COMP_NOZERO_RESERVE);
    wait_irq(3);
    noop.op = 0x7f;
    g_assert_cmphex(run(noop), ==, DSA_COMP_BAD_OPCODE);
    wait_irq(3);
    noop.op = DSA_OP_NOOP;
    submit(0, (Desc) { .op = DSA_OP_NOOP, .flags = DSA_FLAG_RCI,
                       .handle = 8 });
    wait_irq(8);

    /* Out of range; of a vector with a PASID; not from user mode */
    noop.size = 0;
    noop.handle = 9;
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    noop.handle = 3;
    wr32(DSA_MSIXPERM_BASE + 3 * 8, R_MSIXPERM_PASID_EN_MASK);
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    wr32(DSA_MSIXPERM_BASE + 3 * 8, 0);
    wr32(A_GENCFG, 0);
    g_assert_cmphex(run(noop), ==, DSA_COMP_INVALID_FLAGS);
    g_assert_cmphex(qtest_readl(qts, CR(0) + DSA_CR_INVALID_FLAGS), ==,
                    DSA_FLAG_RCI);
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_false(irq(3));
    dsa_stop();
}

static void test_int_handles(void)
{
    Desc noop = { .op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_RCI };
    uint32_t sts;

    dsa_start_enabled("-device dsa,int-handles=on,addr=4");
    g_assert_cmphex(cmd(DSA_CMD_REQUEST_INT_HANDLE, 9), ==,
                    DSA_CMDSTS_INVAL_INT_IDX);
    g_assert_cmphex(cmd(DSA_CMD_REQUEST_INT_HANDLE, 0x10001), ==,
                    DSA_CMDSTS_INVAL_INT_IDX);
    sts = cmd(DSA_CMD_REQUEST_INT_HANDLE, 2);
    g_assert_cmphex(FIELD_EX32(sts, CMDSTS, ERR), ==, 0);
    noop.handle = FIELD_EX32(sts, CMDSTS, RESULT);
    g_assert_cmphex(noop.handle, !=, 2);
    g_assert_cmphex(run(noop), ==, DSA_COMP_SUCCESS);
    wait_irq(2);

    /* Neither an index nor a handle that nobody has */
    noop.handle = 2;
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    noop.handle = FIELD_EX32(sts, CMDSTS, RESULT) + 1;
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    noop.handle--;
    g_assert_cmphex(cmd(DSA_CMD_RELEASE_INT_HANDLE, noop.handle), ==, 0);
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    g_assert_cmphex(cmd(DSA_CMD_RELEASE_INT_HANDLE, noop.handle), ==,
                    DSA_CMDSTS_INVAL_INT_IDX);
    g_assert_false(irq(2));
    dsa_stop();
}

/*
 * Work in flight: a descriptor takes 1000 ns of virtual time, which only
 * passes by clock_step.
 */

#define SLOW "-device dsa,addr=4,id=dsa0,latency-ns=1000"

static void set_number(const char *property, uint64_t value)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': '/machine/peripheral/dsa0', "
                             "'property': %s, 'value': %" PRIu64 "} }",
                             property, value);
}

static void set_flag(const char *property, bool value)
{
    qtest_qom_set_bool(qts, "/machine/peripheral/dsa0", property, value);
}

static void set_latency(uint64_t ns)
{
    set_number("latency-ns", ns);
}

static unsigned occupancy(unsigned wq)
{
    return FIELD_EX32(rd32(wqcfg(wq, 6)), WQCFG6, OCCUPANCY);
}

static void submit_fill(unsigned wq, unsigned i)
{
    submit(wq, (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = CR(i),
                        .src = i + 1, .dst = DST + i * 8, .size = 8 });
}

/* Everything that can be done now is done when this returns */
static void settle(void)
{
    for (int i = 0; i < 20; i++) {
        rd32(A_GENSTS);
        g_usleep(100);
    }
}

static void test_drain(void)
{
    dsa_start_enabled(SLOW);
    submit_fill(0, 0);
    submit_fill(0, 1);
    submit_fill(2, 2);
    settle();
    g_assert_cmpuint(occupancy(0), ==, 1);
    cmd_start(DSA_CMD_DRAIN_WQ, 1, true);
    settle();
    g_assert_true(cmd_active());

    /* No second command, and no interrupt before the time */
    cmd_start(DSA_CMD_RESET_DEVICE, 0, false);
    g_assert_false(irq(0));
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(wait_status(CR(0)), ==, DSA_COMP_SUCCESS);
    submit_fill(0, 3);              /* too late to be waited for */
    settle();
    g_assert_true(cmd_active());
    g_assert_cmphex(status(CR(1)), ==, 0);
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(cmd_wait(), ==, 0);
    wait_irq(0);
    g_assert_cmphex(status(CR(1)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(3)), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_ENABLED);

    /* The same by descriptor, past another WQ that is not waited for */
    submit(0, (Desc) { .op = DSA_OP_DRAIN, .flags = FLAGS, .cr = CR(4) });
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(wait_status(CR(3)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(4)), ==, 0);
    settle();
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(wait_status(CR(4)), ==, DSA_COMP_SUCCESS);
    dsa_stop();
}

/* A drain descriptor waits for what another engine has in hand */
static void test_drain_engines(void)
{
    dsa_start(SLOW);
    set_group(0, 1, 3);
    set_wq(0, 16, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    submit_fill(0, 0);
    settle();
    set_latency(0);
    submit(0, (Desc) { .op = DSA_OP_DRAIN, .flags = FLAGS, .cr = CR(1) });
    settle();
    g_assert_cmphex(status(CR(1)), ==, 0);
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(wait_status(CR(1)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(0)), ==, DSA_COMP_SUCCESS);
    dsa_stop();
}

static void test_abort(void)
{
    static const struct {
        unsigned code;
        uint32_t operand;
    } cases[] = {
        { DSA_CMD_ABORT_WQ, 1 }, { DSA_CMD_ABORT_ALL, 0 },
        { DSA_CMD_RESET_WQ, 1 }, { DSA_CMD_RESET_DEVICE, 0 },
    };

    for (int i = 0; i < ARRAY_SIZE(cases); i++) {
        bool all = cases[i].code == DSA_CMD_ABORT_ALL ||
                   cases[i].code == DSA_CMD_RESET_DEVICE;

        dsa_start_enabled(SLOW);
        qtest_memset(qts, DST, 0, 64);
        submit_fill(0, 0);          /* in an engine */
        submit_fill(0, 1);          /* in the queue */
        submit_fill(2, 2);
        settle();
        g_assert_cmphex(cmd(cases[i].code, cases[i].operand), ==, 0);
        for (int j = 0; j < 4; j++) {
            qtest_clock_step(qts, 1000);
            settle();
        }
        assert_filled(DST, 0, 16);
        g_assert_cmphex(status(CR(0)) | status(CR(1)), ==, 0);
        g_assert_cmphex(status(CR(2)), ==, all ? 0 : DSA_COMP_SUCCESS);
        g_assert_cmpuint(occupancy(0), ==, 0);
        dsa_stop();
    }
}

static void test_disable_busy(void)
{
    dsa_start_enabled(SLOW);
    submit_fill(0, 0);
    submit_fill(0, 1);
    cmd_start(DSA_CMD_DISABLE_WQ, 1, false);
    settle();
    g_assert_true(cmd_active());
    submit_fill(0, 2);              /* refused */
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_ERR_WQ_NOT_ENABLED);
    for (int i = 0; i < 2; i++) {
        qtest_clock_step(qts, 1000);
        g_assert_cmphex(wait_status(CR(i)), ==, DSA_COMP_SUCCESS);
        settle();
    }
    g_assert_cmphex(cmd_wait(), ==, 0);
    g_assert_cmphex(status(CR(2)), ==, 0);

    submit_fill(2, 3);
    cmd_start(DSA_CMD_DISABLE_DEVICE, 0, false);
    settle();
    g_assert_true(cmd_active());
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(cmd_wait(), ==, 0);
    g_assert_cmphex(status(CR(3)), ==, DSA_COMP_SUCCESS);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    dsa_stop();
}

static void test_full(void)
{
    dsa_start_enabled(SLOW);
    submit_fill(0, 0);
    settle();                       /* this one is in the engine */
    for (int i = 1; i <= 16; i++) {
        submit_fill(0, i);
    }
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    submit_fill(0, 17);
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_ERR_WQ_FULL);
    for (int i = 0; i <= 16; i++) {
        qtest_clock_step(qts, 1000);
        g_assert_cmphex(wait_status(CR(i)), ==, DSA_COMP_SUCCESS);
        settle();
    }
    g_assert_cmphex(status(CR(17)), ==, 0);
    dsa_stop();
}

/* Two WQs at one engine: turns as long as the priorities */
static void test_arbitration(void)
{
    static const unsigned want[] = { 1, 0, 0, 0, 1, 0, 0, 0 };
    unsigned next[2] = { };

    dsa_start(SLOW);
    set_group(0, 3, 1);
    set_wq(0, 16, DEDICATED | PRIO(3));
    set_wq(1, 16, DEDICATED | PRIO(1));
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 1), ==, 0);

    submit_fill(1, 30);             /* holds the engine until all are queued */
    settle();
    for (int i = 0; i < 8; i++) {
        submit_fill(0, i);
        submit_fill(1, 10 + i);
    }
    qtest_clock_step(qts, 1000);
    g_assert_cmphex(wait_status(CR(30)), ==, DSA_COMP_SUCCESS);
    /* WQ 1 has had its turn, so WQ 0 begins */
    for (int i = 1; i < ARRAY_SIZE(want); i++) {
        unsigned wq = want[i];

        settle();
        qtest_clock_step(qts, 1000);
        g_assert_cmphex(wait_status(CR(wq * 10 + next[wq])), ==,
                        DSA_COMP_SUCCESS);
        next[wq]++;
        g_assert_cmphex(status(CR(next[0])), ==, 0);
        g_assert_cmphex(status(CR(10 + next[1])), ==, 0);
    }
    dsa_stop();
}

/*
 * Whatever a guest writes, in whatever order: the device stays in one piece,
 * and works again after a reset.
 */
static void test_nonsense(void)
{
    static const uint8_t op[] = { 0, 1, 2, 3, 4, 5, 6, 9, 0x10, 0x11, 0x20 };
    static const uint64_t addr[] = { SRC, DST, LIST_AREA, HOLE, BAR0, BAR2,
                                     0xfee00000, 0x7ffffff, -64ull, 1 };
    GRand *rand = g_rand_new_with_seed(4711);

    dsa_start_enabled("-device dsa,addr=4,int-handles=on");
    /* A list that contains anything */
    g_free(fill(LIST_AREA, 42, 0x1000));
    for (int i = 0; i < 5000; i++) {
        uint32_t r = g_rand_int(rand);
        Desc d;

        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            wr32(g_rand_int_range(rand, 0, 0xa00) & ~3, r);
            break;
        case 1:
            wr64(g_rand_int_range(rand, 0, 0xa00) & ~7, (uint64_t)r << 16 | r);
            break;
        case 2:
            cmd_start(r % 16, g_rand_int(rand) >> r / 16 % 32, r >> 31);
            break;
        case 3:
            for (int wq = 0; wq < 3; wq++) {
                set_wq(wq, 16, DEDICATED | PRIO(r % 16));
            }
            cmd_start(r & 1 ? DSA_CMD_ENABLE_WQ : DSA_CMD_ENABLE_DEVICE,
                      r % 3, false);
            break;
        default:
            d = (Desc) {
                .op = op[r % ARRAY_SIZE(op)],
                .flags = g_rand_int(rand) & g_rand_int(rand) & 0xffffff,
                .cr = r & 0x100 ? CR(0) : addr[r >> 4 & 7],
                .src = addr[g_rand_int_range(rand, 0, ARRAY_SIZE(addr))],
                .dst = addr[g_rand_int_range(rand, 0, ARRAY_SIZE(addr))],
                .w5 = r & 0x200 ? addr[r >> 10 & 7] : 0,
                .size = g_rand_int(rand) >> (r >> 12 & 31),
                .handle = r >> 20,
            };
            post(r >> 8 & 3, r >> 5 & 1, d);
        }
    }
    g_rand_free(rand);
    cmd_wait();
    g_assert_cmphex(cmd(DSA_CMD_RESET_DEVICE, 0), ==, 0);
    set_group(0, 1, 1);
    set_wq(0, 16, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    qtest_memset(qts, CR(0), 0, DSA_CR_SIZE);
    g_assert_cmphex(RUN(.op = DSA_OP_NOOP), ==, DSA_COMP_SUCCESS);
    dsa_stop();
}

static void test_flr(void)
{
    dsa_start_enabled(SLOW);
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    qtest_memset(qts, DST, 0, 8);
    submit_fill(0, 0);
    submit(0, (Desc) { .op = 0xff });
    settle();
    qtest_writew(qts, cfg(0x40 + PCI_EXP_DEVCTL), PCI_EXP_DEVCTL_BCR_FLR);
    g_assert_cmphex(qtest_readw(qts, cfg(DSA_PASID_CTRL)), ==, 0);
    g_assert_cmphex(qtest_readl(qts, cfg(PCI_BASE_ADDRESS_2)) & ~0xf, ==, 0);
    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_0), BAR0);
    qtest_writew(qts, cfg(PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    qtest_clock_step(qts, 10000);
    settle();
    g_assert_cmphex(status(CR(0)), ==, 0);
    g_assert_cmphex(qtest_readq(qts, DST), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    g_assert_cmphex(rd64(grpcfg(0, 0)), ==, 0);
    g_assert_cmphex(rd32(A_GENCFG), ==, 0);
    dsa_stop();
}

/* Misbehaviour on demand */

#define FAULTY "-device dsa,addr=4,id=dsa0"

static void test_fault_commands(void)
{
    dsa_start_enabled(FAULTY);
    set_number("hang-commands", BIT(DSA_CMD_DRAIN_ALL));
    cmd_start(DSA_CMD_DRAIN_ALL, 0, true);
    settle();
    g_assert_true(cmd_active());
    g_assert_false(irq(0));
    /* Another one is dropped meanwhile, and the first one ends when it may */
    cmd_start(DSA_CMD_DISABLE_DEVICE, 0, false);
    set_number("hang-commands", BIT(DSA_CMD_DISABLE_WQ));
    g_assert_cmphex(cmd_wait(), ==, 0);
    wait_irq(0);
    g_assert_cmpuint(state(), ==, DSA_STATE_ENABLED);

    /* A reset ends it for good */
    cmd_start(DSA_CMD_DISABLE_WQ, 1, true);
    settle();
    g_assert_true(cmd_active());
    qtest_writew(qts, cfg(0x40 + PCI_EXP_DEVCTL), PCI_EXP_DEVCTL_BCR_FLR);
    qtest_writel(qts, cfg(PCI_BASE_ADDRESS_0), BAR0);
    qtest_writew(qts, cfg(PCI_COMMAND),
                 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    set_number("hang-commands", 0);
    settle();
    g_assert_false(cmd_active());
    g_assert_cmphex(rd32(A_INTCAUSE), ==, 0);

    set_number("command-latency-ns", 1000);
    cmd_start(DSA_CMD_RESET_DEVICE, 0, false);
    settle();
    g_assert_true(cmd_active());
    qtest_clock_step(qts, 999);
    settle();
    g_assert_true(cmd_active());
    qtest_clock_step(qts, 1);
    g_assert_cmphex(cmd_wait(), ==, 0);
    dsa_stop();
}

static void test_fault_engines(void)
{
    dsa_start_enabled(FAULTY);
    qtest_memset(qts, DST, 0, 16);
    set_flag("hang-engines", true);
    submit_fill(0, 0);
    submit_fill(0, 1);
    cmd_start(DSA_CMD_DRAIN_WQ, 1, false);
    settle();
    g_assert_cmphex(status(CR(0)), ==, 0);
    g_assert_true(cmd_active());
    set_flag("hang-engines", false);
    g_assert_cmphex(cmd_wait(), ==, 0);
    g_assert_cmphex(status(CR(0)), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(CR(1)), ==, DSA_COMP_SUCCESS);

    /* ABORT gets rid of what hangs */
    set_flag("hang-engines", true);
    submit_fill(0, 0);
    settle();
    g_assert_cmphex(cmd(DSA_CMD_ABORT_WQ, 1), ==, 0);
    set_flag("hang-engines", false);
    settle();
    g_assert_cmphex(status(CR(0)), ==, 0);
    dsa_stop();
}

static void test_fault_halt(void)
{
    dsa_start_enabled(SLOW);
    submit_fill(0, 0);
    settle();
    set_number("halt", DSA_RESET_FLR);
    g_assert_cmpuint(state(), ==, DSA_STATE_HALT);
    g_assert_cmpuint(FIELD_EX32(rd32(A_GENSTS), GENSTS, RESET_TYPE), ==,
                     DSA_RESET_FLR);
    /* Not told: that was not asked for */
    g_assert_cmphex(rd32(A_INTCAUSE), ==, 0);
    qtest_clock_step(qts, 10000);
    settle();
    g_assert_cmphex(status(CR(0)), ==, 0);
    submit_fill(0, 1);
    qtest_clock_step(qts, 10000);
    settle();
    g_assert_cmphex(status(CR(1)), ==, 0);
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, DSA_CMDSTS_HW_ERR);
    g_assert_cmphex(cmd(DSA_CMD_RESET_DEVICE, 0), ==, DSA_CMDSTS_HW_ERR);

    /* The kind that a command gets it out of */
    set_number("halt", DSA_RESET_SOFTWARE);
    g_assert_cmphex(cmd(DSA_CMD_RESET_DEVICE, 0), ==, 0);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    wr32(A_GENCTRL, R_GENCTRL_HALT_INT_EN_MASK);
    set_number("halt", DSA_RESET_WARM);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_HALT_MASK);
    wait_irq(0);
    dsa_stop();
}

static void test_fault_gone(void)
{
    dsa_start_enabled(FAULTY);
    qtest_memset(qts, DST, 0, 8);
    /* It was there: nothing happens to it */
    set_flag("gone", false);
    g_assert_cmpuint(state(), ==, DSA_STATE_ENABLED);
    set_flag("gone", true);
    g_assert_cmphex(rd32(A_GENSTS), ==, UINT32_MAX);
    g_assert_cmphex(rd64(A_GENCAP), ==, UINT64_MAX);
    g_assert_cmphex(qtest_readl(qts, cfg(PCI_VENDOR_ID)), ==, UINT32_MAX);
    qtest_writew(qts, cfg(PCI_COMMAND), 0);
    submit_fill(0, 0);
    cmd_start(DSA_CMD_RESET_DEVICE, 0, true);
    settle();
    g_assert_cmphex(status(CR(0)), ==, 0);
    g_assert_false(irq(0));

    /* It is back, and knows nothing */
    set_flag("gone", false);
    g_assert_cmphex(qtest_readw(qts, cfg(PCI_VENDOR_ID)), ==, 0x8086);
    g_assert_cmphex(qtest_readw(qts, cfg(PCI_COMMAND)), ==,
                    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmpuint(state(), ==, DSA_STATE_DISABLED);
    g_assert_cmphex(rd64(grpcfg(0, 0)), ==, 0);

    g_assert_cmphex(qtest_readw(qts, cfg(0x40 + PCI_EXP_DEVSTA)) &
                    PCI_EXP_DEVSTA_TRPND, ==, 0);
    set_flag("pending", true);
    g_assert_cmphex(qtest_readw(qts, cfg(0x40 + PCI_EXP_DEVSTA)) &
                    PCI_EXP_DEVSTA_TRPND, !=, 0);
    set_flag("pending", false);
    g_assert_cmphex(qtest_readw(qts, cfg(0x40 + PCI_EXP_DEVSTA)) &
                    PCI_EXP_DEVSTA_TRPND, ==, 0);
    dsa_stop();
}

static void test_fault_reports(void)
{
    Desc noop = { .op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_RCI };
    uint32_t sts;

    dsa_start_enabled(FAULTY ",int-handles=on");
    set_number("error", 0x5a);
    wait_irq(0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_ERR_MASK);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, VALID), ==, 1);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, WQ_IDX_VALID), ==, 0);
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==, 0x5a);
    wr32(A_INTCAUSE, R_INTCAUSE_ERR_MASK);
    wr64(A_SWERR0, R_SWERR0_VALID_MASK);
    set_number("swerr", UINT64_MAX);
    wait_irq(0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_ERR_MASK);
    g_assert_cmphex(rd64(A_SWERR0), ==, UINT64_MAX);
    wr32(A_INTCAUSE, R_INTCAUSE_ERR_MASK);

    sts = cmd(DSA_CMD_REQUEST_INT_HANDLE, 2);
    noop.handle = FIELD_EX32(sts, CMDSTS, RESULT);
    g_assert_cmphex(run(noop), ==, DSA_COMP_SUCCESS);
    wait_irq(2);
    set_flag("revoke-int-handles", true);
    wait_irq(0);
    g_assert_cmphex(rd32(A_INTCAUSE), ==, R_INTCAUSE_REVOKED_MASK);
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    sts = cmd(DSA_CMD_REQUEST_INT_HANDLE, 2);
    g_assert_cmphex(FIELD_EX32(sts, CMDSTS, RESULT), !=, noop.handle);
    g_assert_cmphex(run(noop), ==, DSA_COMP_INT_HANDLE_INVAL);
    noop.handle = FIELD_EX32(sts, CMDSTS, RESULT);
    g_assert_cmphex(run(noop), ==, DSA_COMP_SUCCESS);
    wait_irq(2);
    dsa_stop();
}

/*
 * PASIDs, with the emulated VT-d in scalable mode: two PASIDs see different
 * pages at the same addresses, and nothing elsewhere.
 */

#define IOVA            0x40000000ull
#define PASID_A         1
#define PASID_B         0x12345
#define PAGE_A          0x05000000ull
#define PAGE_B          0x05100000ull
#define PAGE_RID        0x05200000ull
#define VTD             "-machine kernel-irqchip=split -device intel-iommu," \
                        "x-scalable-mode=on,x-flts=off,x-pasid-mode=on,"    \
                        "aw-bits=48 "

static uint64_t tables;

static uint64_t table(void)
{
    tables += 0x1000;
    qtest_memset(qts, tables, 0, 0x1000);
    return tables;
}

/* The entry @index of 8 bytes; a table behind it if there is none yet */
static uint64_t below(uint64_t base, unsigned index, uint64_t bits)
{
    uint64_t entry = qtest_readq(qts, base + index * 8);

    if (!entry) {
        entry = table() | bits;
        qtest_writeq(qts, base + index * 8, entry);
    }
    return entry & ~0xfffull;
}

static void map(uint64_t base, uint64_t iova, uint64_t page)
{
    for (int shift = 39; shift > 12; shift -= 9) {
        base = below(base, iova >> shift & 0x1ff, 3);
    }
    qtest_writeq(qts, base + (iova >> 12 & 0x1ff) * 8, page | 3);
}

/* Second-stage tables of four levels that map 16 pages at IOVA */
static uint64_t second_stage(uint64_t page)
{
    uint64_t pgd = table();

    for (int i = 0; i < 16; i++) {
        map(pgd, IOVA + i * 0x1000, page + i * 0x1000);
    }
    return pgd;
}

static void set_pasid(uint64_t dir, uint32_t pasid, uint64_t pgd, unsigned did)
{
    uint64_t entry = below(dir, pasid >> 6, 1) + (pasid & 0x3f) * 64;

    qtest_writeq(qts, entry + 8, did);
    qtest_writeq(qts, entry, pgd | 2 << 6 | 2 << 2 | 1);
}

static void vtd_start(void)
{
    uint64_t root, context, dir, rid;

    tables = TABLES;
    root = table();
    context = below(root, 0, 1);
    /* PASID directory: 2^14 entries of 8 bytes in 32 pages */
    dir = table();
    for (int i = 1; i < 32; i++) {
        table();
    }
    /* Context entry of 32 bytes, for 2^(7 + 7) directory entries */
    qtest_writeq(qts, context + DEVFN * 32, dir | 7 << 9 | 1 << 3 | 1);
    /* Requests without PASID, as interrupts are */
    rid = second_stage(PAGE_RID);
    map(rid, MSI_AREA, MSI_AREA);
    set_pasid(dir, 0, rid, 1);
    set_pasid(dir, PASID_A, second_stage(PAGE_A), 2);
    set_pasid(dir, PASID_B, second_stage(PAGE_B), 3);
    qtest_writeq(qts, DMAR + 0x20, root | 1 << 10);
    qtest_writel(qts, DMAR + 0x18, 1u << 30);
    qtest_writel(qts, DMAR + 0x18, 1u << 31);
    g_assert_cmphex(qtest_readl(qts, DMAR + 0x1c) >> 30, ==, 3);
}

static void test_pasid(void)
{
    static const uint32_t pasid[] = { PASID_A, PASID_B };
    static const uint64_t page[] = { PAGE_A, PAGE_B, PAGE_RID };
    uint64_t crs = 0;
    Desc d;

    dsa_start(VTD "-device dsa,addr=4");
    vtd_start();
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    wr32(A_GENCFG, R_GENCFG_USER_INT_EN_MASK);
    set_group(0, 7, 3);
    for (int i = 0; i < 2; i++) {
        set_wq(i, 8, DEDICATED | R_WQCFG2_PASID_EN_MASK |
                     pasid[i] << R_WQCFG2_PASID_SHIFT);
    }
    set_wq(2, 8, DEDICATED);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    for (int i = 0; i < 3; i++) {
        g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, i), ==, 0);
        qtest_memset(qts, page[i], 0, 0x10000);
    }

    /* One address, three places; a PASID in the descriptor means nothing */
    for (int i = 0; i < 3; i++) {
        d = (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = IOVA + crs,
                     .dst = IOVA + 0x1ffc, .size = 8, .w0 = pasid[i == 0],
                     .src = 0x0101010101010101 * (i + 1) };
        post(i, DSA_PORTAL_LIMITED, d);
        g_assert_cmphex(wait_status(page[i] + crs), ==, DSA_COMP_SUCCESS);
        for (int j = 0; j < 3; j++) {
            assert_filled(page[j] + 0x1ffc, j <= i ? j + 1 : 0, 8);
        }
    }
    crs += DSA_CR_SIZE;

    /* A fault: everything before it is done, and it has an address */
    d = (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = IOVA + crs,
                 .dst = IOVA + 0xfff0, .size = 0x20, .src = UINT64_MAX };
    post(1, DSA_PORTAL_LIMITED, d);
    g_assert_cmphex(wait_status(PAGE_B + crs), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    g_assert_cmphex(qtest_readl(qts, PAGE_B + crs + DSA_CR_BYTES), ==, 0x10);
    g_assert_cmphex(qtest_readq(qts, PAGE_B + crs + DSA_CR_FAULT_ADDR), ==,
                    IOVA + 0x10000);
    assert_filled(PAGE_B + 0xfff0, 0xff, 0x10);
    crs += DSA_CR_SIZE;

    /* What carries a PASID is never an interrupt message */
    d.cr = IOVA + crs;
    d.dst = 0xfee00000;
    post(1, DSA_PORTAL_LIMITED, d);
    g_assert_cmphex(wait_status(PAGE_B + crs), ==,
                    DSA_COMP_PAGE_FAULT_NOBOF | DSA_COMP_WRITE);
    crs += DSA_CR_SIZE;

    /* An interrupt handle belongs to one PASID */
    wr32(DSA_MSIXPERM_BASE + 8,
         R_MSIXPERM_PASID_EN_MASK | PASID_A << R_MSIXPERM_PASID_SHIFT);
    for (int i = 0; i < 2; i++) {
        d = (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS | DSA_FLAG_RCI,
                     .cr = IOVA + crs, .handle = 1 };
        post(i, DSA_PORTAL_LIMITED, d);
        g_assert_cmphex(wait_status(page[i] + crs), ==,
                        i ? DSA_COMP_INT_HANDLE_INVAL : DSA_COMP_SUCCESS);
        if (!i) {
            wait_irq(1);
        }
        d.handle = 2;               /* of requests without PASID */
        d.cr += DSA_CR_SIZE;
        post(i, DSA_PORTAL_LIMITED, d);
        g_assert_cmphex(wait_status(page[i] + crs + DSA_CR_SIZE), ==,
                        DSA_COMP_INT_HANDLE_INVAL);
    }
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);
    g_assert_false(irq(1));
    g_assert_false(irq(2));
    crs += 2 * DSA_CR_SIZE;

    /* Nothing moves without bus mastering, and without PASIDs */
    d = (Desc) { .op = DSA_OP_MEMFILL, .flags = FLAGS, .cr = IOVA + crs,
                 .dst = IOVA + 0x3000, .size = 8, .src = UINT64_MAX };
    for (int i = 0; i < 3; i++) {
        qtest_writew(qts, cfg(PCI_COMMAND), PCI_COMMAND_MEMORY |
                     (i ? PCI_COMMAND_MASTER : 0));
        qtest_writew(qts, cfg(DSA_PASID_CTRL), i != 1);
        post(0, DSA_PORTAL_LIMITED, d);
        g_assert_cmphex(cmd(DSA_CMD_DRAIN_PASID, PASID_A), ==, 0);
        if (i == 2) {
            break;
        }
        g_assert_cmphex(status(PAGE_A + crs), ==, 0);
        assert_filled(PAGE_A + 0x3000, 0, 8);
        g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                        DSA_COMP_CRA_XLAT);
        g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, PASID), ==,
                        PASID_A);
        ack_swerr();
    }
    g_assert_cmphex(status(PAGE_A + crs), ==, DSA_COMP_SUCCESS);
    assert_filled(PAGE_A + 0x3000, 0xff, 8);
    dsa_stop();
}

/* DRAIN_PASID and ABORT_PASID touch one PASID only */
static void test_pasid_commands(void)
{
    dsa_start(VTD SLOW);
    vtd_start();
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    set_group(0, 1, 1);
    set_group(1, 2, 2);
    for (int i = 0; i < 2; i++) {
        uint32_t pasid = i ? PASID_B : PASID_A;

        set_wq(i, 8, DEDICATED | R_WQCFG2_PASID_EN_MASK |
                     pasid << R_WQCFG2_PASID_SHIFT);
    }
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 1), ==, 0);
    qtest_memset(qts, PAGE_A, 0, 0x1000);
    qtest_memset(qts, PAGE_B, 0, 0x1000);

    for (int i = 0; i < 4; i++) {
        post(i % 2, DSA_PORTAL_LIMITED,
             (Desc) { .op = DSA_OP_NOOP, .flags = FLAGS,
                      .cr = IOVA + i / 2 * DSA_CR_SIZE });
    }
    settle();
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_PASID, 77), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ABORT_PASID, PASID_A), ==, 0);
    cmd_start(DSA_CMD_DRAIN_PASID, PASID_B, false);
    for (int i = 0; i < 2; i++) {
        settle();
        g_assert_true(cmd_active());
        qtest_clock_step(qts, 1000);
        g_assert_cmphex(wait_status(PAGE_B + i * DSA_CR_SIZE), ==,
                        DSA_COMP_SUCCESS);
    }
    g_assert_cmphex(cmd_wait(), ==, 0);
    assert_filled(PAGE_A, 0, 0x1000);
    dsa_stop();
}

/*
 * Shared WQs: the CPU runs this, at the end of its firmware:
 *
 *         cli
 *         lgdtl   %cs:gdtr
 *         mov     %cr0, %eax
 *         or      $1, %al
 *         mov     %eax, %cr0
 *         ljmpl   $8, $start32
 * start32:
 *         mov     $16, %eax
 *         mov     %eax, %ds
 *         mov     %eax, %es
 *         mov     $0x10000, %ebx          # MAILBOX
 *         lea     0x40(%ebx), %esi
 * again:  pause
 *         mov     (%ebx), %eax            # 1: MOVDIR64B, 2: ENQCMDS
 *         test    %eax, %eax
 *         jz      again
 *         mov     4(%ebx), %edi
 *         dec     %eax
 *         jz      posted
 *         enqcmds (%esi), %edi
 *         setz    8(%ebx)
 *         jmp     done
 * posted: movdir64b (%esi), %edi
 * done:   movl    $0, (%ebx)
 *         jmp     again
 * gdt:    .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff
 * gdtr:   .word   0x17
 *         .long   gdt
 */
static const uint8_t firmware[] = {
    0xfa, 0x2e, 0x66, 0x0f, 0x01, 0x16, 0x68, 0xff, 0x0f, 0x20, 0xc0, 0x0c,
    0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x18, 0xff, 0xff, 0xff, 0x08, 0x00,
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0xbb, 0x00, 0x00,
    0x01, 0x00, 0x8d, 0x73, 0x40, 0xf3, 0x90, 0x8b, 0x03, 0x85, 0xc0, 0x74,
    0xf8, 0x8b, 0x7b, 0x04, 0x48, 0x74, 0x0b, 0xf3, 0x0f, 0x38, 0xf8, 0x3e,
    0x0f, 0x94, 0x43, 0x08, 0xeb, 0x05, 0x66, 0x0f, 0x38, 0xf8, 0x3e, 0xc7,
    0x03, 0x00, 0x00, 0x00, 0x00, 0xeb, 0xda, 0x90, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, 0x17, 0x00, 0x50, 0xff,
    0xff, 0xff,
};

#define MAILBOX         0x10000
#define FIRMWARE_SIZE   0x10000
#define FIRMWARE_START  0xff00

static char *make_firmware(void)
{
    g_autofree uint8_t *image = g_malloc0(FIRMWARE_SIZE);
    char *path;
    int fd = g_file_open_tmp("dsa-test-XXXXXX", &path, NULL);

    memcpy(image + FIRMWARE_START, firmware, sizeof(firmware));
    memcpy(image + 0xfff0, "\xe9\x0d\xff", 3);     /* jmp start */
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, image, FIRMWARE_SIZE), ==, FIRMWARE_SIZE);
    close(fd);
    return path;
}

/* Let the CPU write the descriptor; true if the device tells it to retry */
static bool cpu_store(unsigned op, unsigned wq, unsigned page, Desc d)
{
    uint64_t word[8];

    desc_words(&d, word);
    for (int i = 0; i < 8; i++) {
        qtest_writeq(qts, MAILBOX + 0x40 + i * 8, word[i]);
    }
    qtest_writel(qts, MAILBOX + 4,
                 BAR2 + wq * DSA_PORTAL_STRIDE + page * DSA_PORTAL_PAGE);
    qtest_writel(qts, MAILBOX + 8, 0);
    qtest_writel(qts, MAILBOX, op);
    for (int i = 0; i < PATIENCE_US / 100; i++) {
        if (!qtest_readl(qts, MAILBOX)) {
            return qtest_readl(qts, MAILBOX + 8);
        }
        g_usleep(100);
    }
    g_assert_not_reached();
}

static bool movdir64b(unsigned wq, unsigned page, Desc d)
{
    return cpu_store(1, wq, page, d);
}

static bool enqcmds(unsigned wq, unsigned page, Desc d)
{
    return cpu_store(2, wq, page, d);
}

static void test_shared(void)
{
    g_autofree char *bios = make_firmware();
    g_autofree char *args =
        g_strdup_printf(VTD "-device dsa,addr=4,id=dsa0 -accel tcg "
                        "-cpu max -bios %s", bios);
    Desc noop = { .op = DSA_OP_NOOP, .flags = FLAGS };

    dsa_start(args);
    unlink(bios);
    vtd_start();
    qtest_writew(qts, cfg(DSA_PASID_CTRL), R_PASID_CTRL_EN_MASK);
    qtest_memset(qts, PAGE_A, 0, 0x1000);
    qtest_memset(qts, PAGE_B, 0, 0x1000);
    set_group(0, 3, 1);
    set_wq(0, 8, R_WQCFG2_PASID_EN_MASK);
    wr32(wqcfg(0, 1), 3);
    set_wq(1, 8, DEDICATED | R_WQCFG2_PASID_EN_MASK |
                 PASID_A << R_WQCFG2_PASID_SHIFT);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_DEVICE, 0), ==, 0);

    /* Not enabled: to be retried, and no error */
    g_assert_true(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 0), ==, 0);
    g_assert_cmphex(cmd(DSA_CMD_ENABLE_WQ, 1), ==, 0);

    /* Each descriptor acts in the address space of its own PASID */
    noop.cr = IOVA;
    noop.w0 = PASID_A;
    g_assert_false(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_A), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(PAGE_B), ==, 0);
    noop.w0 = PASID_B;
    noop.cr = IOVA + 0x20;
    g_assert_false(enqcmds(0, DSA_PORTAL_UNLIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_B + 0x20), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(status(PAGE_A + 0x20), ==, 0);

    /* Privileged mode is off */
    noop.w0 = PASID_A | 1u << R_DESC0_PRIV_SHIFT;
    noop.cr = IOVA + 0x40;
    g_assert_false(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_A + 0x40), ==, DSA_COMP_PRIV_BAD);
    qtest_writew(qts, cfg(DSA_PASID_CTRL),
                 R_PASID_CTRL_EN_MASK | R_PASID_CTRL_PRIV_EN_MASK);
    noop.cr = IOVA + 0x60;
    g_assert_false(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_A + 0x60), ==, DSA_COMP_SUCCESS);

    /* Dedicated WQs take what is posted, shared ones what is deferrable */
    noop.cr = IOVA + 0x80;
    g_assert_false(movdir64b(1, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_A + 0x80), ==, DSA_COMP_SUCCESS);
    g_assert_cmphex(rd64(A_SWERR0), ==, 0);
    g_assert_true(enqcmds(1, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_ERR_WQ_MODE);
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, WQ_IDX), ==, 1);
    ack_swerr();
    g_assert_false(movdir64b(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(FIELD_EX64(rd64(A_SWERR0), SWERR0, ERROR), ==,
                    DSA_ERR_WQ_MODE);
    ack_swerr();
    g_assert_cmphex(cmd(DSA_CMD_DRAIN_ALL, 0), ==, 0);

    /*
     * One in the engine; then the limited portal takes as many as the
     * threshold says, the unlimited one up to the size.
     */
    set_latency(3600ull * 1000 * 1000 * 1000);
    noop.cr = IOVA + 0xa0;
    for (int i = 0; i < 14; i++) {
        unsigned page = i < 5 ? DSA_PORTAL_LIMITED : DSA_PORTAL_UNLIMITED;

        noop.w0 = i % 2 ? PASID_A : PASID_B;
        g_assert_cmpint(enqcmds(0, page, noop), ==, i == 4 || i > 9);
        settle();
    }
    g_assert_cmpuint(occupancy(0), ==, 8);
    g_assert_true(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmpuint(FIELD_EX64(rd64(A_SWERR0), SWERR0, VALID), ==, 0);

    /* i = 1, 3, 5, 7, 9 are PASID A's; 0 is in the engine */
    g_assert_cmphex(cmd(DSA_CMD_ABORT_PASID, PASID_A), ==, 0);
    g_assert_cmpuint(occupancy(0), ==, 3);
    set_latency(0);
    g_assert_cmphex(cmd(DSA_CMD_ABORT_PASID, PASID_B), ==, 0);
    g_assert_cmpuint(occupancy(0), ==, 0);
    g_assert_cmphex(status(PAGE_A + 0xa0) | status(PAGE_B + 0xa0), ==, 0);
    noop.w0 = PASID_B;
    g_assert_false(enqcmds(0, DSA_PORTAL_LIMITED, noop));
    g_assert_cmphex(wait_status(PAGE_B + 0xa0), ==, DSA_COMP_SUCCESS);
    dsa_stop();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        { "/dsa/pci", test_pci },
        { "/dsa/capabilities", test_capabilities },
        { "/dsa/config", test_config },
        { "/dsa/command/errors", test_command_errors },
        { "/dsa/command/interrupt", test_command_interrupt },
        { "/dsa/command/drain", test_drain },
        { "/dsa/command/abort", test_abort },
        { "/dsa/command/disable-busy", test_disable_busy },
        { "/dsa/portal", test_portal },
        { "/dsa/op/noop", test_noop },
        { "/dsa/op/batch", test_batch },
        { "/dsa/op/drain", test_drain_engines },
        { "/dsa/op/memmove", test_memmove },
        { "/dsa/op/memfill", test_memfill },
        { "/dsa/op/compare", test_compare },
        { "/dsa/op/compval", test_compval },
        { "/dsa/op/dualcast", test_dualcast },
        { "/dsa/op/crc", test_crc },
        { "/dsa/op/cflush", test_cflush },
        { "/dsa/error/fault", test_fault },
        { "/dsa/error/block-on-fault", test_block_on_fault },
        { "/dsa/error/descriptor", test_descriptor_errors },
        { "/dsa/error/swerr", test_swerr },
        { "/dsa/error/event-log", test_event_log },
        { "/dsa/error/wq-full", test_full },
        { "/dsa/interrupt", test_interrupt },
        { "/dsa/int-handles", test_int_handles },
        { "/dsa/arbitration", test_arbitration },
        { "/dsa/flr", test_flr },
        { "/dsa/fault/commands", test_fault_commands },
        { "/dsa/fault/engines", test_fault_engines },
        { "/dsa/fault/halt", test_fault_halt },
        { "/dsa/fault/gone", test_fault_gone },
        { "/dsa/fault/reports", test_fault_reports },
        { "/dsa/nonsense", test_nonsense },
        { "/dsa/pasid/data", test_pasid },
        { "/dsa/pasid/commands", test_pasid_commands },
        { "/dsa/pasid/shared", test_shared },
    };

    g_test_init(&argc, &argv, NULL);
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        qtest_add_func(tests[i].name, tests[i].fn);
    }
    return g_test_run();
}
