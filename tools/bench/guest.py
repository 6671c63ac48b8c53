#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""guest.py count|copy: what submissions and copies take in a guest and on the host.

Runs as root on the machine that is measured; prints lines of JSON. The guest boots the
kernel of the host if BENCH_KERNEL and BENCH_MODULES say where that and its modules are, so
that both run the same code.
"""
import collections
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../guest"))
import vm  # noqa: E402

ROUNDS = 64
# See walk() in vdev-bench.c
GUEST_SIZE = 4096 + 192
HOST_SIZE = 4096 + 256
# As in vdev-bench.c
SIZES = 64, 4096, 65536, 2 << 20
DEPTHS = 1, 16, 128
ENOUGH = 256 << 20
MODULES = ("idxd_bus", "idxd", "submit_bench")


def figure(row, who, case, unit, value):
    print(json.dumps({"row": row, "who": who, "case": case, "unit": unit, "value": value}),
          flush=True)


def image(place):
    """The guest's usual initrd, and behind it the modules of this kernel, which win."""
    os.mkdir(f"{place}/lib")
    for name in MODULES:
        shutil.copy(f"{os.environ['BENCH_MODULES']}/{name}.ko", f"{place}/lib")
    with open(f"{place}/initrd", "wb") as initrd:
        with open(f"{vm.IMAGE}/initrd", "rb") as usual:
            shutil.copyfileobj(usual, initrd)
        names = "lib\n" + "".join(f"lib/{name}.ko\n" for name in MODULES)
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=place, stdout=initrd,
                       input=names.encode(), check=True)
    os.symlink(os.environ["BENCH_KERNEL"], f"{place}/vmlinux")
    return place


def submit_bench(run, directory, size=4096, depth=1, rounds=ROUNDS):
    """Runs the module, on the host or in a guest: what it says, as numbers."""
    run(f"insmod {directory}/submit_bench.ko size={size} depth={depth} rounds={rounds} && "
        "rmmod submit_bench")
    found = re.findall(r"least=(\d+) ns=(\d+)", run("dmesg | grep least="))
    vm.check(found, "submit_bench said nothing")
    return {"least": int(found[-1][0]), "ns": int(found[-1][1])}


def reasons(guest, rounds):
    """Why the guest exits while it makes so many copies: how often for each reason."""
    with vm.Trace("kvm_exit") as trace:
        submit_bench(guest.run, "/lib", GUEST_SIZE, rounds=rounds)
    return collections.Counter(re.search(r"kvm_exit: .*reason (\S+)", line)[1]
                               for line in trace.lines)


def count(guest):
    """Counts, for a machine that counts."""
    ticks = "instructions" if "BENCH_ICOUNT" in os.environ else "ticks of the TSC"
    result = submit_bench(vm.run, os.environ["BENCH_MODULES"], HOST_SIZE)
    figure("submit", "idxd on the host", "dmaengine", ticks, result["least"])
    result = submit_bench(guest.run, "/lib", GUEST_SIZE)
    figure("submit", "idxd in a guest", "dmaengine", ticks, result["least"])

    with vm.Exits(*guest.portal_range()) as exits:
        submit_bench(guest.run, "/lib", GUEST_SIZE)
    figure("exits", "vdev", "at the portal", "exits a submission",
           (exits.traps + exits.mmio) / ROUNDS)
    # Those that come with more copies are not for loading the module
    more = reasons(guest, 5 * ROUNDS)
    more.subtract(reasons(guest, ROUNDS))
    figure("exits", "vdev", "all of a copy", "exits a submission", more.total() / 4 / ROUNDS)
    for reason, found in more.most_common():
        if found >= ROUNDS / 4:
            figure("exits", "vdev", f"for {reason}", "exits a submission", found / 4 / ROUNDS)


def copies(who, run, directory):
    """Times of copies, for a machine whose clocks are clocks."""
    for size in SIZES:
        for depth in DEPTHS:
            rounds = min(32, max(2, ENOUGH // size // depth))
            figure("copy", who, f"{size} x {depth}", "ns a copy",
                   submit_bench(run, directory, size, depth, rounds)["ns"])


@contextlib.contextmanager
def started(host):
    """A guest whose idxd has the vdev of the host."""
    with tempfile.TemporaryDirectory() as place:
        vm.IMAGE = image(place)
        guest = host.guest(host.vdev())
        guest.start()
        guest.use_dsa()
        yield guest


def main():
    wqs = f"wq{vm.DSA[3:]}"
    if sys.argv[1] == "count":
        with vm.Host(own_wq=f"{wqs}.1") as host, started(host) as guest:
            count(guest)
    else:
        # idxd has as many descriptors as its WQ is long, and that is all of the DSA
        with vm.Host(wqs=0, own_wq=f"{wqs}.0", wq_size=max(DEPTHS)):
            copies("idxd on the host", vm.run, os.environ["BENCH_MODULES"])
        with vm.Host(wq_size=max(DEPTHS)) as host, started(host) as guest:
            copies("idxd in a guest", guest.run, "/lib")


main()
