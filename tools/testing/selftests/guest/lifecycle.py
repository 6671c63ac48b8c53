#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The whole life of a guest with a vdev.

After each event the vdev has to be quiet and as new: the stock driver must find
it, enable it and copy.
"""

import sys

import vm


def works():
    """The stock driver drives the vdev from the start."""
    guest.use_dsa()
    done, failures, _ = guest.dmatest(50)
    vm.check((done, failures) == (50, 0), f"{done} copies, {failures} failures")
    log.check_no_faults()


def boots():
    """A new guest copies"""
    guest.start()
    works()


def rebind():
    """The driver is unbound and bound, and enables its WQ again"""
    address = guest.dsa_address()
    for _ in range(2):
        guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/unbind")
        guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/bind")
        guest.enable_wq()
        vm.check(guest.dmatest(20)[:2] == (20, 0), "copies fail")


def disable():
    """The WQ and the device are disabled; a WQ is enabled once per probe"""
    address = guest.dsa_address()
    guest.run("accel-config disable-wq dsa0/wq0.0")
    vm.check(guest.run("cat /sys/bus/dsa/devices/wq0.0/state") == "disabled", "WQ is enabled")
    # The stock driver forgets that a read-only WQ is dedicated
    guest.run("accel-config config-wq dsa0/wq0.0 --type=kernel --name=guest "
              "--driver-name=dmaengine; ! accel-config enable-wq dsa0/wq0.0")
    guest.run("accel-config disable-device dsa0")
    guest.run("accel-config enable-device dsa0")
    vm.check(guest.run("cat /sys/bus/dsa/devices/dsa0/state") == "enabled", "not enabled")
    guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/unbind")
    guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/bind")
    guest.enable_wq()
    vm.check(guest.dmatest(20)[:2] == (20, 0), "copies fail")


def flr():
    """A function reset in the middle of a copy stops DMA and leaves a device as new"""
    address = guest.dsa_address()
    vm.check("flr" in guest.run(f"cat /sys/bus/pci/devices/{address}/reset_method"), "no FLR")
    guest.start_copying()
    guest.run(f"echo 1 >/sys/bus/pci/devices/{address}/reset")
    guest.check_quiet()
    guest.run("killall submit")
    # The stock driver knows nothing of the reset
    guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/unbind")
    guest.run(f"echo {address} >/sys/bus/pci/drivers/idxd/bind")
    guest.enable_wq()
    vm.check(guest.dmatest(20)[:2] == (20, 0), "copies fail")


def reboot():
    """A reset of the machine in the middle of a copy stops DMA; the guest boots again"""
    guest.start_copying()
    # Stopped, so that the next boot does not write to the memory
    guest.qmp("stop")
    guest.qmp("system_reset")
    guest.check_quiet()
    guest.qmp("cont")
    guest.wait_ready()
    works()


def crash():
    """A guest that crashes in the middle of a copy reboots and copies"""
    guest.start_copying()
    guest.send("echo c >/proc/sysrq-trigger")
    guest.wait_ready()
    vm.check("sysrq triggered crash" in guest.console(), "it did not crash")
    guest.check_quiet()
    works()


def kill():
    """After kill -9 of the VMM in the middle of a copy nothing lands in its memory"""
    pasid = vdev.attr("pasid/pasid")
    guest.start_copying()
    guest.kill()
    vdev.wait_closed()
    guest.check_quiet()
    vm.check(vdev.attr("pasid/pasid") == pasid, "the vdev lost its PASID")
    vm.check(host.state(host.wqs[0]) == "enabled", "the WQ left the pool")
    log.check_no_faults()


def restart():
    """The next VMM finds a fresh device"""
    guest.start()
    works()


def remove():
    """A PASID is free again when its WQ has stopped and its page table is gone"""
    order = {
        "stopped": "idxd:idxd_wq_hw_stop",
        "detached": "iommu_detach_device_pasid",
        "freed": "iommu_free_global_pasid",
    }
    guest.start_copying()
    with vm.probes("pasid", order, returns=("stopped", "detached")), \
            vm.Trace(*(f"pasid/{name}" for name in order)) as trace:
        guest.kill()
        vdev.remove()
    guest.check_quiet()
    seen = [name for line in trace.lines for name in order if f" {name}: " in line]
    vm.check(seen == list(order), f"{trace.lines}")
    log.check_no_faults()


with vm.Host() as host:
    log = vm.HostLog()
    vdev = host.vdev()
    guest = host.guest(vdev, append="panic=1")
    status = vm.run_tests(boots, rebind, disable, flr, reboot, crash, kill, restart,
                          remove)
sys.exit(status)
