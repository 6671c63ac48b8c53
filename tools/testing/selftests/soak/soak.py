#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""soak.py [SECONDS [SEED]]: nothing is lost however many vdevs come and go.

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
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
NR_DSA, NR_SAMPLE, NR_GUESTS = 4, 4, 2
WARM_UP = 10
# Of the host in one go: the seconds are over some time after their end
COPIES = 100
DMATEST_MAX_SECONDS = 600
# Each kind of kernel memory may grow by so much, for tasks of the kernel that came meanwhile and
# the like; the table in mdev-pasid-testing.rst has what was seen. And by so much a life, of which a
# page would be four times as much.
LIMIT_KB, LIFE_KB = 512, 1
# Slab caches of the debug kernel's notes, one for each object of others
NOTES = "kmemleak_object", "kmemleak_scan_area", "debug_objects_cache"
# The debug kernel can count for each line of its source what was allocated there and is not freed.
# All that these modules hold belongs to a vdev, a PF or a user, and those are as before.
ALLOCATIONS, COUNTED = "/proc/allocinfo", "/proc/sys/vm/mem_profiling"
OURS = "iommufd", "mdev", "mdev_pasid", "vfio", "idxd", "idxd_vdev", "siov_sample"
PAGE_KB = os.sysconf("SC_PAGE_SIZE") >> 10
# A guest needs that long to boot here, as a rule and at most
GUEST_SECONDS, GUEST_MAX_SECONDS = 120, 900


