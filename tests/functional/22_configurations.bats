#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Configurations that few engines write by default: user namespaces, a user without root's rights, systemd's cgroup
# paths; and what an end waits for.

load helpers

setup() { bundle_setup busybox; }
teardown() {
	[ ! -e "$WORK/joe" ] || rm -rf /run/user/4711
	bundle_teardown
}

# What `spec --rootless` writes, run by root: ids 0 to 65535 of the container are 100000 and up on the host.
rootless() {
	rm "$BUNDLE/config.json"
	(cd "$BUNDLE" && bh spec --rootless)
	cp -a "$ROOTFS_DIR/busybox" "$BUNDLE/rootfs"
	config '.process.terminal = false | .root.readonly = false'
}

@test "spec --rootless runs, its cgroup is its own" {
	rootless
	script 'id -u; cat /proc/self/uid_map /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.type /sys/fs/cgroup/memory.max; hostname; touch /x'
	run_container
	assert_status 0
	assert_equal "$(tr -s ' \n' ' ' <<<"$output")" "0 0 0 1 0::/ domain max bulkhead "
	assert_equal "$(stat -c %u "$BUNDLE/rootfs/x")" 0
}

@test "a user namespace maps ids in the guest and on the share" {
	rootless
	chown -R 100000:100000 "$BUNDLE/rootfs"
	config '.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings
		| .process.user = {"uid": 7, "gid": 8}'
	chmod 1777 "$BUNDLE/rootfs/tmp"
	script 'id -u; id -g; tr -s " " </proc/self/gid_map; stat -c %u:%g / /proc/1; touch /tmp/x; stat -c %u:%g /tmp/x'
	run_container
	assert_status 0
	assert_equal "$(tr -s ' \n' ' ' <<<"$output")" "7 8 0 100000 65536 0:0 7:8 7:8 "
	assert_equal "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/x")" 100007:100008
}

@test "a user namespace with a writable cgroup tree, sysfs and exec" {
	rootless
	chown -R 100000:100000 "$BUNDLE/rootfs"
	config '.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings
		| .process.args = ["sleep", "1000"]
		| .mounts |= map(if .destination == "/sys/fs/cgroup" then .options = ["nosuid", "noexec", "nodev"]
			elif .destination == "/sys" then {"destination": "/sys", "type": "sysfs", "source": "sysfs"} else . end)'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	run bh exec "$ID" sh -c 'id -u; mkdir /sys/fs/cgroup/sub && cat /sys/fs/cgroup/sub/cgroup.type; tr -s " " </proc/self/uid_map'
	assert_status 0
	assert_equal "$(tr -s ' \n' ' ' <<<"$output")" "0 domain 0 100000 65536 "
	run bh exec --user 5:6 "$ID" sh -c 'id -u; id -g; ls /proc/1/exe; touch /denied'
	assert_output 'Permission denied'
}

@test "a user without root's rights runs containers, where /dev/kvm lets it" {
	mkdir "$WORK/joe" "$WORK/joe/bundle"
	cp -a "$ROOTFS_DIR/busybox" "$WORK/joe/bundle/rootfs"
	chown -R 4711:4711 "$WORK/joe"
	chmod 755 "$WORK" "$(dirname "$WORK")"
	cat >"$WORK/joe.sh" <<-'SH'
		export HOME=$1
		cd "$1/bundle" && rm -f config.json && bulkhead spec --rootless || exit 90
		jq '.process.terminal = false | .root.readonly = false | .process.args = ["sh", "-c", "id -u; uname -r; echo kept >/file"]' \
			config.json >new && mv new config.json
		bulkhead check | grep -i 'user: '
		bulkhead run one; echo "status $?"
		export XDG_RUNTIME_DIR=$1/run
		bulkhead run one </dev/null; echo "status $?"
		bulkhead run --detach two </dev/null >/dev/null 2>&1; bulkhead list -q; bulkhead delete --force two
	SH
	run setpriv --reuid 4711 --regid 4711 --clear-groups bash "$WORK/joe.sh" "$WORK/joe"
	assert_output 'bulkhead: no place for the state: XDG_RUNTIME_DIR is not set; give --root DIR'
	assert_output '/dev/kvm'
	chmod 666 /dev/kvm
	run setpriv --reuid 4711 --regid 4711 --clear-groups bash "$WORK/joe.sh" "$WORK/joe"
	chmod 600 /dev/kvm
	assert_output 'user: not root'
	assert_output '6.12.'
	assert_output 'status 0'
	assert_output two
	assert_equal "$(cat "$WORK/joe/bundle/rootfs/file")" kept
	assert_equal "$(stat -c %u "$WORK/joe/bundle/rootfs/file")" 4711
}

