#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What public suites written for other runtimes expect in detail, where a command line of ours could be mistaken for
# right: what one command leaves as it was, what it waits for, and its words.

load helpers

setup() { bundle_setup busybox; }
teardown() {
	bundle_teardown
	rmdir /sys/fs/cgroup/bulkhead-conformance 2>/dev/null || true
}

# A container that sleeps in a host cgroup of its own, $CGROUP.
start_sleeper() {
	CGROUP=/sys/fs/cgroup/bulkhead-conformance/$ID
	config --arg path "/bulkhead-conformance/$ID" '.process.args = ["sleep", "1000"] | .linux.cgroupsPath = $path'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
}

cpu_max() { echo "$(cat "$CGROUP/cpu.max") / $(bh exec "$ID" cat /sys/fs/cgroup/cpu.max)"; }

@test "update changes one of quota and period and leaves the other" {
	config '.linux.resources.cpu = {"quota": 500000, "period": 1000000}'
	start_sleeper
	bh update --cpu-period 900000 "$ID"
	assert_equal "$(cpu_max)" "500000 900000 / 500000 900000"
	echo '{"cpu": {"quota": 600000}}' | bh update --resources - "$ID"
	assert_equal "$(cpu_max)" "600000 900000 / 600000 900000"
	bh update --cpu-quota -1 "$ID"
	assert_equal "$(cpu_max)" "max 900000 / max 900000"
	bh update --cpu-period 50000 "$ID"
	assert_equal "$(cpu_max)" "max 50000 / max 50000"
}

@test "ps has the columns of ps -f, and lists nothing of a container that has ended" {
	start_sleeper
	bh exec --detach --user 7 "$ID" sh -c 'sleep 1001; true' </dev/null >/dev/null 2>&1 3>&-
	local output try
	for try in $(seq 50); do
		output=$(bh ps "$ID")
		[[ $output == *"sleep 1001"$'\n'* ]] && break
		sleep 0.1
	done
	[[ ${output%%$'\n'*} =~ ^UID\ +PID\ +PPID\ +C\ +STIME\ +TTY\ +TIME\ +CMD$ ]] || { echo "$output"; return 1; }
	[[ $output =~ $'\n'root\ +1\ +0\ +[0-9]+\ +[0-9][0-9]:[0-9][0-9]\ +\?\ +00:[0-9:]+\ sleep\ 1000 ]] || { echo "$output"; return 1; }
	# The shell of the exec has its parent outside of the container, what it started has it as parent.
	local shell
	shell=$(awk '$1 == 7 && $3 == 0 { print $2 }' <<<"$output")
	assert_equal "$(awk -v shell="$shell" '$1 == 7 && $3 == shell { print $8, $9 }' <<<"$output")" "sleep 1001"
	output=$(bh ps "$ID" -e -x)
	[[ $output =~ ^\ +PID\ TTY\ +STAT\ +TIME\ COMMAND$'\n'\ +1\ \?\ +Ss\ +0:0[0-9]\ sleep\ 1000 ]] || { echo "$output"; return 1; }
	output=$(bh ps "$ID" -e)
	[[ $output =~ ^\ +PID\ TTY\ +TIME\ CMD$'\n'\ +1\ \?\ +00:00:0[0-9]\ sleep\ 1000 ]] || { echo "$output"; return 1; }
	assert_equal "$(bh ps "$ID" -o pid | head -n 1)" "$(bh ps "$ID" | head -n 1)"
	bh kill "$ID" KILL
	for try in $(seq 100); do [ "$(bh state "$ID" | jq -r .status)" = stopped ] && break; sleep 0.1; done
	assert_equal "$(bh ps "$ID" | wc -l)" 1
	assert_equal "$(bh ps --format json "$ID")" "[]"
}

