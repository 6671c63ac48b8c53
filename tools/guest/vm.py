# SPDX-License-Identifier: GPL-2.0-only
"""Guests with vdevs, for tools/guest/story and the selftests in selftests/guest.

Runs as root in the lab machine. Host sets up its DSA and undoes everything, Vdev
is a vdev made by mdevctl, Guest is Debian's QEMU with Debian's kernel in it.
"""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
import uuid

IMAGE = os.environ.get("GUEST_IMAGE", "/lab/guest")
DSA = os.environ.get("DSA", "dsa0")
QEMU = "/usr/bin/qemu-system-x86_64"
BOOT_SECONDS = 240
WQ_SIZE = 16
# As in submit.c
SUBMIT_DST = 129 << 20
COMMAND_SECONDS = 120


class Failure(Exception):
    """A check that failed; the text says which and why."""


def check(condition, why):
    if not condition:
        raise Failure(why)


def run(command, ok=True):
    """Runs a shell command and returns its output without the last newline."""
    done = subprocess.run(command, shell=True, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ok and done.returncode:
        raise Failure(f"{command}: status {done.returncode}: {done.stdout.strip()}")
    return done.stdout.strip()


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read().strip()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"{what} did not happen in {seconds} s")
        time.sleep(0.1)


def fix_mdevctl():
    """Debian 13's udev rule calls mdevctl where its package does not put it."""
    if not os.path.exists("/usr/sbin/mdevctl"):
        os.symlink("/usr/bin/mdevctl", "/usr/sbin/mdevctl")


class HostLog:
    """The kernel log of the host from now on."""

    def __init__(self):
        # Not by counting the lines of dmesg: a full log forgets one for each new one
        self.kmsg = open("/dev/kmsg", "rb", buffering=0)
        os.set_blocking(self.kmsg.fileno(), False)
        self.kmsg.seek(0, os.SEEK_END)
        self.lines = []

    def new(self):
        while True:
            try:
                record = self.kmsg.read(8192)
            except BrokenPipeError as error:
                raise Failure("the kernel log was overwritten before it was read") from error
            if record is None:
                return self.lines
            self.lines.append(record.decode(errors="replace").split("\n")[0].partition(";")[2])

    def check_no_faults(self):
        """No IOMMU fault, and no error of the DSA."""
        faults = [line for line in self.new()
                  if re.search(r"DMAR:.*fault|DMA fault|sw error|SWERR", line, re.IGNORECASE)]
        check(not faults, "\n".join(faults))


class Host:
    """The lab machine with WQs of a DSA in the pool for vdevs.

    own_wq is one for the host's own dmaengine.
    """

    def __init__(self, wqs=1, dsa=DSA, own_wq=None, wq_size=WQ_SIZE):
        self.dsa = dsa
        self.wq_size = wq_size
        self.wqs = [f"wq{dsa[3:]}.{i}" for i in range(wqs)]
        self.own_wq = own_wq
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.kvm = "kvm_amd" if "svm" in read("/proc/cpuinfo") else "kvm_intel"
        for module in ("iommufd", "idxd", "idxd_vdev", self.kvm):
            if not os.path.exists(f"/sys/module/{module}"):
                run(f"modprobe {module}")
        for kind, place in (("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing")):
            if not os.path.ismount(place):
                run(f"mount -t {kind} {kind} {place}")
        # Guest memory is pinned, and counts against this limit
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)

        self.pf = os.path.basename(os.path.dirname(
            os.path.realpath(f"/sys/bus/dsa/devices/{self.dsa}")))
        self.stack.callback(self.disable)
        try:
            self.enable()
        except Failure:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def enable(self):
        """Lends the WQs, which makes the PF an mdev parent."""
        run(f"accel-config config-engine {self.dsa}/engine{self.dsa[3:]}.0 --group-id=0")
        uses = dict.fromkeys(self.wqs, "--type=user --name=lent --driver-name=vdev")
        if self.own_wq:
            uses[self.own_wq] = "--type=kernel --name=host --driver-name=dmaengine"
        for wq, use in uses.items():
            run(f"accel-config config-wq {self.dsa}/{wq} --group-id=0 --mode=dedicated "
                f"--wq-size={self.wq_size} --priority=10 {use}")
        run(f"accel-config enable-device {self.dsa}")
        for wq in uses:
            run(f"accel-config enable-wq {self.dsa}/{wq}")

    def disable(self):
        for name in os.listdir("/sys/bus/dsa/devices"):
            if name.startswith(f"wq{self.dsa[3:]}.") and self.state(name) == "enabled":
                run(f"accel-config disable-wq {self.dsa}/{name}")
        if self.state(self.dsa) == "enabled":
            run(f"accel-config disable-device {self.dsa}")
        if self.wq_size != WQ_SIZE:
            # It stays otherwise, and leaves nothing for other WQs
            for wq in [*self.wqs, *([self.own_wq] if self.own_wq else [])]:
                run(f"accel-config config-wq {self.dsa}/{wq} --wq-size={WQ_SIZE}")

    @staticmethod
    def state(name):
        return read(f"/sys/bus/dsa/devices/{name}/state")

    def vdev(self):
        """Makes a vdev, which goes with the host or before."""
        vdev = Vdev(self.pf)
        self.stack.callback(vdev.remove)
        return vdev.create()

    def guest(self, *args, **kwargs):
        guest = Guest(*args, **kwargs)
        self.stack.callback(guest.remove)
        return guest


