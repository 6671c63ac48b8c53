/*
 * Data Streaming Accelerator: PCI device and registers
 *
 * See docs/specs/dsa.rst for what is modelled.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "hw/i386/intel_iommu.h"
#include "hw/pci/msix.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "dsa.h"
#include "trace.h"

uint64_t dsa_gencap(DSAState *s)
{
    uint64_t cap = 0;

    cap = FIELD_DP64(cap, GENCAP, BLOCK_ON_FAULT, 1);
    cap = FIELD_DP64(cap, GENCAP, OVERLAP_COPY, 1);
    cap = FIELD_DP64(cap, GENCAP, CACHE_CONTROL_MEM, 1);
    cap = FIELD_DP64(cap, GENCAP, CACHE_CONTROL_CACHE, 1);
    cap = FIELD_DP64(cap, GENCAP, CMD_CAP, 1);
    cap = FIELD_DP64(cap, GENCAP, DEST_READBACK, 1);
    cap = FIELD_DP64(cap, GENCAP, DRAIN_READBACK, 1);
    cap = FIELD_DP64(cap, GENCAP, EVL_SUPPORT, s->evl);
    cap = FIELD_DP64(cap, GENCAP, MAX_XFER_SHIFT, DSA_MAX_XFER_SHIFT);
    cap = FIELD_DP64(cap, GENCAP, MAX_BATCH_SHIFT, DSA_MAX_BATCH_SHIFT);
    cap = FIELD_DP64(cap, GENCAP, CONFIG_EN, 1);
    return cap;
}

static uint64_t dsa_wqcap(DSAState *s)
{
    uint64_t cap = 0;

    cap = FIELD_DP64(cap, WQCAP, TOTAL_SIZE, DSA_TOTAL_WQ_SIZE);
    cap = FIELD_DP64(cap, WQCAP, NUM_WQS, DSA_NUM_WQS);
    cap = FIELD_DP64(cap, WQCAP, WQCFG_SIZE, ctz32(DSA_WQCFG_STRIDE) - 5);
    cap = FIELD_DP64(cap, WQCAP, SHARED_MODE, 1);
    cap = FIELD_DP64(cap, WQCAP, DEDICATED_MODE, 1);
    cap = FIELD_DP64(cap, WQCAP, PRIORITY, 1);
    cap = FIELD_DP64(cap, WQCAP, OCCUPANCY, 1);
    cap = FIELD_DP64(cap, WQCAP, OP_CONFIG, s->version >= 2);
    cap = FIELD_DP64(cap, WQCAP, PRS, s->version >= 2);
    return cap;
}

static uint64_t dsa_grpcap(DSAState *s)
{
    uint64_t cap = 0;

    cap = FIELD_DP64(cap, GRPCAP, NUM_GROUPS, DSA_NUM_GROUPS);
    cap = FIELD_DP64(cap, GRPCAP, TOTAL_RDBUFS, DSA_NUM_RDBUFS);
    cap = FIELD_DP64(cap, GRPCAP, RDBUF_CTRL, 1);
    cap = FIELD_DP64(cap, GRPCAP, RDBUF_LIMIT, 1);
    cap = FIELD_DP64(cap, GRPCAP, PROGRESS_LIMIT, s->version >= 2);
    return cap;
}

/* All opcodes of the model are below 64: the other three words are 0 */
uint64_t dsa_opcap(void)
{
    return BIT_ULL(DSA_OP_NOOP) | BIT_ULL(DSA_OP_BATCH) |
           BIT_ULL(DSA_OP_DRAIN) | BIT_ULL(DSA_OP_MEMMOVE) |
           BIT_ULL(DSA_OP_MEMFILL) | BIT_ULL(DSA_OP_COMPARE) |
           BIT_ULL(DSA_OP_COMPVAL) | BIT_ULL(DSA_OP_DUALCAST) |
           BIT_ULL(DSA_OP_CRCGEN) | BIT_ULL(DSA_OP_COPY_CRC) |
           BIT_ULL(DSA_OP_CFLUSH);
}

