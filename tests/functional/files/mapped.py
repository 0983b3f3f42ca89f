#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files of a read-only share through the DAX window, while the host truncates them; see 26_files_hard.bats.

usage: mapped.py RO_DIRECTORY RW_DIRECTORY     The host acts when files appear in RW_DIRECTORY.
"""

import hashlib
import mmap
import os
import sys
import time

PAGE = 4096
ro, rw = sys.argv[1:]


def cached_kib():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("Cached:")).split()[1])


def tell(name):
    with open(rw + "/" + name, "wb"):
        pass


def wait_for(name):
    while not os.path.exists(rw + "/" + name):
        time.sleep(0.05)


# Read whole, mapped, and executed, without a copy in the guest.
before = cached_kib()
with open(ro + "/large", "rb") as file:
    print("sum", hashlib.md5(file.read()).hexdigest())
print("cached", "little" if cached_kib() - before < 1024 else "much")

# The host's change of the contents is seen without a question, by a program that goes on reading what it mapped.
file = os.open(ro + "/changed", os.O_RDONLY)
pages = mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ)
print("before", pages[0:3])
tell("change")
wait_for("changed")
print("after", pages[0:3])

# Data for a device straight out of the window: O_DIRECT has no copy made in the guest.
direct = os.open(rw + "/direct", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
with memoryview(pages) as view:
    print("direct", os.write(direct, view[0:64 * PAGE]))
os.close(direct)

# Private pages are written in the guest alone.
private = mmap.mmap(file, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[0:3] = b"own"
print("private", private[0:3], pages[0:3])

# The host truncates while every page is read again and again; then at rest, and lets it grow again.
racing = os.open(ro + "/racing", os.O_RDONLY)
view = mmap.mmap(racing, 0, mmap.MAP_SHARED, mmap.PROT_READ)
tell("race")
rounds = 0
while not os.path.exists(rw + "/raced"):
    for at in range(0, len(view), PAGE):
        if view[at] not in (0, 1):
            print("wrong byte")
    rounds += 1
print("raced", rounds > 0)
tell("cut")
wait_for("is-cut")
print("cut", view[0], view[len(view) - PAGE])
os.close(racing)
tell("grow")
wait_for("has-grown")
time.sleep(1.5)
with open(ro + "/racing", "rb") as file:
    whole = file.read()
print("grown", len(whole) == len(view), set(whole))
print("end")
