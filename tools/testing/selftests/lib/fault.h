/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Make the modelled DSA misbehave, through the monitor of the QEMU that this machine
 * runs in. tools/qemu/docs/specs/dsa.rst, "Faults", lists the properties.
 */
#ifndef SELFTESTS_FAULT_H
#define SELFTESTS_FAULT_H

#include <stdbool.h>

/* Is there such a monitor? A real DSA has none. */
bool fault_possible(void);
/* Set a property of the device; @value is JSON: a number, true or false. */
int fault_set(const char *property, const char *value);
/* For "hang-commands" */
#define FAULT_ALL_COMMANDS	"4294967295"
/* Take all lasting faults away; -ENOENT if there is no monitor, hence no fault. */
int fault_clear(void);

#endif
