#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The examples, run as their READMEs say; examples/docker is what 51_docker.bats uses.

load helpers

setup() {
	WORK=$(mktemp -d /var/tmp/examples.XXXXXX) # not a tmpfs: jobs see it
}

teardown() {
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)$(ls "$STATE_ROOT")" ''
}

@test "checkpoint" {
	run timeout 300 examples/checkpoint/run "$ROOTFS_DIR/busybox"
	assert_status 0
	assert_output 'the original had counted to'
	assert_output 'restored, it goes on with'
	assert_equal "$(grep -c '^fork-[ab]-[0-9]* counts on' <<<"$output")" 2
	assert_equal "$(grep '^fork-' <<<"$output" | awk '{ print $NF }' | sort -u | wc -l)" 2
}

@test "hello" {
	run timeout 60 examples/hello/run "$ROOTFS_DIR/busybox"
	assert_status 0
	[[ $output =~ ^Hello\ from\ Linux\ 6\.12\.[^\ ]*,\ process\ 1\ of\  ]] || { echo "$output"; return 1; }
}

@test "untrusted: every attempt fails" {
	TIMEOUT=12 run timeout 120 examples/untrusted/run
	assert_status 124
	assert_output 'kernel: 6.12.'
	assert_output 'files: /etc/passwd overwritten, as far as I can see'
	assert_output 'network: nobody to talk to'
	assert_output 'disks: none'
	assert_output 'memory: 2 GB were refused'
	assert_output 'ended after 12 seconds'
	assert_output 'this machine is as it was'
	grep -q ^root: /etc/passwd
	[ ! -e /etc/owned ]
}

@test "ci-runner: jobs do not meet, and a failed one is told" {
	mkdir "$WORK/jobs" "$WORK/results"
	echo 'rm -rf /etc/apt; echo one >shared; uname -r' >"$WORK/jobs/1-clean.sh"
	echo 'test -d /etc/apt; test ! -e shared; echo "all there"' >"$WORK/jobs/2-next.sh"
	printf 'echo assertion 3 failed\nfalse\necho not reached\n' >"$WORK/jobs/3-fails.sh"
	echo 'while :; do :; done' >"$WORK/jobs/4-hangs.sh"
	TIMEOUT=15 MEMORY=256m run timeout 200 examples/ci-runner/run "$WORK/jobs" "$WORK/results"
	assert_status 1
	assert_equal "${lines[0]}" 'ok     1-clean.sh'
	assert_equal "${lines[1]}" 'ok     2-next.sh'
	assert_equal "${lines[2]}" 'FAILED 3-fails.sh: assertion 3 failed'
	assert_equal "${lines[3]}" 'FAILED 4-hangs.sh: no end after 15 s'
	grep -q '^6.12' "$WORK/results/1-clean.log"
	[ ! -e "$WORK/jobs/shared" ] && [ -d /etc/apt ]
}

@test "podman with the example's containers.conf" {
	tar -C "$ROOTFS_DIR/busybox" -c . | podman import - localhost/busybox >/dev/null
	CONTAINERS_CONF=examples/podman/containers.conf run timeout 120 podman --runtime bulkhead run --rm localhost/busybox uname -r
	assert_status 0
	assert_output '6.12.'
}

@test "containerd by the command of the example, and its config.toml is understood" {
	start-containerd 3>&- 4>&-
	run timeout 120 ctr run --rm --runtime io.containerd.runc.v2 --runc-binary /usr/local/bin/bulkhead \
		--rootfs "$ROOTFS_DIR/busybox" hello /bin/uname -r
	assert_status 0
	assert_output '6.12.'
	run containerd --config examples/containerd/config.toml config dump
	assert_status 0
	assert_output 'BinaryName = "/usr/local/bin/bulkhead"'
}