def vdevs(seconds):
    # Behind the guests: eight that are always busy leave them too little even to boot
    done = subprocess.run(["nice", "./soak_vdevs", str(seconds), str(SEED), host.pf, str(NR_DSA),
                           str(NR_SAMPLE)], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print("".join(f"# {line}\n" for line in done.stdout.splitlines()), end="", flush=True)
    vm.check(done.returncode == 0, "a vdev failed")
    return sum(map(int, re.findall(r"(\d+) lives", done.stdout)))


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


def guest_life(nr, end):
    """Copies until the end; crashes in between if there is time to boot again."""
    guest, chance = guests[nr], random.Random(SEED + nr)
    copies = boots = 0
    while time.monotonic() < end:
        if not guest.process:
            guest.start(GUEST_MAX_SECONDS)
            guest.use_dsa()
            boots += 1
        result = guest.submit(f"-t {chance.randrange(3, 10)} -s 65536")
        vm.check(result["differ"] == 0 and result["good"] > 0, f"guest: {result}")
        copies += result["good"]
        if chance.randrange(3) == 0 and end - time.monotonic() > GUEST_SECONDS:
            guest.kill()
    return f"guest: {copies} copies, {boots} more boots"


def together(*functions):
    """Runs functions at the same time; the first failure is raised when all have ended."""
    results, failures = [None] * len(functions), []

    def call(nr, function):
        try:
            results[nr] = function()
        except Exception as failure:  # of any kind
            failures.append(failure)

    threads = [threading.Thread(target=call, args=numbered) for numbered in enumerate(functions)]
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
        vm.run("udevadm settle")
        self.vdevs = os.listdir("/sys/bus/mdev/devices") + os.listdir("/sys/class/vfio-dev")
        kinds = {f"/sys/class/mdev_bus/{host.pf}": NR_DSA + NR_GUESTS,
                 "/sys/class/mdev_bus/siov-pf": NR_SAMPLE}
        self.available = [vm.run(f"cat {kind}/mdev_supported_types/*/available_instances")
                          for kind in kinds]
        self.pasids = [self.free_pasids(*kind) for kind in kinds.items()]
        self.count_memory()
        self.allocations = self.count_allocations()
        self.interrupts = len(vm.read("/proc/interrupts").splitlines())
        self.files = self.count_files()

    @staticmethod
    def free_pasids(kind, nr):
        """The PASIDs of as many vdevs as lived at once: each gets the lowest that is free."""
        create = vm.run(f"echo {kind}/mdev_supported_types/*/create")
        uuids = [vm.run("uuidgen") for _ in range(nr)]
        for uuid in uuids:
            vm.write(create, uuid)
        pasids = sorted(int(vm.read(f"/sys/bus/mdev/devices/{uuid}/pasid/pasid")) for uuid in uuids)
        for uuid in uuids:
            vm.write(f"/sys/bus/mdev/devices/{uuid}/remove", "1")
        return pasids

    def count_memory(self):
        """What the kernel holds in KiB, by kind, when caches have given back what they keep."""
        vm.run("udevadm settle; sync; echo 3 >/proc/sys/vm/drop_caches")
        time.sleep(2)
        # Gives unmapped addresses of vmalloc back, and with them KASAN's shadow of these
        vm.run("modprobe -r dmatest; modprobe dmatest")
        # KASAN's quarantine, too
        vm.run("for cache in /sys/kernel/slab/*/shrink; do echo 1 >$cache; done")
        # Each CPU counts for itself until it is asked
        vm.write("/proc/sys/vm/stat_refresh", "1")
        info = {name: int(kib) for name, kib in
                re.findall(r"^(\w+): +(\d+) kB", vm.read("/proc/meminfo"), re.MULTILINE)}
        # Pages of a slab, and slabs
        self.slabs = {name: int(pages) * int(nr) * PAGE_KB for name, pages, nr in
                      re.findall(r"^(\S+) +(?:\d+ +){4}(\d+) :.*: slabdata +\d+ +(\d+) ",
                                 vm.read("/proc/slabinfo"), re.MULTILINE)}
        self.memory = {name: info[name] for name in
                       ("SUnreclaim", "KernelStack", "PageTables", "SecPageTables",
                        "VmallocUsed", "Percpu")}
        # Pages that nobody counts, as those of alloc_page(), or that a lost pin holds
        self.memory["unaccounted"] = (
            info["MemTotal"] - info["MemFree"] - self.free_of_cpus() - info["Buffers"] -
            info["Cached"] - info["AnonPages"] - info["SReclaimable"] - sum(self.memory.values()) -
            self.stack_depot())
        # What the debug kernel notes about objects is not lost
        self.memory["SUnreclaim"] -= sum(self.slabs.pop(name, 0) for name in NOTES)

    @staticmethod
    def free_of_cpus():
        """Free pages that a CPU keeps for itself are not in MemFree."""
        counts = re.findall(r"^ +count: +(\d+)$", vm.read("/proc/zoneinfo"), re.MULTILINE)
        return sum(map(int, counts)) * PAGE_KB

    @staticmethod
    def stack_depot():
        """Where the debug kernel keeps each call trace once, in pools of four pages."""
        path = "/sys/kernel/debug/stackdepot/stats"
        pools = re.search(r"pools: (\d+)", vm.read(path)) if os.path.exists(path) else None
        return int(pools[1]) * 4 * PAGE_KB if pools else 0

    @staticmethod
    def count_allocations():
        """Bytes and number by module and place, if the kernel counts them."""
        if not os.path.exists(COUNTED) or vm.read(COUNTED) != "1":
            return {}
        return {(module, place): (int(size), int(nr)) for size, nr, place, module in
                re.findall(r"^ *(-?\d+) +(\d+) (\S+) (?:\[(\w+)\] )?", vm.read(ALLOCATIONS),
                           re.MULTILINE)}

    @staticmethod
    def count_files():
        """Open files of all processes but udev, whose workers come and go."""
        files = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if "udev" not in vm.read(f"/proc/{pid}/comm"):
                    files += len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                pass
        return files


def warm_up():
    """Each kind of life once, so that what is kept for good is there"""
    global before
    print(f"# {SECONDS} s, seed {SEED}", flush=True)
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
    global lives
    end = time.monotonic() + SECONDS

    def host_life():
        copies = 0
        while time.monotonic() < end:
            copies += dmatest()
        return f"host: {copies} copies"

    lives, *results = together(lambda: vdevs(SECONDS), host_life,
                               *[lambda nr=nr: guest_life(nr, end) for nr in range(NR_GUESTS)])
    print("".join(f"# {line}\n" for line in [f"{lives} lives", *results]), end="")


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
    """Kernel memory of each kind is as before"""
    limit = LIMIT_KB + lives * LIFE_KB
    grown = {name: size - before.memory[name] for name, size in after.memory.items()}
    for name, size in grown.items():
        print(f"# {name}: {before.memory[name]} KiB before, {size:+} KiB")
    slabs = {name: size - before.slabs.get(name, 0) for name, size in after.slabs.items()}
    for name in sorted(slabs, key=slabs.get, reverse=True)[:5]:
        print(f"# of slabs: {name} {slabs[name]:+} KiB")
    grown_at = {where: size - before.allocations.get(where, (0, 0))[0]
                for where, (size, _) in after.allocations.items()}
    for where in sorted(grown_at, key=grown_at.get, reverse=True)[:10]:
        print(f"# of allocations: {' '.join(where)} {grown_at[where]:+} bytes")
    lost = [" ".join(where) for where, (_, nr) in after.allocations.items()
            if where[0] in OURS and nr > before.allocations.get(where, (0, 0))[1]]
    vm.check(not lost, f"not freed is what was allocated at {', '.join(lost)}")
    over = [name for name, size in grown.items() if size > limit]
    vm.check(not over, f"more than {limit} KiB are gone: {', '.join(over)}")


before = after = None
lives = 0
guests, guest_vdevs = [], []
vm.run("modprobe siov_sample; modprobe dmatest")
with vm.Host(NR_DSA + NR_GUESTS, own_wq="wq0.7") as host:
    status = vm.run_tests(warm_up, boot, soak, same, memory)
    vm.run("modprobe -r dmatest", ok=False)
vm.run("modprobe -r siov_sample", ok=False)
sys.exit(status)
