#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A guest that attacks from ring 0 (tests/hostile/guest.c): the monitor survives, or ends that VM with a named reason;
# another VM on the host answers all the while; nothing outside of the share changes.

hostile() { timeout -k 5 300 python3 tests/functional/monitor/monitor.py hostile "$@"; }
seeds() {
	local seed
	for seed in 1 2 3; do
		hostile "$1" "$seed" "$2" || return 1
	done
}

@test "registers in any order and width" { seeds registers 3000; }
@test "ports nobody answers" { seeds ports 4000; }
@test "chains that cycle and overlap, addresses beyond memory, queues that move, resets" { seeds queues 1500; }
@test "FUSE requests that lie" { seeds fuse 1500; }
@test "vsock packets that lie" { seeds vsock 1000; }
# With a second processor, which rewrites what the devices are reading: whatever is fetched twice is not the same.
@test "descriptors and indices that change while they are read" { seeds race-queues 1000; }
@test "FUSE requests that change while they are read" { seeds race-fuse 1000; }
@test "vsock headers that change while they are read" { seeds race-vsock 700; }
@test "a storm of doorbells" { seeds storm 4000; }
@test "a triple fault is named" { hostile triple-fault 1 1; }
