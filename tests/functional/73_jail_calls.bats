#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# No filter allows what nobody needs: every system call, and every ioctl's request, that the monitor's threads and the
# proxy may make is made by one of these runs, or tests/calls/unseen says which path it is for.

load helpers

TRACING=/sys/kernel/tracing

# The kernel writes down every system call of monitors and proxies, which costs them little, into buffers that hold all.
trace_begin() {
	echo 0 >"$TRACING/tracing_on"
	echo 100000 >"$TRACING/buffer_size_kb"
	echo >"$TRACING/trace"
	echo 'comm ~ "bulkhead-*"' >"$TRACING/events/raw_syscalls/sys_enter/filter"
	echo 1 >"$TRACING/events/raw_syscalls/sys_enter/enable"
	echo 1 >"$TRACING/tracing_on"
}

trace_end() { # FILE
	echo 0 >"$TRACING/tracing_on"
	echo 0 >"$TRACING/events/raw_syscalls/sys_enter/enable"
	assert_equal "$(grep -h '^overrun' "$TRACING"/per_cpu/*/stats | sort -u)" 'overrun: 0'
	cat "$TRACING/trace" >"$1"
	echo 1000 >"$TRACING/buffer_size_kb"
}

setup() {
	[ -e "$TRACING/trace" ] || mount -t tracefs none "$TRACING" # stays: not a thing left behind
	bundle_setup debian
	RUN_TIMEOUT=500
	NETNS=n$$-$BATS_TEST_NUMBER
	ip netns add "$NETNS"
}

teardown() {
	echo 0 >"$TRACING/tracing_on"
	bh delete --force "$ID" >/dev/null 2>&1 || true
	umount "$WORK/tmpfs" 2>/dev/null || true
	rm -f /etc/bulkhead/bulkhead.json
	[ -z "$NETNS" ] || { bh delete --force "$ID"; ip netns del "$NETNS"; } >/dev/null 2>&1 || true
	bundle_teardown
}

plug() { # NAME ADDRESS
	ip link add "h$1" type veth peer name "$1" netns "$NETNS"
	ip link set "h$1" up
	ip -n "$NETNS" addr add "$2/24" dev "$1"
	ip -n "$NETNS" link set "$1" up
}

in_guest() { bh exec "$ID" "$@"; }

progress() { [ -z "${BULKHEAD_PROGRESS:-}" ] || echo "$(date +%T) $*" >>"$BULKHEAD_PROGRESS"; }

wait_guest() { # PATTERN COMMAND...
	local try pattern=$1
	shift
	for try in $(seq 60); do
		in_guest "$@" 2>&1 | grep -q "$pattern" && return 0
		sleep 0.5
	done
	in_guest "$@"
	return 1
}

# Files, with handles and without them, and what else a container does to the monitor.
run_container_with_everything() { # [FILE-CACHE [SUBJECTS]]
	mkdir "$WORK/data" "$WORK/tmpfs"
	mount -t tmpfs none "$WORK/tmpfs"
	cp tests/functional/files/operations.py "$WORK/data"
	share "$WORK/data" /data rw
	share "$WORK/tmpfs" /disk rw
	share /usr /usr ro
	config --arg path "/run/netns/$NETNS" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	config '.process.capabilities[] |= . + ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD",
		"CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP", "CAP_KILL", "CAP_NET_RAW"] | .process.capabilities[] |= unique'
	config '.annotations["io.bulkhead.vcpus"] = "2" | .process.args = ["/bin/sleep", "1000"]'
	[ -z "${1:-}" ] || config --arg mode "$1" '.annotations["io.bulkhead.file-cache"] = $mode'
	plug eth0 10.98.0.2
	progress run
	bh run -d --bundle "$BUNDLE" "$ID" <>/dev/null >&0 2>"$WORK/error" || { cat "$WORK/error"; return 1; }
	progress operations
	# shellcheck disable=SC2086 # a list of words
	in_guest python3 /data/operations.py /disk ${2:-} >"$WORK/operations" 2>&1 || { cat "$WORK/operations"; return 1; }
	progress many files
	in_guest sh -c 'for i in 1 2 3 4 5 6; do find /usr/share -type f | head -n 40 | xargs cat >/dev/null & done; wait; sync'
}

end_container() {
	bh delete --force "$ID"
	umount "$WORK/tmpfs"
	rm -r "$WORK/data" "$WORK/tmpfs"
	ip -n "$NETNS" link del eth0 2>/dev/null || true
}

@test "every call that a filter allows is made, or is explained" {
	trace_begin
	mkdir -p /etc/bulkhead
	echo '{ "vhost_net": false, "max_vcpus": 2 }' >/etc/bulkhead/bulkhead.json
	run_container_with_everything auto "creating names links renaming removing appending holes attributes ownership
		permissions acls extended_attributes mapping synchronising unnamed special_files"
	progress terminal
	# A terminal, a pause, a network that changes.
	timeout 100 script -qec "$BULKHEAD exec -t $ID /bin/true" /dev/null </dev/null >/dev/null
	bh pause "$ID"
	bh resume "$ID"
	in_guest sh -c 'echo "hello" | cat; ping -c 1 -W 1 10.98.0.1 || true' >/dev/null
	progress network
	plug eth1 10.98.1.2
	wait_guest eth1 cat /proc/net/dev
	ip -n "$NETNS" addr add 10.98.2.2/24 dev eth1
	ip -n "$NETNS" link del eth1
	plug eth2 10.98.3.2
	wait_guest eth2 cat /proc/net/dev
	in_guest cp /data/operations.py /data/copy
	bh checkpoint --leave-running --image-path "$WORK/image" "$ID"
	end_container
	echo '{ "vhost_net": true, "max_vcpus": 2 }' >/etc/bulkhead/bulkhead.json
	run_container_with_everything none "creating appending"
	in_guest sh -c 'kill -9 1' || true
	end_container
	progress trace
	trace_end "$WORK/trace"
	progress compare
	[ -z "${BULKHEAD_KEEP_TRACE:-}" ] || gzip -c "$WORK/trace" >"$BULKHEAD_KEEP_TRACE"
	build/print-rules >"$WORK/rules"
	run tests/calls/compare-rules "$WORK/rules" "$WORK/trace"
	echo "$output"
	assert_status 0
}
