#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""soak.py [SECONDS]: nothing is lost however many vdevs come and go.

Eight vdevs, of a DSA and of the sample, live random lives (soak_vdevs) beside two
guests that copy, crash and boot again, and beside the host's own use of a WQ. What there
is afterwards has to be what there was before.
"""

import os
import random
import re
import subprocess
import sys
import threading
import time

import vm

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 30
SEED = random.randrange(1 << 30)
NR_DSA, NR_SAMPLE, NR_GUESTS = 4, 4, 2
WARM_UP = 10
# Of the host in one go: the seconds are over some time after their end
COPIES = 100
DMATEST_MAX_SECONDS = 600
# Kernel memory that cannot be reclaimed may grow by so much, for what the allocators and the
# debug kernel note. A page per life is more than that in half an hour.
TOLERANCE_KB = 5 << 10
# A guest needs that long to boot here, as a rule and at most
GUEST_SECONDS, GUEST_MAX_SECONDS = 120, 900


def vdevs(seconds):
    # Behind the guests: eight that are always busy leave them too little even to boot
    done = subprocess.run(["nice", "./soak_vdevs", str(seconds), str(SEED), host.pf, str(NR_DSA),
                           str(NR_SAMPLE)], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print("".join(f"# {line}\n" for line in done.stdout.splitlines()), end="", flush=True)
    vm.check(done.returncode == 0, "a vdev failed")


def dmatest():
    """The host copies on its own WQ, and verifies."""
    log = vm.HostLog()
    path = "/sys/module/dmatest/parameters"
    for name, value in (("iterations", COPIES), ("timeout", 20000), ("channel", "dma0chan0"),
                        ("run", 1)):
        vm.write(f"{path}/{name}", str(value))
    # Not by "wait", which does not wait for a thread that has not run yet
    def summary():
        return [line for line in log.new() if "summary" in line]
    vm.wait_until(summary, DMATEST_MAX_SECONDS, "the summary of dmatest")
    vm.read(f"{path}/wait")
    vm.check(f"summary {COPIES} tests, 0 failures" in summary()[-1], f"host: {summary()}")
    return COPIES


def guest_life(guest, end):
    """Copies until the end; crashes in between if there is time to boot again."""
    copies = boots = 0
    while time.monotonic() < end:
        if not guest.process:
            guest.start(GUEST_MAX_SECONDS)
            guest.use_dsa()
            boots += 1
        result = guest.submit(f"-t {random.randrange(3, 10)} -s 65536")
        vm.check(result["differ"] == 0 and result["good"] > 0, f"guest: {result}")
        copies += result["good"]
        if random.randrange(3) == 0 and end - time.monotonic() > GUEST_SECONDS:
            guest.kill()
    return f"guest: {copies} copies, {boots} more boots"


def together(*functions):
    """Runs functions at the same time; the first failure is raised when all have ended."""
    results, failures = [], []

    def call(function):
        try:
            results.append(function())
        except Exception as failure:  # of any kind
            failures.append(failure)

    threads = [threading.Thread(target=call, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure
    return results


class State:
    """What the machine has of everything that a vdev takes."""

    def __init__(self):
        vm.run("udevadm settle; sync; echo 3 >/proc/sys/vm/drop_caches")
        time.sleep(2)
        # Caches give back what they keep, also what KASAN keeps from being used again
        vm.run("for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done")
        self.vdevs = os.listdir("/sys/bus/mdev/devices") + os.listdir("/sys/class/vfio-dev")
        kinds = f"/sys/class/mdev_bus/{host.pf}", "/sys/class/mdev_bus/siov-pf"
        self.available = [vm.run(f"cat {kind}/mdev_supported_types/*/available_instances")
                          for kind in kinds]
        # Each PF's next vdev gets the lowest PASID that is free
        self.pasids = [self.next_pasid(kind) for kind in kinds]
        self.interrupts = len(vm.read("/proc/interrupts").splitlines())
        self.files = self.count_files()
        memory = dict(re.findall(r"^(\w+):\s+(\d+) kB", vm.read("/proc/meminfo"), re.MULTILINE))
        self.memory = {name: int(memory[name]) for name in
                       ("SUnreclaim", "KernelStack", "PageTables", "VmallocUsed", "Percpu")}
        # name, objects, of all, bytes of one
        self.slabs = {name: int(objects) * int(size) // 1024 for name, objects, size in
                      re.findall(r"^(\S+) +\d+ +(\d+) +(\d+) ", vm.read("/proc/slabinfo"),
                                 re.MULTILINE)}

    @staticmethod
    def next_pasid(kind):
        uuid = vm.run("uuidgen")
        create = vm.run(f"echo {kind}/mdev_supported_types/*/create")
        vm.write(create, uuid)
        pasid = vm.read(f"/sys/bus/mdev/devices/{uuid}/pasid/pasid")
        vm.write(f"/sys/bus/mdev/devices/{uuid}/remove", "1")
        return pasid

    @staticmethod
    def count_files():
        """Open files of all processes but udev's workers, which come and go."""
        files = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if "udevd" not in vm.read(f"/proc/{pid}/comm"):
                    files += len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                pass
        return files


