#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""KVM learns from the PF's IOMMU whether DMA of the vdev is coherent.

If the IOMMU does not ignore no-snoop requests, the guest's WBINVD must work, and KVM
keeps count of such devices. The lab runs this with both kinds of IOMMU.
"""

import sys

import vm

# Extended Capability Register of VT-d: snoop control
ECAP_SC = 1 << 7


def told():
    """KVM counts the vdev if, and only if, the IOMMU does not enforce coherency"""
    with vm.Trace(**PROBES) as trace:
        guest.begin()
        vm.wait_until(lambda: vdev.attr("pasid/state") == "attached", 60, "the attach")
        guest.qmp("query-status")
    vm.check(trace.count("register") == expected, f"{expected} expected: {trace.lines}")


def forgotten():
    """It forgets it again when the VMM ends"""
    with vm.Trace(**PROBES) as trace:
        guest.kill()
        vdev.wait_closed()
    vm.check(trace.count("unregister") == expected, f"{expected} expected: {trace.lines}")


with vm.Host() as host:
    ecap = int(vm.read("/sys/class/iommu/dmar0/intel-iommu/ecap"), 16)
    expected = 0 if ecap & ECAP_SC else 1
    print(f"# the IOMMU {'does not enforce' if expected else 'enforces'} coherency")
    vm.write("/sys/kernel/tracing/kprobe_events",
             "p:noncoherent/register kvm_arch_register_noncoherent_dma\n"
             "p:noncoherent/unregister kvm_arch_unregister_noncoherent_dma\n")
    PROBES = {"noncoherent/register": "0", "noncoherent/unregister": "0"}
    vdev = host.vdev()
    guest = host.guest(vdev, args=["-S"])
    status = vm.run_tests(told, forgotten)
    vm.write("/sys/kernel/tracing/kprobe_events", "")
sys.exit(status)