uint32_t dsa_cmdcap(DSAState *s)
{
    uint32_t cap = MAKE_64BIT_MASK(DSA_CMD_ENABLE_DEVICE,
                                   DSA_CMD_ABORT_PASID);

    if (s->int_handles) {
        cap |= BIT(DSA_CMD_REQUEST_INT_HANDLE) |
               BIT(DSA_CMD_RELEASE_INT_HANDLE);
    }
    return cap;
}

uint16_t dsa_pasid_ctrl(DSAState *s)
{
    return pci_get_word(PCI_DEVICE(s)->config + DSA_PASID_CTRL);
}

/*
 * The address space that a request reaches, or NULL if the device may not
 * send it.  What carries a PASID does not pass the bus master region, hence
 * the check of the command register here.
 */
AddressSpace *dsa_address_space(DSAState *s, bool pasid_en, uint32_t pasid)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    Object *iommu;

    if (!(pci_get_word(pdev->config + PCI_COMMAND) & PCI_COMMAND_MASTER)) {
        trace_dsa_no_address_space(pasid, "bus mastering is off");
        return NULL;
    }
    if (!pasid_en) {
        return pci_get_address_space(pdev);
    }
    if (!FIELD_EX16(dsa_pasid_ctrl(s), PASID_CTRL, EN)) {
        trace_dsa_no_address_space(pasid, "PASIDs are off");
        return NULL;
    }
    iommu = object_dynamic_cast(OBJECT(x86_iommu_get_default()),
                                TYPE_INTEL_IOMMU_DEVICE);
    if (!iommu) {
        trace_dsa_no_address_space(pasid, "no IOMMU that knows PASIDs");
        return NULL;
    }
    return &vtd_find_add_as(INTEL_IOMMU_DEVICE(iommu), pci_get_bus(pdev),
                            pdev->devfn, pasid)->as;
}

/* Set bits of INTCAUSE and tell the driver by vector 0 */
void dsa_raise(DSAState *s, uint32_t cause)
{
    if (s->gone) {
        return;
    }
    trace_dsa_raise(cause);
    s->intcause |= cause;
    msix_notify(PCI_DEVICE(s), 0);
}

/* What RESET_DEVICE forgets.  No job is left when this is called. */
void dsa_clear_config(DSAState *s)
{
    s->gencfg = 0;
    s->genctrl = 0;
    s->state = DSA_STATE_DISABLED;
    s->reset_type = 0;
    memset(s->swerr, 0, sizeof(s->swerr));
    memset(s->evlcfg, 0, sizeof(s->evlcfg));
    s->evl_head = 0;
    s->evl_tail = 0;
    s->evl_pending = false;
    memset(s->msixperm, 0, sizeof(s->msixperm));
    s->handles = 0;
    memset(s->group, 0, sizeof(s->group));
    for (int i = 0; i < DSA_NUM_WQS; i++) {
        DSAWq *wq = &s->wq[i];

        memset(wq->cfg, 0, sizeof(wq->cfg));
        memset(wq->gather, 0, sizeof(wq->gather));
        wq->enabled = false;
        wq->accepting = false;
    }
}

static uint32_t dsa_wqcfg_read(DSAState *s, unsigned id, unsigned dword)
{
    DSAWq *wq = &s->wq[id];
    uint32_t val = wq->cfg[dword];

    if (dword == 6) {
        val = FIELD_DP32(val, WQCFG6, OCCUPANCY, wq->occupancy);
        val = FIELD_DP32(val, WQCFG6, STATE, wq->enabled);
    }
    return val;
}

