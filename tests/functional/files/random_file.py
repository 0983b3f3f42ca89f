#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
random_file.py FILE SECONDS [SEED]: does random things to a file and to a copy of what it should hold, side by side, and
compares. Writes, appends, truncates, maps, punches, zeroes, copies, reopens, drops the page cache, goes by it (O_DIRECT).

Prints the seed and the steps done. At the first difference: what the last steps were, and status 1.
"""
import ctypes
import errno
import mmap
import os
import random
import sys
import time

LARGEST, PAGE = 400000, mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


class Difference(Exception):
    """The file does not hold what it should."""


class Pair:
    def __init__(self, path, rng):
        self.path, self.rng, self.shadow = path, rng, bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def place(self):
        offset = self.rng.randrange(LARGEST)
        if self.rng.randrange(4) == 0:
            offset -= offset % PAGE
        return offset, min(self.rng.choice((1, 7, 512, PAGE, PAGE + 1, 30000, 131072)), LARGEST - offset)

    def data(self, length):
        return self.rng.randbytes(min(length, 64)) * (length // 64 + 1)

    def set(self, offset, data):
        if offset > len(self.shadow):
            self.shadow += bytes(offset - len(self.shadow))
        self.shadow[offset:offset + len(data)] = data

    def fallocate(self, mode, offset, length):
        if libc.fallocate64(self.fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) < 0:
            raise OSError(ctypes.get_errno(), "fallocate")

    # --- what can be done; each returns what it was, for the report -------------------------------------------------

    def write(self):
        offset, length = self.place()
        data = self.data(length)[:length]
        if os.pwrite(self.fd, data, offset) != length:
            raise Difference("short write")
        self.set(offset, data)
        return "write %d at %d" % (length, offset)

    def append(self):
        length = min(self.rng.randrange(1, 3000), LARGEST - len(self.shadow))
        data = self.data(length)[:length]
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, data)
        os.close(fd)
        self.set(len(self.shadow), data)
        return "append %d" % length

    def truncate(self):
        size = self.rng.randrange(LARGEST)
        if self.rng.randrange(2):
            os.ftruncate(self.fd, size)
        else:
            os.truncate(self.path, size)
        self.shadow = self.shadow[:size] + bytes(max(0, size - len(self.shadow)))
        return "truncate to %d" % size

    def map(self):
        if not self.shadow:
            return "map of nothing"
        offset, length = self.place()
        offset %= len(self.shadow)
        data = self.data(length)[:min(length, len(self.shadow) - offset)]
        with mmap.mmap(self.fd, 0) as shared:
            shared[offset:offset + len(data)] = data
            if self.rng.randrange(2):
                shared.flush()
            self.set(offset, data)
            if shared[:] != bytes(self.shadow):
                raise Difference("in the map")
        return "map %d at %d" % (len(data), offset)

    def punch(self):
        offset, length = self.place()
        mode = self.rng.choice((3, 0x10, 0x11))  # PUNCH_HOLE, ZERO_RANGE, and that with KEEP_SIZE
        try:
            self.fallocate(mode, offset, length)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or mode == 3:
                raise
            return "no zeroing on this file system"
        end = offset + length if mode == 0x10 else min(offset + length, len(self.shadow))
        if offset < end:
            self.set(offset, bytes(end - offset))
        return "fallocate %#x %d at %d" % (mode, length, offset)

    def allocate(self):
        offset, length = self.place()
        self.fallocate(0, offset, length)
        if offset + length > len(self.shadow):
            self.shadow += bytes(offset + length - len(self.shadow))
        return "allocate %d at %d" % (length, offset)

    def copy(self):
        offset, length = self.place()
        length = min(length, len(self.shadow) // 2)
        start = len(self.shadow) // 2
        if not length or offset < start + length:
            return "no copy"
        done = os.copy_file_range(self.fd, self.fd, length, start, offset)
        self.set(offset, self.shadow[start:start + done])
        return "copy %d from %d to %d" % (done, start, offset)

    def reopen(self):
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)
        return "reopen"

    def forget(self):
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return "forget"

    def around(self):
        """Reads without the page cache."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, 16 * PAGE)
        at = self.rng.randrange(LARGEST // PAGE) * PAGE
        got = os.preadv(fd, [buffer], at)
        os.close(fd)
        if buffer[:got] != bytes(self.shadow[at:at + 16 * PAGE]):
            raise Difference("in a direct read of %d at %d" % (got, at))
        return "direct read at %d" % at

    def read(self):
        offset, length = self.place()
        if os.pread(self.fd, length, offset) != bytes(self.shadow[offset:offset + length]):
            raise Difference("in a read of %d at %d" % (length, offset))
        return "read %d at %d" % (length, offset)

    def check(self):
        if os.fstat(self.fd).st_size != len(self.shadow):
            raise Difference("size %d, not %d" % (os.fstat(self.fd).st_size, len(self.shadow)))


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print("seed", seed, flush=True)
    pair = Pair(path, random.Random(seed))
    actions = (pair.write, pair.write, pair.append, pair.truncate, pair.map, pair.map, pair.punch, pair.allocate,
               pair.copy, pair.reopen, pair.forget, pair.around, pair.read, pair.read)
    last, steps, until = [], 0, time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            last = last[-19:] + [pair.rng.choice(actions)()]
            pair.check()
            steps += 1
        with open(path, "rb") as file:
            if file.read() != bytes(pair.shadow):
                raise Difference("at the end")
    except Difference as why:
        print("after %d steps: %s; before that:" % (steps, why), *last, sep="\n  ")
        sys.exit(1)
    print("equal after %d steps" % steps if steps > 20 else "only %d steps" % steps)


main()
