#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
race_guest.py DIR SECONDS: moves, links and opens what lies in DIR while race_host.py does the same from the host. Whatever
can be read by any path must be of DIR: says "reached" and what if not.
"""
import os
import random
import sys
import time

rng = random.Random(7)
NAMES = ("a", "b", "d", "swap", "mid", "mid/in", "d/in", "l", "x", "swap/secret", "d/secret", "l/secret", "mid/secret",
         "swap/../secret", "l/../outside/secret", "mid/in/../../../outside/secret", "l/l/secret")


def move():
    os.rename(rng.choice(NAMES[:9]), rng.choice(NAMES[:9]))


def make():
    os.mkdir(rng.choice(NAMES[:7]))


def link():
    os.link(rng.choice(NAMES), rng.choice(NAMES[:9]))


def point():
    os.symlink(rng.choice(("../outside", "..", "/data/..", "../../outside/secret", "mid", "/outside")), rng.choice(NAMES[:9]))


def remove():
    name = rng.choice(NAMES[:9])
    if rng.randrange(2):
        os.rmdir(name)
    else:
        os.unlink(name)


def write():
    with open(rng.choice(NAMES), "w", encoding="ascii") as file:
        file.write("the guest's")


def attributes():
    os.chmod(rng.choice(NAMES), 0o777)
    os.utime(rng.choice(NAMES))
    os.chown(rng.choice(NAMES), 1, 1)
    os.truncate(rng.choice(NAMES), 3)


def look():
    with open(rng.choice(NAMES), "rb") as file:
        data = file.read(100)
    if b"host" in data:
        print("reached", data, flush=True)
    os.listdir(rng.choice(NAMES))


def main():
    os.chdir(sys.argv[1])
    until, done, failed = time.monotonic() + float(sys.argv[2]), 0, 0
    while time.monotonic() < until:
        try:
            rng.choice((move, move, make, link, point, remove, write, attributes, look, look))()
            done += 1
        except OSError:
            failed += 1
    print("guest: %d done, %d failed" % (done, failed) if done > 20 else "too few: %d" % done)


main()
