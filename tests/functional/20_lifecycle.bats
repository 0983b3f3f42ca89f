#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The life of a container verb by verb: states and refusals, exec, terminals, pause, update, hooks, and that nothing is
# left whatever is killed when.

load helpers

setup() { bundle_setup busybox; }
teardown() { bundle_teardown; }

create() { bh create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$@" "$ID" </dev/null >"$WORK/out" 2>"$WORK/err" 3>&-; }
start_detached() {
	[ $# -eq 0 ] || config "$@"
	config '.process.args = ["/testinit", "sleep", "1000"]'
	create
	bh start "$ID"
}
status_of() { bh state "$ID" | jq -r .status; }
wait_status() {
	local try
	for try in $(seq 300); do
		[ "$(status_of)" = "$1" ] && return 0
		sleep 0.1
	done
	echo "status is $(status_of), not $1"
	return 1
}

@test "create, start, kill, delete: the states in between" {
	script 'echo ran; trap "exit 9" TERM; while :; do sleep 0.1; done'
	create
	assert_equal "$(status_of)" created
	# The pid file: decimal, no newline, a process of the host, which the state names too.
	assert_equal "$(tr -d 0-9 <"$WORK/pid" | wc -c)" 0
	[ -d "/proc/$(cat "$WORK/pid")" ]
	assert_equal "$(bh state "$ID" | jq .pid)" "$(cat "$WORK/pid")"
	[ ! -s "$WORK/out" ]
	bh start "$ID"
	assert_equal "$(status_of)" running
	run bh start "$ID"
	assert_output "cannot start an already running container"
	run bh delete "$ID"
	assert_output "that is not stopped: running"
	bh kill "$ID" TERM
	wait_status stopped
	assert_equal "$(cat "$WORK/out")" ran
	assert_equal "$(bh state "$ID" | jq .pid)" 0
	run bh kill "$ID" KILL
	assert_status 1
	assert_output "container not running"
	bh kill --all "$ID" KILL
	run bh exec "$ID" true
	assert_status 255
	assert_output "cannot exec in a stopped container"
	bh delete "$ID"
	run bh delete "$ID"
	assert_status 1
	assert_output "does not exist"
	bh delete --force "$ID"
}

@test "a second container of the same id is refused, the first is unharmed" {
	start_detached
	run bh create --bundle "$BUNDLE" "$ID"
	assert_status 1
	assert_output "container with given ID already exists"
	assert_equal "$(status_of)" running
}

@test "delete takes a regular expression, and the log a prefix" {
	run bh delete --regex "["
	assert_status 1
	assert_one_line '"["' "regular expression"
	config '.process.args = ["sleep", "600"]'
	bh --log "file:$WORK/log" create --bundle "$BUNDLE" "$ID-a"
	bh create --bundle "$BUNDLE" "$ID-b"
	bh start "$ID-b"
	[ -e "$WORK/log" ]
	run bh delete --regex "^$ID-[ab]\$"
	assert_status 1
	assert_one_line "$ID-b" "not stopped"
	assert_equal "$(bh list -q)" "$ID-b"
	bh delete --force --regex "^$ID-[ab]\$"
	assert_equal "$(bh list -q)" ""
}

@test "a created container is deleted without force" {
	create
	bh delete "$ID"
	run bh state "$ID"
	assert_output "does not exist"
}

@test "a program that is missing fails at create and leaves nothing" {
	config '.process.args = ["/no/such/program"]'
	run bh --log "$WORK/log" --log-format json create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID"
	assert_status 1
	assert_equal "$(wc -l <"$WORK/log")" 1
	assert_equal "$(jq -r .level "$WORK/log")" error
	assert_equal "$(jq -r .msg "$WORK/log")" 'exec: "/no/such/program": stat /no/such/program: no such file or directory'
	[ ! -e "$WORK/pid" ]
	bh delete --force "$ID"
}

@test "signals by name and number reach the process" {
	config '.process.args = ["/testinit", "sigwait", "100"]'
	create
	bh start "$ID"
	local try
	for try in $(seq 50); do grep -q ready "$WORK/out" && break; sleep 0.1; done
	bh kill "$ID" HUP
	bh kill "$ID" SIGUSR1
	bh kill "$ID" 12
	kill -WINCH "$(cat "$WORK/pid")" # to the host's process, as containerd does it
	bh kill "$ID" 0
	run bh kill "$ID" NOSUCH
	assert_status 1
	assert_output 'unknown signal "NOSUCH"'
	for try in $(seq 50); do [ "$(wc -l <"$WORK/out")" -ge 5 ] && break; sleep 0.1; done
	bh kill "$ID" KILL
	wait_status stopped
	local name
	for name in HUP USR1 USR2 WINCH; do grep -qE "signal (SIG)?$name\$" "$WORK/out" || { cat "$WORK/out"; return 1; }; done
}

@test "list shows it as a table, as JSON and by id alone" {
	start_detached
	run bh list
	assert_output "$ID"
	assert_output running
	assert_equal "$(bh list --format json | jq -r --arg id "$ID" '.[] | select(.id == $id) | .status')" running
	bh list -q | grep -qx "$ID"
}

@test "exec: output, status, streams, user, environment and directory" {
	start_detached
	run bh exec "$ID" sh -c 'echo out; exit 5'
	assert_status 5
	assert_equal "$output" out
	run bh exec "$ID" sh -c 'kill -9 $$'
	assert_status 137
	assert_equal "$(echo text | bh exec "$ID" cat)" text
	assert_equal "$(bh exec --user 7:8 --additional-gids 9 --cwd /tmp --env A=b "$ID" sh -c 'id -u; id -g; id -G; pwd; echo $A' | tr '\n' ' ')" \
		"7 8 8 9 /tmp b "
	run bh exec "$ID" nosuchprogram
	assert_status 255
	assert_output 'exec: "nosuchprogram": executable file not found in $PATH'
}

@test "exec with process.json, detached, has a pid of its own that ps lists" {
	start_detached
	echo '{"args": ["/testinit", "sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}' >"$WORK/p.json"
	bh exec --process "$WORK/p.json" --detach --pid-file "$WORK/epid" "$ID" </dev/null >/dev/null 2>&1 3>&-
	local pid
	pid=$(cat "$WORK/epid")
	assert_equal "$(bh ps --format json "$ID" | jq -c 'sort')" "$(jq -cn --argjson a "$(cat "$WORK/pid")" --argjson b "$pid" '[$a, $b] | sort')"
	assert_equal "$(bh ps "$ID" | grep -c 'testinit sleep')" 2
	# The host's process and the guest's live and die together, also by SIGKILL.
	kill -KILL "$pid"
	local try
	for try in $(seq 50); do [ "$(bh ps "$ID" | grep -c 'testinit sleep')" = 1 ] && break; sleep 0.1; done
	assert_equal "$(bh ps "$ID" | grep -c 'testinit sleep')" 1
	assert_equal "$(bh ps --format json "$ID")" "[$(cat "$WORK/pid")]"
}

@test "the end of the first process ends every exec with 137" {
	start_detached
	bh exec "$ID" sleep 1000 3>&- &
	local exec_pid=$! try
	for try in $(seq 50); do [ "$(bh ps "$ID" | grep -c sleep)" = 2 ] && break; sleep 0.1; done
	bh kill "$ID" KILL
	local status=0
	wait "$exec_pid" || status=$?
	assert_equal "$status" 137
	wait_status stopped
}

@test "pause and resume: the process stands still and goes on" {
	script 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
	create
	bh start "$ID"
	local try
	for try in $(seq 50); do [ -s "$WORK/out" ] && break; sleep 0.1; done
	bh pause "$ID"
	assert_equal "$(status_of)" paused
	sleep 0.3
	local before
	before=$(wc -l <"$WORK/out")
	sleep 0.5
	assert_equal "$(wc -l <"$WORK/out")" "$before"
	run bh exec "$ID" true
	assert_status 255
	assert_output "cannot exec in a paused container"
	run bh pause "$ID"
	assert_status 1
	bh resume "$ID"
	assert_equal "$(status_of)" running
	for try in $(seq 50); do [ "$(wc -l <"$WORK/out")" -gt "$before" ] && break; sleep 0.1; done
	[ "$(wc -l <"$WORK/out")" -gt "$before" ]
	bh pause "$ID"
	bh kill "$ID" KILL
	wait_status stopped
}

@test "update changes the guest's limits and the host's; events shows them" {
	start_detached '.linux.resources = {"memory": {"limit": 134217728}} | .linux.cgroupsPath = "/bulkhead-test/\(now)"'
	local cgroup
	cgroup=/sys/fs/cgroup$(cut -d: -f3 "/proc/$(cat "$WORK/pid")/cgroup")
	[ "$(cat "$cgroup/memory.max")" -gt 134217728 ]
	[ "$(wc -l <"$cgroup/cgroup.procs")" -ge 2 ]
	assert_equal "$(bh exec "$ID" cat /sys/fs/cgroup/memory.max)" 134217728
	bh update --memory 96m --pids-limit 50 --cpu-period 100000 --cpu-quota 40000 "$ID"
	assert_equal "$(bh exec "$ID" cat /sys/fs/cgroup/memory.max)" 100663296
	assert_equal "$(bh exec "$ID" cat /sys/fs/cgroup/pids.max)" 50
	assert_equal "$(cat "$cgroup/cpu.max")" "40000 100000"
	echo '{"pids": {"limit": 60}}' | bh update --resources - "$ID"
	assert_equal "$(bh events --stats "$ID" | jq '.data.pids.limit, .data.memory.usage.limit' | tr '\n' ' ')" "60 100663296 "
	bh delete --force "$ID"
	[ ! -e "$cgroup" ]
	rmdir "$(dirname "$cgroup")"
}

# In MiB.
guest_memory() { bh exec "$ID" /testinit memory | awk '$1 == "MemTotal:" { print int($2 / 1024) }'; }
monitors_memory() {
	local pid
	for pid in $(cat "$1/cgroup.procs"); do
		[ "$(cat "/proc/$pid/comm")" != bulkhead-vmm ] || awk '$1 == "VmRSS:" { print int($2 / 1024) }' "/proc/$pid/status"
	done
}

@test "update grows the VM's memory beyond what it was made with, and gives it back to the host" {
	start_detached '.linux.resources = {"memory": {"limit": 67108864}} | .linux.cgroupsPath = "/bulkhead-test/\(now)"'
	local cgroup before grown used try
	cgroup=/sys/fs/cgroup$(cut -d: -f3 "/proc/$(cat "$WORK/pid")/cgroup")
	before=$(guest_memory)
	[ "$before" -lt 192 ]
	bh update --memory 300m "$ID"
	grown=$(guest_memory)
	[ "$grown" -gt 300 ]
	[ "$(cat "$cgroup/memory.max")" -gt 314572800 ]
	bh exec "$ID" /testinit burnmem 220 0
	used=$(monitors_memory "$cgroup")
	[ "$used" -gt 220 ]
	run bh update --memory 64m "$ID"
	assert_status 0
	assert_equal "$(guest_memory)" "$before"
	# What was given back is the host's again, and so its limit can be as it was.
	[ "$(monitors_memory "$cgroup")" -lt $((before + 20)) ]
	[ "$(cat "$cgroup/memory.max")" -lt 268435456 ]
	# And up again, to another size; the monitor's figures say the same.
	bh update --memory 200m "$ID"
	[ "$(guest_memory)" -gt 200 ]
	bh exec "$ID" /testinit burnmem 150 0
	bh delete --force "$ID"
	rmdir "$(dirname "$cgroup")"
}

# Receives a terminal as an engine does, types `$2`, prints what came; runs until the terminal is hung up.
receive_terminal() {
	rm -f "$1"
	timeout 60 python3 - "$1" "$2" >"$WORK/tty" 3>&- <<'PY' &
import array, fcntl, os, socket, struct, sys, termios
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(1)
connection, _ = server.accept()
message, rights, _, _ = connection.recvmsg(100, socket.CMSG_LEN(4))
assert message, "the terminal has a name"
fd = array.array("i", rights[0][2][:4])[0]
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
typed = False
out = b""
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    out += data
    if b"ready" in out and not typed:
        typed = True
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
        os.write(fd, sys.argv[2].encode() + b"\n")
print(out.decode())
PY
	RECEIVER=$!
	local try
	for try in $(seq 300); do [ -S "$1" ] && return 0; sleep 0.1; done
	return 1
}

@test "a terminal over the console socket: size, changes of it, input and end" {
	config '.process.terminal = true'
	script 'tty; echo ready; read line; stty size; echo "got $line"; exit 6'
	receive_terminal "$WORK/socket" hello
	create --console-socket "$WORK/socket"
	bh start "$ID"
	wait "$RECEIVER"
	local output
	output=$(cat "$WORK/tty")
	assert_output "/dev/pts/0"
	assert_output "44 88"
	assert_output "got hello"
	wait_status stopped
}

@test "exec with a terminal over the console socket" {
	start_detached
	echo '{"terminal": true, "args": ["sh", "-c", "echo ready; read line; stty size; echo got $line"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}' >"$WORK/p.json"
	receive_terminal "$WORK/socket" hello
	bh exec --process "$WORK/p.json" --detach --console-socket "$WORK/socket" --pid-file "$WORK/epid" "$ID" </dev/null >/dev/null 2>&1 3>&-
	wait "$RECEIVER"
	local output
	output=$(cat "$WORK/tty")
	assert_output "44 88"
	assert_output "got hello"
}

@test "terminal and console socket must go together" {
	config '.process.terminal = true'
	run bh create --bundle "$BUNDLE" "$ID"
	assert_status 1
	assert_one_line "cannot allocate tty" "console socket"
	config '.process.terminal = false'
	run bh create --bundle "$BUNDLE" --console-socket "$WORK/none" "$ID"
	assert_status 1
	assert_one_line "cannot use console socket"
}

@test "hooks run in order with the state on standard input, startContainer in the guest" {
	config --arg w "$WORK" '.hooks = {
		"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > \($w)/1; echo 1 >> \($w)/order"]}],
		"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > \($w)/2; echo 2 >> \($w)/order"]}],
		"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "readlink /proc/self/ns/net > \($w)/3; pwd >\($w)/where; echo 3 >> \($w)/order"]}],
		"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "uname -r > /tmp/4; cat >> /tmp/4"]}],
		"poststart": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > \($w)/5; echo 5 >> \($w)/order"]}],
		"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > \($w)/6; echo 6 >> \($w)/order"]}]}
		| .mounts += [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]'
	script 'cat /tmp/4'
	create
	local pid
	pid=$(cat "$WORK/pid")
	assert_equal "$(tr '\n' ' ' <"$WORK/order")" "1 2 3 "
	assert_equal "$(cat "$WORK/3")" "$(readlink "/proc/$pid/ns/net")"
	[ "$(cat "$WORK/3")" != "$(readlink /proc/self/ns/net)" ]
	[ "$(cat "$WORK/where")" -ef "$(bh state "$ID" | jq -r .rootfs)" ]
	bh start "$ID"
	wait_status stopped
	bh delete "$ID"
	assert_equal "$(tr '\n' ' ' <"$WORK/order")" "1 2 3 5 6 "
	assert_equal "$(jq -r '.id, .pid, .status' "$WORK/2" | tr '\n' ' ')" "$ID $pid created "
	assert_equal "$(jq -r .status "$WORK/5")" running
	assert_equal "$(jq -r .status "$WORK/6")" stopped
	grep -q '^6.12.' "$WORK/out"
	grep -q "\"id\":\"$ID\"" "$WORK/out"
}