def warm_up():
    """Each kind of life once, so that what is kept for good is there"""
    global before
    vdevs(WARM_UP)
    dmatest()
    before = State()


def boot():
    """Two guests boot with a vdev each"""
    for _ in range(NR_GUESTS):
        guest_vdevs.append(host.vdev())
        guests.append(host.guest(guest_vdevs[-1]))
    for guest in guests:
        guest.begin()
    for guest in guests:
        guest.wait_ready()
        guest.use_dsa()


def soak():
    """Eight vdevs, two guests and the host work at the same time"""
    end = time.monotonic() + SECONDS
    print(f"# {SECONDS} s, seed {SEED}", flush=True)

    def host_life():
        copies = 0
        while time.monotonic() < end:
            copies += dmatest()
        return f"host: {copies} copies"

    results = together(lambda: vdevs(SECONDS), host_life,
                       *[lambda guest=guest: guest_life(guest, end) for guest in guests])
    print("".join(f"# {line}\n" for line in results if line), end="")


def same():
    """Vdevs, PASIDs, interrupts and open files are as before"""
    global after
    for guest in guests:
        guest.kill()
    for vdev in guest_vdevs:
        vdev.remove()
    after = State()
    for name in ("vdevs", "available", "pasids", "interrupts", "files"):
        old, new = getattr(before, name), getattr(after, name)
        print(f"# {name}: {old} before, {new} after")
    for name in ("vdevs", "available", "pasids", "interrupts", "files"):
        vm.check(getattr(before, name) == getattr(after, name), f"{name} differ")


def memory():
    """Kernel memory is as before"""
    for name, size in after.memory.items():
        print(f"# {name}: {before.memory[name]} KiB before, {size} KiB after")
    slabs = {name: size - before.slabs.get(name, 0) for name, size in after.slabs.items()}
    for name in sorted(slabs, key=slabs.get, reverse=True)[:5]:
        print(f"# of slabs: {name} {slabs[name]:+} KiB")
    grown = sum(after.memory.values()) - sum(before.memory.values())
    print(f"# {grown:+} KiB")
    vm.check(grown < TOLERANCE_KB, f"more than {TOLERANCE_KB} KiB are gone")


before = after = None
guests, guest_vdevs = [], []
vm.run("modprobe siov_sample; modprobe dmatest")
with vm.Host(NR_DSA + NR_GUESTS, own_wq="wq0.7") as host:
    status = vm.run_tests(warm_up, boot, soak, same, memory)
    vm.run("modprobe -r dmatest", ok=False)
vm.run("modprobe -r siov_sample", ok=False)
sys.exit(status)
