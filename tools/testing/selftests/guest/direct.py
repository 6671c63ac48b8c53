#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A vdev with a direct portal in a guest, driven by the guest's stock idxd."""

import re
import sys

import vm

COPIES = 1000
SUCCESS, INVALID_HANDLE = 1, 0x19
BATCH, NOOP = 1, 0


def boots():
    """The guest's idxd finds and enables a DSA"""
    guest.start()
    guest.load_driver()
    listed = guest.run("accel-config list -i")
    for text in ('"configurable":0', '"mode":"dedicated"', '"max_work_queues":1'):
        vm.check(text in listed, f"accel-config does not list {text}: {listed}")
    vm.check(vdev.attr("pasid/state") == "attached", "the vdev is not attached")
    vm.check(vdev.attr("dsa/portal") == "direct", "the portal is not direct")


def enables():
    """The guest's accel-config enables the WQ for a dmaengine"""
    guest.enable_wq()
    vm.check("dma0chan0" in guest.run("ls /sys/class/dma"), "no channel")


def copies():
    """1000 verified copies, each with an interrupt that reaches the guest"""
    before = guest.interrupts, vdev.interrupts
    log = vm.HostLog()
    done, failures, _ = guest.dmatest(COPIES)
    vm.check((done, failures) == (COPIES, 0), f"{done} copies, {failures} failures")
    in_guest, on_host = guest.interrupts - before[0], vdev.interrupts - before[1]
    print(f"# interrupts: {in_guest} in the guest, {on_host} on the host")
    # Completions that come while the thread runs share an interrupt
    vm.check(COPIES / 2 < in_guest <= on_host <= COPIES, "interrupts are lost or made up")
    log.check_no_faults()


def no_exits():
    """1000 submissions cause no exit"""
    with vm.Exits(*guest.portal_range()) as exits:
        result = guest.submit(f"-o {NOOP} -n {COPIES}")
    print(f"# {exits.traps} at the portal, {exits.mmio} to the VMM, {exits.total} in all")
    vm.check(result["good"] == COPIES, f"{result}")
    vm.check(exits.traps == 0 and exits.mmio == 0, "submissions cause exits")
    # The guest's timer and its console make some
    vm.check(exits.total < COPIES, "submissions cause exits of another kind")


def irqfd():
    """Interrupts are injected by KVM itself, in the host's interrupt"""
    with vm.Trace("kvm_msi_set_irq") as trace:
        guest.dmatest(200)
    # comm-pid [cpu] flags: "h" and "H" say hard interrupt
    injected = [line for line in trace.lines if re.search(r"\] \S*[hH]\S* ", line)]
    print(f"# {len(trace.lines)} MSIs, {len(injected)} of them in an interrupt of the host")
    vm.check(len(injected) >= 50, f"by the VMM: {trace.lines[:3]}")


def handles():
    """Only the interrupt handle that the guest was given works"""
    # The vector of WQ n of the PF is n + 1, and this is WQ 0
    result = guest.submit(f"-o {NOOP} -i 1", ok=False)
    vm.check(result["status"] == SUCCESS, f"its own handle: {result}")
    for handle in (0, 2, 3, 8, 99, 65535):
        result = guest.submit(f"-o {NOOP} -i {handle}", ok=False)
        vm.check(result["status"] == INVALID_HANDLE, f"handle {handle}: {result}")


def large():
    """Copies of 1 MiB across scattered host pages are right"""
    result = guest.submit("-n 50 -s 1048576")
    vm.check(result["good"] == 50, f"{result}")


def batch():
    """A VMM with CAP_SYS_RAWIO may let its guest use batches"""
    result = guest.submit(f"-o {BATCH}", ok=False)
    vm.check(result["status"] == SUCCESS, f"{result}")


with vm.Host() as host:
    vdev = host.vdev()
    guest = host.guest(vdev)
    status = vm.run_tests(boots, enables, copies, no_exits, irqfd, handles, large, batch)
sys.exit(status)
