#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The user of a vdev of the SIOV sample, as short as can be: siov_copy.py UUID

Gives the vdev an address space with two pages of this process in it, and has it copy
one to the other. siov_copy.c does the same in C, and looks at what goes wrong.
"""
import ctypes, fcntl, mmap, os, struct, sys

SRC, DST, LEN, STATUS = 0x00, 0x08, 0x10, 0x18        # siov_regs.h
DONE = 1
IOVA, PAGE = 0x100000, 4096                           # the IOVA is our choice

def call(fd, code, fmt, *args, ret=-1):
    """An ioctl of VFIO or iommufd. Its struct begins with its size; returns one member."""
    arg = bytearray(struct.pack("=I" + fmt, struct.calcsize("=I" + fmt), *args))
    fcntl.ioctl(fd, ord(";") << 8 | code, arg)
    return struct.unpack("=I" + fmt, arg)[ret]

# 1. The vdev is a file of its own: no group, no container
name, = os.listdir(f"/sys/bus/mdev/devices/{sys.argv[1]}/vfio-dev")
dev = os.open(f"/dev/vfio/devices/{name}", os.O_RDWR)
iommu = os.open("/dev/iommu", os.O_RDWR)

# 2. Bind it to an iommufd: from now on it is ours
call(dev, 118, "Iii", 0, iommu, 0)                    # VFIO_DEVICE_BIND_IOMMUFD

# 3. Make an address space, and map two pages of ours in it
ioas = call(iommu, 0x81, "II", 0, 0)                  # IOMMU_IOAS_ALLOC
memory = mmap.mmap(-1, 2 * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
call(iommu, 0x85, "IIIQQQ", 7, ioas, 0, address, 2 * PAGE, IOVA)    # IOMMU_IOAS_MAP

# 4. Attach it: the IOMMU now translates the PASID of the vdev by that address space
call(dev, 119, "II", 0, ioas)                         # VFIO_DEVICE_ATTACH_IOMMUFD_PT

# 5. It is a PCI device: let it be accessed and do DMA, and hear of its interrupt
def region(index):
    return call(dev, 108, "IIIQQ", 0, index, 0, 0, 0)    # VFIO_DEVICE_GET_REGION_INFO
regs, doorbell, config = region(0), region(2), region(7)
os.pwrite(dev, b"\x06\x00", config + 4)               # PCI_COMMAND: memory, bus master
event = os.eventfd(0)
call(dev, 110, "IIIIi", 0x24, 2, 0, 1, event)         # VFIO_DEVICE_SET_IRQS: MSI-X 0

# 6. Say what to copy: that is trapped
memory[:PAGE] = os.urandom(PAGE)
for reg, value in (SRC, IOVA), (DST, IOVA + PAGE), (LEN, PAGE):
    os.pwrite(dev, struct.pack("Q", value), regs + reg)

# 7. Ring the doorbell: that is not, the store goes to the hardware
bell = mmap.mmap(dev, PAGE, offset=doorbell)
ctypes.c_uint32.from_buffer(bell).value = 1

# 8. Sleep until the interrupt
os.eventfd_read(event)
status, = struct.unpack("Q", os.pread(dev, 8, regs + STATUS))
if status != DONE or memory[:PAGE] != memory[PAGE:]:
    sys.exit(f"the copy failed: status {status}")
print(f"{name} copied {PAGE} bytes from IOVA {IOVA:#x} to {IOVA + PAGE:#x}")