@test "a hook that fails or hangs is named, poststop still runs, nothing is left" {
	config --arg w "$WORK" '.hooks = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}],
		"poststop": [{"path": "/bin/touch", "args": ["touch", "\($w)/stopped"]}]}'
	run_container
	assert_status 1
	assert_one_line "error running createRuntime hook #0" "exit status 3" "why"
	[ -e "$WORK/stopped" ]
	config '.hooks = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}'
	run_container
	assert_status 1
	assert_one_line "prestart hook #0" "1 seconds"
}

@test "a reader that goes away ends the writer; one that waits loses nothing" {
	script 'yes | head -c 20000000; echo "status $?" >&2'
	bh run --bundle "$BUNDLE" "$ID" 2>"$WORK/err" 3>&- | head -c 100 >"$WORK/out"
	assert_equal "$(wc -c <"$WORK/out")" 100
	script 'yes | head -c 1000000'
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" 3>&- | { sleep 3; wc -c; })" 1000000
}

@test "output that nobody has read yet does not hold up the end" {
	mkfifo "$WORK/fifo"
	script 'yes | head -c 300000'
	exec 7<>"$WORK/fifo"
	bh create --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/fifo" 2>"$WORK/err" 3>&- 7>&-
	bh start "$ID"
	wait_status stopped
	assert_equal "$(timeout 5 head -c 300000 <&7 | wc -c)" 300000
	exec 7>&-
}