class Vdev:
    """A vdev that mdevctl has defined and started."""

    def __init__(self, pf, name=None):
        self.pf = pf
        self.uuid = name or str(uuid.uuid4())
        self.path = f"/sys/bus/mdev/devices/{self.uuid}"

    def create(self):
        run(f"mdevctl define --uuid {self.uuid} --parent {self.pf} --type idxd-1dwq")
        run(f"mdevctl start --uuid {self.uuid}")
        return self

    def remove(self):
        """Undoes create(), as far as it is not undone."""
        if os.path.exists(self.path):
            run(f"mdevctl stop --uuid {self.uuid}")
        run(f"mdevctl undefine --uuid {self.uuid}", ok=False)

    def attr(self, name):
        return read(f"{self.path}/{name}")

    @property
    def cdev(self):
        return "/dev/vfio/devices/" + os.listdir(f"{self.path}/vfio-dev")[0]

    def wait_closed(self, seconds=30):
        wait_until(lambda: self.attr("pasid/state") == "closed", seconds,
                   f"{self.uuid} closed")

    @property
    def interrupts(self):
        """How often the vector of its WQ fired on the host."""
        for line in read("/proc/interrupts").splitlines():
            if self.uuid in line:
                return sum(int(word) for word in line.split()[1:] if word.isdigit())
        return 0


