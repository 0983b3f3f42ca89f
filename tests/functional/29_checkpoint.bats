#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Running containers, saved and continued: what goes on exactly, what is new, what is refused, what is left behind.

load helpers

setup() {
	NETNS=
	bundle_setup busybox
	mkdir "$WORK/data"
}
teardown() {
	[ -z "$NETNS" ] || { bh delete --force again && bh delete --force "$ID"; } >/dev/null 2>&1 || true
	[ -z "$NETNS" ] || for n in $NETNS; do ip netns del "$n"; done
	bundle_teardown
}

image() { echo "$WORK/image"; }
stateful() {
	# This machine's own root, for a whole Python.
	[ -e /etc/machine-id ] || echo 0123456789abcdef0123456789abcdef >/etc/machine-id
	share "$WORK/data" /srv rw
	share "$PWD/tests/functional/checkpoint" /media ro
	config '.root = {"path": "/", "readonly": true} | .hostname = "first"
		| .process.args = ["python3", "/media/program.py", "/srv"]'
}
# Detached, with what it prints in a file of its own.
start() { bh run --detach --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>"$WORK/err" </dev/null 3>&- || { cat "$WORK/err"; return 1; }; }
restore() { # ID OPTION...
	local id=$1
	shift
	bh restore --detach --bundle "$BUNDLE" --image-path "$(image)" "$@" "$id" >"$WORK/out.$id" 2>"$WORK/err.$id" </dev/null 3>&-
}
wait_lines() { # FILE COUNT
	local try
	for try in $(seq 600); do
		[ "$(wc -l <"$1")" -lt "$2" ] || return 0
		read -rt 0.2 <> <(:) || true
	done
	echo "$1 has $(wc -l <"$1") lines"
	cat "$WORK"/err* "$STATE_ROOT"/*/log
	return 1
}
report() { bh exec "$1" python3 -c 'import socket; s = socket.create_connection(("127.0.0.1", 7777)); print(s.makefile().readline(), end="")' 3>&-; }
of() { jq -r "$2" <<<"$1"; }
log_of() { cat "$STATE_ROOT/$1/log"; }

@test "everything a container has goes on exactly, under another id, with an identity of its own" {
	stateful
	start
	wait_lines "$WORK/out" 1
	# The transaction is open: nothing of it is in the database yet, as far as others see.
	bh checkpoint --image-path "$(image)" --work-path "$WORK/work" "$ID"
	run bh state "$ID"
	assert_status 1
	assert_equal "$(stat -c %a "$(image)" "$(image)/manifest" | tr '\n' ' ')" '700 600 '
	local counted before after answer now
	counted=$(tail -n 1 "$WORK/data/log")
	sleep 8
	assert_equal "$(tail -n 1 "$WORK/data/log")" "$counted"

	config '.hostname = "second"'
	restore again
	wait_lines "$WORK/out.again" 1
	sleep 1
	before=$(date +%s.%N)
	answer=$(report again)
	after=$(date +%s.%N)
	echo "$answer"
	# No tick was lost or came twice, and the monotonic clock did not see the time in between.
	head -c "$(stat -c %s "$WORK/data/log")" "$WORK/data/log" | grep '[0-9]' >"$WORK/log" # it grows
	assert_equal "$(sort -n "$WORK/log" | uniq -d | wc -l)" 0
	[ "$(of "$answer" .count)" -gt "$counted" ]
	assert_equal "$(tail -n 1 "$WORK/log")" "$(wc -l <"$WORK/log")"
	[ "$(of "$answer" '.gap < 7')" = true ]
	assert_equal "$(of "$answer" '.rows | tostring')" '[1,2,3]'
	assert_equal "$(of "$answer" .nameless) $(of "$answer" .links)" 'secret 0'
	assert_equal "$(of "$answer" .pipe)" 1000
	assert_equal "$(of "$answer" .child)" ping
	assert_equal "$(of "$answer" .locked)" true
	assert_equal "$(of "$answer" .inside)" hello+
	assert_equal "$(of "$answer" .host)" second
	assert_equal "$(of "$answer" '.lives | length')" 1
	# The clock, to 50 ms.
	now=$(of "$answer" .now)
	jq -en --argjson a "$before" --argjson b "$now" --argjson c "$after" '$a - 0.05 < $b and $b < $c + 0.05'
	# Nobody has the random numbers, or the boot id, of another life.
	cat "$WORK/out" "$WORK/out.again" | jq -r .random,.getrandom,.boot | sort | uniq -d >"$WORK/twice"
	assert_equal "$(cat "$WORK/twice")" ''

	# A second time, of what was restored; left running this time, and paused before.
	bh pause again
	bh checkpoint --leave-running --image-path "$WORK/image2" again
	run bh state again
	assert_equal "$(jq -r .status <<<"$output")" paused
	bh resume again
	report again | jq -e '.lives | length == 1'
	bh kill again KILL
}

@test "16 forks of one container have nothing in common that must not be; the original goes on" {
	echo 0123456789abcdef0123456789abcdef >"$WORK/machine-id"
	share "$WORK/machine-id" /etc/machine-id ro
	config '.hostname = "first"'
	script 'while :; do
		set -- $(cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id /etc/machine-id) \
			$(od -An -N8 -tx8 /dev/urandom)
		echo $(hostname) $*
		sleep 3
	done'
	start
	wait_lines "$WORK/out" 2
	local ids=() i column last
	for i in $(seq 16); do ids+=("fork-$i"); done
	RUN_TIMEOUT=600 bh fork "$ID" "${ids[@]}" >"$WORK/forks" 2>"$WORK/err" </dev/null 3>&- || { cat "$WORK/err"; false; }
	# Of each the last line: the first may have been begun before it was one.
	for i in $(seq 120); do
		last=$(cat "$WORK/out" "$WORK/forks" | awk 'NF == 5 { line[$1] = $0 } END { for (name in line) print line[name] }')
		[ "$(wc -l <<<"$last")" -lt 17 ] || [ "$(awk '{ print $4 }' <<<"$last" | sort -u | wc -l)" -lt 17 ] || break
		read -rt 0.5 <> <(:) || true
	done
	echo "$last"
	for column in 1 2 3 4 5; do
		assert_equal "$(awk -v n=$column '{ print $n }' <<<"$last" | sort -u | wc -l)" 17
	done
	# No random number was drawn twice, in any of them: but a fork's first line may have been begun when it was none yet.
	for i in $(seq 120); do
		awk 'NF == 5 && $1 != "first" && seen[$1]++' "$WORK/forks" >"$WORK/own"
		[ "$(cut -d" " -f1 "$WORK/own" | sort -u | wc -l)" -lt 16 ] || break
		read -rt 0.5 <> <(:) || true
	done
	assert_equal "$(cut -d" " -f1 "$WORK/own" | sort -u | wc -l)" 16
	assert_equal "$(cat "$WORK/out" "$WORK/own" | awk 'NF == 5 { print $2; print $5 }' | sort | uniq -d)" ''
	i=$(wc -l <"$WORK/out")
	wait_lines "$WORK/out" $((i + 2))
	assert_equal "$(ls -A /var/lib/bulkhead | grep -v '^templates$')" ''
	run bh fork "$ID" fork-3
	assert_status 1
	assert_one_line 'fork fork-3: container with given ID already exists'
}

@test "images that are not whole, not ours or not for this machine are refused, and nothing is left" {
	script 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done'
	start
	wait_lines "$WORK/out" 3
	bh checkpoint --image-path "$(image)" "$ID"
	cp -a "$(image)" "$WORK/good"
	refuse() {
		local text=$1
		shift
		run restore again "$@"
		[ "$status" -ne 0 ] || { echo "restored: $text"; return 1; }
		output=$(cat "$WORK/err.again")
		mapfile -t lines <"$WORK/err.again"
		assert_one_line "$text" || return 1
		assert_equal "$(ls "$STATE_ROOT")" '' || return 1
		rm -rf "$(image)"
		cp -a "$WORK/good" "$(image)"
	}
	sign() { # after an edit: the checksum is right again, and only the content is wrong
		python3 - "$(image)/manifest" <<'EOF'
import sys
lines = open(sys.argv[1]).read().split("checksum ")[0]
h = 0xcbf29ce484222325
for b in lines.encode():
    h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
open(sys.argv[1], "w").write(lines + "checksum %016x\n" % h)
EOF
	}
	local memory state at
	memory=$(basename "$(image)"/memory-*) state=$(basename "$(image)"/state-*)

	truncate -s -4096 "$(image)/$memory"
	refuse "$memory has"
	truncate -s -1 "$(image)/$state"
	refuse "$state has"
	rm "$(image)/$memory"
	refuse "$memory: No such file"
	rm "$(image)/manifest"
	refuse 'manifest: No such file'
	rm -r "$(image)"
	refuse "checkpoint $(image): No such file"
	printf 'x' | dd of="$(image)/$state" bs=1 seek=5000 conv=notrunc status=none
	refuse "the state's checksum is wrong"
	# A byte of what is not zero.
	at=$(grep -obUaP '\x7fELF' "$(image)/$memory" | head -n 1 | cut -d : -f 1)
	printf '\377' | dd of="$(image)/$memory" bs=1 seek="${at:-4096}" conv=notrunc status=none
	refuse 'checksum of the saved memory is wrong'
	sed -i 's/^vcpus 1/vcpus 2/' "$(image)/manifest"
	refuse 'manifest is damaged'
	sed -i 's/^vcpus 1/vcpus 2/' "$(image)/manifest" && sign
	refuse 'the saved machine has 1 vCPUs'
	sed -i 's/^version .*/version 99.0/' "$(image)/manifest" && sign
	refuse 'it was made by version 99.0'
	sed -i 's/^bulkhead-checkpoint .*/bulkhead-checkpoint 7/' "$(image)/manifest" && sign
	refuse 'it has version 7'
	sed -i 's/^processor .*/processor 0123456789abcdef/' "$(image)/manifest" && sign
	refuse 'a processor of another kind'
	echo '{"CriuVersion": 31100}' >"$(image)/manifest"
	refuse "no checkpoint of bulkhead's"
	share "$WORK/data" /more rw
	refuse 'mounts are not those of the checkpoint: the first that differs is "mount'
	assert_output ' /more"'
	config 'del(.mounts[-1]) | .process.terminal = true'
	refuse "process has no terminal, the bundle's has one" --console-socket "$WORK/none"
	config '.process.terminal = false'

	# What is good is good still.
	restore again
	wait_lines "$WORK/out.again" 1
	[ "$(head -n 1 "$WORK/out.again")" -eq $(($(tail -n 1 "$WORK/out") + 1)) ]

	# Flags that ask for what there is not.
	run bh checkpoint --lazy-pages --image-path "$(image)" again
	assert_status 1
	assert_one_line '--lazy-pages is not supported'
	run bh checkpoint --parent-path "$(image)" --image-path "$(image)" again
	assert_status 1
	assert_one_line '--parent-path must be relative'
	run bh checkpoint --parent-path ../nowhere --image-path "$(image)" again
	assert_status 1
	assert_one_line 'invalid --parent-path' '/../nowhere: No such file or directory'
}