@test "exec with a process.json that says little has the container's limits, mask, score and capabilities" {
	config '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 1500, "hard": 1600}] | .process.oomScoreAdj = 200
		| .process.user.umask = 63'
	start_sleeper
	echo '{"cwd": "/", "args": ["/bin/sh", "-c", "ulimit -n; umask; cat /proc/self/oom_score_adj; grep CapEff /proc/self/status"]}' >"$WORK/p.json"
	run bh exec --process "$WORK/p.json" "$ID"
	assert_status 0
	assert_equal "$(tr -s ' \n\t' ' ' <<<"$output")" "1500 0077 200 $(bh exec "$ID" grep CapEff /proc/self/status | tr '\t' ' ') "
	[[ ${lines[3]} != *00000000 ]]
}

@test "exec --ignore-paused waits until the container goes on" {
	start_sleeper
	bh pause "$ID"
	run bh exec "$ID" true
	assert_status 255
	assert_output "cannot exec in a paused container"
	bh exec --ignore-paused "$ID" echo went on >"$WORK/exec" 2>&1 3>&- &
	local pid=$!
	sleep 1
	kill -0 "$pid"
	assert_equal "$(cat "$WORK/exec")" ""
	bh resume "$ID"
	wait "$pid"
	assert_equal "$(cat "$WORK/exec")" "went on"
}

@test "exec --cgroup puts the proxy into the host's cgroup of that name, and delete removes what is below the container's" {
	config '(.mounts[] | select(.type == "cgroup") | .options) -= ["ro"]'
	start_sleeper
	mkdir "$CGROUP/sub" "$CGROUP/sub/deep"
	bh exec --detach --cgroup sub --pid-file "$WORK/pid" "$ID" sleep 1001 </dev/null >/dev/null 2>&1 3>&-
	assert_equal "$(cat "$CGROUP/sub/cgroup.procs")" "$(cat "$WORK/pid")"
	assert_equal "$(bh exec "$ID" cat /sys/fs/cgroup/sub/cgroup.procs | wc -l)" 1
	# One that is only the container's: its proxy stays with the others.
	bh exec "$ID" mkdir /sys/fs/cgroup/inside
	bh exec --cgroup inside "$ID" cat /proc/self/cgroup >"$WORK/where"
	assert_equal "$(cat "$WORK/where")" "0::/inside"
	# In runc's words.
	run bh exec --cgroup ../x "$ID" true
	assert_status 255
	assert_one_line "../x is not a sub cgroup path"
	run bh exec --cgroup missing "$ID" true
	assert_status 255
	assert_one_line "error adding pid" "/missing/cgroup.procs: no such file or directory"
	bh delete --force "$ID"
	[ ! -e "$CGROUP" ]
}

@test "a frozen cgroup is refused: nothing could run in it" {
	CGROUP=/sys/fs/cgroup/bulkhead-conformance/$ID
	mkdir -p "$CGROUP"
	echo 1 >"$CGROUP/cgroup.freeze"
	config --arg path "/bulkhead-conformance/$ID" '.linux.cgroupsPath = $path'
	run timeout 20 "$BULKHEAD" run --bundle "$BUNDLE" "$ID"
	rmdir "$CGROUP"
	assert_status 1
	assert_one_line "container's cgroup unexpectedly frozen: /bulkhead-conformance/$ID"
}

@test "a startContainer hook has the process's seccomp filter and capabilities" {
	config '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"}]}
		| .hooks.startContainer = [{"path": "/bin/sh", "args": ["sh", "-c", "exec mkdir /tmp/x"]}]'
	run_container
	assert_status 1
	assert_one_line "error running startContainer hook #0 (/bin/sh): signal 31 (bad system call)"
	config 'del(.linux.seccomp) | .process.user = {"uid": 7, "gid": 7}
		| .hooks.startContainer = [{"path": "/bin/sh", "args": ["sh", "-c", "grep Cap /proc/self/status >&2; false"]}]'
	run_container
	assert_status 1
	assert_output "CapEff:?0000000000000000" # the tab, escaped
}

