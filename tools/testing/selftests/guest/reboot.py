#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A vdev that is defined comes back when the host boots again.

Runs before and after. VDEV_SELFTEST_DISK is a directory that stays: the definitions of
mdevctl and the configuration of the DSA are in it.
"""

import json
import os
import sys

import vm

DISK = os.environ["VDEV_SELFTEST_DISK"]
CONFIG = f"{DISK}/accel-config.conf"
STATE = f"{DISK}/state"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class ConfiguredHost(vm.Host):
    """Lends WQs as an administrator lets it be done at boot"""

    def enable(self):
        vm.run(f"accel-config load-config --config-file={CONFIG} --enable")


def define():
    """A vdev is defined, and not started"""
    with vm.Host(2) as host:
        vm.run(f"accel-config save-config --saved-file={CONFIG}")
        vdev = vm.Vdev(host.pf)
        vm.run(f"mdevctl define --uuid {vdev.uuid} --parent {host.pf} --type idxd-1dwq --auto")
        vm.check(not os.path.exists(vdev.path), "it is started")
        with open(STATE, "w", encoding="ascii") as file:
            json.dump({"boot": vm.read(BOOT_ID), "uuid": vdev.uuid}, file)


def back():
    """After a reboot it is started as soon as its PF has its WQs"""
    with open(STATE, encoding="ascii") as file:
        state = json.load(file)
    vm.check(vm.read(BOOT_ID) != state["boot"], "the machine was not booted")
    with ConfiguredHost(2) as host:
        vdev = vm.Vdev(host.pf, state["uuid"])
        host.stack.callback(vdev.remove)
        vm.wait_until(lambda: os.path.exists(vdev.path), 20, "its start")
        vm.run("udevadm settle")
        vm.check(vdev.attr("pasid/state") == "closed", "it is not closed")
        vm.check(vdev.attr("dsa/wq") in host.wqs, f"its WQ is {vdev.attr('dsa/wq')}")
        vm.check(os.path.exists(vdev.cdev), "it cannot be opened")


os.makedirs(f"{DISK}/mdevctl.d", exist_ok=True)
vm.run(f"mount --bind {DISK}/mdevctl.d /etc/mdevctl.d")
vm.fix_mdevctl()
sys.exit(vm.run_tests(back, first=2) if os.path.exists(STATE) else vm.run_tests(define, last=2))