static uint32_t dsa_wqcfg_mask(DSAState *s, unsigned dword)
{
    switch (dword) {
    case 0:
        return R_WQCFG0_SIZE_MASK;
    case 1:
        return R_WQCFG1_THRESHOLD_MASK;
    case 2:
        return R_WQCFG2_MODE_MASK | R_WQCFG2_BOF_MASK |
               (s->version >= 2 ? R_WQCFG2_PRS_DISABLE_MASK : 0) |
               R_WQCFG2_PRIORITY_MASK | R_WQCFG2_PASID_MASK |
               R_WQCFG2_PASID_EN_MASK | R_WQCFG2_PRIV_MASK;
    case 3:
        return R_WQCFG3_MAX_XFER_SHIFT_MASK | R_WQCFG3_MAX_BATCH_SHIFT_MASK;
    case DSA_WQCFG_OP_CONFIG:
        return s->version >= 2 ? (uint32_t)dsa_opcap() : 0;
    case DSA_WQCFG_OP_CONFIG + 1:
        return s->version >= 2 ? dsa_opcap() >> 32 : 0;
    default:
        return 0;
    }
}

static void dsa_wqcfg_write(DSAState *s, unsigned id, unsigned dword,
                            uint32_t val, uint32_t mask)
{
    DSAWq *wq = &s->wq[id];

    mask &= dsa_wqcfg_mask(s, dword);
    wq->cfg[dword] = (wq->cfg[dword] & ~mask) | (val & mask);
}

static uint64_t *dsa_grpcfg(DSAState *s, hwaddr addr)
{
    DSAGroup *group = &s->group[(addr - DSA_GRPCFG_BASE) / DSA_GRPCFG_STRIDE];

    switch ((addr - DSA_GRPCFG_BASE) % DSA_GRPCFG_STRIDE) {
    case 0:
        return &group->wqs;
    case 32:
        return &group->engines;
    case 40:
        return &group->flags;
    default:                    /* more WQs than there are; reserved */
        return NULL;
    }
}

static bool dsa_in(hwaddr addr, hwaddr base, hwaddr size)
{
    return addr >= base && addr - base < size;
}

/* @addr is aligned to 8: every register is read as a 64-bit one */
static uint64_t dsa_reg_read(DSAState *s, hwaddr addr)
{
    uint64_t val = 0;

    if (dsa_in(addr, DSA_GRPCFG_BASE, DSA_NUM_GROUPS * DSA_GRPCFG_STRIDE)) {
        uint64_t *reg = dsa_grpcfg(s, addr);

        return reg ? *reg : 0;
    }
    if (dsa_in(addr, DSA_WQCFG_BASE, DSA_NUM_WQS * DSA_WQCFG_STRIDE)) {
        unsigned id = (addr - DSA_WQCFG_BASE) / DSA_WQCFG_STRIDE;
        unsigned dword = (addr - DSA_WQCFG_BASE) % DSA_WQCFG_STRIDE / 4;

        return deposit64(dsa_wqcfg_read(s, id, dword), 32, 32,
                         dsa_wqcfg_read(s, id, dword + 1));
    }
    if (dsa_in(addr, DSA_MSIXPERM_BASE, DSA_NUM_VECTORS * 8)) {
        return s->msixperm[(addr - DSA_MSIXPERM_BASE) / 8];
    }

    switch (addr) {
    case A_VER:
        return s->version >= 2 ? DSA_VER_2 : DSA_VER_1;
    case A_GENCAP:
        return dsa_gencap(s);
    case A_WQCAP:
        return dsa_wqcap(s);
    case A_GRPCAP:
        return dsa_grpcap(s);
    case A_ENGCAP:
        return DSA_NUM_ENGINES;
    case A_OPCAP:
        return dsa_opcap();
    case A_OFFSETS0:
        val = FIELD_DP64(val, OFFSETS0, GRPCFG, DSA_GRPCFG_BASE / 0x100);
        val = FIELD_DP64(val, OFFSETS0, WQCFG, DSA_WQCFG_BASE / 0x100);
        val = FIELD_DP64(val, OFFSETS0, MSIXPERM, DSA_MSIXPERM_BASE / 0x100);
        return val;
    case A_GENCFG:
        return s->gencfg;
    case A_GENCTRL:
        return s->genctrl;
    case A_GENSTS:
        val = FIELD_DP64(val, GENSTS, STATE, s->state);
        val = FIELD_DP64(val, GENSTS, RESET_TYPE, s->reset_type);
        return val;
    case A_INTCAUSE:
        return s->intcause;
    case A_CMD:
        return s->cmd;
    case A_CMDSTS:
        return s->cmdsts;
    case A_CMDCAP:
        return dsa_cmdcap(s);
    case A_SWERR0 ... A_SWERR0 + 24:
        return s->swerr[(addr - A_SWERR0) / 8];
    case A_EVLCFG0:
        return s->evlcfg[0];
    case A_EVLCFG1:
        return s->evlcfg[1];
    case A_EVLSTATUS:
        val = FIELD_DP64(val, EVLSTATUS, HEAD, s->evl_head);
        val = FIELD_DP64(val, EVLSTATUS, TAIL, s->evl_tail);
        val = FIELD_DP64(val, EVLSTATUS, INT_PENDING, s->evl_pending);
        return val;
    default:
        return 0;
    }
}