@test "kill -9 of create at every stage leaves nothing that delete --force does not remove" {
	config '.process.args = ["/testinit", "sleep", "1000"]'
	local delay
	for delay in 0.01 0.05 0.1 0.3 0.6 1 1.5 2; do
		"$BULKHEAD" create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
		local pid=$!
		sleep "$delay"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		bh delete --force "$ID"
		run bh state "$ID"
		assert_output "does not exist"
	done
}

@test "delete --force of a container that is being created ends both" {
	"$BULKHEAD" create --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>"$WORK/err" 3>&- &
	local pid=$! try
	for try in $(seq 500); do [ -S "$STATE_ROOT/$ID/vsock.sock" ] && break; sleep 0.02; done
	bh delete --force "$ID"
	local status=0
	wait "$pid" || status=$?
	[ "$status" -ne 0 ] || bh delete --force "$ID" # it was quicker
	run bh state "$ID"
	assert_output "does not exist"
}

@test "the host's process is in the namespace and the cgroup that the bundle names" {
	ip netns add "bulkhead-$$"
	start_detached --arg ns "/run/netns/bulkhead-$$" '.linux.namespaces |= map(if .type == "network" then .path = $ns else . end)
		| .linux.cgroupsPath = "/bulkhead-named"'
	local pid
	pid=$(cat "$WORK/pid")
	assert_equal "$(stat -Lc %i "/proc/$pid/ns/net")" "$(stat -Lc %i "/run/netns/bulkhead-$$")"
	assert_equal "$(cut -d: -f3 "/proc/$pid/cgroup")" /bulkhead-named
	bh delete --force "$ID"
	ip netns del "bulkhead-$$"
	[ ! -e /sys/fs/cgroup/bulkhead-named ]
}

