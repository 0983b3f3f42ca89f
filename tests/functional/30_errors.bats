#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input gets one clear line that names the object, and nothing is left behind (teardown looks).

load helpers

setup() { bundle_setup busybox; }
teardown() { bundle_teardown; }

@test "no such bundle" {
	run bh run --bundle /no/such/bundle "$ID"
	assert_status 1
	assert_one_line /no/such/bundle
}

@test "config.json is missing" {
	rm "$BUNDLE/config.json"
	run_container
	assert_status 1
	assert_one_line config.json
}

@test "config.json is not JSON" {
	echo 'this is not json' >"$BUNDLE/config.json"
	run_container
	assert_status 1
	assert_one_line config.json
}

@test "config.json is not an object" {
	echo '["a", "list"]' >"$BUNDLE/config.json"
	run_container
	assert_status 1
	assert_one_line config.json object
}

@test "config.json is 200 MB long" {
	head -c 200000000 /dev/zero | tr '\0' ' ' >"$BUNDLE/config.json"
	run_container
	assert_status 1
	assert_one_line config.json
}

@test "config.json is nested 10,000 deep" {
	python3 -c 'print("{\"a\":" * 10000 + "1" + "}" * 10000)' >"$BUNDLE/config.json"
	run_container
	assert_status 1
	assert_one_line config.json
}

@test "process.args is missing" {
	config 'del(.process.args)'
	run_container
	assert_status 1
	assert_one_line process.args
}

@test "the root filesystem is missing" {
	config '.root.path = "/no/such/rootfs"'
	run_container
	assert_status 1
	assert_one_line /no/such/rootfs
}

@test "an id that is not a name is refused" {
	run bh run --bundle "$BUNDLE" "../escape"
	assert_status 1
	assert_one_line '../escape'
}

@test "the monitor's device is missing or not permitted" {
	run bash -c "unshare -m sh -c 'mount -t tmpfs none /dev && exec timeout 60 $BULKHEAD run --bundle $BUNDLE $ID'"
	assert_status 1
	assert_one_line /dev/kvm
	run bash -c "unshare -m sh -c 'touch $WORK/kvm && chmod 0 $WORK/kvm && mount --bind $WORK/kvm /dev/kvm && exec timeout 60 $BULKHEAD run --bundle $BUNDLE $ID'"
	assert_status 1
	assert_one_line /dev/kvm
}

kernel_annotation() {
	config --arg path "$1" '.vm = {"kernel": {"path": $path}}'
}

@test "the kernel image is not ELF, truncated, or missing" {
	local kernel=/usr/local/share/bulkhead/vmlinux
	echo hello >"$WORK/text"
	kernel_annotation "$WORK/text"
	run_container
	assert_status 1
	assert_one_line "$WORK/text"
	head -c 100000 "$kernel" >"$WORK/short"
	kernel_annotation "$WORK/short"
	run_container
	assert_status 1
	assert_one_line "$WORK/short"
	kernel_annotation "$WORK/none"
	run_container
	assert_status 1
	assert_one_line "$WORK/none"
}

@test "too little memory to boot" {
	config '.annotations["io.bulkhead.memory-mib"] = "8"'
	run_container
	assert_status 1
	assert_one_line memory
}

@test "a guest panic ends the container with its reason" {
	script 'echo c > /proc/sysrq-trigger; sleep 60'
	config '.mounts |= map(select(.destination != "/proc")) + [{"destination": "/proc", "type": "proc", "source": "proc"}]
		| .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	run_container
	[ "$status" -ne 0 ]
	assert_output panic
}

start_detached() {
	script 'sleep 1000'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	PID=$(bh state "$ID" | jq .pid)
	[ "$PID" -gt 1 ]
}

wait_stopped() {
	local try
	for try in $(seq 50); do
		[ "$(bh state "$ID" | jq -r .status)" = stopped ] && return 0
		sleep 0.2
	done
	bh state "$ID"
	return 1
}

@test "the monitor killed: the container is stopped, delete cleans up" {
	start_detached
	pkill -KILL -x bulkhead-vmm
	wait_stopped
	bh delete "$ID"
	run bh state "$ID"
	assert_output "does not exist"
}

@test "the proxy killed: the VM goes with it" {
	start_detached
	kill -KILL "$PID"
	wait_stopped
	bh delete "$ID"
}

@test "foreground run: the monitor killed gives 137 and nothing left" {
	script 'echo up; sleep 1000'
	"$BULKHEAD" run --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>"$WORK/err" 3>&- &
	local pid=$! try
	for try in $(seq 300); do grep -q up "$WORK/out" && break; sleep 0.2; done
	pkill -KILL -x bulkhead-vmm
	local result=0
	wait "$pid" || result=$?
	assert_equal "$result" 137
	[ -s "$WORK/err" ]
}

@test "the disk is full" {
	mkdir "$WORK/small"
	mount -t tmpfs -o size=16k,nr_inodes=4 none "$WORK/small"
	head -c 16384 /dev/zero >"$WORK/small/fill" || true
	run bh --root "$WORK/small/state" run --bundle "$BUNDLE" "$ID"
	umount "$WORK/small"
	assert_status 1
	assert_output "$WORK/small"
}

@test "a full disk in the container is the program's error, not the VM's" {
	mkdir "$WORK/small"
	mount -t tmpfs -o size=1m none "$WORK/small"
	config --arg s "$WORK/small" '.mounts += [{"destination": "/small", "type": "bind", "source": $s, "options": ["rbind"]}]'
	script 'dd if=/dev/zero of=/small/f bs=64k count=64; echo "status $?"'
	run_container
	umount "$WORK/small"
	assert_status 0
	assert_output 'No space left on device'
	assert_output 'status 1'
}