static void dsa_gencfg_write(DSAState *s, uint32_t val)
{
    bool was_on = FIELD_EX32(s->gencfg, GENCFG, EVL_EN);

    s->gencfg = val & (R_GENCFG_RDBUF_LIMIT_MASK | R_GENCFG_USER_INT_EN_MASK |
                       (s->evl ? R_GENCFG_EVL_EN_MASK : 0));
    if (!was_on && FIELD_EX32(s->gencfg, GENCFG, EVL_EN)) {
        s->evl_head = 0;
        s->evl_tail = 0;
        s->evl_pending = false;
    }
}

/* As above; only the bits of @mask are written, and set in @val */
static void dsa_reg_write(DSAState *s, hwaddr addr, uint64_t val, uint64_t mask)
{
    if (dsa_in(addr, DSA_GRPCFG_BASE, DSA_NUM_GROUPS * DSA_GRPCFG_STRIDE)) {
        uint64_t *reg = dsa_grpcfg(s, addr);

        if (s->state != DSA_STATE_DISABLED) {
            trace_dsa_reg_ignored(addr, "the device is enabled");
        } else if (reg) {
            *reg = (*reg & ~mask) | val;
        }
        return;
    }
    if (dsa_in(addr, DSA_WQCFG_BASE, DSA_NUM_WQS * DSA_WQCFG_STRIDE)) {
        unsigned id = (addr - DSA_WQCFG_BASE) / DSA_WQCFG_STRIDE;
        unsigned dword = (addr - DSA_WQCFG_BASE) % DSA_WQCFG_STRIDE / 4;

        /* The Linux driver rewrites them at will, and counts on this */
        if (s->wq[id].enabled) {
            trace_dsa_reg_ignored(addr, "the WQ is enabled");
            return;
        }
        dsa_wqcfg_write(s, id, dword, val, mask);
        dsa_wqcfg_write(s, id, dword + 1, val >> 32, mask >> 32);
        return;
    }
    if (dsa_in(addr, DSA_MSIXPERM_BASE, DSA_NUM_VECTORS * 8)) {
        uint32_t *perm = &s->msixperm[(addr - DSA_MSIXPERM_BASE) / 8];

        mask &= R_MSIXPERM_PASID_EN_MASK | R_MSIXPERM_PASID_MASK;
        *perm = (*perm & ~mask) | (val & mask);
        return;
    }

    switch (addr) {
    case A_GENCFG:
        dsa_gencfg_write(s, (s->gencfg & ~mask) | val);
        break;
    case A_GENCTRL:
        s->genctrl = ((s->genctrl & ~mask) | val) &
                     (R_GENCTRL_SOFTERR_INT_EN_MASK |
                      R_GENCTRL_HALT_INT_EN_MASK |
                      (s->evl ? R_GENCTRL_EVL_INT_EN_MASK : 0));
        break;
    case A_INTCAUSE:
        s->intcause &= ~val;
        break;
    case A_CMD:
        if ((uint32_t)mask) {
            dsa_cmd_write(s, val);
        }
        break;
    case A_SWERR0:
        s->swerr[0] &= ~(val & (R_SWERR0_VALID_MASK | R_SWERR0_OVERFLOW_MASK));
        break;
    case A_EVLCFG0:
    case A_EVLCFG1:
        if (!s->evl || FIELD_EX32(s->gencfg, GENCFG, EVL_EN)) {
            trace_dsa_reg_ignored(addr, "no event log, or it is enabled");
        } else {
            uint64_t *reg = &s->evlcfg[addr == A_EVLCFG1];

            *reg = (*reg & ~mask) | val;
        }
        break;
    case A_EVLSTATUS:
        if (mask & R_EVLSTATUS_HEAD_MASK) {
            s->evl_head = FIELD_EX64(val, EVLSTATUS, HEAD);
        }
        if (val & R_EVLSTATUS_INT_PENDING_MASK) {
            s->evl_pending = false;
        }
        break;
    default:
        trace_dsa_reg_ignored(addr, "read-only or reserved");
        break;
    }
}