@test "--systemd-cgroup: systemd's path for the scope, without systemd" {
	config '.linux.cgroupsPath = "machine-a.slice:pre:name" | .linux.resources.memory = {"limit": 134217728}'
	script 'sleep 1000'
	bh --systemd-cgroup run --detach --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	assert_equal "$(cut -d: -f3 "/proc/$(cat "$WORK/pid")/cgroup")" /machine.slice/machine-a.slice/pre-name.scope
	[ "$(cat /sys/fs/cgroup/machine.slice/machine-a.slice/pre-name.scope/memory.max)" -gt 134217728 ]
	bh delete --force "$ID"
	[ ! -e /sys/fs/cgroup/machine.slice/machine-a.slice/pre-name.scope ]
	rmdir /sys/fs/cgroup/machine.slice/machine-a.slice /sys/fs/cgroup/machine.slice
	config '.linux.cgroupsPath = "/plain/path"'
	run bh --systemd-cgroup run --bundle "$BUNDLE" "$ID"
	assert_status 1
	assert_one_line linux.cgroupsPath '"/plain/path" is not SLICE:PREFIX:NAME'
}

# An engine that waits ten seconds for a killed container must not wait for the host's dirty pages: once it did.
@test "the end of a container flushes no file system of the host, and loses nothing that was mapped" {
	config --arg path "$ROOTFS_DIR/debian" --arg d "$WORK" '.root.path = $path | .mounts += [{"destination": "/vol", "type": "bind",
		"source": $d, "options": ["bind"]}, {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]
		| .process.args = ["python3", "-c", "import mmap, os, time\n" +
		"f = open(\"/vol/mapped\", \"w+b\")\nf.truncate(8192)\nm = mmap.mmap(f.fileno(), 8192)\nm[5000:5005] = b\"dirty\"\n" +
		"open(\"/vol/ready\", \"w\")\ntime.sleep(1000)"]'
	bh run --detach --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	local try
	for try in $(seq 300); do [ -e "$WORK/ready" ] && break; sleep 0.2; done
	[ -e "$WORK/ready" ] || { cat "$WORK/out"; return 1; }
	strace -f -q -e trace=sync,syncfs,fsync,fdatasync -o "$WORK/trace" -p "$(pgrep -x bulkhead-vmm)" 3>&- &
	local tracer=$!
	sleep 2
	bh kill "$ID" KILL
	wait "$tracer" || true
	run grep -c sync "$WORK/trace"
	assert_equal "$output" 0
	grep -q 'exited\|killed' "$WORK/trace" || { cat "$WORK/trace"; return 1; } # it was there and watched
	assert_equal "$(dd if="$WORK/mapped" bs=1 skip=5000 count=5 2>/dev/null)" dirty
}

# Podman copies by entering the mount namespace of the pid.
@test "the proxy's mount namespace has the root and the bind mounts, and nothing of the host" {
	mkdir "$WORK/volume" "$WORK/volume/deep" "$WORK/other"
	echo inside >"$WORK/volume/file"
	echo over >"$WORK/other/over"
	cp -a "$ROOTFS_DIR/busybox" "$BUNDLE/rootfs"
	ln -s / "$BUNDLE/rootfs/link"
	config --arg w "$WORK" '.root = {"path": "rootfs"} | .process.args = ["sleep", "1000"] | .mounts += [
		{"destination": "/vol", "type": "bind", "source": "\($w)/volume", "options": ["rbind"]},
		{"destination": "/vol/deep", "type": "bind", "source": "\($w)/other", "options": ["rbind", "ro"]},
		{"destination": "/link/linked", "type": "bind", "source": "\($w)/other", "options": ["rbind"]}]'
	bh run --detach --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	local enter=(nsenter --mount --target "$(cat "$WORK/pid")")
	run "${enter[@]}" /bin/sh -c 'ls -d /* | tr "\n" " "; cat /vol/file /vol/deep/over /linked/over; echo x >/vol/deep/no; echo back >/vol/back; ls /proc'
	assert_output '/link /linked '
	assert_output $'inside\nover\nover'
	assert_output 'Read-only file system'
	refute_output '/opt'
	assert_equal "$(cat "$WORK/volume/back")" back
	assert_equal "$(bh exec "$ID" cat /vol/back)" back
}

@test "annotation io.bulkhead.huge-pages: the VM's memory is of the host's huge pages" {
	local monitor
	config '.annotations["io.bulkhead.huge-pages"] = "maybe"'
	run_container
	assert_status 1
	assert_one_line 'annotation io.bulkhead.huge-pages: must be true or false, not "maybe"'
	config '.annotations["io.bulkhead.huge-pages"] = "true" | .process.args = ["/testinit", "sleep", "1000"]'
	bh create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&-
	bh exec "$ID" /testinit burnmem 100 0
	monitor=$(pgrep -x bulkhead-vmm)
	[ "$(awk '$1 == "AnonHugePages:" { print int($2 / 1024) }' "/proc/$monitor/smaps_rollup")" -gt 90 ]
}
