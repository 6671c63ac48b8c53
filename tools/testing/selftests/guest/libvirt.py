#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What libvirt makes of a vdev, as dsa-vdev-guests.rst says.

It refuses a vdev as a <hostdev>, since that has no IOMMU group. On QEMU's command
line in the domain it works.
"""

import os
import shutil
import stat
import subprocess
import sys

import vm

DOMAIN = """
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>vdev</name>
  <memory unit='MiB'>256</memory>
  <vcpu>1</vcpu>
  <memoryBacking><locked/></memoryBacking>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{image}/vmlinux</kernel>
    <initrd>{image}/initrd</initrd>
    <cmdline>console=ttyS0 loglevel=4 memmap=4M$128M nokaslr</cmdline>
  </os>
  <cpu mode='host-passthrough'/>
  <devices>
    <emulator>{qemu}</emulator>
    <serial type='file'><source path='{dir}/console'/></serial>
    <channel type='unix'>
      <source mode='bind' path='{dir}/command'/>
      <target type='virtio' name='command'/>
    </channel>
    {hostdev}
  </devices>
  {commandline}
</domain>
"""
HOSTDEV = """
    <hostdev mode='subsystem' type='mdev' model='vfio-pci'>
      <source><address uuid='{uuid}'/></source>
    </hostdev>
"""
COMMANDLINE = """
  <qemu:commandline>
    <qemu:arg value='-object'/>
    <qemu:arg value='iommufd,id=iommufd0'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='vfio-pci,sysfsdev={path},iommufd=iommufd0,bus=pcie.0,addr=0x10'/>
  </qemu:commandline>
"""
# Nobody but the test wants to read a log through another daemon
CONFIG = """
stdio_handler = "file"
namespaces = []
cgroup_device_acl = [ "/dev/null", "/dev/full", "/dev/zero", "/dev/random", "/dev/urandom",
	"/dev/ptmx", "/dev/kvm", "/dev/iommu", "{cdev}" ]
"""


class Domain(vm.Guest):
    """A guest that libvirt starts"""

    def define(self, hostdev="", commandline=""):
        os.chmod(self.dir, 0o777)
        with open(f"{self.dir}/xml", "w", encoding="ascii") as file:
            file.write(DOMAIN.format(image=vm.IMAGE, qemu=vm.QEMU, dir=self.dir,
                                     hostdev=hostdev, commandline=commandline))
        vm.run(f"virsh define {self.dir}/xml")

    def begin(self):
        vm.run("virsh start vdev")
        self.command = self.connect("command")

    def check_alive(self):
        state = vm.run("virsh domstate vdev")
        vm.check(state == "running", f"the domain is {state}: {self.qemu_log()}")

    def qemu_log(self):
        return vm.read("/var/log/libvirt/qemu/vdev.log")

    def kill(self):
        # It may run even if it did not get as far as to be talked to
        vm.run("virsh destroy vdev", ok=self.command is not None)
        if self.command:
            self.command.close()
            self.command = None


class Libvirtd:
    """libvirtd with a configuration that lets QEMU have the vdev"""

    def __enter__(self):
        for place in ("/run/libvirt", "/var/log/libvirt/qemu"):
            os.makedirs(place, exist_ok=True)
        self.saved = f"{domain.dir}/qemu.conf"
        shutil.copyfile("/etc/libvirt/qemu.conf", self.saved)
        vm.write("/etc/libvirt/qemu.conf", CONFIG.format(cdev=vdev.cdev))
        for path in ("/dev/kvm", "/dev/iommu", vdev.cdev):
            os.chmod(path, 0o666)
        self.process = subprocess.Popen("libvirtd", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        vm.wait_until(lambda: os.path.exists("/run/libvirt/libvirt-sock"), 60, "libvirtd")

    def __exit__(self, *_):
        # Nobody else can end it, and it holds the vdev
        domain.kill()
        vm.run("virsh undefine vdev", ok=False)
        self.process.terminate()
        self.process.wait()
        shutil.copyfile(self.saved, "/etc/libvirt/qemu.conf")
        for path in ("/dev/kvm", "/dev/iommu"):
            os.chmod(path, 0o600)


def refusal():
    """What virsh says if the domain does not start"""
    done = subprocess.run(["virsh", "start", "vdev"], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    vm.check(done.returncode, "the domain has started")
    vm.check(vdev.attr("pasid/state") == "closed", "the vdev is in use")
    print("# virsh:", done.stdout.strip().splitlines()[-1])
    return done.stdout


def hostdev():
    """A vdev is defined as a <hostdev>, and refused for want of an IOMMU group"""
    domain.define(hostdev=HOSTDEV.format(uuid=vdev.uuid))
    # It looks for a file of the container first, where the kernel has none
    legacy = "/dev/vfio/vfio"
    if not os.path.exists(legacy):
        vm.check("requires VFIO support" in refusal(), "another reason")
        os.mknod(legacy, stat.S_IFCHR | 0o600, os.makedev(10, 196))
    try:
        vm.check(f"failed to access '{vdev.path}/iommu_group': No such file" in refusal(),
                 "another reason")
    finally:
        if os.minor(os.stat(legacy).st_rdev) == 196:
            os.unlink(legacy)


def commandline():
    """On QEMU's command line it works, and the guest's stock idxd copies"""
    vm.run("virsh undefine vdev")
    domain.define(commandline=COMMANDLINE.format(path=vdev.path))
    domain.start()
    vm.check(vdev.attr("pasid/state") == "attached", "the vdev is not attached")
    vm.check(vdev.attr("dsa/portal") == "mediated", "libvirt's QEMU has CAP_SYS_RAWIO")
    domain.use_dsa()
    vm.check(domain.dmatest(50)[:2] == (50, 0), "copies fail")


def end():
    """The vdev is closed when the domain is destroyed"""
    domain.kill()
    vdev.wait_closed()
    log.check_no_faults()


if not shutil.which("libvirtd") or os.path.exists("/run/libvirt/libvirt-sock"):
    print("1..0 # SKIP no libvirtd, or one that is in use")
    sys.exit(4)
with vm.Host() as host:
    log = vm.HostLog()
    vdev = host.vdev()
    domain = Domain()
    host.stack.callback(domain.remove)
    with Libvirtd():
        status = vm.run_tests(hostdev, commandline, end)
sys.exit(status)
