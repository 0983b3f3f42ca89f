#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# What 29_checkpoint.bats saves: a program with state of every kind. It prints one line of JSON when it begins, and one
# for each life after that; whoever connects to port 7777 gets a line with all it has to say.
import ctypes
import fcntl
import json
import os
import selectors
import socket
import sqlite3
import struct
import subprocess
import sys
import time

DATA = sys.argv[1]
TICK = 0.05

count = 0
last_tick = time.monotonic()
longest_gap = 0.0
lives = []
log = open(f"{DATA}/log", "a", buffering=1)

# A transaction that is not over.
database = sqlite3.connect(f"{DATA}/db.sqlite", isolation_level=None)
database.execute("PRAGMA journal_mode=DELETE")
database.execute("CREATE TABLE t (n INTEGER)")
database.execute("INSERT INTO t VALUES (1)")
database.execute("BEGIN IMMEDIATE")
database.execute("INSERT INTO t VALUES (2)")

# A file without a name, a pipe with something in it, a child at the other end of another, a lock.
nameless = open(f"{DATA}/nameless", "w+")
os.unlink(f"{DATA}/nameless")
nameless.write("secret")
nameless.flush()
pipe = os.pipe()
os.write(pipe[1], b"x" * 1000)
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
lock = open(f"{DATA}/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)

server = socket.create_server(("0.0.0.0", 7777), reuse_port=False)
# A connection within the guest, both ends of which are here.
left = socket.create_connection(("127.0.0.1", 7777))
right = server.accept()[0]
left.sendall(b"hello")

timer = ctypes.CDLL(None).timerfd_create(1, 0)
spec = struct.pack("qqqq", 0, int(TICK * 1e9), 0, int(TICK * 1e9))
ctypes.CDLL(None).timerfd_settime(timer, 0, spec, None)
generation = os.open("/dev/bulkhead-generation", os.O_RDONLY | os.O_NONBLOCK)


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError as error:
        return error.strerror


def identity():
    return {
        "host": socket.gethostname(),
        "boot": read("/proc/sys/kernel/random/boot_id"),
        "machine": read("/etc/machine-id"),
        "random": os.urandom(8).hex(),
        "getrandom": os.getrandom(8).hex(),
        "now": time.time(),
    }


def report():
    nameless.seek(0)
    child.stdin.write(b"ping\n")
    child.stdin.flush()
    database.execute("INSERT INTO t VALUES (3)")
    database.execute("COMMIT")
    rows = database.execute("SELECT n FROM t ORDER BY n").fetchall()
    database.execute("BEGIN IMMEDIATE")
    database.execute("DELETE FROM t WHERE n = 3")
    other = open(f"{DATA}/lock")
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = False
    except OSError:
        locked = True
    answer = {
        "pid": os.getpid(),
        "count": count,
        "gap": longest_gap,
        "lives": lives,
        "rows": [row[0] for row in rows],
        "nameless": nameless.read(),
        "links": os.fstat(nameless.fileno()).st_nlink,
        "pipe": struct.unpack("i", fcntl.ioctl(pipe[0], 0x541B, b"\0\0\0\0"))[0],
        "child": child.stdout.readline().decode().strip(),
        "locked": locked,
        "cwd": os.getcwd(),
    }
    left.sendall(b"+")
    answer["inside"] = right.recv(100).decode()
    answer.update(identity())
    return answer


select = selectors.DefaultSelector()
select.register(timer, selectors.EVENT_READ)
select.register(server, selectors.EVENT_READ)
select.register(generation, selectors.EVENT_READ)
print(json.dumps(identity()), flush=True)
while True:
    for key, _ in select.select():
        if key.fileobj == timer:
            os.read(timer, 8)
            now = time.monotonic()
            longest_gap = max(longest_gap, now - last_tick)
            last_tick = now
            count += 1
            log.write(f"{count}\n")
        elif key.fileobj == generation:
            lives.append(struct.unpack("Q", os.read(generation, 8))[0])
            print(json.dumps(identity()), flush=True)
        else:
            connection = server.accept()[0]
            connection.sendall((json.dumps(report()) + "\n").encode())
            connection.close()
