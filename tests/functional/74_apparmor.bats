#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Test host: --apparmor
# The monitor under its AppArmor profile: containers work as without, and what is no part of its work is denied.

load helpers

MONITOR=/usr/local/libexec/bulkhead/bulkhead-vmm

setup() {
	mountpoint -q /sys/kernel/security || mount -t securityfs securityfs /sys/kernel/security
	aa-enabled
	bundle_setup busybox
	dmesg --clear
	apparmor_parser -r -T -K /usr/local/share/bulkhead/apparmor-profile
}
teardown() {
	mountpoint -q "$MONITOR" && umount "$MONITOR"
	apparmor_parser -R -T -K /usr/local/share/bulkhead/apparmor-profile
	bundle_teardown
}

denials() { dmesg | grep -E 'apparmor="DENIED".*profile="bulkhead-vmm"' || true; }

# An applet of busybox in the monitor's place, so under its profile.
as_monitor() { # APPLET ARGUMENT...
	local applet=$1
	shift
	run timeout 20 bash -c 'exec -a "$0" "$@"' "$applet" "$MONITOR" "$@"
}

@test "a container works under it, from a template and booted, and nothing is denied" {
	mkdir "$WORK/data"
	share "$WORK/data" /data rw
	script 'echo there >/data/file && chmod 4755 /data/file && mv /data/file /data/moved && ln -s moved /data/link &&
		mkfifo /data/fifo && chown 1000:1000 /data/moved && cat /data/link && sleep 1'
	config '.process.capabilities[] |= . + ["CAP_CHOWN"]'
	bulkhead template remove --all
	run_container
	assert_status 0
	assert_output there
	assert_equal "$(stat -c '%u %F' "$WORK/data/moved")" '1000 regular file'
	rm -r "$WORK/data"/*
	config '.annotations["io.bulkhead.memory-mib"] = "258" | .linux.namespaces |= map(select(.type != "network"))'
	mkdir -p /etc/bulkhead
	echo '{"templates": false}' >/etc/bulkhead/bulkhead.json
	bh run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	rm /etc/bulkhead/bulkhead.json
	assert_equal "$(cat "/proc/$(pgrep -x bulkhead-vmm)/attr/apparmor/current")" 'bulkhead-vmm (enforce)'
	bh exec "$ID" true
	bh delete --force "$ID"
	assert_equal "$(denials)" ''
}

@test "programs, networks, other processes and the clock are out of the monitor's reach" {
	mount --bind /bin/busybox "$MONITOR"
	as_monitor echo it works
	assert_status 0
	assert_output 'it works'
	as_monitor sh -c /bin/true
	assert_status 126
	as_monitor nc -l -p 4444
	assert_status 1
	assert_output 'Permission denied'
	sleep 100 &
	as_monitor kill -9 $!
	kill $!
	refute_output 'No such process'
	assert_status 1
	as_monitor date -s 2001-01-01
	assert_output "can't set date"
	as_monitor chroot /tmp /x
	assert_output "can't change root directory"
	# Each of these is in the host's log.
	denials | grep -q 'operation="exec"'
	denials | grep -q 'operation="create".*family="inet'
	denials | grep -q 'operation="signal"'
	denials | grep -q 'operation="capable".*capname="sys_time"'
	denials | grep -q 'operation="capable".*capname="sys_chroot"'
}
