#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Podman, what people do after the first containers: volumes and cp, pods, builds, user namespaces, top.

load helpers

setup_file() {
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | podman import - localhost/busybox >/dev/null
}

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/podman.XXXXXX")
	NAME=p$$-$BATS_TEST_NUMBER
}

teardown() {
	pm pod rm -f -t 0 "pod$NAME" >/dev/null 2>&1 || true
	pm rm -f -t 10 "$NAME" >"$WORK/rm" 2>&1 || pm rm -f -t 10 "$NAME" >>"$WORK/rm" 2>&1 || cat "$WORK/rm"
	pm volume rm -f "$NAME" >/dev/null 2>&1 || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

pm() { timeout 240 podman --runtime "$(command -v "$BULKHEAD")" "$@"; }
pm_run() { pm run --name "$NAME" "$@"; }

@test "cp to and from a volume of a running container" {
	pm_run -d -v "$NAME:/vol" localhost/busybox sleep 1000 >/dev/null
	echo content >"$WORK/file"
	pm cp "$WORK/file" "$NAME:/vol/file"
	run pm exec "$NAME" sh -c 'cat /vol/file; echo back >/vol/back'
	assert_output content
	pm cp "$NAME:/vol/back" "$WORK/back"
	assert_equal "$(cat "$WORK/back")" back
	assert_equal "$(cat "$(pm volume inspect -f '{{.Mountpoint}}' "$NAME")/file")" content
}

@test "cp to a tmpfs of a running container fails, and does not end below it" {
	pm_run -d --tmpfs /scratch -v "$NAME:/scratch/vol" localhost/busybox sleep 1000 >/dev/null
	echo content >"$WORK/file"
	run pm cp "$WORK/file" "$NAME:/scratch/file"
	assert_status 125
	assert_output 'read-only file system'
	pm cp "$WORK/file" "$NAME:/scratch/vol/file"
	run pm exec "$NAME" cat /scratch/vol/file
	assert_output content
	run pm diff "$NAME"
	refute_output /scratch/file
}

@test "top with ps's own options shows the container's processes" {
	pm_run -d localhost/busybox sleep 1234 >/dev/null
	run pm top "$NAME" -o pid,args
	assert_output 'sleep 1234'
	refute_output bulkhead
	run pm top "$NAME"
	refute_output bulkhead
}

@test "restart, pause, kill, wait, stats, inspect, commit, diff" {
	pm_run -d localhost/busybox sh -c 'echo started; echo x >/new; exec sleep 1000' >/dev/null
	pm restart -t 1 "$NAME" >/dev/null
	run pm logs "$NAME"
	assert_equal "$output" $'started\nstarted'
	pm pause "$NAME" >/dev/null
	assert_equal "$(pm inspect -f '{{.State.Status}}' "$NAME")" paused
	pm unpause "$NAME" >/dev/null
	run pm stats --no-stream "$NAME"
	assert_status 0
	run pm diff "$NAME"
	assert_output 'A /new'
	pm kill "$NAME" >/dev/null
	assert_equal "$(pm wait "$NAME")" 137
}

@test "a user namespace by --uidmap" {
	run pm_run --rm --uidmap 0:100000:5000 --gidmap 0:100000:5000 localhost/busybox sh -c 'tr -s " " </proc/self/uid_map; touch /x; stat -c %u:%g /x'
	assert_status 0
	assert_equal "$output" $' 0 100000 5000\n0:0'
}

@test "a build runs its steps in VMs" {
	printf 'FROM localhost/busybox\nRUN uname -r >/version\nCMD cat /version\n' >"$WORK/Dockerfile"
	pm build --tag built "$WORK" >"$WORK/log" 2>&1 || { cat "$WORK/log"; return 1; }
	run pm_run --rm built
	assert_output '6.12.'
}

@test "a pod without an infra container, and one that shares nothing" {
	pm pod create --infra=false --name "pod$NAME" >/dev/null
	run pm_run --rm --pod "pod$NAME" localhost/busybox sh -c 'echo in a pod; uname -r'
	assert_status 0
	assert_output 'in a pod'
	assert_output '6.12.'
	pm pod rm -f -t 0 "pod$NAME" >/dev/null
	pm pod create --share none --name "pod$NAME" >/dev/null
	run pm_run --rm --pod "pod$NAME" localhost/busybox sh -c 'echo in a pod'
	assert_status 0
	assert_output 'in a pod'
}

@test "a pod is one VM: localhost, memory, names; pause, stop and start" {
	# No cgroup of the pod: without systemd Podman 4.3 denies all devices there, to any runtime.
	pm pod create --share-parent=false --infra-image localhost/busybox --infra-command '/bin/sleep 100000' \
		--name "pod$NAME" >/dev/null
	pm_run -d --pod "pod$NAME" localhost/busybox sh -c 'echo page >/tmp/index.html; echo memory >/dev/shm/x; exec httpd -f -h /tmp' >/dev/null
	run pm_run --rm --name "$NAME-2" --pod "pod$NAME" localhost/busybox \
		sh -c 'cat /proc/sys/kernel/random/boot_id; hostname; cat /dev/shm/x; wget -qO- http://127.0.0.1/index.html; ls /proc | grep -c "^[0-9]"'
	assert_status 0
	assert_output $'\npod'"$NAME"$'\nmemory\npage\n'
	local boot=${lines[0]}
	assert_equal "$(pm exec "$NAME" cat /proc/sys/kernel/random/boot_id)" "$boot"
	assert_equal "$(pgrep -cx bulkhead-vmm)" 1
	run bh checkpoint --image-path "$WORK/image" "$(pm inspect -f '{{.Id}}' "$NAME")"
	assert_output "is one of a pod's"
	pm pod pause "pod$NAME" >/dev/null
	assert_equal "$(pm inspect -f '{{.State.Status}}' "$NAME")" paused
	pm pod unpause "pod$NAME" >/dev/null
	assert_equal "$(pm exec "$NAME" cat /dev/shm/x)" memory
	pm pod stop -t 1 "pod$NAME" >/dev/null
	assert_equal "$(pgrep -cx bulkhead-vmm || true)" 0
	pm pod start "pod$NAME" >/dev/null
	assert_equal "$(pm exec "$NAME" wget -qO- http://127.0.0.1/index.html)" page
}

@test "another container's namespaces: refused by name" {
	pm_run -d localhost/busybox sleep 1000 >/dev/null
	run pm run --rm --name "$NAME-2" --ipc "container:$NAME" localhost/busybox true
	assert_status 126
	assert_output 'linux.namespaces: ipc namespace /proc/'
}

@test "--network host runs with the loopback alone, and says so where it is seen" {
	local warning="bulkhead: warning: the host's network cannot be a virtual machine's: the container has the loopback alone"
	pm_run --network host localhost/busybox ls /sys/class/net >"$WORK/out" 2>"$WORK/err"
	assert_equal "$(cat "$WORK/out")" lo
	grep -q "^$warning" "$WORK/err"
	run pm logs "$NAME"
	assert_output "$warning"
	run timeout 240 script -qec "podman --runtime $(command -v "$BULKHEAD") run --rm -it --network host localhost/busybox ls /sys/class/net" /dev/null </dev/null
	assert_output "$warning"
	assert_output lo
	run pm_run --rm --name "$NAME-2" --network none localhost/busybox ls /sys/class/net
	assert_equal "$output" lo
}

@test "--preserve-fds leads a descriptor into the container" {
	echo 'from the host' >"$WORK/file"
	run pm_run --rm --preserve-fds 1 localhost/busybox cat /proc/self/fd/3 3<"$WORK/file"
	assert_status 0
	assert_output 'from the host'
}

@test "containers in a privileged container's place: --privileged, the host's namespaces" {
	run pm_run --rm --privileged --pid host --ipc host localhost/busybox sh -c 'grep CapEff /proc/self/status; uname -r'
	assert_status 0
	assert_output 000001ffffffffff
	assert_output '6.12.'
}