static uint64_t dsa_regs_read(void *opaque, hwaddr addr, unsigned size)
{
    DSAState *s = opaque;
    uint64_t val = s->gone ? UINT64_MAX : dsa_reg_read(s, addr & ~7ull);

    val = extract64(val, (addr & 7) * 8, size * 8);
    trace_dsa_reg_read(addr, size, val);
    return val;
}

static void dsa_regs_write(void *opaque, hwaddr addr, uint64_t val,
                           unsigned size)
{
    DSAState *s = opaque;
    unsigned shift = (addr & 7) * 8;

    trace_dsa_reg_write(addr, size, val);
    if (s->gone) {
        return;
    }
    dsa_reg_write(s, addr & ~7ull, val << shift,
                  MAKE_64BIT_MASK(shift, size * 8));
}

static const MemoryRegionOps dsa_regs_ops = {
    .read = dsa_regs_read,
    .write = dsa_regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid.min_access_size = 4,
    .valid.max_access_size = 8,
    .impl.min_access_size = 4,
    .impl.max_access_size = 8,
};

static uint32_t dsa_config_read(PCIDevice *pdev, uint32_t addr, int len)
{
    return DSA(pdev)->gone ? MAKE_64BIT_MASK(0, len * 8) :
                             pci_default_read_config(pdev, addr, len);
}

static void dsa_config_write(PCIDevice *pdev, uint32_t addr, uint32_t val,
                             int len)
{
    if (DSA(pdev)->gone) {
        return;
    }
    pci_default_write_config(pdev, addr, val, len);
    pcie_cap_flr_write_config(pdev, addr, val, len);
}

static void dsa_add_pasid_capability(PCIDevice *pdev)
{
    uint16_t caps = 0;

    caps = FIELD_DP16(caps, PASID_CAPS, PRIV, 1);
    caps = FIELD_DP16(caps, PASID_CAPS, WIDTH, DSA_PASID_WIDTH);
    pcie_add_capability(pdev, DSA_PASID_CAP_ID, 1, DSA_PASID_CAP, 8);
    pci_set_word(pdev->config + DSA_PASID_CAPS, caps);
    pci_set_word(pdev->wmask + DSA_PASID_CTRL,
                 R_PASID_CTRL_EN_MASK | R_PASID_CTRL_PRIV_EN_MASK);
}