@test "a bind without flags keeps those of the host's mount, one with flags has these" {
	mkdir "$WORK/volume"
	mount -t tmpfs -o noexec,nosuid none "$WORK/volume"
	printf '#!/bin/sh\necho ran\n' >"$WORK/volume/program"
	chmod +x "$WORK/volume/program"
	config --arg source "$WORK/volume" '.mounts += [
		{"destination": "/plain", "source": $source, "options": ["rbind", "rprivate"]},
		{"destination": "/exec", "source": $source, "options": ["bind", "exec"]}]
		| .linux.resources.hugepageLimits = [{"pageSize": "2MB", "limit": 2097152}]'
	script 'grep " /plain " /proc/self/mounts; /plain/program; /exec/program; cat /sys/fs/cgroup/hugetlb.2MB.max /sys/fs/cgroup/hugetlb.2MB.rsvd.max'
	run_container
	umount "$WORK/volume"
	assert_status 0
	assert_output " /plain virtiofs rw,nosuid,noexec,"
	assert_output "/plain/program: Permission denied"
	assert_equal "${lines[-3]} ${lines[-2]} ${lines[-1]}" "ran 2097152 2097152"
}

@test "a namespace of the wrong kind, and a period that no kernel takes, leave nothing behind" {
	config '.linux.namespaces |= map(if .type == "network" then .path = "/proc/self/ns/pid" else . end)'
	run_container
	assert_status 1
	assert_one_line "linux.namespaces: network: /proc/self/ns/pid is not a network namespace"
	config '.linux.namespaces |= map(del(.path)) | .linux.resources.cpu = {"period": 100}'
	run_container
	assert_status 1
	assert_one_line "cannot set cpu.max to max 100"
}

@test "without a network namespace there is the loopback alone, and no parameter of the network to set" {
	config 'del(.linux.namespaces[] | select(.type == "network"))'
	script 'ls /sys/class/net; ip -o address show dev lo | grep -o 127.0.0.1/8; ip -o link show dev lo | grep -o LOOPBACK,UP'
	run_container
	assert_status 0
	assert_output $'lo\n127.0.0.1/8\nLOOPBACK,UP'
	assert_equal "${#lines[@]}" 3
	# Whoever sits there is told.
	run timeout 60 script -qec "$BULKHEAD run --bundle $BUNDLE $ID" /dev/null </dev/null
	assert_output "warning: the host's network cannot be a virtual machine's: the container has the loopback alone"
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
	run_container
	assert_status 1
	assert_one_line "linux.sysctl.net.ipv4.ip_forward: is not allowed without a network namespace"
	config 'del(.linux.sysctl) | .linux.netDevices = {"none0": {}}'
	run_container
	assert_status 1
	assert_one_line "unable to move network devices without a NET namespace"
	# A pod without one is to have the node's network.
	config 'del(.linux.netDevices) | .annotations = {"io.kubernetes.cri.container-type": "sandbox"}'
	run_container
	assert_status 1
	assert_one_line "the host's network cannot be a virtual machine's"
}

@test "netDevices: a device of the host is the container's, with its addresses, MAC, MTU and another name" {
	ip netns add "ns-$ID"
	ip link add "dev-$$" mtu 1789 address 02:11:22:33:44:55 type dummy
	ip address add 169.254.169.77/32 dev "dev-$$"
	ip address add 10.1.2.3/24 brd 10.1.2.254 dev "dev-$$"
	ip address add 127.0.0.33/32 dev "dev-$$" scope host
	config --arg device "dev-$$" --arg path "/run/netns/ns-$ID" '.linux.netDevices[$device].name = "inside0"
		| (.linux.namespaces[] | select(.type == "network")).path = $path'
	script 'ip address show dev inside0'
	run_container
	local after=$(ip -n "ns-$ID" address show dev inside0)
	ip netns del "ns-$ID"
	assert_status 0
	assert_output 'mtu 1789 '
	assert_output 'ether 02:11:22:33:44:55 '
	assert_output 'inet 169.254.169.77/32 '
	assert_output 'inet 10.1.2.3/24 brd 10.1.2.254 '
	refute_output 127.0.0.33
	[[ $after == *169.254.169.77/32* && $after == *'state UNKNOWN'* ]]
	[ ! -e "/sys/class/net/dev-$$" ]
	# In a namespace of the container's own it is gone with that; and one that is not there is refused by name.
	config 'del(.linux.namespaces[] | select(.type == "network") | .path) | .linux.netDevices = {"none0": {}}'
	run_container
	assert_status 1
	assert_one_line "linux.netDevices: network device none0: the host's: No such device"
}

