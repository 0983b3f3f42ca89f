#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Volumes as the kubelet passes them, and what a security context asks for.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

# As the kubelet writes a ConfigMap: files are links into a folder that one rename replaces.
config_map() { # TEXT
	local dir=$KUBELET/config data
	mkdir -p "$dir"
	data=$(mktemp -d "$dir/..data.XXXXXX")
	chmod 755 "$data"
	echo "$1" >"$data/key"
	ln -sfn "${data##*/}" "$dir/..data_tmp"
	mv -T "$dir/..data_tmp" "$dir/..data"
	[ -L "$dir/key" ] || ln -s ..data/key "$dir/key"
}

mount_json() { jq -cn --arg at "$1" --arg from "$2" --argjson ro "${3:-false}" '{container_path: $at, host_path: $from, readonly: $ro}'; }

@test "emptyDir on disk, in memory and in huge pages, ConfigMap with an update, subPath, raw block: one pod's containers share them" {
	mkdir -p "$KUBELET/disk/sub" "$KUBELET/memory"
	mount -t tmpfs -o size=1m tmpfs "$KUBELET/memory"
	config_map one
	local volumes
	volumes=".mounts = [$(mount_json /disk "$KUBELET/disk"), $(mount_json /memory "$KUBELET/memory"), $(mount_json /config "$KUBELET/config" true)]"
	pod volumes
	shell first 'echo x >/config/new; until [ "$(cat /config/key)" = two ]; do sleep 0.2; done; echo saw two; exec sleep 1000' "$volumes"
	local first=$CTR
	shell second 'nc -lk -p 9 -e true & mkfifo /disk/pipe; cat /disk/pipe; exec sleep 1000' "$volumes"
	local second=$CTR
	run in_container "$first" sh -c 'cat /config/key; echo data >/memory/file; dd if=/dev/zero of=/memory/big bs=1k count=2000; df /memory | tail -n 1'
	assert_output one
	assert_output "No space left"
	assert_equal "$(cat "$KUBELET/memory/file")" data
	config_map two
	wait_log first "saw two"
	wait_log first "Read-only file system"
	# A pipe made by one and written by the other: the same file in one kernel.
	run in_container "$first" sh -c 'echo through the pipe >/disk/pipe'
	assert_output "exit 0"
	wait_log second "through the pipe"
	# And so are Unix sockets and locks.
	run in_container "$second" cat /memory/file
	assert_output data
	shell sub 'touch /sub/made; ls /sub; exec sleep 1000' ".mounts = [$(mount_json /sub "$KUBELET/disk/sub")]"
	wait_log sub made
	run in_container "$first" ls /disk/sub
	assert_output made
	stop "$CTR"
	umount "$KUBELET/memory"
	# A raw block volume, and huge pages as a volume: plugged into the VM that runs.
	local loop
	modprobe loop 2>/dev/null || true
	truncate -s 4M "$WORK/disk"
	echo "on the disk" >"$WORK/words"
	loop=$(losetup -f --show "$WORK/disk")
	dd if="$WORK/words" of="$loop" conv=fsync 2>/dev/null
	mkdir "$KUBELET/huge"
	mount -t hugetlbfs none "$KUBELET/huge"
	shell raw 'head -c 11 /dev/xvda; echo; grep HugePages_Total /proc/meminfo; grep /huge /proc/mounts; exec sleep 1000' \
		".devices = [{container_path: \"/dev/xvda\", host_path: \"$loop\", permissions: \"rwm\"}]" \
		".mounts = [$(mount_json /huge "$KUBELET/huge")]" \
		'.linux.resources = {memory_limit_in_bytes: 67108864, hugepage_limits: [{page_size: "2MB", limit: 8388608}]}'
	wait_log raw " hugetlbfs "
	run log_of raw
	assert_output "on the disk"
	assert_output "HugePages_Total:       4"
	stop "$CTR"
	remove "$CTR"
	umount "$KUBELET/huge"
	losetup -d "$loop"
	run losetup -a
	assert_equal "$output" ""
}

@test "a container that restarts again and again leaves nothing in the monitor" {
	mkdir -p "$KUBELET/disk"
	pod restarts
	shell stays 'exec sleep 1000' ".mounts = [$(mount_json /disk "$KUBELET/disk")]"
	local monitor before i
	monitor=$(pgrep -x bulkhead-vmm)
	before=$(ls "/proc/$monitor/fd" | wc -l)
	for i in 1 2 3 4; do
		touch "$KUBELET/words$i"
		shell "run$i" 'find / -xdev >/dev/null; cat /disk/x /dev/termination-log' \
			".mounts = [$(mount_json /disk "$KUBELET/disk"), $(mount_json /dev/termination-log "$KUBELET/words$i")]"
		wait_exit "$CTR"
		remove "$CTR"
	done
	# What the guest knew of their files it has forgotten; the shared folder is there still.
	assert_equal "$(ls "/proc/$monitor/fd" | wc -l)" "$before"
	run in_container "$(cri ListContainers | jq -r '.containers[] | select(.state == "CONTAINER_RUNNING").id')" touch /disk/x
	assert_output "exit 0"
}
