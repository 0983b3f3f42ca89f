#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Podman (rootful) with --runtime: run, exec, cp, logs, pod of one container, stats, health check, --init.

load helpers

setup_file() {
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | podman import - localhost/busybox >/dev/null
}

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/podman.XXXXXX")
	NAME=p$$-$BATS_TEST_NUMBER
}

teardown() {
	pm rm -f -t 0 "$NAME" >/dev/null 2>&1 || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

pm() { timeout 240 podman --runtime "$(command -v "$BULKHEAD")" "$@"; }
pm_run() { pm run --name "$NAME" "$@"; }

@test "podman run --rm shows the guest's kernel" {
	run pm_run --rm localhost/busybox sh -c 'uname -r; echo hello'
	assert_status 0
	assert_output hello
	assert_output '6.12.'
}

@test "exit statuses are Podman's" {
	run pm_run --rm localhost/busybox sh -c 'exit 42'
	assert_status 42
	run pm_run --rm localhost/busybox /no/such/program
	assert_status 127
	run pm_run --rm localhost/busybox /etc/passwd
	assert_status 126
}

@test "a directory is no program, for run and exec" {
	run pm_run --rm localhost/busybox /etc
	assert_status 126
	pm_run -d localhost/busybox sleep 1000 >/dev/null
	run pm exec "$NAME" /etc
	assert_status 126
	assert_output 'is a directory: permission denied'
}

@test "run -d, exec, cp, logs, stop" {
	pm_run -d localhost/busybox sh -c 'echo started; trap "exit 4" TERM; while :; do sleep 0.1; done' >/dev/null
	run pm exec "$NAME" sh -c 'echo in exec; exit 6'
	assert_status 6
	assert_output 'in exec'
	run pm logs "$NAME"
	assert_output started
	echo content >"$WORK/file"
	pm cp "$WORK/file" "$NAME:/tmp/copied"
	run pm exec "$NAME" cat /tmp/copied
	assert_output content
	# Podman enters the mount namespace of the pid it knows: that must not be the host's.
	[ ! -e /tmp/copied ]
	pm exec "$NAME" sh -c 'echo back >/tmp/back'
	pm cp "$NAME:/tmp/back" "$WORK/back"
	assert_equal "$(cat "$WORK/back")" back
	pm stop "$NAME" >/dev/null
	assert_equal "$(pm inspect -f '{{.State.ExitCode}}' "$NAME")" 4
}

@test "--init, a terminal, a volume, a user" {
	run pm_run --rm --init --init-path /usr/bin/tini-static localhost/busybox sh -c 'echo init works'
	assert_output 'init works'
	run timeout 240 script -qec "podman --runtime $(command -v "$BULKHEAD") run --rm -it localhost/busybox tty" /dev/null </dev/null
	assert_output '/dev/'
	chmod 755 "$WORK" && echo inside >"$WORK/f"
	run pm_run --rm -v "$WORK:/vol" --user 1000:1001 localhost/busybox sh -c 'cat /vol/f; echo $(id -u):$(id -g)'
	assert_output inside
	assert_output '1000:1001'
}

@test "a health check runs in the VM" {
	pm_run -d --health-cmd 'uname -r | grep -q ^6.12' --health-interval disable localhost/busybox sleep 1000 >/dev/null
	run pm healthcheck run "$NAME"
	assert_status 0
}
