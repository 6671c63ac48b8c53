#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What an administrator does with a vdev, without booting a guest."""

import json
import os
import subprocess
import sys

import vm

host = vm.Host(2)
vdevs = []


def symbols(which, module):
    """Names that nm knows of a module"""
    lines = vm.run(f"nm --extern-only --portability {which} $(modinfo -n {module})")
    return {line.split()[0] for line in lines.splitlines()}


def types():
    """mdevctl lists the PF as a parent and counts its WQs"""
    kinds = json.loads(vm.run("mdevctl types --dumpjson"))
    parent = next(entry[host.pf] for entry in kinds if host.pf in entry)
    kind = next(entry["idxd-1dwq"] for entry in parent if "idxd-1dwq" in entry)
    vm.check(kind["available_instances"] == 2, f"available: {kind}")
    vm.check(kind["device_api"] == "vfio-pci", f"API: {kind}")


def life():
    """mdevctl defines, starts, lists, stops and starts again"""
    vdev = host.vdev()
    vdevs.append(vdev)
    vm.check(vdev.uuid in vm.run("mdevctl list"), "a started vdev is not listed")
    vm.check(vdev.uuid in vm.run("mdevctl list -d"), "a defined vdev is not listed")
    vm.run(f"mdevctl stop --uuid {vdev.uuid}")
    vm.check(not os.path.exists(vdev.path), "a stopped vdev is there")
    vm.run(f"mdevctl start --uuid {vdev.uuid}")
    vm.check(vdev.attr("pasid/state") == "closed", "a started vdev is not closed")


def exhausted():
    """A vdev too many is refused and mdevctl says so"""
    vdevs.append(host.vdev())
    extra = vm.Vdev(host.pf)
    done = subprocess.run(["mdevctl", "start", "--uuid", extra.uuid, "--parent", host.pf,
                           "--type", "idxd-1dwq"], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    vm.check(done.returncode, "a third vdev on two WQs")
    vm.check(done.stdout.strip(), "no message")
    vm.check(not os.path.exists(extra.path), "the refused vdev is there")


def autostart():
    """Vdevs that are defined with --auto start when their WQs are lent"""
    vm.fix_mdevctl()
    for old in vdevs:
        old.remove()
    again = [vm.Vdev(host.pf), vm.Vdev(host.pf)]
    for vdev in again:
        vm.run(f"mdevctl define --uuid {vdev.uuid} --parent {host.pf} --type idxd-1dwq --auto")
    try:
        # As after a reboot of the host: the PF becomes a parent once more
        host.disable()
        vm.run("udevadm settle")
        vm.check(not os.path.exists(f"/sys/class/mdev_bus/{host.pf}"), "still a parent")
        host.enable()
        for vdev in again:
            vm.wait_until(lambda: os.path.exists(vdev.path), 20, f"the start of {vdev.uuid}")
    finally:
        vm.run("udevadm settle")
        for vdev in again:
            vdev.remove()


def no_group():
    """A vdev has no group: neither /dev/vfio/<number> nor an iommu_group link"""
    vdev = vdevs[0]
    nodes = [name for name in os.listdir("/dev/vfio") if name.isdigit() or "noiommu" in name]
    vm.check(not nodes, f"group nodes: {nodes}")
    vm.check(not os.path.exists(f"{vdev.path}/iommu_group"), "an iommu_group link")


def group_path():
    """The VMM without iommufd= fails with a clear message"""
    vdev = vdevs[0]
    guest = host.guest(vdev, iommufd=False)
    guest.launch()
    status = guest.process.wait(60)
    print("# QEMU:", guest.qemu_log())
    vm.check(status, "QEMU runs")
    vm.check("no iommu_group" in guest.qemu_log(), "another message")
    vm.check(vdev.attr("pasid/state") == "closed", "the vdev is in use")


def no_kvm_symbol():
    """No module of ours needs KVM: none of its symbols, nor the module"""
    kvm = symbols("--defined-only", "kvm")
    vm.check("kvm_get_kvm" in kvm, f"{len(kvm)} symbols of kvm")
    for module in ("mdev_pasid", "idxd_vdev"):
        needed = symbols("--undefined-only", module)
        vm.check("mutex_unlock" in needed, f"{module} needs {len(needed)} symbols")
        vm.check(not needed & kvm, f"{module} needs {needed & kvm}")
        depends = vm.run(f"modinfo -F depends {module}").split(",")
        vm.check(not any("kvm" in name for name in depends), f"{module} depends on {depends}")
        holders = os.listdir("/sys/module/kvm/holders")
        vm.check(module not in holders, f"holders of kvm: {holders}")


with host:
    status = vm.run_tests(types, life, exhausted, no_group, group_path, autostart, no_kvm_symbol)
sys.exit(status)
