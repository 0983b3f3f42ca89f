#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates: VMs that begin where another one was saved. The kernel's command line tells: a template's guest has
# bulkhead_template on it.

load helpers

STORE=/var/lib/bulkhead/templates

setup() {
	bundle_setup debian
}
teardown() {
	rm -f /etc/bulkhead/bulkhead.json
	mountpoint -q "$STORE" && umount "$STORE"
	bundle_teardown
}

templates() { bulkhead template list | tail -n +2 | wc -l; }
entry() { echo "$STORE/$(bulkhead template list | awk 'NR == 2 { print $1 }')"; }

# What a container says whose VM began with a template, or booted.
began() { script 'grep -c bulkhead_template /proc/cmdline; true'; run_container; }

@test "the first container of a size builds its template, which it and the next ones begin with" {
	bulkhead template remove --all
	assert_equal "$(templates)" 0
	began
	assert_status 0
	assert_equal "$output" 1
	assert_equal "$(templates)" 1
	local inode
	inode=$(stat -c %i "$(entry)")
	began
	assert_equal "$output" 1
	assert_equal "$(stat -c %i "$(entry)")" "$inode"
	# Another size is another template.
	config '.annotations["io.bulkhead.memory-mib"] = "256"'
	began
	assert_equal "$output" 1
	assert_equal "$(templates)" 2
}

@test "build, list and remove do what they say" {
	bulkhead template remove --all
	bulkhead template build --memory 128
	bulkhead template build --memory 128 # is there: nothing to do
	assert_equal "$(templates)" 1
	bulkhead template list | grep -E '^[0-9a-f]{16} +128 +1 +auto '
	bulkhead template remove "$(basename "$(entry)")"
	assert_equal "$(templates)" 0
	run bulkhead template remove 0123456789abcdef
	assert_status 1
	assert_one_line 'template 0123456789abcdef'
	run bulkhead template remove ../../../etc
	assert_status 1
	run bulkhead template build --memory 1
	assert_status 1
	assert_one_line '--memory: must be from 64'
	assert_equal "$(ls "$STORE")" ''
}

@test "a damaged template is told of, and the container starts without it" {
	bulkhead template remove --all
	bulkhead template build
	local state memory
	state=$(entry)/state memory=$(entry)/memory
	cp "$state" "$WORK/state"

	truncate -s 100 "$state"
	began
	assert_status 0
	assert_output 0
	bh create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	grep -rq 'the template is of no use, the VM boots instead: the state has 100 bytes instead of' "$STATE_ROOT/$ID"
	bh delete --force "$ID"
	cp "$WORK/state" "$state"
	printf '\377' | dd of="$state" bs=1 seek=3000 conv=notrunc status=none
	began
	assert_status 0
	assert_equal "${lines[-1]}" 0
	cp "$WORK/state" "$state"
	began
	assert_equal "${lines[-1]}" 1
	truncate -s 4096 "$memory"
	began
	assert_status 0
	assert_equal "${lines[-1]}" 0
	echo nonsense >"$(entry)/key"
	began
	assert_status 0
	bulkhead template remove --all
	began
	assert_equal "${lines[-1]}" 1
}

@test "the pages that the first start wrote are copied at once for the next ones" {
	bulkhead template remove --all
	began
	assert_equal "$output" 1
	[ -s "$(entry)/touched" ]
	bh --debug create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	grep -rqE 'template: [1-9][0-9]{2,3} pages copied before the guest needs them' "$STATE_ROOT/$ID"
	bh delete --force "$ID"
	# It is a hint: rubbish does no harm, and without it there is a new one.
	head -c 100000 /dev/urandom >"$(entry)/touched"
	began
	assert_equal "$output" 1
	rm "$(entry)/touched"
	began
	assert_equal "$output" 1
	[ -s "$(entry)/touched" ]
}