@test "a pre-dump is an image that is whole, and so is one that has it as parent" {
	script 'i=0; while :; do echo $((i += 1)); sleep 0.2; done'
	start
	wait_lines "$WORK/out" 2
	bh checkpoint --pre-dump --image-path "$(image)" "$ID"
	assert_equal "$(bh state "$ID" | jq -r .status)" running
	bh checkpoint --parent-path "../$(basename "$(image)")" --image-path "$(image)-2" "$ID"
	run bh state "$ID"
	assert_status 1
	[ "$(image)-2/parent" -ef "$(image)" ]
	rm -r "$(image)"
	mv "$(image)-2" "$(image)"
	restore again
	wait_lines "$WORK/out.again" 1
	[ "$(head -n 1 "$WORK/out.again")" -eq $(($(tail -n 1 "$WORK/out") + 1)) ]
}

@test "files that changed are refused by name, or accepted if that is asked for" {
	share "$WORK/data" /data rw
	echo original >"$WORK/data/file"
	script 'exec 7</data/file; while :; do echo tick; sleep 0.2; done'
	start
	wait_lines "$WORK/out" 2
	bh checkpoint --image-path "$(image)" "$ID"
	echo changed, and longer >"$WORK/data/file"
	run restore again
	[ "$status" -ne 0 ]
	output=$(cat "$WORK/err.again")
	assert_output 'file file in share'
	assert_output 'has been changed since the checkpoint'
	restore again --files-may-differ
	wait_lines "$WORK/out.again" 2
	assert_equal "$(bh exec again cat /proc/1/fd/7 </dev/null)" 'changed, and longer'
	bh delete --force again
	rm "$WORK/data/file"
	run restore again
	[ "$status" -ne 0 ]
	grep -q 'is missing or cannot be reached since the checkpoint' "$WORK/err.again"
}

