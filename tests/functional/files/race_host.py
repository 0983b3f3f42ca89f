#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
race_host.py BASE: until BASE/share/stop appears, changes what is in BASE/share under the guest's hands: directories become
links to BASE/outside and back, and are moved out to BASE/elsewhere and in again.
"""
import os
import random
import sys
import time

rng = random.Random(11)


def attempt(call, *args):
    try:
        call(*args)
    except OSError:
        pass


def make_in(name):
    """Not through a link of that name, which the guest may have put there: it would be us who leave the share."""
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.mkdir("in", dir_fd=fd)
    finally:
        os.close(fd)


def main():
    base = sys.argv[1]
    share, outside, elsewhere = base + "/share", base + "/outside", base + "/elsewhere"
    rounds = 0
    while not os.path.exists(share + "/stop"):
        name = share + "/" + rng.choice(("a", "b", "d", "swap", "mid", "x"))
        attempt(os.mkdir, name)
        attempt(make_in, name)
        attempt(os.rename, name, elsewhere + "/moved")
        attempt(os.symlink, outside, name)
        attempt(os.symlink, "secret", name + "-file")
        attempt(os.unlink, name)
        attempt(os.rename, elsewhere + "/moved", name)
        rounds += 1
        time.sleep(rng.random() * 0.02)  # the guest is to have its turn in between
    print("host: %d rounds" % rounds)


main()
