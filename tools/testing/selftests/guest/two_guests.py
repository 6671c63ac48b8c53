#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Two guests on two WQs of one PF, and the host on a third."""

import re
import sys

import vm

SECONDS = 15
PATTERNS = (1, 2)


def boot():
    """Two guests start with a vdev each"""
    for guest in guests:
        guest.begin()
    for guest in guests:
        guest.wait_ready()
        guest.use_dsa()
    pasids = {vdev.attr("pasid/pasid") for vdev in vdevs}
    vm.check(len(pasids) == 2 and "0" not in pasids, f"PASIDs {pasids}")
    vm.check({vdev.attr("dsa/wq") for vdev in vdevs} == set(host.wqs), "not two WQs")


def copy():
    """All three copy at a time, the guests at the same addresses; every byte is right"""
    vm.run("modprobe dmatest")
    dmatest = "/sys/module/dmatest/parameters"
    for name, value in (("iterations", 2000), ("timeout", 20000), ("channel", "dma0chan0"),
                        ("run", 1)):
        vm.write(f"{dmatest}/{name}", str(value))
    for guest, pattern in zip(guests, PATTERNS):
        guest.send(f"submit -t {SECONDS} -s 65536 -p {pattern}")
    for guest in guests:
        lines, status = guest.wait_for("@exit ", SECONDS + 60)
        result = vm.parse_submit("\n".join(lines))
        print(f"# {result}")
        vm.check(status == "0" and result["differ"] == 0, f"{result}")
        vm.check(result["good"] > 100, "too few copies")
    vm.wait_until(lambda: vm.read(f"{dmatest}/run") == "N", 120, "the end of dmatest")
    summary = [line for line in log.new() if "summary" in line]
    print(f"# host: {summary}")
    vm.check(summary and re.search(r"summary 2000 tests, 0 failures", summary[-1]), "host")


def patterns():
    """Each guest holds its own pattern at the address that both use"""
    vm.check(guests[0].copied() != guests[1].copied(), "the same bytes in both guests")


def faults():
    """There was no IOMMU fault"""
    log.check_no_faults()


with vm.Host(2, own_wq="wq0.2") as host:
    log = vm.HostLog()
    vdevs = [host.vdev() for _ in PATTERNS]
    guests = [host.guest(vdev) for vdev in vdevs]
    status = vm.run_tests(boot, copy, patterns, faults)
    vm.run("modprobe -r dmatest", ok=False)
sys.exit(status)
