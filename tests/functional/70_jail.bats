#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The jail around the monitor, looked at from the host while a container runs.

load helpers

setup() {
	bundle_setup busybox
	config '.process.args = ["/bin/sleep", "1000"]'
	bh run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	MONITOR=$(pgrep -x bulkhead-vmm)
}
teardown() { bundle_teardown; }

# The value of a field of each thread, by the thread's name, one on a line.
threads() {
	local task
	for task in /proc/"$MONITOR"/task/*; do
		echo "$(cat "$task/comm") $(sed -n "s/^$1:[[:space:]]*//p" "$task/status")"
	done | sort -u
}

@test "every thread of the monitor has a filter of its own, and no way to new privileges" {
	# Started further file threads, if it does: they inherit.
	bh exec "$ID" sh -c 'for i in 1 2 3 4 5 6 7 8; do find / -xdev >/dev/null & done; wait'
	assert_equal "$(threads Seccomp | cut -d' ' -f2 | sort -u)" 2
	assert_equal "$(threads Seccomp_filters | cut -d' ' -f2 | sort -u)" 1
	assert_equal "$(threads NoNewPrivs | cut -d' ' -f2 | sort -u)" 1
}

@test "only the threads that work on files have capabilities, those for files" {
	run threads CapEff
	# CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, FSETID 4, SETGID 6, SETUID 7, MKNOD 27, SETFCAP 31
	assert_output 'bulkhead-file 00000000880000df'
	assert_equal "$(threads CapEff | grep -vE '^bulkhead-(file|save)' | cut -d' ' -f2 | sort -u)" 0000000000000000
	assert_equal "$(threads CapPrm | grep -E '^bulkhead-(file|save)' | cut -d' ' -f2 | sort -u)" 00000000880000df
	assert_equal "$(threads CapInh | cut -d' ' -f2 | sort -u)" 0000000000000000
}

@test "the monitor's root is empty and its namespaces are its own" {
	local kind
	assert_equal "$(ls -A "/proc/$MONITOR/root/")" ""
	assert_equal "$(wc -l <"/proc/$MONITOR/mountinfo")" 1
	for kind in mnt net ipc uts cgroup pid; do
		[ "$(readlink "/proc/$MONITOR/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ] || {
			echo "$kind: the host's"
			return 1
		}
	done
	assert_equal "$(sed -n 's/^NSpid:.*\t//p' "/proc/$MONITOR/status")" 1
	assert_equal "$(sed -n 's/^Max core file size *//p' "/proc/$MONITOR/limits" | cut -d' ' -f1)" 0
}

@test "no descriptor of the monitor leads to the host's files" {
	local fd target mount
	for fd in /proc/"$MONITOR"/fd/*; do
		target=$(readlink "$fd") || continue
		mount=$(sed -n 's/^mnt_id:[[:space:]]*//p' "/proc/$MONITOR/fdinfo/${fd##*/}")
		case $target in
		socket:* | anon_inode:* | /dev/null | "/run/bulkhead/$ID/log") ;;
		# The shares are mounts that are mounted nowhere.
		*) ! grep -q "^$mount " /proc/self/mountinfo || { echo "$fd is the host's $target" && return 1; } ;;
		esac
	done
}

# What a process's descriptors of directories lead to, besides what lies in them: nothing. One line for each that does.
ways_up() {
	python3 - "$1" <<'PY'
import os, stat, sys
folder = "/proc/%s/fd/" % sys.argv[1]
for fd in os.listdir(folder):
    try:
        here = os.stat(folder + fd)
    except FileNotFoundError:
        continue
    if stat.S_ISDIR(here.st_mode):
        up = os.stat(folder + fd + "/..")
        if (up.st_dev, up.st_ino) != (here.st_dev, here.st_ino):
            print(fd, os.readlink(folder + fd), "leads to", os.listdir(folder + fd + "/.."))
PY
}

@test "no descriptor of a proxy leads to the host's files, its sockets, disks and cgroups" {
	local proxy
	proxy=$(cat "/run/bulkhead/$ID/pid" 2>/dev/null || bh state "$ID" | jq .pid)
	bh exec -d --pid-file "$WORK/exec.pid" "$ID" /bin/sleep 1000
	for proxy in "$proxy" "$(cat "$WORK/exec.pid")"; do
		run ways_up "$proxy"
		assert_equal "$output" ''
		# The state directory: its sockets can be connected to, its records, which root's commands believe, not written.
		run sh -c 'for fd in /proc/'"$proxy"'/fd/*; do [ -e "$fd/state.json" ] && echo >>"$fd/state.json"; done'
		assert_output 'Read-only file system'
		# Nor does a path: the root is the container's, or empty.
		[ ! -e "/proc/$proxy/root/run/bulkhead" ] && [ ! -e "/proc/$proxy/root/src" ]
		run sh -c 'for fd in /proc/'"$proxy"'/fd/*; do ls -d "$fd/sda" "$fd/mem" "$fd/cgroup.kill"; done 2>/dev/null'
		assert_equal "$output" ''
	done
	bh exec "$ID" /bin/true
	assert_equal "$(ls /run/bulkhead/"$ID"/exec | wc -l)" 1
}

@test "a proxy has no rights but those its network takes" {
	local proxy
	proxy=$(bh state "$ID" | jq .pid)
	assert_equal "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$proxy/status")" 0000000000001000
	bh exec -d --pid-file "$WORK/exec.pid" "$ID" /bin/sleep 1000
	assert_equal "$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$(cat "$WORK/exec.pid")/status")" 0000000000000000
}

@test "an SELinux context that was asked for is told of where the host has no SELinux" {
	[ ! -e /sys/fs/selinux/enforce ] || skip "this host has SELinux"
	mkdir -p /etc/bulkhead
	echo '{ "selinux": true }' >/etc/bulkhead/bulkhead.json
	config '.process.args = ["/bin/true"] | .process.selinuxLabel = "system_u:system_r:container_t:s0:c1,c2"'
	run bh run --bundle "$BUNDLE" "$ID-2"
	rm /etc/bulkhead/bulkhead.json
	assert_status 0
	assert_one_line 'process.selinuxLabel: this host has no SELinux, ignored'
}