# How much of a monitor's memory is huge pages, in MiB, and how much of it was written.
huge_pages() { awk '$1 == "AnonHugePages:" { print int($2 / 1024) }' "/proc/$1/smaps_rollup"; }
private() { awk '$1 == "Private_Dirty:" { print int($2 / 1024) }' "/proc/$1/smaps_rollup"; }

@test "a container that needs much memory has huge pages, gives them back, and one that is idle has none" {
	local monitor
	bulkhead template remove --all
	began
	config '.process.args = ["/testinit", "sleep", "1000"]'
	bh create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&-
	bh start "$ID"
	monitor=$(pgrep -x bulkhead-vmm)
	assert_equal "$(huge_pages "$monitor")" 0
	[ "$(private "$monitor")" -lt 10 ]
	bh exec "$ID" /testinit burnmem 100 3 3>&- &
	for _ in {1..50}; do
		[ "$(huge_pages "$monitor")" -gt 70 ] && break
		sleep 0.2
	done
	[ "$(huge_pages "$monitor")" -gt 70 ]
	wait $!
	for _ in {1..100}; do
		[ "$(private "$monitor")" -lt 40 ] && break
		sleep 0.2
	done
	[ "$(private "$monitor")" -lt 40 ]
}

@test "a store that others can write to is not used" {
	bulkhead template build
	chmod 0777 "$STORE"
	began
	chmod 0700 "$STORE"
	assert_status 0
	assert_output "$STORE: must belong to the user who starts containers, with mode 0700"
	assert_equal "${lines[-1]}" 0
}

@test "without room for a template the container starts, with one line" {
	bulkhead template remove --all
	mount -t tmpfs -o size=1m,mode=0700 none "$STORE"
	began
	assert_status 0
	assert_output 'starting without a template: '
	assert_output 'No space left on device'
	assert_equal "${#lines[@]}" 2
	assert_equal "${lines[-1]}" 0
	# It is not tried, or told, again and again.
	began
	assert_equal "$output" 0
	assert_equal "$(ls "$STORE")" ''
}

@test "templates can be switched off" {
	bulkhead template remove --all
	mkdir -p /etc/bulkhead
	echo '{ "templates": false }' >/etc/bulkhead/bulkhead.json
	began
	assert_equal "$output" 0
	assert_equal "$(templates)" 0
}

@test "the host's window for files is part of the template of a container with a read-only root" {
	bulkhead template remove --all
	mkdir -p /etc/bulkhead
	echo '{ "default_dax_mib": 64 }' >/etc/bulkhead/bulkhead.json
	config '.root.readonly = true'
	began
	assert_status 0
	assert_equal "$output" 1
	assert_equal "$(bulkhead template list | awk 'NR > 1 { print $5 }')" 64
	began # from a template with which a container began
	assert_equal "$output" 1
	config '.root.readonly = false'
	began
	assert_equal "$output" 1
	assert_equal "$(bulkhead template list | awk 'NR > 1 { print $5 }' | sort -n | tr '\n' ' ')" '0 64 '
}

@test "containers that race for the first template all start, and it is built once" {
	bulkhead template remove --all
	script 'true'
	local i pids=()
	for i in 1 2 3 4; do
		bh run --bundle "$BUNDLE" "$ID-$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	assert_equal "$(templates)" 1
	assert_equal "$(ls -A "$STORE" | grep -v -e '^.lock$' -e '^[0-9a-f]\{16\}$')" ''
}

@test "a builder that is killed leaves nothing that matters" {
	bulkhead template remove --all
	bulkhead template build &
	local builder=$!
	while ! [ -e "$STORE/.new/memory" ]; do kill -0 "$builder"; done
	kill -9 "$builder"
	wait "$builder" || true
	assert_equal "$(templates)" 0
	began
	assert_equal "$output" 1
	assert_equal "$(templates)" 1
}

@test "a bundle's own kernel parameters mean its own boot" {
	config '.vm = { "kernel": { "path": "/usr/local/share/bulkhead/vmlinux", "parameters": ["quiet"] } }'
	began
	assert_status 0
	assert_equal "$output" 0
}