@test "a checkpoint that is killed damages neither the container nor an older image" {
	script 'i=0; while :; do i=$((i + 1)); echo $i; sleep 0.1; done'
	start
	wait_lines "$WORK/out" 3
	bh checkpoint --leave-running --image-path "$(image)" "$ID"
	sha256sum "$(image)"/* >"$WORK/sums"
	local delay count
	for delay in 0.05 0.3 0.7 1.2; do
		"$BULKHEAD" checkpoint --image-path "$(image)" "$ID" 3>&- &
		read -rt "$delay" <> <(:) || true
		kill -9 $! || break
		wait $! || true
		sha256sum --quiet -c "$WORK/sums"
		assert_equal "$(ls "$(image)" | wc -l)" 4
		# It goes on, as soon as the monitor has done with it.
		count=$(wc -l <"$WORK/out")
		wait_lines "$WORK/out" $((count + 2))
	done
	restore again
	wait_lines "$WORK/out.again" 2
	bh delete --force "$ID"
}

@test "a terminal, and what waits in it, goes on; an exec does not" {
	config '.process.terminal = true | .process.args = ["sh", "-c", "stty -echo; while read -r line; do echo \"got $line\"; stty size; done"]'
	cat >"$WORK/terminal.py" <<'EOF'
# SOCKET: takes a terminal there, writes what it says to standard output, types what comes on standard input.
import array, os, select, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
c = s.accept()[0]
fds = array.array("i")
_, ancillary, _, _ = c.recvmsg(4096, socket.CMSG_SPACE(4))
fds.frombytes(ancillary[0][2])
typed = os.open(sys.argv[2], os.O_RDWR)
while True:
    for fd in select.select([fds[0], typed], [], [])[0]:
        try:
            data = os.read(fd, 4096)
        except OSError:
            sys.exit()
        os.write(1 if fd == fds[0] else fds[0], data)
EOF
	mkfifo "$WORK/keys" "$WORK/keys2"
	python3 "$WORK/terminal.py" "$WORK/socket" "$WORK/keys" >"$WORK/screen" 3>&- &
	local terminal=$! exec_pid # a wait for all would be one for the test's time limit, too
	while [ ! -S "$WORK/socket" ]; do read -rt 0.1 <> <(:) || true; done
	bh run --detach --bundle "$BUNDLE" --console-socket "$WORK/socket" "$ID" </dev/null >/dev/null 2>&1 3>&-
	sleep 1
	echo one >"$WORK/keys"
	wait_lines "$WORK/screen" 2
	grep -q 'got one' "$WORK/screen"
	bh exec "$ID" sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	exec_pid=$!
	sleep 2
	printf 'half a ' >"$WORK/keys"
	sleep 1
	bh checkpoint --image-path "$(image)" "$ID"
	wait "$terminal" "$exec_pid" || true
	python3 "$WORK/terminal.py" "$WORK/socket2" "$WORK/keys2" >"$WORK/screen2" 3>&- &
	terminal=$!
	while [ ! -S "$WORK/socket2" ]; do read -rt 0.1 <> <(:) || true; done
	restore again --console-socket "$WORK/socket2"
	echo line >"$WORK/keys2"
	wait_lines "$WORK/screen2" 2
	grep -q 'got half a line' "$WORK/screen2"
	run bh ps again
	refute_output 'sleep 1000'
	bh delete --force again
	wait "$terminal" || true
}

@test "a container with a network goes on in another one, and answers there" {
	local n
	NETNS="ck$$a ck$$b"
	local i=0
	for n in $NETNS; do
		i=$((i + 1))
		ip netns add "$n"
		ip link add "ckh$i" type veth peer name eth0 netns "$n"
		ip addr add "10.98.$i.1/24" dev "ckh$i"
		ip link set "ckh$i" up
		ip -n "$n" addr add "10.98.$i.2/24" dev eth0
		ip -n "$n" link set eth0 up
	done
	set -- $NETNS
	config --arg path "/run/netns/$1" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	stateful
	start
	wait_lines "$WORK/out" 1
	bh checkpoint --image-path "$(image)" "$ID"
	config --arg path "/run/netns/$2" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	restore again
	bh exec again python3 -c 'print(open("/sys/class/net/eth0/address").read().strip())' >"$WORK/mac" 3>&-
	assert_equal "$(cat "$WORK/mac")" "$(ip netns exec "$2" cat /sys/class/net/eth0/address)"
	python3 -c 'import socket; print(socket.create_connection(("10.98.2.2", 7777), 20).makefile().readline())' >"$WORK/answer"
	jq -e '.lives | length == 1' "$WORK/answer"
	bh delete --force again
}

# How many pieces of files a monitor shows its guest.
pieces() { grep -c ' r--s .*/python3' "/proc/$1/maps"; }

@test "a container with a window for files begins with a template, is saved with what it has mapped, and is forked" {
	config '.annotations["io.bulkhead.dax-mib"] = "64" | .root = {"path": "/", "readonly": true}'
	script 'grep -c bulkhead_template /proc/cmdline
		exec python3 -c "
import hashlib, mmap, os, time
program = mmap.mmap(os.open(\"/usr/bin/python3\", os.O_RDONLY), 0, prot=mmap.PROT_READ)
while True:
    print(hashlib.md5(program).hexdigest(), flush=True)
    time.sleep(1)
"'
	start
	wait_lines "$WORK/out" 3
	assert_equal "$(head -n 1 "$WORK/out")" 1
	local sum monitor
	sum=$(md5sum /usr/bin/python3 | cut -c1-32)
	assert_equal "$(tail -n 1 "$WORK/out")" "$sum"
	[ "$(pieces "$(pgrep -x bulkhead-vmm)")" -ge 1 ]

	bh fork "$ID" copy >"$WORK/out.copy" 2>"$WORK/err.copy" </dev/null 3>&-
	for monitor in $(pgrep -x bulkhead-vmm); do
		[ "$(pieces "$monitor")" -ge 1 ]
	done
	assert_equal "$(bh exec copy md5sum /usr/bin/python3 3>&- | cut -c1-32)" "$sum"
	bh delete --force copy

	bh checkpoint --image-path "$(image)" "$ID"
	restore again
	wait_lines "$WORK/out.again" 2
	assert_equal "$(sort -u "$WORK/out.again")" "$sum"
	[ "$(pieces "$(pgrep -x bulkhead-vmm)")" -ge 1 ]
	bh kill again KILL
}