static void dsa_realize(PCIDevice *pdev, Error **errp)
{
    DSAState *s = DSA(pdev);

    if (s->version != 1 && s->version != 2) {
        error_setg(errp, "dsa: there are versions 1 and 2, not %u",
                   s->version);
        return;
    }
    pci_config_set_device_id(pdev->config, s->version >= 2 ?
                             DSA_PCI_DEVICE_ID_V2 : DSA_PCI_DEVICE_ID_V1);

    memory_region_init_io(&s->regs, OBJECT(s), &dsa_regs_ops, s, "dsa-regs",
                          DSA_REG_SIZE);
    memory_region_init_io(&s->portals, OBJECT(s), &dsa_portal_ops, s,
                          "dsa-portals", DSA_PORTAL_SIZE);

    if (pcie_endpoint_cap_init(pdev, 0x40) < 0) {
        error_setg(errp, "dsa: no room for the PCI Express capability");
        return;
    }
    pcie_cap_flr_init(pdev);
    dsa_add_pasid_capability(pdev);
    if (msix_init(pdev, DSA_NUM_VECTORS, &s->regs, DSA_REG_BAR, DSA_MSIX_TABLE,
                  &s->regs, DSA_REG_BAR, DSA_MSIX_PBA, 0x80, errp)) {
        return;
    }
    for (int i = 0; i < DSA_NUM_VECTORS; i++) {
        msix_vector_use(pdev, i);
    }
    pci_register_bar(pdev, DSA_REG_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &s->regs);
    pci_register_bar(pdev, DSA_PORTAL_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->portals);
    dsa_wq_init(s);
}

static void dsa_exit(PCIDevice *pdev)
{
    DSAState *s = DSA(pdev);

    dsa_wq_uninit(s);
    msix_uninit(pdev, &s->regs, &s->regs);
    pcie_cap_exit(pdev);
}

void dsa_reset_function(DSAState *s)
{
    trace_dsa_reset(PCI_DEVICE(s)->name);
    dsa_jobs_abort(s, DSA_MATCH_ALL);
    dsa_clear_config(s);
    timer_del(s->cmd_timer);
    s->intcause = 0;
    s->cmd = 0;
    s->cmdsts = 0;
}

/* System reset and function level reset */
static void dsa_reset_hold(Object *obj, ResetType type)
{
    DSAState *s = DSA(obj);

    dsa_reset_function(s);
    pci_set_word(PCI_DEVICE(s)->config + DSA_PASID_CTRL, 0);
}

static void dsa_instance_init(Object *obj)
{
    DSAState *s = DSA(obj);

    /* Can be changed at run time, too */
    object_property_add_uint64_ptr(obj, "latency-ns", &s->latency_ns,
                                   OBJ_PROP_FLAG_READWRITE);
    object_property_set_description(obj, "latency-ns", "time from the start "
                                    "of a descriptor to its first access");
    s->handle_base = DSA_INT_HANDLE_BASE;
    dsa_fault_init(obj);
}

static const Property dsa_properties[] = {
    DEFINE_PROP_UINT8("version", DSAState, version, 1),
    DEFINE_PROP_BOOL("int-handles", DSAState, int_handles, false),
    DEFINE_PROP_BOOL("evl", DSAState, evl, true),
};

static const VMStateDescription dsa_vmstate = {
    .name = TYPE_DSA,
    .unmigratable = 1,
};

static void dsa_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    k->realize = dsa_realize;
    k->exit = dsa_exit;
    k->config_read = dsa_config_read;
    k->config_write = dsa_config_write;
    k->vendor_id = PCI_VENDOR_ID_INTEL;
    k->device_id = DSA_PCI_DEVICE_ID_V1;
    k->class_id = PCI_CLASS_SYSTEM_OTHER;
    rc->phases.hold = dsa_reset_hold;
    dc->desc = "Data Streaming Accelerator";
    dc->vmsd = &dsa_vmstate;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, dsa_properties);
}

static const TypeInfo dsa_info = {
    .name = TYPE_DSA,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(DSAState),
    .instance_init = dsa_instance_init,
    .class_init = dsa_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void dsa_register_types(void)
{
    type_register_static(&dsa_info);
}

type_init(dsa_register_types)