# Prints the datagrams that come to a socket while the command runs, one a line, and its status.
with_notify_socket() { # SOCKET COMMAND...
	python3 - "$@" <<-'PY'
		import socket, subprocess, sys
		listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		listener.bind(sys.argv[1])
		status = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=2).returncode
		listener.settimeout(20 if status == 0 else 0.1)
		text = ""
		try:
		    while "READY=1" not in text:
		        text += listener.recv(4096).decode()
		except TimeoutError:
		    text += "time-out\n"
		print(text, end="")
		print("status", status)
	PY
}

@test "sd_notify reaches the service manager: the socket that Podman binds, and the runtime's own NOTIFY_SOCKET" {
	mkdir "$WORK/notify"
	config --arg dir "$WORK/notify" '.process.env += ["NOTIFY_SOCKET=/run/notify/notify.sock"]
		| .process.user = {"uid": 7, "gid": 7}
		| .mounts += [{"destination": "/run/notify", "type": "bind", "source": $dir, "options": ["bind"]}]
		| .process.args = ["/testinit", "notify", "STATUS=on its way", "+", "notify", "READY=1"]'
	run with_notify_socket "$WORK/notify/notify.sock" timeout 60 "$BULKHEAD" run --bundle "$BUNDLE" "$ID" 3>&-
	assert_equal "$output" $'STATUS=on its way\nREADY=1\nstatus 0'
	rm "$WORK/notify/notify.sock"
	config '.process.env -= ["NOTIFY_SOCKET=/run/notify/notify.sock"] | .mounts |= map(select(.destination != "/run/notify"))
		| .root.readonly = true
		| .process.args = ["/testinit", "notify", "READY=1", "+", "env", "NOTIFY_SOCKET"]'
	NOTIFY_SOCKET=$WORK/own.sock run with_notify_socket "$WORK/own.sock" \
		timeout 60 "$BULKHEAD" run --detach --pid-file "$WORK/pid" --bundle "$BUNDLE" "$ID" 3>&-
	assert_output "MAINPID=$(cat "$WORK/pid")"
	assert_output 'READY=1'
	assert_output '/run/notify/notify.sock'
	assert_output 'status 0'
}

@test "LISTEN_FDS: the descriptors are passed on, and the process finds them as its own" {
	script 'echo "$LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES"; cat <&3; cat <&4'
	LISTEN_FDS=1 LISTEN_FDNAMES=first run bh run --preserve-fds 1 --bundle "$BUNDLE" "$ID" 3< <(echo three) 4< <(echo four)
	assert_status 0
	assert_equal "$output" $'1 1 first\nthree\nfour'
	# Somebody else's: the environment of whoever started us.
	script 'echo "${LISTEN_FDS-none}"; ls /proc/self/fd | wc -l'
	LISTEN_FDS=1 LISTEN_PID=1 run bh run --bundle "$BUNDLE" "$ID" 3>&-
	assert_equal "$output" $'none\n4'
}

@test "a user namespace without mappings is one where every id is itself" {
	config '.linux.namespaces += [{"type": "user"}] | del(.linux.uidMappings, .linux.gidMappings)
		| .mounts += [{"destination": "/tmp/mounted", "type": "tmpfs", "source": "tmpfs", "options": ["noexec"]}]'
	script 'id -u; tr -s " " </proc/self/uid_map; grep -o "/tmp/mounted rw,noexec" /proc/self/mountinfo'
	run_container
	assert_status 0
	assert_equal "$output" $'0\n 0 0 4294967295\n/tmp/mounted rw,noexec'
}

