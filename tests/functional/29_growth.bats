#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What comes to a VM beside what it was made with: disks, huge pages, memory for containers that join a pod; and pods with a
# user namespace. By bundles: tests/functional/8*.bats have pods as an engine makes them.

load helpers

setup() { bundle_setup debian; }
teardown() {
	local status=0
	bundle_teardown || status=1
	[ -z "${LOOPS:-}" ] || losetup -d $LOOPS
	return $status
}

# A disk of 32 MiB; sets LOOP. At its second MiB is a MiB of noise, whose sum is in SUM.
make_disk() {
	modprobe loop 2>/dev/null || true
	truncate -s 32M "$WORK/$1"
	LOOP=$(losetup -f --show "$WORK/$1")
	LOOPS="${LOOPS:-} $LOOP"
	head -c 1M /dev/urandom >"$WORK/noise"
	SUM=$(md5sum <"$WORK/noise")
	dd if="$WORK/noise" of="$LOOP" bs=1M seek=1 conv=fsync 2>/dev/null
}
minor_of() { echo $((0x$(stat -c %T "$1"))); }
give() { # LOOP PATH ACCESS [JQ]
	config --argjson minor "$(minor_of "$1")" --arg path "$2" --arg access "$3" '
		.linux.devices += [{path: $path, type: "b", major: 7, minor: $minor, fileMode: 432, uid: 3, gid: 6}]
		| .linux.resources.devices = (.linux.resources.devices // [{allow: false, access: "rwm"}])
			+ [{allow: true, type: "b", major: 7, minor: $minor, access: $access}]'
}
start_detached() { # ID
	bh create --bundle "$BUNDLE" --pid-file "$WORK/$1.pid" "$1" </dev/null >"$WORK/$1.out" 2>&1 3>&-
	bh start "$1"
}

@test "block devices of the host are disks in the guest, huge pages are there for who may have them" {
	local first second sum
	make_disk one
	first=$LOOP
	sum=$SUM
	make_disk two
	second=$LOOP
	give "$first" /dev/data rwm
	give "$second" /dev/readonly r
	config '.process.args = ["/bin/sleep", "1000"] | .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"])
		| .linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 67108864}]
		| .mounts += [{destination: "/mnt", type: "tmpfs", source: "tmpfs"}, {destination: "/huge", type: "hugetlbfs", source: "hugetlbfs"}]'
	start_detached "$ID"

	run bh exec "$ID" sh -c 'ls -ln /dev/data; dd if=/dev/data bs=1M skip=1 count=1 2>/dev/null | md5sum
		dd if=/dev/readonly bs=1M skip=1 count=1 2>/dev/null | md5sum; cat /sys/block/vd?/ro | tr "\n" " "'
	assert_output "brw-rw---- 1 3 6"
	assert_output "$sum"
	assert_output "$SUM"
	assert_output "0 1 "
	# What may only be read cannot be written, by the cgroup's filter and by the disk itself.
	run bh exec "$ID" sh -c 'echo x >/dev/readonly'
	assert_output "Operation not permitted"
	# A file system made inside, with several requests at once and what is deleted given back.
	run bh exec "$ID" sh -c 'set -e; mkfs.ext4 -q /dev/data; mkdir /mnt/d; mount -t ext4 -o discard /dev/data /mnt/d
		for i in 1 2 3 4; do head -c 3M /dev/urandom >/mnt/d/$i & done; wait; rm /mnt/d/1; sync; fstrim -v /mnt/d
		cat /mnt/d/2 /mnt/d/3 /mnt/d/4 | md5sum; umount /mnt/d'
	assert_status 0
	assert_output trimmed
	sum=${lines[-1]}
	run bh exec "$ID" sh -c 'dd if=/dev/zero of=/dev/data bs=512 seek=65536 count=1'
	assert_output "No space left on device"

	run bh exec "$ID" sh -c 'grep HugePages_Total /proc/meminfo; cat /sys/fs/cgroup/hugetlb.2MB.max
		/testinit mapfile /huge/file 32; grep HugePages_Free /proc/meminfo; /testinit mapfile /huge/more 34'
	assert_output "HugePages_Total:      32"
	assert_output 67108864
	assert_output "mapped 32 MiB"
	assert_output "HugePages_Free:       16"
	assert_output ENOMEM

	bh delete --force "$ID"
	mkdir "$WORK/mnt"
	mount "$first" "$WORK/mnt"
	assert_equal "$(cat "$WORK"/mnt/[234] | md5sum)" "$sum"
	umount "$WORK/mnt"
	assert_equal "$(dd if="$second" bs=1M skip=1 count=1 2>/dev/null | md5sum)" "$SUM"
	# Nobody holds it any more.
	losetup -d $LOOPS
	LOOPS=
	run losetup -a
	assert_equal "$output" ""
}