class Guest:
    """A virtual machine. Its init takes commands; see init.

    With a user, QEMU runs as that user, who may open neither /dev/iommu nor the vdev:
    it gets both as file descriptors. The guest's memory is a file that outlives QEMU,
    so that a test can see what lands in it.
    """

    def __init__(self, *vdevs, args=(), append="", user=None, iommufd=True):
        self.dir = tempfile.mkdtemp(prefix="guest.")
        self.fds = []
        self.user = user
        self.process = self.command = self.qmp_socket = self.qmp_file = None
        self.args = [
            QEMU, "-accel", "kvm", "-cpu", "host", "-M", "q35,hpet=off,memory-backend=ram",
            "-m", "256M",
            "-object", f"memory-backend-file,id=ram,size=256M,share=on,mem-path={self.dir}/ram",
            "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none",
            "-kernel", f"{IMAGE}/vmlinux", "-initrd", f"{IMAGE}/initrd",
            "-append", f"console=ttyS0 loglevel=4 memmap=4M$128M nokaslr {append}",
            "-serial", f"file:{self.dir}/console",
            "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=command,path={self.dir}/command,server=on,wait=off",
            "-device", "virtserialport,chardev=command,name=command",
        ]
        self.vdev_args = []
        if iommufd:
            self.vdev_args += ["-object", "iommufd,id=iommufd0" + self.passed("/dev/iommu")]
        for vdev in vdevs:
            where = self.passed(vdev.cdev) or f",sysfsdev={vdev.path}"
            self.vdev_args += ["-device", f"vfio-pci{where}" +
                               (",iommufd=iommufd0" if iommufd else "")]
        self.args += [*self.vdev_args, *args]

    def passed(self, path):
        """Opens a file that the user gets as a descriptor."""
        if not self.user:
            return ""
        self.fds.append(os.open(path, os.O_RDWR))
        return f",fd={self.fds[-1]}"

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir)

    def launch(self):
        """Starts the process, without waiting for anything."""
        kwargs = {}
        if self.user:
            os.chmod(self.dir, 0o777)
            os.chmod("/dev/kvm", 0o666)
            kwargs = {"user": self.user, "group": "nogroup", "extra_groups": []}
        with open(f"{self.dir}/qemu", "wb") as log:
            self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, pass_fds=self.fds, **kwargs)
        while self.fds:
            os.close(self.fds.pop())

    def start(self, seconds=BOOT_SECONDS):
        self.begin()
        self.wait_ready(seconds)
        return self

    def begin(self):
        """Starts the guest without waiting for it to be ready."""
        self.launch()
        self.command = self.connect("command")
        self.qmp_socket = self.connect("qmp")
        self.qmp_socket.settimeout(60)
        self.qmp_file = self.qmp_socket.makefile("r")
        self.qmp_answer()
        self.qmp("qmp_capabilities")

    def connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 60
        while True:
            try:
                connection.connect(f"{self.dir}/{name}")
                return connection
            except OSError:
                self.check_alive()
                check(time.monotonic() < end, f"QEMU does not listen: {self.qemu_log()}")
                time.sleep(0.1)

    def qemu_log(self):
        return read(f"{self.dir}/qemu")

    def console(self):
        return read(f"{self.dir}/console")

    def check_alive(self):
        check(self.process.poll() is None,
              f"QEMU ended with {self.process.returncode}: {self.qemu_log()}")

    def wait_for(self, mark, seconds):
        """Lines that the guest sends up to one that starts with the mark, and its rest."""
        lines = []
        line = b""
        end = time.monotonic() + seconds
        self.command.settimeout(1)
        while True:
            if time.monotonic() > end:
                raise Failure(f"the guest did not answer in {seconds} s; it said:\n" +
                              "\n".join(lines[-10:]) + f"\nconsole:\n{self.console()[-1500:]}")
            try:
                byte = self.command.recv(1)
            except TimeoutError:
                self.check_alive()
                continue
            check(byte, f"QEMU ended: {self.qemu_log()}")
            if byte != b"\n":
                line += byte
                continue
            text = line.decode(errors="replace").rstrip("\r")
            line = b""
            if text.startswith(mark):
                return lines, text[len(mark):].strip()
            lines.append(text)

    def wait_ready(self, seconds=BOOT_SECONDS):
        self.wait_for("@ready", seconds)

    def send(self, command):
        self.command.sendall(command.encode() + b"\n")

    def run(self, command, ok=True, seconds=COMMAND_SECONDS):
        """Runs a shell command in the guest and returns its output."""
        self.send(command)
        lines, status = self.wait_for("@exit ", seconds)
        output = "\n".join(lines)
        if ok:
            check(status == "0", f"in the guest: {command}: status {status}: {output}")
        return output

    def qmp_answer(self):
        while True:
            try:
                line = self.qmp_file.readline()
            except ConnectionError:
                line = ""
            check(line, f"QEMU ended: {self.qemu_log()}")
            answer = json.loads(line)
            if "event" not in answer:
                return answer

    def qmp(self, command, **arguments):
        self.qmp_socket.sendall(json.dumps({"execute": command,
                                            "arguments": arguments}).encode() + b"\n")
        answer = self.qmp_answer()
        check("return" in answer, f"QEMU refuses {command}: {answer.get('error')}")
        return answer["return"]

    def kill(self):
        """kill -9, which is also how a guest ends that is not asked."""
        if self.process:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            for connection in (self.command, self.qmp_file, self.qmp_socket):
                if connection:
                    connection.close()
            self.process = self.command = self.qmp_socket = self.qmp_file = None

    # --- what the guest does with its DSA ---

    def load_driver(self):
        self.run("insmod /lib/idxd_bus.ko; insmod /lib/idxd.ko")
        self.run("[ $(cat /sys/bus/dsa/devices/dsa0/state) = enabled ]")

    def enable_wq(self):
        self.run("accel-config config-wq dsa0/wq0.0 --type=kernel --name=guest "
                 "--driver-name=dmaengine")
        self.run("accel-config enable-wq dsa0/wq0.0")

    def use_dsa(self):
        self.load_driver()
        self.enable_wq()

    def dmatest(self, iterations=1000, size=4096, threads=1):
        """Verified copies by the guest's dmaengine: how many, failures, per second."""
        self.run("dmesg -c >/dev/null")
        self.run(f"insmod /lib/dmatest.ko iterations={iterations} test_buf_size={size} "
                 f"threads_per_chan={threads} timeout=20000 run=1")
        self.run(f"timeout 250 sh -c 'until [ $(dmesg | grep -c summary) = {threads} ]; "
                 "do sleep 0.1; done'", ok=False, seconds=300)
        log = self.run("dmesg; rmmod dmatest")
        found = re.findall(r"summary (\d+) tests, (\d+) failures ([\d.]+) iops", log)
        check(len(found) == threads, f"dmatest has {len(found)} summaries: {log}")
        return (sum(int(done) for done, _, _ in found), sum(int(bad) for _, bad, _ in found),
                sum(float(rate) for _, _, rate in found))

    def start_copying(self, pattern=1, size=1 << 20):
        """Leaves "submit" running, which copies and checks without end."""
        self.run(f"submit -t 1000000 -s {size} -p {pattern} >/tmp/submit 2>&1 &")
        first = self.copied()
        wait_until(lambda: self.copied() != first, 30, "copying")

    def copied(self):
        """What is in the buffer that "submit" copies to, whether QEMU lives or not."""
        with open(f"{self.dir}/ram", "rb") as file:
            file.seek(SUBMIT_DST)
            return file.read(1 << 20)

    def check_quiet(self):
        """Nothing lands in the guest's memory any more."""
        before = self.copied()
        time.sleep(1)
        check(self.copied() == before, "DMA after the end")

    def submit(self, arguments="", ok=True, seconds=COMMAND_SECONDS):
        """Runs "submit"; returns what it prints as a dictionary of numbers."""
        return parse_submit(self.run(f"submit {arguments}", ok, seconds))

    @property
    def interrupts(self):
        """Completion interrupts that the guest's idxd took."""
        return sum(int(line.split()[1]) for line in self.run("cat /proc/interrupts").splitlines()
                   if "idxd-portal" in line)

    def dsa_address(self):
        """Where its DSA is on the PCI bus."""
        return self.run("basename $(readlink -f /sys/bus/dsa/devices/dsa0/..)")

    def portal_range(self):
        """Guest-physical range of BAR2."""
        line = self.run(f"cat /sys/bus/pci/devices/{self.dsa_address()}/resource").splitlines()[2]
        first, last = (int(word, 16) for word in line.split()[:2])
        return first, last + 1