@test "a user's capabilities count when its program is looked up: one that only root may run" {
	printf '#!/bin/sh\necho ran\n' >"$WORK/program"
	chmod 744 "$WORK/program"
	share "$WORK/program" /program ro
	config '.process.args = ["/program"] | .process.user = {"uid": 7, "gid": 7} | .process.capabilities = {}'
	run_container
	assert_status 1
	assert_one_line 'exec: "/program": permission denied'
	config '.process.capabilities = ({"bounding", "permitted", "effective"} | map_values(["CAP_DAC_OVERRIDE"]))'
	run_container
	assert_status 0
	assert_equal "$output" ran
}

@test "a terminal in the foreground adds no carriage returns, unless it leads to another terminal" {
	config '.process.terminal = true'
	script 'echo one; tty; echo two'
	run_container
	assert_status 0
	assert_equal "$output" $'one\n/dev/pts/0\ntwo'
	run timeout 60 script -qec "$BULKHEAD run --bundle $BUNDLE $ID" /dev/null </dev/null
	assert_status 0
	assert_output $'one\r\n/dev/pts/0\r\ntwo\r' # after what script makes of the end of its input
}

# Namespaces of the container $ID, by its proxy's pid; those of these types only.
join_namespaces() { # TYPE...
	local pid
	pid=$(bh state "$ID" | jq .pid)
	config --arg pid "$pid" --arg types "$*" '.linux.namespaces |= map(if .type | IN($types | split(" ")[])
		then .path = "/proc/\($pid)/ns/" + (if .type == "network" then "net" else .type end) else . end)'
}
run_second() {
	config --arg path "/bulkhead-conformance/$ID-2" '.linux.cgroupsPath = $path'
	bh run --detach --bundle "$BUNDLE" "$ID-2" </dev/null >"$WORK/out2" 2>&1 3>&- || { cat "$WORK/out2"; return 1; }
}
wait_stopped() {
	local try
	for try in $(seq 100); do [ "$(bh state "$1" | jq -r .status)" = stopped ] && return; sleep 0.1; done
	return 1
}

@test "a container in another's network is in its VM, with the other namespaces that it names" {
	start_sleeper
	join_namespaces network pid ipc uts
	run_second
	assert_equal "$(pgrep -c -x bulkhead-vmm)" 1
	assert_equal "$(bh exec "$ID-2" ps | grep -c 'sleep 1000$')" 2
	assert_equal "$(bh exec "$ID-2" readlink /proc/self/ns/ipc)" "$(bh exec "$ID" readlink /proc/self/ns/ipc)"
	run bh checkpoint --image-path "$WORK/image" "$ID"
	assert_status 1
	assert_one_line "share a virtual machine"
	bh delete --force "$ID-2"
	# Now the network alone; the first one's end is that of the VM.
	config '.linux.namespaces |= map(del(.path))'
	join_namespaces network
	run_second
	assert_equal "$(bh exec "$ID-2" ps | grep -c 'sleep 1000$')" 1
	bh exec --detach "$ID" nc -l -p 7000 -e echo over the loopback </dev/null >/dev/null 2>&1 3>&-
	assert_equal "$(bh exec "$ID-2" sh -c 'until nc 127.0.0.1 7000; do sleep 0.1; done' 2>/dev/null </dev/null)" "over the loopback"
	bh kill "$ID" KILL
	wait_stopped "$ID"
	wait_stopped "$ID-2"
	run run_second
	assert_status 1
	assert_one_line "linux.namespaces: network: " ": No such file or directory"
	bh delete "$ID-2"
}

