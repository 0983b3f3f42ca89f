#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a VM that began with a template has of its own: random numbers, clock, size, memory.

load helpers

setup() {
	bundle_setup debian
}
teardown() {
	rm -f /etc/bulkhead/bulkhead.json
	bundle_teardown
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

@test "the time that KVM keeps of a vCPU is the guest's, with a rate that was measured anew, and after a restore" {
	run build/vcpu-time
	assert_status 0
	assert_equal "${#lines[@]}" 5
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

@test "a clone says nothing of memory that it never had" {
	local reported
	script 'sleep 60'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&-
	sleep 6 # the kernel reports two seconds after there is something to report, and then every two
	reported=$(bh metrics "$ID" | sed -n 's/^bulkhead_device_requests_total{.*balloon.*} //p')
	echo "reports: $reported"
	# All of its memory would take five, of 32 blocks of 4 MiB.
	[ "$reported" -le 1 ]
	bh delete --force "$ID"
}

@test "memory that a container frees goes back to the host" {
	# In the guest's page cache and its processes: 80 MB, then nothing of it.
	script 'head -c 80000000 /dev/zero | tail -c 80000000 | wc -c; echo freed; sleep 60'
	bh run --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 </dev/null &
	local runner=$! monitor peak now try
	while ! grep -q freed "$WORK/out"; do kill -0 "$runner" || { cat "$WORK/out"; return 1; }; sleep 0.2; done
	monitor=$(pgrep -x bulkhead-vmm)
	peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$monitor/status")
	[ "$peak" -gt 80000 ] || { echo "the guest took only $peak KiB"; return 1; }
	for try in $(seq 30); do
		now=$(awk '/^RssAnon/ { print $2 }' "/proc/$monitor/status")
		[ "$now" -lt $((peak / 2)) ] && break
		sleep 1
	done
	[ "$now" -lt $((peak / 2)) ] || { echo "$now of $peak KiB are still there"; return 1; }
	bh delete --force "$ID"
	wait "$runner" || true
}
