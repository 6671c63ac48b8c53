/*
 * Data Streaming Accelerator: faults that a test can ask for
 *
 * Properties that are set at run time make the device misbehave as broken
 * hardware does.  None of them is part of the device as software sees it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/pci/pcie.h"
#include "dsa.h"
#include "trace.h"

/* The device stops for good, as after an error that it cannot recover from */
static void dsa_halt(DSAState *s, uint8_t reset_type)
{
    dsa_jobs_abort(s, DSA_MATCH_ALL);
    s->state = DSA_STATE_HALT;
    s->reset_type = reset_type;
    if (FIELD_EX32(s->genctrl, GENCTRL, HALT_INT_EN)) {
        dsa_raise(s, R_INTCAUSE_HALT_MASK);
    }
}

/* Every handle is invalid now; the next ones have other numbers */
static void dsa_revoke_handles(DSAState *s)
{
    s->handles = 0;
    s->handle_base ^= 3 * DSA_INT_HANDLE_BASE;
    dsa_raise(s, R_INTCAUSE_REVOKED_MASK);
}

static void dsa_set_halt(Object *obj, Visitor *v, const char *name,
                         void *opaque, Error **errp)
{
    uint8_t reset_type;

    if (!visit_type_uint8(v, name, &reset_type, errp)) {
        return;
    }
    if (reset_type > DSA_RESET_MAX) {
        error_setg(errp, "dsa: reset types are 0 to %u", DSA_RESET_MAX);
        return;
    }
    trace_dsa_fault(name, reset_type);
    dsa_halt(DSA(obj), reset_type);
}

static void dsa_set_error(Object *obj, Visitor *v, const char *name,
                          void *opaque, Error **errp)
{
    uint8_t error;

    if (visit_type_uint8(v, name, &error, errp)) {
        trace_dsa_fault(name, error);
        dsa_report_error(DSA(obj), NULL, NULL, error, 0);
    }
}

/* A report as a broken device makes it; opaque: it goes to the event log */
static void dsa_set_report(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    uint64_t report[4] = { };

    if (visit_type_uint64(v, name, &report[0], errp)) {
        trace_dsa_fault(name, report[0]);
        dsa_append_report(DSA(obj), opaque, report, NULL);
    }
}

static void dsa_set_evl_tail(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    uint16_t tail;

    if (visit_type_uint16(v, name, &tail, errp)) {
        trace_dsa_fault(name, tail);
        dsa_evl_set_tail(DSA(obj), tail);
    }
}

static void dsa_get_hang_commands(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &DSA(obj)->hang_cmds, errp);
}

static void dsa_set_hang_commands(Object *obj, Visitor *v, const char *name,
                                  void *opaque, Error **errp)
{
    DSAState *s = DSA(obj);

    if (visit_type_uint32(v, name, &s->hang_cmds, errp)) {
        trace_dsa_fault(name, s->hang_cmds);
        /* The one that hangs goes on if it may */
        qemu_bh_schedule(s->bh);
    }
}

static bool dsa_get_hang_engines(Object *obj, Error **errp)
{
    return DSA(obj)->hang_engines;
}

static void dsa_set_hang_engines(Object *obj, bool value, Error **errp)
{
    DSAState *s = DSA(obj);

    trace_dsa_fault("hang-engines", value);
    s->hang_engines = value;
    qemu_bh_schedule(s->bh);
}

static bool dsa_get_gone(Object *obj, Error **errp)
{
    return DSA(obj)->gone;
}

static void dsa_set_gone(Object *obj, bool value, Error **errp)
{
    DSAState *s = DSA(obj);

    if (value == s->gone) {
        return;
    }
    trace_dsa_fault("gone", value);
    s->gone = value;
    dsa_reset_function(s);
}

static bool dsa_get_pending(Object *obj, Error **errp)
{
    return DSA(obj)->pending;
}

static void dsa_set_pending(Object *obj, bool value, Error **errp)
{
    PCIDevice *pdev = PCI_DEVICE(obj);
    uint8_t *devsta = pdev->config + pdev->exp.exp_cap + PCI_EXP_DEVSTA;

    trace_dsa_fault("pending", value);
    DSA(obj)->pending = value;
    pci_set_word_by_mask(devsta, PCI_EXP_DEVSTA_TRPND, value);
}

static bool dsa_get_revoke(Object *obj, Error **errp)
{
    return false;
}

static void dsa_set_revoke(Object *obj, bool value, Error **errp)
{
    if (value) {
        trace_dsa_fault("revoke-int-handles", value);
        dsa_revoke_handles(DSA(obj));
    }
}

void dsa_fault_init(Object *obj)
{
    DSAState *s = DSA(obj);

    object_property_add(obj, "halt", "uint8", NULL, dsa_set_halt, NULL, NULL);
    object_property_set_description(obj, "halt",
                                    "halt; the value is GENSTS.reset_type");
    object_property_add(obj, "error", "uint8", NULL, dsa_set_error, NULL, NULL);
    object_property_set_description(obj, "error",
                                    "report an error of the device itself");
    object_property_add(obj, "swerr", "uint64", NULL, dsa_set_report, NULL,
                        NULL);
    object_property_set_description(obj, "swerr", "report an error in SWERR; "
                                    "the value is its first 64 bits");
    object_property_add(obj, "event-log", "uint64", NULL, dsa_set_report, NULL,
                        s);
    object_property_set_description(obj, "event-log", "the same in the event "
                                    "log");
    object_property_add(obj, "event-log-tail", "uint16", NULL,
                        dsa_set_evl_tail, NULL, NULL);
    object_property_set_description(obj, "event-log-tail",
                                    "where the event log ends, true or not");
    object_property_add(obj, "hang-commands", "uint32", dsa_get_hang_commands,
                        dsa_set_hang_commands, NULL, NULL);
    object_property_set_description(obj, "hang-commands", "bitmap of the "
                                    "command codes that never end");
    object_property_add_bool(obj, "hang-engines", dsa_get_hang_engines,
                             dsa_set_hang_engines);
    object_property_set_description(obj, "hang-engines",
                                    "no descriptor makes progress");
    object_property_add_bool(obj, "gone", dsa_get_gone, dsa_set_gone);
    object_property_set_description(obj, "gone", "reads give all ones, as "
                                    "from a device that was pulled out");
    object_property_add_bool(obj, "pending", dsa_get_pending, dsa_set_pending);
    object_property_set_description(obj, "pending", "PCIe transactions are "
                                    "pending for ever");
    object_property_add_bool(obj, "revoke-int-handles", dsa_get_revoke,
                             dsa_set_revoke);
    object_property_set_description(obj, "revoke-int-handles",
                                    "take all interrupt handles back");
    object_property_add_uint64_ptr(obj, "command-latency-ns",
                                   &s->cmd_latency_ns, OBJ_PROP_FLAG_READWRITE);
    object_property_set_description(obj, "command-latency-ns",
                                    "time from a write of CMD to its effect");
}