@test "a container in another's user namespace, with a network of its own, has one that is like it" {
	config '.linux.namespaces += [{"type": "user"}]
		| .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 1000}]
		| .linux.gidMappings = [{"containerID": 0, "hostID": 200000, "size": 2000}]'
	start_sleeper
	join_namespaces user
	config 'del(.linux.uidMappings, .linux.gidMappings)'
	run_second
	assert_equal "$(bh exec "$ID-2" cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ')" $' 0 100000 1000\n 0 200000 2000'
}

@test "update changes the limits of a paused container, which stays paused" {
	config '.linux.resources.devices = [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwa"}]'
	start_sleeper
	bh pause "$ID"
	bh update --pids-limit 30 --cpu-quota 50000 "$ID"
	assert_equal "$(bh state "$ID" | jq -r .status)" paused
	bh resume "$ID"
	assert_equal "$(bh exec "$ID" cat /sys/fs/cgroup/pids.max)" 30
	assert_equal "$(cat "$CGROUP/cpu.max")" "50000 100000"
}

@test "exec --cap with a name that is not known ignores it, and an id that cannot be is refused in crun's words" {
	start_sleeper
	bh exec --cap CAP_UNKNOWN --cap CAP_KILL "$ID" true 2>"$WORK/warning"
	assert_equal "$(cat "$WORK/warning")" 'bulkhead: warning: --cap: "CAP_UNKNOWN" is not known, ignored'
	run bh run --bundle "$BUNDLE" this/is/none
	assert_status 1
	assert_one_line 'invalid character `/` in the ID'
}

@test "a fifo and a socket can be bound by themselves, and access times chosen in a user namespace" {
	mkfifo "$WORK/fifo"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$WORK/socket"
	touch "$WORK/file"
	share "$WORK/fifo" /fifo ro
	share "$WORK/socket" /run/socket rw
	config --arg source "$WORK/file" '.mounts += [{"destination": "/times", "type": "bind", "source": $source, "options": ["bind", "strictatime", "noexec"]}]
		| .linux.namespaces += [{"type": "user"}] | del(.linux.uidMappings, .linux.gidMappings)'
	script 'ls -l /fifo /run/socket | cut -c1; grep -o " /times rw,[a-z]*" /proc/self/mountinfo; /testinit unixconnect /run/socket x'
	run_container
	assert_output $'p\ns\n /times rw,noexec\n'
	assert_output 'unixconnect /run/socket: ECONNREFUSED'
}

@test "devices with mode and owner where no node can be made: in a user namespace, and on a root that is read-only" {
	cp -a "$ROOTFS_DIR/busybox" "$BUNDLE/rootfs"
	config '.root = {"path": "rootfs", "readonly": true} | .linux.devices = [
		{"path": "/dev/foo", "type": "c", "major": 1, "minor": 5, "fileMode": 111, "uid": 10, "gid": 11},
		{"path": "/nodes/zero/", "type": "c", "major": 1, "minor": 5}]'
	script 'stat -c "%a %u:%g %t:%T" /dev/foo /nodes/zero; head -c 3 /nodes/zero | wc -c; ls -a /dev/.nodes'
	local try
	for try in 1 2; do
		run_container
		assert_output $'157 10:11 1:5\n666 0:0 1:5\n3\n'
		assert_output 'No such file or directory'
		config '.linux.namespaces += [{"type": "user"}] | del(.linux.uidMappings, .linux.gidMappings)'
	done
}

@test "a volume has the root's device number, and is a mount in mountinfo" {
	mkdir "$WORK/volume"
	touch "$WORK/volume/inside"
	cp -a "$ROOTFS_DIR/busybox" "$BUNDLE/rootfs"
	config '.root.path = "rootfs"'
	share "$WORK/volume" /vol rw
	script '[ "$(stat -c %d /)" = "$(stat -c %d /vol)" ] && echo same; find / -xdev -name inside
		grep -c " /vol rw" /proc/self/mountinfo'
	run_container
	assert_output $'same\n/vol/inside\n1'
}
