#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Docker with bulkhead as the default runtime: builds, privileged containers, the host's namespaces, and that dockerd
# never has to use force.

load helpers

setup_file() {
	mkdir -p /etc/docker
	echo '{"runtimes": {"bulkhead": {"path": "'"$(command -v "${BULKHEAD:-bulkhead}")"'"}}, "default-runtime": "bulkhead"}' \
		>/etc/docker/daemon.json
	start-dockerd 3>&- 4>&-
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | docker import - busybox >/dev/null
}

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/docker.XXXXXX")
	NAME=d$$-$BATS_TEST_NUMBER
}

teardown() {
	timeout 60 docker rm -f "$NAME" "$NAME-2" >/dev/null 2>&1 || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

dk() { timeout 240 docker "$@"; }
dk_run() { dk run --name "$NAME" "$@"; }

@test "docker build runs its steps in VMs" {
	cat >"$WORK/Dockerfile" <<-'D'
		FROM busybox
		RUN uname -r >/version && mkdir /d && chown 5:6 /d && chmod 700 /d
		COPY Dockerfile /d/
		WORKDIR /d
		RUN ln -s Dockerfile link && echo mine >file && chown 5 file
		USER 5:6
		RUN id -u >/tmp/user && rm /d/link
		CMD cat /version /tmp/user; ls -n /d
	D
	run dk build --tag built "$WORK"
	assert_status 0
	run dk_run --rm built
	assert_status 0
	assert_output '6.12.'
	assert_equal "${lines[1]}" 5
	assert_output ' 5        0 '
	refute_output link
}

@test "a build step that fails fails the build with its status" {
	printf 'FROM busybox\nRUN exit 9\n' >"$WORK/Dockerfile"
	run dk build "$WORK"
	[ "$status" -ne 0 ]
	assert_output 'returned a non-zero code: 9'
}

@test "--privileged: every capability, mounts, the guest's devices, a writable cgroup tree" {
	run dk_run --rm --privileged busybox sh -c 'grep CapEff /proc/self/status; mount -t tmpfs none /tmp && echo mounted
		test -c /dev/kmsg && mkdir /sys/fs/cgroup/sub && echo cgroup; sysctl -w kernel.hostname=changed'
	assert_status 0
	assert_output 3fffffffff
	assert_output mounted
	assert_output cgroup
	refute_output "$(hostname) "
}

@test "--init: the program is not process 1, its status is passed on" {
	run dk_run --rm --init busybox sh -c 'echo pid $$; exit 6'
	assert_status 6
	refute_output 'pid 1'
	assert_output 'pid '
}

@test "the host's namespaces are the VM's" {
	run dk_run --rm --pid host --ipc host --uts host busybox sh -c 'hostname; cat /proc/sys/kernel/osrelease; ls /proc | grep -c "^[0-9]"'
	assert_status 0
	assert_output "$(hostname)"
	assert_output '6.12.'
	run dk_run --rm --device /dev/null:/dev/other busybox sh -c 'echo x >/dev/other && ls -l /dev/other'
	assert_output '1,   3'
}

@test "another container's namespaces: refused by name" {
	dk_run -d busybox sleep 1000 >/dev/null
	run dk run --rm --name "$NAME-2" --pid "container:$NAME" busybox true
	assert_status 125
	assert_output 'linux.namespaces: pid namespace'
}

# "Container failed to exit within 10 seconds of kill": the end of a container must not wait for anything of the host's.
@test "restart and rm -f need no force, whatever the container does and however dirty the disk" {
	dd if=/dev/zero of=/var/lib/docker/dirty bs=1M count=300 2>/dev/null
	dk_run -d busybox sh -c 'while :; do echo line; dd if=/dev/zero of=/file bs=64k count=16 2>/dev/null; done' >/dev/null
	dk exec -d "$NAME" sleep 1000
	dd if=/dev/zero of=/var/lib/docker/dirty bs=1M count=300 2>/dev/null
	dk restart -t 1 "$NAME" >/dev/null
	dk exec -d "$NAME" sleep 1000
	dk pause "$NAME" >/dev/null
	dd if=/dev/zero of=/var/lib/docker/dirty bs=1M count=300 2>/dev/null
	dk rm -f "$NAME" >/dev/null
	dk_run -d busybox sleep 1000 >/dev/null
	dk rm -f "$NAME" >/dev/null
	rm /var/lib/docker/dirty
	run grep -i 'trying direct SIGKILL\|10 seconds of kill\|did not exit' /run/dockerd.log
	assert_equal "$output" ""
}

@test "a container out of memory is shown as that, and one that ends by itself is not" {
	run dk_run -m 64m busybox tail /dev/zero
	assert_status 137
	assert_equal "$(dk inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' "$NAME")" "true 137"
	run dk run --name "$NAME-2" -m 64m busybox sh -c 'exit 137'
	assert_equal "$(dk inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' "$NAME-2")" "false 137"
}

@test "--device of a block device is a disk in the guest, and :r is read-only; update of the memory limit grows the VM" {
	local loop sum
	modprobe loop 2>/dev/null || true
	truncate -s 8M "$WORK/disk"
	head -c 1M /dev/urandom >"$WORK/noise"
	loop=$(losetup -f --show "$WORK/disk")
	dd if="$WORK/noise" of="$loop" bs=1M conv=fsync 2>/dev/null
	sum=$(md5sum <"$WORK/noise" | cut -d' ' -f1)
	run dk_run -d -m 64m --device "$loop:/dev/data" --device "$loop:/dev/again:r" busybox sleep 1000
	assert_status 0
	run dk exec "$NAME" sh -c 'head -c 1048576 /dev/data | md5sum; echo changed | dd of=/dev/data conv=fsync 2>/dev/null; cat /sys/block/vda/size
		grep MemTotal /proc/meminfo'
	assert_output "$sum"
	assert_output 16384
	assert_equal "$(head -c 7 "$loop")" changed
	dk update -m 256m --memory-swap 256m "$NAME"
	[ "$(dk exec "$NAME" awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)" -gt 256 ]
	dk rm -f "$NAME"
	run dk_run --rm --device "$loop:/dev/data:r" busybox sh -c 'head -c 7 /dev/data; echo; echo x >/dev/data'
	losetup -d "$loop"
	assert_output changed
	assert_output "Operation not permitted"
}