# A pod by its bundles: SANDBOX makes the VM, `member` configures one that joins it.
start_sandbox() {
	SANDBOX=$ID-sandbox
	config '.annotations = {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": $id, "io.bulkhead.memory-mib": "192"}
		| .process.args = ["/testinit", "sleep", "1000"]' --arg id "$SANDBOX"
	start_detached "$SANDBOX"
}
member() {
	config --arg id "$SANDBOX" --arg net "/proc/$(cat "$WORK/$SANDBOX.pid")/ns/net" '
		.annotations = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": $id}
		| .linux.namespaces |= map(if .type == "network" then .path = $net else . end)'
}
guest_memory() { bh exec "$SANDBOX" /testinit memory | awk '$1 == "MemTotal:" { print int($2 / 1024) }'; }

@test "a pod's VM gets memory, huge pages and disks with the containers that join it, and loses them with them" {
	local before try
	start_sandbox
	before=$(guest_memory)
	[ "$before" -lt 192 ]
	member
	make_disk one
	give "$LOOP" /dev/raw rwm
	config '.process.args = ["/bin/sleep", "1000"] | .process.capabilities |= map_values(. + ["CAP_DAC_OVERRIDE"])
		| .linux.resources.memory.limit = 268435456
		| .linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 33554432}]'
	start_detached "$ID-one"
	[ "$(guest_memory)" -gt 320 ]
	run bh exec "$ID-one" sh -c 'dd if=/dev/raw bs=1M skip=1 count=1 2>/dev/null | md5sum; echo changed | dd of=/dev/raw conv=fsync 2>/dev/null; grep HugePages_Total /proc/meminfo'
	assert_output "$SUM"
	assert_output "HugePages_Total:      16"
	assert_equal "$(head -c 7 "$LOOP")" changed
	bh exec "$ID-one" /testinit burnmem 200 0
	# A second one with the same disk has the same disk, by its own rules; the limits add up.
	config '.linux.resources.hugepageLimits = null | .linux.resources.memory.limit = 134217728'
	start_detached "$ID-two"
	[ "$(guest_memory)" -gt 440 ]
	assert_equal "$(bh exec "$ID-two" head -c 7 /dev/raw)" changed
	bh update --memory 200m "$ID-two"
	[ "$(guest_memory)" -gt 512 ]
	bh delete --force "$ID-one"
	assert_equal "$(bh exec "$ID-two" head -c 7 /dev/raw)" changed
	bh delete --force "$ID-two"
	# The guest gives it back in its own time.
	for try in $(seq 100); do
		[ "$(guest_memory)" -gt "$before" ] || break
		sleep 0.2
	done
	assert_equal "$(guest_memory)" "$before"
	run bh exec "$SANDBOX" /testinit ls /sys/block
	assert_equal "$output" ""
	losetup -d $LOOPS
	LOOPS=
	run losetup -a
	assert_equal "$output" ""
}

@test "a pod with a user namespace: its containers have it in common, and own what is theirs on the host" {
	local maps='.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	mkdir "$WORK/volume"
	chown 100005:100005 "$WORK/volume"
	config ".linux.namespaces += [{type: \"user\"}] | $maps"
	start_sandbox
	member
	config --arg path "/proc/$(cat "$WORK/$SANDBOX.pid")/ns/user" '
		.linux.namespaces |= map(if .type == "user" then .path = $path else . end)
		| .process.user = {uid: 5, gid: 5} | .process.args = ["/bin/sleep", "1000"]'
	share "$WORK/volume" /mnt rw
	start_detached "$ID-one"
	run bh exec "$ID-one" sh -c 'readlink /proc/self/ns/user; cat /proc/self/uid_map; id -u; echo text >/mnt/file; stat -c "%u %g" /mnt/file'
	assert_status 0
	assert_equal "${lines[0]}" "$(bh exec "$SANDBOX" readlink /proc/self/ns/user)"
	assert_equal "$(tr -s ' ' <<<"${lines[1]}")" " 0 100000 65536"
	assert_equal "${lines[2]} ${lines[3]}" "5 5 5"
	assert_equal "$(stat -c '%u %g' "$WORK/volume/file")" "100005 100005"
	# What is the host's root's is nobody's in there, whatever the rights in the namespace.
	run bh exec --user 0:0 "$ID-one" sh -c 'stat -c %u /etc/shadow; cat /etc/shadow'
	assert_output 65534
	assert_output "Permission denied"
}
