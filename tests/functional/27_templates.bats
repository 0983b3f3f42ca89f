#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Templates: VMs that begin where another one was saved. The kernel's command line tells: a template's guest has
# bulkhead_template on it.

load helpers

STORE=/var/lib/bulkhead/templates

setup() { bundle_setup debian; }
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

@test "sixteen clones have random numbers, boot ids, host names and clocks of their own" {
	script 'date +%s.%N; od -An -N16 -tx1 /dev/urandom; od -An -N16 -tx1 /dev/random; cat /proc/sys/kernel/random/boot_id
		cat /proc/sys/kernel/random/uuid; mktemp -u XXXXXXXXXXXX; hostname; cut -d" " -f1 /proc/uptime; grep -c bulkhead_template /proc/cmdline'
	local i before after
	for i in $(seq 16); do
		config --arg name "clone-$i" '.hostname = $name'
		before=$(date +%s.%N)
		run_container
		after=$(date +%s.%N)
		assert_status 0
		assert_equal "${lines[8]}" 1
		assert_equal "${lines[6]}" "clone-$i"
		# Between before and after, 50 ms off at most.
		echo "$before ${lines[0]} $after" | awk '{ exit !($2 >= $1 - 0.05 && $2 <= $3 + 0.05) }' || {
			echo "the clock says ${lines[0]}, it is between $before and $after"
			return 1
		}
		printf '%s\n' "${lines[@]:1:5}" >>"$WORK/random"
	done
	assert_equal "$(wc -l <"$WORK/random")" 80
	assert_equal "$(sort "$WORK/random" | uniq -d)" ''
}

@test "a clone's time goes on by itself, and its timers fire" {
	script 'a=$(cut -d" " -f1 /proc/uptime); sleep 1; b=$(cut -d" " -f1 /proc/uptime); echo "$a $b"'
	run_container
	assert_status 0
	echo "$output" | awk '{ exit !($1 < 60 && $2 - $1 > 0.9 && $2 - $1 < 5) }' || { echo "uptimes: $output"; return 1; }
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

@test "a clone with two vCPUs and memory above 4 GiB has both" {
	config '.annotations["io.bulkhead.vcpus"] = "2" | .annotations["io.bulkhead.memory-mib"] = "3500"'
	mkdir -p /etc/bulkhead
	echo '{ "max_vcpus": 4 }' >/etc/bulkhead/bulkhead.json
	script 'grep -c bulkhead_template /proc/cmdline; nproc; awk "/MemTotal/ { print (\$2 > 3300000) }" /proc/meminfo
		(taskset -c 1 sh -c "echo one") ; taskset -c 0 sh -c "echo zero"'
	run_container
	assert_status 0
	assert_equal "${lines[*]}" '1 2 1 one zero'
}

@test "a bundle's own kernel parameters mean its own boot" {
	config '.vm = { "kernel": { "path": "/usr/local/share/bulkhead/vmlinux", "parameters": ["quiet"] } }'
	began
	assert_status 0
	assert_equal "$output" 0
}

@test "memory that a container frees goes back to the host" {
	# In the guest's page cache and its processes: 200 MiB, then nothing of it.
	script 'head -c 200000000 /dev/zero | tail -c 200000000 | wc -c; echo freed; sleep 60'
	bh run --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 </dev/null &
	local runner=$! monitor peak now try
	while ! grep -q freed "$WORK/out"; do kill -0 "$runner"; sleep 0.2; done
	monitor=$(pgrep -x bulkhead-vmm)
	peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$monitor/status")
	[ "$peak" -gt 200000 ] || { echo "the guest took only $peak KiB"; return 1; }
	for try in $(seq 30); do
		now=$(awk '/^RssAnon/ { print $2 }' "/proc/$monitor/status")
		[ "$now" -lt $((peak / 2)) ] && break
		sleep 1
	done
	[ "$now" -lt $((peak / 2)) ] || { echo "$now of $peak KiB are still there"; return 1; }
	bh delete --force "$ID"
	wait "$runner" || true
}