@test "spec does not overwrite, an unknown verb is 3" {
	run bh spec --bundle "$BUNDLE"
	assert_status 1
	assert_one_line config.json exists
	run bh nosuchverb
	assert_status 3
	run bh features
	assert_status 0
	jq -e .ociVersionMax <<<"$output" >/dev/null
	bh --version | grep -q '^bulkhead version '
}

@test "do: this system, changes forgotten, a time limit" {
	cd /root
	run bh do -- sh -c 'pwd; uname -r; touch /etc/changed && ls /etc/changed'
	assert_status 0
	assert_output /root
	assert_output '6.12.'
	assert_output /etc/changed
	[ ! -e /etc/changed ]
	run bh do --timeout 3 --memory 128 -- sleep 100
	assert_status 124
	run bh do -- sh -c 'exit 42'
	assert_status 42
}

@test "check finds a good host good" {
	run bh check
	assert_status 0
	assert_output "Containers can run here."
	refute_output FAIL
	bh check --kvm-only
}

@test "a limit of CPU time counts for the container, not for the start of its virtual machine" {
	config '.linux.resources.cpu = {quota: 5000, period: 100000}'
	local began=$SECONDS cgroup
	bh create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >/dev/null 2>&1
	# At a twentieth of a processor it would be a minute or two.
	[ $((SECONDS - began)) -lt 30 ]
	cgroup=/sys/fs/cgroup$(cut -d: -f3 "/proc/$(cat "$WORK/pid")/cgroup")
	assert_equal "$(cat "$cgroup/cpu.max")" '5000 100000'
	bh update --cpu-quota -1 "$ID"
	bh start "$ID"
	bh delete --force "$ID"
}
