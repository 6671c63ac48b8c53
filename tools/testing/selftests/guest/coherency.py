#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""KVM learns from the PF's IOMMU that DMA of a vdev need not be coherent.

If the IOMMU cannot ignore no-snoop requests, the guest's WBINVD has to work, and KVM
keeps count of such devices. coherent.py is for the other kind of IOMMU.
"""

import sys

import vm

# Extended Capability Register of VT-d: snoop control
ECAP_SC = 1 << 7
# Exit reasons of WBINVD and of HLT
EXITS = {"kvm_amd": (0x89, 0x78), "kvm_intel": (54, 12)}
# All of the guest's firmware: wbinvd; 1: hlt; jmp 1b
FIRMWARE = bytes((0x0f, 0x09, 0xf4, 0xeb, 0xfd)).rjust(0xfff5, b"\xf4").ljust(0x10000, b"\xf4")
PROBES = {
    "register": "kvm:kvm_arch_register_noncoherent_dma",
    "unregister": "kvm:kvm_arch_unregister_noncoherent_dma",
    "wbinvd": "kvm:wbinvd_ipi",
}


def main(enforced):
    """Tests with an IOMMU that enforces coherency or one that does not."""
    expected = 0 if enforced else 1

    def iommu():
        """The IOMMU is of the kind that the test is about"""
        ecap = int(vm.read("/sys/class/iommu/dmar0/intel-iommu/ecap"), 16)
        vm.check(bool(ecap & ECAP_SC) == enforced, f"ecap {ecap:#x}")

    def told():
        """KVM counts the vdev if, and only if, the IOMMU does not enforce coherency"""
        with vm.Trace("coherency/register") as trace:
            guest.begin()
        vm.check(vdev.attr("pasid/state") == "attached", "the vdev is not attached")
        vm.check(trace.count("register") == expected, f"{expected} expected: {trace.lines}")

    def wbinvd():
        """Then, and only then, the guest's WBINVD is executed"""
        exits = " || ".join(f"exit_reason == {reason}" for reason in EXITS[host.kvm])
        with vm.Trace("coherency/wbinvd", kvm_exit=exits) as trace:
            guest.qmp("cont")
            vm.wait_until(lambda: trace.so_far("kvm_exit") >= 2, 30, "WBINVD, then HLT")
        # On each CPU that the virtual one has been on
        vm.check(bool(trace.count("wbinvd")) != enforced, f"{trace.lines}")

    def forgotten():
        """KVM forgets the vdev when the VMM ends"""
        with vm.Trace("coherency/unregister") as trace:
            guest.kill()
            vdev.wait_closed()
        vm.check(trace.count("unregister") == expected, f"{expected} expected: {trace.lines}")

    with vm.Host() as host, vm.probes("coherency", PROBES):
        vdev = host.vdev()
        guest = host.guest(vdev, args=["-S"])
        with open(f"{guest.dir}/firmware", "wb") as file:
            file.write(FIRMWARE)
        guest.args += ["-bios", file.name]
        return vm.run_tests(iommu, told, wbinvd, forgotten)


if __name__ == "__main__":
    sys.exit(main(enforced=False))
