#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A VMM that is an ordinary user: passed descriptors, mediated portal."""

import os
import sys

import vm

COPIES = 1000
INVALID_OPCODE = 0x10
BATCH, NOOP = 1, 0


def passed():
    """An unprivileged QEMU gets /dev/iommu and the vdev as file descriptors"""
    guest.start()
    owner = os.stat(f"/proc/{guest.process.pid}").st_uid
    vm.check(owner != 0, "QEMU runs as root")
    with open(f"/proc/{guest.process.pid}/status", encoding="ascii") as file:
        caps = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    vm.check(int(caps, 16) == 0, f"QEMU has capabilities {caps}")
    vm.check(vdev.attr("pasid/state") == "attached", "the vdev is not attached")


def is_pci():
    """To that QEMU the vdev is a PCI device"""
    devices = [device for bus in guest.qmp("query-pci") for device in bus["devices"]]
    dsa = [device for device in devices if device["id"]["vendor"] == 0x8086 and
           device["id"]["device"] in (0x0b25, 0x11fb)]
    vm.check(len(dsa) == 1, f"PCI devices: {devices}")


def mediated():
    """Its portal is mediated, and the stock driver works unchanged"""
    vm.check(vdev.attr("dsa/portal") == "mediated", "the portal is direct")
    guest.use_dsa()
    with vm.Exits(*guest.portal_range()) as exits:
        done, failures, _ = guest.dmatest(COPIES)
    vm.check((done, failures) == (COPIES, 0), f"{done} copies, {failures} failures")
    print(f"# {exits.traps} at the portal, {exits.mmio} to the VMM, {exits.total} in all")
    # One MOVDIR64B is one trap, and eight pieces for the VMM
    vm.check(COPIES <= exits.traps < COPIES + 50, "not one trap for each submission")
    vm.check(8 * COPIES <= exits.mmio < 9 * COPIES, "not eight exits for each submission")


def two_cpus():
    """Threads on two CPUs submit at a time"""
    # That stores to the same place do not mix, which is rare here, idxd/dsa_data tests
    done, failures, _ = guest.dmatest(COPIES // 4, threads=4)
    vm.check((done, failures) == (COPIES, 0), f"{done} copies, {failures} failures")


def batch():
    """BATCH is refused as an unsupported operation"""
    result = guest.submit(f"-o {BATCH}", ok=False)
    vm.check(result["status"] == INVALID_OPCODE, f"{result}")
    result = guest.submit("-n 10")
    vm.check(result["good"] == 10, f"copies after it: {result}")


def cost():
    """What a submission costs"""
    result = guest.submit(f"-o {NOOP} -n 300")
    print(f"# {result['ns'] / 1000:.0f} us, under emulation")
    vm.check(result["good"] == 300, f"{result}")


with vm.Host() as host:
    vdev = host.vdev()
    guest = host.guest(vdev, args=["-smp", "2"], user="nobody")
    status = vm.run_tests(passed, is_pci, mediated, two_cpus, batch, cost)
sys.exit(status)
