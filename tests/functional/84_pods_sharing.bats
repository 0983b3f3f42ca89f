#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the containers of a pod share because they are in one kernel, and what a security context keeps apart.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

mount_json() { jq -cn --arg at "$1" --arg from "$2" --argjson ro "${3:-false}" '{container_path: $at, host_path: $from, readonly: $ro}'; }

@test "shared memory, sockets and locks connect the containers of a pod; sysctls and the security context hold" {
	mkdir -p "$KUBELET/disk" "$KUBELET/tools"
	cp "$TESTINIT" "$KUBELET/tools/testinit"
	local volumes
	volumes=".mounts = [$(mount_json /disk "$KUBELET/disk"), $(mount_json /tools "$KUBELET/tools" true)]"
	pod secure '.linux.sysctls = {"net.core.somaxconn": "777", "kernel.shm_rmid_forced": "1"}'
	shell first 'echo shared >/dev/shm/file; sysctl -n net.core.somaxconn kernel.shm_rmid_forced; umask 0; /tools/testinit unixlisten /disk/socket & exec /tools/testinit lock /disk/lock 1000' "$volumes"
	local first=$CTR
	wait_log first locked
	wait_log first 777
	shell second 'cat /dev/shm/file; /tools/testinit lock /disk/lock 0; /tools/testinit unixconnect /disk/socket "from second"; id -u; id -G; touch /x; exec sleep 1000' "$volumes" \
		'.linux.security_context += {run_as_user: {value: "1000"}, run_as_group: {value: "1001"}, supplemental_groups: ["2000"], readonly_rootfs: true, no_new_privs: true, capabilities: {drop_capabilities: ["ALL"]}}'
	local second=$CTR
	wait_log second "F shared"
	wait_log second "is locked"
	wait_log second "F hello"
	wait_log first "from second"
	wait_log second "F 1000"
	wait_log second "1001 2000"
	wait_log second "Read-only file system"
	run in_container "$second" sh -c 'grep -E "CapEff|NoNewPrivs|Seccomp:" /proc/self/status'
	assert_output "0000000000000000"
	assert_output $'NoNewPrivs:\t1'
	run in_container "$first" sh -c 'ls -l /proc/1/ns/ipc /proc/1/ns/uts /proc/1/ns/net'
	local namespaces=$output
	run in_container "$second" sh -c 'ls -l /proc/1/ns/ipc /proc/1/ns/uts /proc/1/ns/net'
	assert_equal "$(grep -o '[a-z]*:\[[0-9]*\]' <<<"$output")" "$(grep -o '[a-z]*:\[[0-9]*\]' <<<"$namespaces")"
}
