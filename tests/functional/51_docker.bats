#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Docker with --runtime bulkhead: the quick-start, and what people do next.

load helpers

setup_file() {
	mkdir -p /etc/docker
	cp examples/docker/daemon.json /etc/docker/
	start-dockerd 3>&- 4>&-
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | docker import - busybox >/dev/null
}

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/docker.XXXXXX")
	NAME=d$$-$BATS_TEST_NUMBER
}

teardown() {
	timeout 60 docker rm -f "$NAME" >/dev/null 2>&1 || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

dk() { timeout 240 docker "$@"; }
dk_run() { dk run --runtime bulkhead --name "$NAME" "$@"; }

@test "docker run --rm shows the guest's kernel" {
	run dk_run --rm busybox sh -c 'uname -r; echo hello'
	assert_status 0
	assert_output hello
	assert_output '6.12.'
}

@test "exit statuses are Docker's" {
	run dk_run --rm busybox sh -c 'exit 42'
	assert_status 42
	run dk_run --rm busybox /no/such/program
	assert_status 127
	run dk_run --rm busybox /etc/passwd
	assert_status 126
	run dk_run --rm busybox sh -c 'kill -9 $$; sleep 5'
	[ "$status" -ne 125 ]
}

@test "docker run -i takes input" {
	assert_equal "$(echo from outside | dk_run --rm -i busybox cat)" 'from outside'
}

@test "docker run -it gives a terminal of the client's size" {
	run timeout 240 script -qec "stty rows 33 cols 77; docker run --runtime bulkhead --rm -it --name $NAME busybox sh -c 'tty; until stty size 2>/dev/null | grep \"33 77\"; do sleep 0.2; done'" /dev/null </dev/null
	assert_output '/dev/'
	assert_output '33 77'
}

@test "run -d, exec, logs, cp, top, stats, stop" {
	dk_run -d busybox sh -c 'echo started; trap "echo bye; exit 4" TERM; while :; do sleep 0.1; done' >/dev/null
	run dk exec "$NAME" sh -c 'echo in exec; exit 6'
	assert_status 6
	assert_output 'in exec'
	run dk logs "$NAME"
	assert_output started
	echo content >"$WORK/file"
	dk cp "$WORK/file" "$NAME:/tmp/copied"
	run dk exec "$NAME" cat /tmp/copied
	assert_output content
	dk exec "$NAME" sh -c 'echo back > /tmp/back'
	dk cp "$NAME:/tmp/back" "$WORK/back"
	assert_equal "$(cat "$WORK/back")" back
	run dk top "$NAME"
	assert_status 0
	run dk stats --no-stream "$NAME"
	assert_status 0
	run dk stop "$NAME"
	assert_status 0
	assert_equal "$(dk inspect -f '{{.State.ExitCode}}' "$NAME")" 4
	run dk logs "$NAME"
	assert_output bye
}

@test "exec -it has a terminal" {
	dk_run -d busybox sleep 1000 >/dev/null
	run timeout 240 script -qec "docker exec -it $NAME tty" /dev/null </dev/null
	assert_output '/dev/'
}

@test "restart, pause, unpause, kill" {
	dk_run -d busybox sh -c 'echo start; exec sleep 1000' >/dev/null
	dk restart -t 1 "$NAME" >/dev/null
	assert_equal "$(dk logs "$NAME" | grep -c start)" 2
	dk pause "$NAME" >/dev/null
	assert_equal "$(dk inspect -f '{{.State.Status}}' "$NAME")" paused
	dk unpause "$NAME" >/dev/null
	dk kill "$NAME" >/dev/null
	assert_equal "$(dk inspect -f '{{.State.ExitCode}}' "$NAME")" 137
}

@test "limits, user, read-only, tmpfs, volume, capabilities" {
	run dk_run --rm -m 96m --cpus 0.5 --pids-limit 50 busybox sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max'
	assert_output 100663296
	assert_output '50000 100000'
	assert_output 50
	run dk_run --rm --user 1000:1001 busybox id
	assert_output 'uid=1000 gid=1001'
	run dk_run --rm --read-only --user 1000 --tmpfs /scratch busybox sh -c 'touch /x; touch /scratch/y && echo scratch works'
	assert_output 'Read-only file system'
	assert_output 'scratch works'
	echo inside >"$WORK/f"
	run dk_run --rm -v "$WORK:/vol" busybox sh -c 'cat /vol/f; echo out > /vol/g'
	assert_output inside
	assert_equal "$(cat "$WORK/g")" out
	run dk_run --rm -v "$WORK:/vol:ro" busybox touch /vol/h
	assert_output 'Read-only file system'
	run dk_run --rm --cap-drop ALL busybox sh -c 'grep CapEff /proc/self/status'
	assert_output 0000000000000000
}

@test "--init reaps, seccomp refuses" {
	run dk_run --rm --init busybox sh -c 'ps; true'
	assert_status 0
	assert_output init
	cat >"$WORK/seccomp.json" <<'JSON'
{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}
JSON
	run dk_run --rm --security-opt "seccomp=$WORK/seccomp.json" busybox mkdir /tmp/x
	assert_status 1
	assert_output 'Operation not permitted'
}

@test "update changes a running container's limits" {
	dk_run -d -m 128m busybox sleep 1000 >/dev/null
	dk update -m 64m --memory-swap 64m "$NAME" >/dev/null
	assert_equal "$(dk exec "$NAME" cat /sys/fs/cgroup/memory.max)" 67108864
}

@test "a health check runs in the VM" {
	dk_run -d --health-cmd 'uname -r | grep -q ^6.12' --health-interval 2s --health-timeout 60s busybox sleep 1000 >/dev/null
	local try health
	for try in $(seq 60); do
		health=$(dk inspect -f '{{.State.Health.Status}}' "$NAME")
		[ "$health" = healthy ] && break
		sleep 1
	done
	assert_equal "$health" healthy
}
