#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd: `ctr run` through its runc shim, with our binary in runc's place.

load helpers

setup_file() {
	start-containerd 3>&- 4>&-
}

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/ctr.XXXXXX")
	NAME=c$$-$BATS_TEST_NUMBER
}

teardown() {
	timeout 120 ctr tasks kill -s KILL "$NAME" 2>/dev/null || true
	timeout 120 ctr tasks delete -f "$NAME" 2>/dev/null || true
	timeout 120 ctr containers delete "$NAME" 2>/dev/null || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

ctr_run() {
	timeout 240 ctr run --runtime io.containerd.runc.v2 --runc-binary "$(command -v "$BULKHEAD")" "$@"
}

@test "ctr run shows the guest's kernel and passes the exit status on" {
	run ctr_run --rm --rootfs "$ROOTFS_DIR/busybox" "$NAME" /bin/sh -c 'uname -r; echo hello; exit 7'
	assert_status 7
	assert_output hello
	assert_output '6.12.'
}

@test "ctr run -t gives a terminal" {
	run timeout 240 script -qec "ctr run --rm -t --runtime io.containerd.runc.v2 --runc-binary $(command -v "$BULKHEAD") --rootfs $ROOTFS_DIR/busybox $NAME /bin/sh -c 'tty && echo is a terminal'" /dev/null </dev/null
	assert_output 'is a terminal'
}

@test "ctr run -d, exec, kill, delete" {
	ctr_run -d --rootfs "$ROOTFS_DIR/busybox" "$NAME" /bin/sh -c 'trap "exit 5" TERM; while :; do sleep 0.1; done' 3>&-
	run timeout 120 ctr tasks ls
	assert_output "$NAME"
	assert_output RUNNING
	run timeout 120 ctr tasks exec --exec-id e1 "$NAME" /bin/sh -c 'echo from exec; exit 3'
	assert_status 3
	assert_output 'from exec'
	timeout 120 ctr tasks kill -s TERM "$NAME"
	local try
	for try in $(seq 50); do timeout 120 ctr tasks ls | grep "$NAME" | grep -q STOPPED && break; sleep 0.2; done
	run timeout 120 ctr tasks delete "$NAME"
	assert_output 'exit code 5'
}

@test "ctr run of a missing program fails and leaves nothing" {
	run ctr_run --rm --rootfs "$ROOTFS_DIR/busybox" "$NAME" /no/such
	[ "$status" -ne 0 ]
	assert_output 'no such file or directory'
}

@test "pause and resume" {
	ctr_run -d --rootfs "$ROOTFS_DIR/busybox" "$NAME" /bin/sleep 1000 3>&-
	timeout 120 ctr tasks pause "$NAME"
	run timeout 120 ctr tasks ls
	assert_output PAUSED
	timeout 120 ctr tasks resume "$NAME"
	run timeout 120 ctr tasks ls
	assert_output RUNNING
}
