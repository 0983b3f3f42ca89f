# SPDX-License-Identifier: Apache-2.0
"""The monitor alone, as its proxy sees it: monitor.py CASE, cwd the tree. Exit status 0 if all is as it should be."""

import errno
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

STAMP, PANIC, OFF, ERROR = 1, 2, 3, 4
FIRST_ENTRY, AGENT_READY = 3, 6
PAUSE, RESUME, STATS, KILL = 1, 2, 3, 6
RESIZE, ADD_DISK, FIND_DISK, REMOVE_DISK = 16, 17, 18, 19
CLEAN, PANICKED = 0, 1
REQUEST = struct.Struct("=IIQ64s6s2x")
REPLY = struct.Struct("=II512s6QQII")

CMDLINE = open("build/cmdline").read().strip()


def memory_file(data):
    fd = os.memfd_create("image")
    os.write(fd, data)
    return fd


class Monitor:
    """One VM. The files are given as descriptors, as the proxy does."""

    def __init__(self, memory=128, vcpus=1, cmdline=CMDLINE, kernel=None, initrd=None, share=None, disk=None, more=()):
        self.events, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.events.settimeout(60)
        self.folder = tempfile.mkdtemp()
        vsock = self.listen("vsock", socket.SOCK_STREAM)
        control = self.listen("control", socket.SOCK_SEQPACKET)
        kvm = os.open("/dev/kvm", os.O_RDWR)
        if kernel is None:
            kernel = os.open("build/vmlinux", os.O_RDONLY)
        if initrd is None:
            initrd = os.open("build/initramfs", os.O_RDONLY)
        fds = {"kvm": kvm, "kernel": kernel, "initrd": initrd, "vsock": vsock.fileno(), "control": control.fileno(),
               "event": theirs.fileno()}
        args = [os.environ.get("BULKHEAD_BUILD", "build") + "/bulkhead-vmm", "--memory-mib", str(memory), "--vcpus", str(vcpus), "--cmdline", cmdline]
        for name, fd in fds.items():
            args += ["--%s-fd" % name, str(fd)]
        if share is not None:
            fds["share"] = share
            args += ["--share", "share=%d" % share]
        if disk is not None:
            fds["disk"] = disk
            args += ["--disk", "a-disk=%d,%d" % (disk, os.fstat(disk).st_size // 512 << 8 | 9 << 1)]
        args += more
        self.process = subprocess.Popen(args, pass_fds=fds.values())
        for fd in (kvm, kernel, initrd):
            os.close(fd)
        theirs.close()
        vsock.close()
        control.close()

    def listen(self, name, kind):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind(os.path.join(self.folder, name))
        s.listen(8)
        return s

    def event(self):
        packet = self.events.recv(4096)
        if not packet:
            return None
        kind, code, _ = struct.unpack("=IIQ", packet[:16])
        return kind, code, packet[16:].split(b"\0")[0].decode()

    def until(self, wanted_kind, wanted_code=None):
        while True:
            event = self.event()
            assert event, "the monitor ended"
            if event[0] == wanted_kind and wanted_code in (None, event[1]):
                return event
            assert event[0] == STAMP, event

    def wait_ready(self):
        self.until(STAMP, AGENT_READY)
        return self

    def ends(self, status):
        assert self.event() is None
        got = self.process.wait(10)
        assert got == status, got

    def ask(self, op):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(30)
            s.connect(os.path.join(self.folder, "control"))
            s.send(REQUEST.pack(op, 0, 0, b"", b""))
            code, _, text, *stats = REPLY.unpack(s.recv(4096)[:REPLY.size])
        assert code == 0, text
        return dict(zip(("memory", "vcpus", "paused", "exits", "requests", "refused"), stats))

    def request(self, op, arg=0, name=b"", fds=()):
        """The reply's code, text, address of a place, and four numbers of memory."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(30)
            s.connect(os.path.join(self.folder, "control"))
            socket.send_fds(s, [REQUEST.pack(op, 0, arg, name, b"")], fds)
            reply = s.recv(4096)
        code, _, text, *numbers = REPLY.unpack(reply[:REPLY.size])
        return code, text.split(b"\0")[0].decode(), numbers[6], struct.unpack("=4Q", reply[-32:])

    def connect(self, timeout=30):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(os.path.join(self.folder, "vsock"))
        s.send(b"CONNECT 1024\n")
        return s.recv(64).startswith(b"OK ")


def case_start_given_up_is_described():
    # A guest that is busy, and never ready.
    m = Monitor(kernel=os.open("build/hostile-guest", os.O_RDONLY), cmdline="attack=registers seed=1 rounds=1000000000")
    m.until(STAMP, FIRST_ENTRY)
    while m.ask(STATS)["exits"] < 100:
        time.sleep(0.1)
    m.process.terminate()
    said = m.until(ERROR)[2]
    assert re.fullmatch("vCPU 0 at 0x[0-9a-f]+ after [0-9]+ exits, interrupts (on|off); fs 0.*, vsock 0.*", said), said


def case_memory_and_disks_come_in_the_jail():
    # A guest that is busy and knows nothing of it: it is the monitor's filters that this is about.
    mib = 1 << 20
    m = Monitor(kernel=os.open("build/hostile-guest", os.O_RDONLY), more=["--max-memory-mib", "1024"],
                cmdline="attack=registers seed=1 rounds=1000000000")
    m.until(STAMP, FIRST_ENTRY)
    assert m.request(RESIZE)[3] == (128 * mib, 1024 * mib, 128 * mib, 128 * mib)
    code, _, place, memory = m.request(RESIZE, 300 * mib)
    assert code == 0 and place >= 0xd0000000 and memory == (128 * mib, 1024 * mib, 300 * mib, 128 * mib), memory
    for size in (700, 200, 1024, 1):
        code, _, again, memory = m.request(RESIZE, size * mib)
        assert code == 0 and again == place and memory[2] == max(size, 128) * mib, memory
    code, text, _, _ = m.request(RESIZE, 1025 * mib)
    assert code and "may have 1024, not 1025" in text, text
    threads = len(os.listdir(f"/proc/{m.process.pid}/task"))
    disk = os.memfd_create("disk")
    os.truncate(disk, mib)
    packed = (mib // 512) << 8 | 9 << 1
    code, text, place, _ = m.request(ADD_DISK, packed, b"b7-0", [disk])
    assert code == 0 and place, text
    assert m.request(ADD_DISK, packed, b"b7-0", [disk])[0] == errno.EEXIST
    assert m.request(FIND_DISK, 0, b"b7-0")[2] == place
    for _ in range(100):
        if len(os.listdir(f"/proc/{m.process.pid}/task")) == threads + 4:
            break
        time.sleep(0.1)
    assert len(os.listdir(f"/proc/{m.process.pid}/task")) == threads + 4
    assert m.request(REMOVE_DISK, 0, b"b7-0")[0] == 0
    assert m.request(FIND_DISK, 0, b"b7-0")[0] == errno.ENOENT
    # The next one gets the same place, and no threads more.
    assert m.request(ADD_DISK, packed, b"b7-1", [disk])[2] == place
    assert len(os.listdir(f"/proc/{m.process.pid}/task")) == threads + 4
    assert m.ask(STATS)["exits"] > 0
    m.process.terminate()
    m.until(ERROR)
    m.until(OFF)
    m.ends(0)


def case_pause(vcpus):
    m = Monitor(vcpus=vcpus).wait_ready()
    assert m.connect()
    for _ in range(20):
        m.ask(PAUSE)
        m.ask(RESUME)
    assert m.connect()
    m.ask(PAUSE)
    m.ask(PAUSE)
    before = m.ask(STATS)
    assert before["paused"] == 1 and before["vcpus"] == vcpus and before["memory"] == 128 << 20
    try:
        m.connect(timeout=2)
        raise AssertionError("a paused guest answered")
    except socket.timeout:
        pass
    assert m.ask(STATS)["exits"] == before["exits"]
    m.ask(RESUME)
    m.ask(RESUME)
    assert m.connect()
    m.process.terminate()
    assert m.until(OFF)[1] == 128 + signal.SIGTERM | CLEAN << 8
    m.ends(0)


def case_pause_of_one_vcpu():
    case_pause(1)


def case_pause_of_four_vcpus():
    case_pause(4)


def case_kill_while_paused():
    m = Monitor(vcpus=2).wait_ready()
    m.ask(PAUSE)
    m.ask(KILL)
    assert m.until(OFF)[1] == 128 + signal.SIGKILL | CLEAN << 8
    m.ends(0)


def case_proxy_closes_its_socket():
    m = Monitor().wait_ready()
    m.events.close()
    m.process.wait(10)


def case_proxy_dies():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, b"%d" % Monitor().wait_ready().process.pid)
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    pid = int(os.read(reader, 20))
    for _ in range(100):
        if not os.path.exists("/proc/%d" % pid):
            return
        time.sleep(0.1)
    raise AssertionError("the monitor outlived its proxy")


def refused(text, **what):
    m = Monitor(**what)
    kind, code, said = m.event()
    assert kind == ERROR and code and text in said, (kind, code, said)
    m.process.wait(10)
    assert m.process.returncode in (1, 2)


def case_bad_images_are_refused():
    good = open("build/vmlinux", "rb").read()
    refused("the kernel is truncated", kernel=memory_file(good[:5000000]))
    refused("the kernel is truncated", kernel=memory_file(b""))
    refused("the kernel is not an ELF file", kernel=memory_file(b"#!/bin/sh\n" * 100))
    refused("bzImage", kernel=memory_file(b"MZ" + bytes(1000)))
    refused("the initramfs is empty", initrd=memory_file(b""))


def case_too_little_memory_is_refused():
    refused("does not fit in the VM's memory of 16 MiB", memory=16)
    refused("do not fit in the VM's memory of 64 MiB", memory=64, initrd=memory_file(bytes(60 << 20)))
    refused("64 MiB of memory are too little to boot", memory=64, initrd=memory_file(bytes(30 << 20)))


def case_wrong_arguments_are_refused():
    refused("--memory-mib: '1' is not a number", memory=1)
    refused("--vcpus: '33' is not a number", vcpus=33)
    refused("--vcpus: 'many' is not a number", vcpus="many")
    refused("longer than 2047 bytes", cmdline="x" * 2048)


def case_early_panic_gives_its_reason():
    m = Monitor(cmdline=CMDLINE + " rdinit=/nothing")
    text = m.until(PANIC)[2]
    assert text.startswith("Kernel panic - not syncing: VFS: Unable to mount root fs"), text
    assert m.event()[:2] == (OFF, 255 | PANICKED << 8)
    m.ends(0)


def case_silent_panic_is_reported():
    m = Monitor(cmdline="quiet reboot=t rdinit=/nothing")
    assert "triple fault" in m.until(PANIC)[2]
    assert m.event()[:2] == (OFF, 255 | PANICKED << 8)
    m.ends(0)


def case_smallest_memory_boots():
    """What is let through must not be too little: from the least the monitor takes on, the agent comes up."""
    for memory in range(20, 64, 2):
        m = Monitor(memory=memory)
        if m.event()[0] == ERROR:
            continue
        m.wait_ready()
        m.process.kill()
        m.process.wait()
        return
    raise AssertionError("nothing below 64 MiB was taken")


def case_hostile(attack, seed, rounds):
    """tests/hostile/guest.c against a monitor, beside a VM that has to keep serving."""
    folder = tempfile.mkdtemp()
    inside = os.path.join(folder, "share")
    os.makedirs(os.path.join(inside, "dir"))
    os.symlink("../../secret", os.path.join(inside, "link"))
    for path in ("secret", "share/file", "share/dir/file"):
        with open(os.path.join(folder, path), "w") as f:
            f.write(path)
    before = sorted(os.listdir(folder)), os.stat(os.path.join(folder, "secret"))
    neighbour = Monitor().wait_ready()
    disk = memory_file(b"disk" * (1 << 18))
    m = Monitor(kernel=os.open("build/hostile-guest", os.O_RDONLY), share=os.open(inside, os.O_PATH),
                vcpus=2 if attack.startswith("race-") else 1,
                disk=disk, more=["--max-memory-mib", "512"], cmdline="attack=%s seed=%s rounds=%s" % (attack, seed, rounds))
    m.events.settimeout(0.2)
    try:
        m.request(RESIZE, 256 << 20)  # so that there is a device of memory, too
    except OSError:
        pass  # it is over already
    waits = []
    end = None
    while end is None:
        began = time.monotonic()
        assert neighbour.connect()
        waits.append(time.monotonic() - began)
        try:
            event = m.event()
            assert event, "the monitor ended without a word: %d" % m.process.wait(10)
            end = event if event[0] != STAMP else None
        except socket.timeout:
            assert len(waits) < 400, "the attack does not end"
    print("neighbour answered %d times, at most after %.2f s; end: %s" % (len(waits), max(waits), end))
    assert max(waits) < 10, waits
    if attack == "triple-fault":
        assert end[0] == PANIC and "triple fault" in end[2], end
    else:
        assert end[:2] == (OFF, 42 | CLEAN << 8), end
        m.events.settimeout(60)
        m.ends(0)
    assert neighbour.connect()
    neighbour.process.terminate()
    after = sorted(os.listdir(folder)), os.stat(os.path.join(folder, "secret"))
    assert before[0] == after[0] and before[1].st_mtime_ns == after[1].st_mtime_ns \
        and before[1].st_mode == after[1].st_mode and before[1].st_uid == after[1].st_uid
    assert open(os.path.join(folder, "secret")).read() == "secret"


if __name__ == "__main__":
    globals()["case_" + sys.argv[1]](*sys.argv[2:])
