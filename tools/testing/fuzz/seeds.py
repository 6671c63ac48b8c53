#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes the inputs that vdev_fuzz starts from: what a well-behaved user does.

usage: seeds.py vdev_fuzz.c DIRECTORY
"""

import os
import re
import struct
import sys

DSA, DSA2, SAMPLE = 0, 1, 2
IOVA = 0x10000
MSIX, ERR, REQ = 2, 3, 4
BAR0, BAR2, CONFIG = 0, 2, 7
PCI_COMMAND, PCI_EXP_DEVCTL = 4, 0x48
GENCTRL, INTCAUSE, SWERR, MSIX_PERM, MSIX_TABLE = 0x88, 0x98, 0xc0, 0x600, 0x2000
ENABLE_DEVICE, DISABLE_DEVICE, RESET_DEVICE, ENABLE_WQ = 1, 2, 5, 6
REQUEST_INT_HANDLE = 13
NOOP, BATCH, DRAIN, MEMMOVE, FILL, COMPARE = 0, 1, 2, 3, 4, 5
CRAV, RCR, RCI = 4, 8, 0x10

with open(sys.argv[1], encoding="ascii") as source:
    NAMES = re.findall(r"^\tOP_(\w+),$", source.read(), re.MULTILINE)


def step(name, vdev=DSA, a=0, b=0, c=0, file=0, iommufd=0, obj=0):
    """One step; the arguments are what the operation of that name takes."""
    who = vdev | file << 2 | iommufd << 3 | obj << 4
    return struct.pack("<BBHIQ", NAMES.index(name), who, a & 0xffff, b & 0xffffffff,
                       c & (1 << 64) - 1)


def attached(vdev=DSA, iommufd=0, ids=0):
    """The device is object ids, the IOAS ids + 1, 32 pages of the arena at IOVA."""
    return [step("OPEN", vdev), step("BIND", vdev, iommufd=iommufd, obj=ids),
            step("IOAS_ALLOC", vdev, iommufd=iommufd, obj=ids + 1),
            step("IOAS_MAP", vdev, a=7, b=32, c=IOVA, iommufd=iommufd, obj=ids + 1),
            step("ATTACH", vdev, obj=ids + 1)]


def config_write(vdev, off, value, size):
    return step("CONFIG_WRITE", vdev, a=off, b=size, c=value)


def command(cmd, operand=0, vdev=DSA, int_req=0):
    return step("COMMAND", vdev, a=cmd | int_req << 8 | 1 << 9, b=operand)


def started(vdev=DSA, **kwargs):
    return attached(vdev, **kwargs) + [command(ENABLE_DEVICE, vdev=vdev),
                                       command(ENABLE_WQ, vdev=vdev)]


def desc(opcode, vdev=DSA, size=64, flags=CRAV | RCR, mapped=None, handle=0):
    where = 1 << 63 | mapped << 60 if mapped is not None else 0
    return step("DESC", vdev, a=opcode | handle << 8, b=flags,
                c=IOVA | 0x2000 << 20 | size << 36 | where)


def mmap(vdev, page=0, pages=1, obj=0):
    return step("MMAP", vdev, a=BAR2 | 3 << 4 | (pages - 1) << 8, b=page, obj=obj)


def access(name, vdev, index, off, size, at=0x100):
    return step(name, vdev, a=index | size << 4, b=off, c=at)


def registers(vdev):
    """Every register, with the sizes that there are."""
    return [access("READ", vdev, BAR0, off, size) for off in range(0, 0x40, 8)
            for size in (1, 2, 4, 8)][:40]


SEEDS = {
    "info": [step("OPEN", v) for v in (DSA, SAMPLE)] +
            [step("BIND", v, obj=v) for v in (DSA, SAMPLE)] +
            [step("INFO", DSA, b=24)] +
            [step("REGION_INFO", v, a=i, b=n) for v in (DSA, SAMPLE) for i in range(10)
             for n in (32, 256)] +
            [step("IRQ_INFO", DSA, a=i, b=16) for i in range(6)],
    "copy-dsa": started() + [desc(op) for op in (NOOP, MEMMOVE, FILL, COMPARE, DRAIN)],
    "copy-mapped": started() + [mmap(DSA), mmap(DSA, page=1, obj=1)] +
                   [desc(op, mapped=i) for i in (0, 1) for op in (MEMMOVE, BATCH)] +
                   [step("LOAD", DSA), step("MUNMAP", DSA)],
    "copy-sample": attached(SAMPLE) + [mmap(SAMPLE)] +
                   [step("COPY", SAMPLE, a=1, b=0x800, c=IOVA | (IOVA + 0x2000) << 24),
                    step("COPY", SAMPLE, a=1, b=0x200000, c=0),
                    access("READ", SAMPLE, BAR0, 0x18, 8)],
    "commands": attached() + [command(cmd, operand, int_req=1)
                              for cmd, operand in
                              [(ENABLE_DEVICE, 0), (ENABLE_WQ, 0), (8, 1), (9, 1), (3, 0), (4, 0),
                               (11, 5), (12, 5), (REQUEST_INT_HANDLE, 1), (14, 1), (10, 1),
                               (ENABLE_WQ, 0), (7, 1), (DISABLE_DEVICE, 0), (RESET_DEVICE, 0),
                               (15, 0), (0, 0)]],
    "interrupts": started() +
                  [step("IRQS_EVENTFD", DSA, a=MSIX, b=~0, c=2 << 8),
                   step("IRQS_EVENTFD", DSA, a=ERR, b=~0, c=1 << 8),
                   step("IRQS_EVENTFD", DSA, a=REQ, b=~0, c=1 << 8),
                   step("IRQS_RAW", DSA, a=MSIX, b=0x21 | 20 << 16, c=1 << 8),
                   step("IRQS_RAW", DSA, a=MSIX, b=0x22 | 24 << 16, c=1 << 8 | 1 << 40),
                   command(REQUEST_INT_HANDLE, 1), desc(MEMMOVE, flags=CRAV | RCR | RCI, handle=1),
                   desc(NOOP, flags=0x800000), access("READ", DSA, BAR0, SWERR, 8),
                   step("IRQS_EVENTFD", DSA, a=MSIX, b=0, c=2 << 8),
                   step("IRQS_RAW", DSA, a=MSIX, b=0x21 | 20 << 16)],
    "errors": started() +
              [step("BAR_BURST", DSA, a=2 | 1 << 4, b=GENCTRL, c=7),
               desc(MEMMOVE, flags=0xffffff), desc(0x55), desc(MEMMOVE, size=0xfffff),
               step("DESC", DSA, a=MEMMOVE, b=CRAV | RCR | 1 << 31, c=IOVA | 64 << 36),
               step("DESC", DSA, a=MEMMOVE, b=0, c=0x90000 | 64 << 36),
               access("READ", DSA, BAR0, SWERR, 64),
               step("BAR_BURST", DSA, a=3 | 4 << 4, b=SWERR, c=~0),
               step("BAR_BURST", DSA, a=2 | 1 << 4, b=INTCAUSE, c=~0)],
    "registers": [step("OPEN", DSA), step("BIND", DSA), config_write(DSA, PCI_COMMAND, 2, 2)] +
                 registers(DSA),
    "tables": started() + [step("BAR_BURST", DSA, a=3 | 16 << 4, b=off, c=~0)
                           for off in (0x400, 0x500, MSIX_PERM, MSIX_TABLE, 0x3000, 0x80, 0xe0)],
    "config": [step("OPEN", SAMPLE), step("BIND", SAMPLE)] +
              [access("READ", SAMPLE, CONFIG, off, size)
               for off, size in ((0, 4), (0, 256), (0xffc, 4), (0x40, 60), (1, 3))] +
              [config_write(SAMPLE, off, ~0, 4) for off in range(0, 0x48, 4)] +
              [config_write(SAMPLE, 0x82, 0xc000, 2), config_write(SAMPLE, 0xffe, 0, 8)],
    "flr": started() + [mmap(DSA), desc(MEMMOVE, mapped=0),
                        config_write(DSA, PCI_EXP_DEVCTL, 0x8000, 2), step("LOAD", DSA),
                        config_write(DSA, PCI_COMMAND, 0, 2), step("LOAD", DSA)],
    "reset": started() + [mmap(DSA), desc(MEMMOVE, mapped=0), step("RESET", DSA),
                          command(ENABLE_DEVICE), command(ENABLE_WQ), desc(MEMMOVE, mapped=0)],
    "bus-master": started() + [mmap(DSA), desc(MEMMOVE, mapped=0),
                               config_write(DSA, PCI_COMMAND, 2, 2), desc(MEMMOVE, mapped=0),
                               config_write(DSA, PCI_COMMAND, 6, 2), desc(MEMMOVE, mapped=0)],
    "replace": started() + [step("IOAS_ALLOC", obj=2),
                            step("IOAS_MAP", a=7, b=16 | 64 << 16, c=IOVA, obj=2),
                            desc(MEMMOVE), step("ATTACH", obj=2), desc(MEMMOVE),
                            step("ATTACH", obj=1), step("ATTACH", obj=1), step("DETACH"),
                            step("ATTACH", obj=2), desc(MEMMOVE), step("DESTROY", obj=2)],
    "hwpt": attached() + [step("HWPT_ALLOC", a=0 | 1 << 4, obj=3), step("ATTACH", obj=3),
                          step("HWPT_ALLOC", a=0 | 1 << 4, b=1, obj=4), step("ATTACH", obj=4),
                          step("HWPT_ALLOC", a=0 | 1 << 4, b=2, obj=5), step("ATTACH", obj=5),
                          step("HW_INFO", b=64, obj=0), step("DETACH"), step("DESTROY", obj=3),
                          step("DESTROY", obj=4), step("DESTROY", obj=0)],
    "detach": started() + [mmap(DSA), desc(MEMMOVE, mapped=0), step("DETACH"), step("LOAD"),
                           desc(MEMMOVE, mapped=0), step("ATTACH", obj=1),
                           desc(MEMMOVE, mapped=0)],
    "unmap": started() + [desc(MEMMOVE), step("IOAS_UNMAP", b=32, c=IOVA, obj=1), desc(MEMMOVE),
                          step("IOAS_MAP", a=7, b=16, c=IOVA, obj=1), desc(MEMMOVE),
                          step("IOAS_UNMAP", b=1 << 31, c=0, obj=1)],
    "close-mapped": started() + [mmap(DSA), desc(MEMMOVE, mapped=0), step("CLOSE"),
                                 desc(MEMMOVE, mapped=0), step("LOAD"), step("MUNMAP")],
    "two": started() + started(DSA2, iommufd=1, ids=2) + attached(SAMPLE, ids=4) +
           [desc(MEMMOVE), desc(MEMMOVE, DSA2), mmap(DSA2, obj=1), mmap(SAMPLE, obj=2),
            desc(FILL, DSA2, mapped=1),
            step("COPY", SAMPLE, a=1, b=64, c=IOVA | (IOVA + 0x3000) << 24, obj=2)],
    "shared-ioas": started() + [step("OPEN", DSA2), step("BIND", DSA2, obj=2),
                                step("ATTACH", DSA2, obj=1), command(ENABLE_DEVICE, vdev=DSA2),
                                command(ENABLE_WQ, vdev=DSA2), desc(MEMMOVE, DSA2),
                                step("IOAS_UNMAP", b=32, c=IOVA, obj=1), desc(MEMMOVE, DSA2)],
    "two-files": attached() + [step("OPEN", file=1), step("BIND", file=1), step("RESET", file=1),
                               access("READ", DSA, BAR0, 0, 8), step("CLOSE"),
                               step("BIND", file=1, obj=3), step("CLOSE", file=1)],
    "iommufd-close": started() + [desc(MEMMOVE), step("IOMMUFD_CLOSE"), desc(MEMMOVE),
                                  step("DETACH"), step("CLOSE")],
    "mmap": attached() + [step("MMAP", a=index | prot << 4 | pages << 8, b=page, obj=obj)
                          for index, prot, pages, page, obj in
                          [(BAR2, 3, 1, 0, 0), (BAR2, 1, 0, 1, 1), (BAR2, 3, 0, 2, 2),
                           (BAR0, 3, 0, 0, 2), (CONFIG, 1, 0, 0, 2), (BAR2, 3, 3, 0, 2)]] +
            [step("MADVISE", a=1, b=i) for i in range(6)] +
            [step("MADVISE", a=2, b=1), step("MADVISE", a=4, b=1), step("MADVISE", a=4),
             step("MADVISE")] + [step("STORE", a=i, b=0x40, c=0) for i in range(4)],
    "mmap-sample": attached(SAMPLE) + [mmap(SAMPLE), step("LOAD", SAMPLE),
                                       config_write(SAMPLE, PCI_COMMAND, 6, 2)] +
                   [step("STORE", SAMPLE, a=i, b=0, c=1) for i in range(4)] +
                   [step("RESET", SAMPLE), step("STORE", SAMPLE, a=1, c=1)],
    "life": [step("RECREATE"), step("WQ", a=3), step("WQ", a=1), step("WQ", a=2), *started(),
             step("WQ", a=1), step("CLOSE"), step("RECREATE"), step("RECREATE", DSA2),
             step("RECREATE", SAMPLE)] + [step("ATTR", a=i) for i in range(6)] + started(),
    "feature": [step("OPEN"), step("BIND")] + [step("FEATURE", b=16 | flags << 16, a=i)
                                               for i in range(12) for flags in (1, 2, 4)],
    "vfio-raw": [step("OPEN"), step("BIND")] + [step("VFIO_RAW", a=i, b=24) for i in range(32)],
    "iommufd-raw": attached() + [step("IOMMU_RAW", a=i | n << 4, b=2, c=1)
                                 for n in (16, 24, 40) for i in range(16)],
    "access-raw": [step("OPEN"), step("BIND"), config_write(DSA, PCI_COMMAND, 6, 2)] +
                  [step("ACCESS_RAW", a=write, b=size, c=where) for write in (0, 1)
                   for where, size in ((0, 1 << 31), (BAR2 << 40, 0x2000), (BAR0 << 40 | 0xfffc, 8),
                                       (CONFIG << 40, 0x1100), (9 << 40, 0x4000), (~0, 1),
                                       (1 << 63, 1), ((1 << 63) - 1, 64), (CONFIG << 40 | 1 << 39, 4))],
    "desc-tail": started() + [part for i in range(3) for value in (1, ~0, IOVA)
                              for part in (step("DESC_TAIL", a=i, c=value), desc(NOOP),
                                           desc(MEMMOVE))],
    "desc-head": started() + [part for i in range(4)
                              for value in (0xfee00000 ^ IOVA, 1 << 63, ~0, 1 << 31)
                              for part in (step("DESC_HEAD", a=i, c=value), desc(NOOP),
                                           desc(MEMMOVE), step("DESC_HEAD", a=i))],
    "ioas-copy": started() + [step("IOAS_ALLOC", obj=2),
                              step("IOAS_COPY", a=7 | 1 << 4, b=32, c=IOVA | IOVA << 32, obj=2),
                              step("ATTACH", obj=2), desc(MEMMOVE),
                              step("IOAS_COPY", a=6 | 1 << 4, b=8, c=IOVA << 32, obj=1),
                              step("IOAS_COPY", a=3 | 1 << 4, b=4, c=0x80000 | (IOVA + 0x3000) << 32,
                                   obj=2),
                              step("IOAS_UNMAP", b=32, c=IOVA, obj=1), desc(MEMMOVE)],
    "page-request": [step("OPEN", SAMPLE), step("BIND", SAMPLE), step("IOAS_ALLOC", obj=1),
                     step("IOAS_MAP", a=7, b=32, c=IOVA, obj=1), step("QUEUE_ALLOC", obj=2),
                     step("HWPT_ALLOC", a=0 | 1 << 4, b=4 | 2 << 16, obj=3),
                     step("ATTACH", SAMPLE, obj=3), mmap(SAMPLE),
                     step("COPY", SAMPLE, a=1, b=64, c=0x800000 | IOVA << 24),
                     step("QUEUE_IO", a=4, b=0x400), step("IOAS_MAP", a=7, b=1, c=0x800000, obj=1),
                     step("QUEUE_IO", a=2, b=8, c=0), step("QUEUE_IO", a=2, b=8, c=0),
                     step("COPY", SAMPLE, a=1, b=64, c=0x900000 | IOVA << 24),
                     step("QUEUE_IO", a=4, b=0x400), step("QUEUE_IO", a=2, b=16, c=1 | 1 << 32),
                     step("COPY", SAMPLE, a=1, b=64, c=0xa00000 | IOVA << 24),
                     step("DETACH", SAMPLE), step("QUEUE_IO", a=2, b=8, c=2),
                     step("DESTROY", obj=3), step("DESTROY", obj=2)],
    "queue-replace": [*attached(SAMPLE), mmap(SAMPLE), step("QUEUE_ALLOC", obj=2),
                      step("QUEUE_ALLOC", a=1, obj=3),
                      step("HWPT_ALLOC", a=0 | 1 << 4, b=4 | 2 << 16, obj=4),
                      step("HWPT_ALLOC", a=0 | 1 << 4, b=4 | 3 << 16, obj=5),
                      step("ATTACH", SAMPLE, obj=4),
                      step("COPY", SAMPLE, a=1, b=64, c=0x800000 | IOVA << 24),
                      step("ATTACH", SAMPLE, obj=5),
                      step("COPY", SAMPLE, a=1, b=64, c=0x800000 | IOVA << 24),
                      step("ATTACH", SAMPLE, obj=1), step("QUEUE_IO", a=5, b=0x400),
                      step("CLOSE", SAMPLE)],
    "iova-ranges": attached() + [step("IOVA_RANGES", a=nr, c=at, obj=1)
                                 for nr, at in ((0, 0), (1, 0), (16, 0), (16, 1 << 62), (0xffff, 0))],
    "dirty": attached() + [step("HWPT_ALLOC", a=0 | 1 << 4, b=2, obj=3), step("ATTACH", obj=3),
                           step("IOMMU_RAW", a=0xb | 16 << 4, b=1, c=3)] +
             [step("DIRTY_BITMAP", a=shift | flags << 6 | pages << 7, b=IOVA, c=at, obj=obj)
              for obj in (3, 1) for shift, flags, pages, at in
              ((12, 0, 32, 0), (12, 1, 32, 0), (21, 0, 256, 0), (12, 0, 32, 1 << 62), (0, 0, 1, 0))],
    "mremap": started() + [mmap(DSA), desc(MEMMOVE, mapped=0),
                           step("MREMAP", a=1 | 1 << 2 | 1 << 7), desc(MEMMOVE, mapped=1),
                           step("MREMAP", a=2 | 1 << 2 | 1 << 7 | 1 << 8, obj=1),
                           step("MREMAP", a=3 | 1 << 7, obj=1), step("LOAD", obj=3),
                           step("MREMAP", a=1 | 1 << 2 | 1 << 5, obj=1),
                           step("MREMAP", a=1 | 1 << 2 | 1 << 5 | 1 << 7, obj=1), step("RESET"),
                           step("LOAD", obj=1), mmap(DSA), step("MREMAP", a=1 << 2 | 1 << 5)],
    "fork": started() + [mmap(DSA), step("FORK", a=1, c=IOVA), step("RESET"), step("LOAD"),
                         step("FORK", a=2, b=CRAV | RCR, c=1 << 63 | IOVA), step("CLOSE"),
                         step("RECREATE"), step("FORK", a=15), step("RECREATE"), step("OPEN"),
                         step("FORK", a=9)],
    "fork-sample": attached(SAMPLE) + [mmap(SAMPLE), step("FORK", SAMPLE, a=1),
                                       step("DETACH", SAMPLE), step("CLOSE", SAMPLE),
                                       step("IOMMUFD_CLOSE"), step("MUNMAP")],
    "mediated": [step("RAWIO"), *started(), mmap(DSA), step("ATTR", a=5), desc(MEMMOVE), desc(BATCH),
                 step("RAWIO", a=1), mmap(DSA, obj=1), desc(MEMMOVE), step("CLOSE"), *started(),
                 mmap(DSA), step("RAWIO"), desc(MEMMOVE, mapped=0), desc(MEMMOVE),
                 mmap(DSA, page=1, obj=1)],
    "bad": [step("BIND"), step("ATTACH", b=99), step("DETACH"), step("OPEN"), step("ATTACH", b=1),
            step("DETACH"), access("READ", DSA, BAR0, 0, 4), step("BIND", b=0xffff),
            step("BIND"), step("ATTACH", b=0xffffffff), step("DETACH"),
            access("READ", DSA, BAR0, 0, 4, 1 << 63), access("READ", DSA, CONFIG, 0, 64, 1 << 62),
            access("WRITE", DSA, CONFIG, 0, 64, 1 << 62), access("READ", DSA, 9, 0, 4),
            access("READ", DSA, BAR0, 0xffffffff, 8), access("WRITE", DSA, BAR2, 0x3fff, 1),
            step("IOAS_MAP", a=7, b=1 << 31 | 16, c=IOVA)],
}

os.makedirs(sys.argv[2], exist_ok=True)
for name, steps in SEEDS.items():
    with open(os.path.join(sys.argv[2], name), "wb") as seed:
        seed.write(b"".join(steps))
