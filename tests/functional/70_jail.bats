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

@test "only the file threads have capabilities, those for files" {
	run threads CapEff
	# CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, FSETID 4, SETGID 6, SETUID 7, MKNOD 27, SETFCAP 31
	assert_output 'bulkhead-file 00000000880000df'
	assert_equal "$(threads CapEff | grep -v '^bulkhead-file' | cut -d' ' -f2 | sort -u)" 0000000000000000
	assert_equal "$(threads CapPrm | grep '^bulkhead-file' | cut -d' ' -f2)" 00000000880000df
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