def parse_submit(text):
    numbers = {key: int(value, 0) for key, value in re.findall(r"(\w+)=(\w+)", text)}
    check("submitted" in numbers, f"submit said: {text}")
    return numbers


class Trace:
    """Records tracepoints, KVM's if not said otherwise, between enter and exit: in lines."""

    def __init__(self, *names, **filters):
        self.events = {name if "/" in name else f"kvm/{name}": condition
                       for name, condition in (dict.fromkeys(names, "0") | filters).items()}
        self.path = "/sys/kernel/tracing/instances/guest"

    def __enter__(self):
        os.mkdir(self.path)
        for name, condition in self.events.items():
            write(f"{self.path}/events/{name}/filter", condition)
            write(f"{self.path}/events/{name}/enable", "1")
        return self

    def __exit__(self, *_):
        write(f"{self.path}/events/enable", "0")
        self.update()
        os.rmdir(self.path)
        check(not any("LOST" in line for line in self.lines), "the trace buffer is too small")

    def update(self):
        self.lines = [line for line in read(f"{self.path}/trace").splitlines()
                      if not line.startswith("#")]

    def count(self, name):
        return sum(f" {name}: " in line for line in self.lines)

    def so_far(self, name):
        """As count(), while it records."""
        self.update()
        return self.count(name)


@contextlib.contextmanager
def probes(group, functions, returns=()):
    """Makes tracepoints of functions of the kernel, for Trace: group/name.

    The names in returns are where the function returns.
    """
    control = "/sys/kernel/tracing/kprobe_events"
    write(control, "".join(f"{'r' if name in returns else 'p'}:{group}/{name} {function}\n"
                           for name, function in functions.items()))
    try:
        yield
    finally:
        write(control, "")


class Exits(Trace):
    """Counts VM exits between enter and exit.

    traps: nested page faults in a range of guest-physical addresses
    mmio: returns to the VMM for MMIO, wherever it is
    total: all
    """

    def __init__(self, first, end):
        super().__init__(
            kvm_page_fault=f"fault_address >= {first:#x} && fault_address < {end:#x}",
            kvm_userspace_exit="reason == 6")  # KVM_EXIT_MMIO

    def __enter__(self):
        super().__enter__()
        self.total = int(read("/sys/kernel/debug/kvm/exits"))
        return self

    def __exit__(self, *_):
        self.total = int(read("/sys/kernel/debug/kvm/exits")) - self.total
        super().__exit__()
        self.traps = self.count("kvm_page_fault")
        self.mmio = self.count("kvm_userspace_exit")


def run_tests(*tests, first=1, last=None):
    """Runs functions as TAP tests, named by the first line of their doc strings.

    Each goes on where the one before has left the guest, so the first that fails is the
    last that runs. They are the tests with the numbers from first on, of last in all.
    """
    if first == 1:
        print("TAP version 13", f"1..{last or len(tests)}", sep="\n", flush=True)
    failed = False
    for nr, test in enumerate(tests, first):
        begin = time.monotonic()
        name = (test.__doc__ or test.__name__).splitlines()[0].rstrip(".")
        if failed:
            print(f"not ok {nr} {name}\n# was not run")
            continue
        try:
            test()
        except Exception:  # whatever it is
            failed = True
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
        word = "not ok" if failed else "ok"
        print(f"# {time.monotonic() - begin:.1f} s\n{word} {nr} {name}", flush=True)
    return 1 if failed else 0
