# SPDX-License-Identifier: Apache-2.0
"""A host for the agent: control connections, streams, and a description of an ordinary container to start from."""

import os
import socket

from proto import HEADER, Schema

TREE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
SCHEMA = Schema(os.path.join(TREE, "common/agent.proto"))

# Request types: name -> (number, message, message of the reply).
TYPES = {
    "hello": (2, "Hello", "Hello"),
    "create": (4, "CreateRequest", "ProcessReply"),
    "start": (6, "ContainerRequest", "Empty"),
    "exec": (8, "ExecRequest", "ProcessReply"),
    "wait": (10, "ProcessRequest", "WaitReply"),
    "kill": (12, "KillRequest", "Empty"),
    "resize": (14, "ResizeRequest", "Empty"),
    "ps": (16, "ContainerRequest", "PsReply"),
    "update": (18, "UpdateRequest", "Empty"),
    "stats": (20, "ContainerRequest", "StatsReply"),
    "delete": (22, "ContainerRequest", "Empty"),
    "shutdown": (24, "Empty", "Empty"),
    "attach": (26, "AttachRequest", "Empty"),
    "freeze": (28, "FreezeRequest", "Empty"),
    "oom_wait": (30, "ContainerRequest", "Empty"),
    "suspend": (46, "ContainerRequest", "Empty"),
    "release": (48, "ContainerRequest", "Empty"),
    "adopt": (50, "AdoptRequest", "ProcessReply"),
    "forward": (40, "ForwardRequest", "Empty"),
}

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET, NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x80
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME = 1, 2, 4, 8, 32, 1024
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 19, 1 << 20
ALL_CAPS = (1 << 41) - 1


class AgentError(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


class Connection:
    def __init__(self, directory, name="control"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(os.path.join(directory, name))
        self.next_id = 100
        self.replies = {}
        self.pending = {}
        if name == "control":
            self.call("hello", version=1)

    def send(self, request, **fields):
        number, message, _ = TYPES[request]
        payload = SCHEMA.encode(message, fields)
        self.next_id += 1
        self.pending[self.next_id] = request
        self.socket.sendall(HEADER.pack(len(payload), number, 0, self.next_id) + payload)
        return self.next_id

    def receive(self, want):
        """The reply to request id `want`; others that come meanwhile are kept."""
        while want not in self.replies:
            length, number, _, ident = HEADER.unpack(self.read(HEADER.size))
            payload = self.read(length)
            request = self.pending.pop(ident)
            if number == 1:
                error = SCHEMA.decode("Error", payload)
                self.replies[ident] = AgentError(error.get("code", 0), error.get("text", ""))
            else:
                assert number == TYPES[request][0] + 1, (request, number)
                self.replies[ident] = SCHEMA.decode(TYPES[request][2], payload)
        reply = self.replies.pop(want)
        if isinstance(reply, AgentError):
            raise reply
        return reply

    def call(self, request, **fields):
        return self.receive(self.send(request, **fields))

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise EOFError("the agent closed the connection")
            data += piece
        return data

    def close(self):
        self.socket.close()


def stream(directory, container, number, exec_id=""):
    """A socket that carries the bytes of a stream."""
    connection = Connection(directory, "stream")
    connection.call("attach", container=container, exec=exec_id, stream=number)
    return connection.socket


def read_line(sock):
    """Up to and with the first line feed; a write need not arrive in one piece."""
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            break
        line += byte
    return line


def read_all(sock):
    pieces = []
    while True:
        piece = sock.recv(65536)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def process(*args, **more):
    fields = {
        "args": list(args),
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "cwd": "/",
        "has_capabilities": True,
        "bounding": ALL_CAPS,
        "effective": ALL_CAPS,
        "permitted": ALL_CAPS,
        "inheritable": 0,
    }
    fields.update(more)
    return fields


def mount(destination, kind, source=None, flags=0, data="", **more):
    fields = {"destination": destination, "type": kind, "source": source or kind, "flags": flags, "data": data}
    fields.update(more)
    return fields


def share(destination, name, flags=0, **more):
    return mount(destination, "bind", name, MS_BIND | flags, share=True, **more)


def container(**more):
    """What an engine asks for, with the shares `rootfs` and `usr`."""
    fields = {
        "root_share": "rootfs",
        "hostname": "test-host",
        "mounts": [
            mount("/proc", "proc"),
            mount("/dev", "tmpfs", flags=MS_NOSUID, data="mode=755,size=65536k"),
            mount("/dev/pts", "devpts", flags=MS_NOSUID | MS_NOEXEC, data="newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"),
            mount("/dev/mqueue", "mqueue", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC),
            mount("/sys", "sysfs", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY),
            mount("/sys/fs/cgroup", "cgroup", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY),
            share("/usr", "usr", MS_RDONLY),
        ],
        "namespaces": [{"clone_flag": f} for f in (NEWPID, NEWIPC, NEWUTS, NEWNS, NEWCGROUP, NEWNET)],
        "masked_paths": ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
        "readonly_paths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    fields.update(more)
    return fields
