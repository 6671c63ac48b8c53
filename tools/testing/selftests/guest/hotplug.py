#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Vdevs come and go while a guest runs; a removal that the guest does not like."""

import os
import subprocess
import sys
import time

import vm


def devices():
    """DSAs that the guest sees"""
    return guest.run("cat /sys/bus/pci/devices/*/device").split().count("0x0b25")


def add():
    guest.qmp("device_add", driver="vfio-pci", id="hot", bus="rp0", sysfsdev=vdev.path,
              iommufd="iommufd0")
    vm.wait_until(lambda: devices() == 1, 30, "the guest's notice of the device")


def remove(target):
    """Starts the removal of a vdev by the host's administrator"""
    return subprocess.Popen(f"echo 1 >{target.path}/remove", shell=True)


def plug():
    """device_add: a running guest gets a DSA and copies"""
    guest.start()
    vm.check(devices() == 0, "there is a DSA already")
    add()
    guest.use_dsa()
    vm.check(guest.dmatest(50)[:2] == (50, 0), "copies fail")


def unplug():
    """device_del: the guest lets go of it and the vdev is closed"""
    guest.qmp("device_del", id="hot")
    vdev.wait_closed(60)
    vm.check(devices() == 0, "the guest still sees it")


def again():
    """The same vdev comes back as new"""
    add()
    vm.wait_until(lambda: guest.run("ls /sys/bus/dsa/devices"), 30, "the driver's probe")
    guest.enable_wq()
    vm.check(guest.dmatest(50)[:2] == (50, 0), "copies fail")


def request():
    """A remove on the host makes the guest let go, through the REQ interrupt"""
    process = remove(vdev)
    vm.wait_until(lambda: process.poll() is not None, 60, "the removal")
    vm.check(process.returncode == 0, "the removal failed")
    vm.check(not os.path.exists(vdev.path), "the vdev is there")
    vm.check(devices() == 0, "the guest still sees it")
    guest.run("true")


def stubborn():
    """A guest that cannot let go: remove waits, and disabling the WQ does not"""
    # No hot plug on the root bus
    other.start()
    other.use_dsa()
    other.start_copying()
    # Attributes go first
    wq = fixed.attr("dsa/wq")
    process = remove(fixed)
    time.sleep(12)
    vm.check(process.poll() is None, "the vdev was removed under its user")
    vm.check(any("asked the user to release" in line for line in log.new()), "nobody was asked")
    other.run("true")

    begin = time.monotonic()
    vm.run(f"accel-config disable-wq {host.dsa}/{wq}")
    vm.check(time.monotonic() - begin < 20, "the WQ is not given back at once")
    other.check_quiet()
    vm.check(any("the vdev is dead" in line for line in log.new()), "no reason is given")
    # The guest loses its device, not its life
    other.run("true")
    vm.check(process.poll() is None, "the vdev was removed under its user")

    other.kill()
    vm.wait_until(lambda: process.poll() is not None, 60, "the removal")
    vm.check(not os.path.exists(fixed.path), "the vdev is there")


def clean():
    """Nothing of it left an IOMMU fault"""
    log.check_no_faults()


with vm.Host(2) as host:
    log = vm.HostLog()
    vdev, fixed = host.vdev(), host.vdev()
    guest = host.guest(args=["-device", "pcie-root-port,id=rp0,chassis=1"])
    other = host.guest(fixed)
    status = vm.run_tests(plug, unplug, again, request, stubborn, clean)
sys.exit(status)
