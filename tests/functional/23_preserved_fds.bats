#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --preserve-fds: the caller's descriptors from 3 on are the container's, at the same numbers.

load helpers

setup() { bundle_setup busybox; }
teardown() { bundle_teardown; }

@test "a file, a pipe in and a pipe out; by number and by name" {
	echo 'from a file' >"$WORK/file"
	script 'cat <&3; cat /proc/self/fd/4; echo out >&5; exec 5>&-; ls /proc/self/fd | tr "\n" " "'
	bh run --preserve-fds 3 --bundle "$BUNDLE" "$ID" 3<"$WORK/file" 4< <(echo 'from a pipe') 5>"$WORK/five" >"$WORK/out" 2>&1
	assert_equal "$(cat "$WORK/out")" $'from a file\nfrom a pipe\n0 1 2 3 4 5 '
	assert_equal "$(cat "$WORK/five")" out
}

@test "a user that is not root, and much data both ways at once" {
	config '.process.user = {"uid": 1000, "gid": 1000}'
	script 'cat /proc/self/fd/3 >&4'
	head -c 5000000 /dev/urandom >"$WORK/data"
	bh run --preserve-fds 2 --bundle "$BUNDLE" "$ID" 3< <(cat "$WORK/data") 4>"$WORK/back"
	cmp "$WORK/data" "$WORK/back"
}

@test "a connected socket is one for both ways, with an end for each" {
	script 'read line <&3; echo "got $line" >&3; cat <&3 >/dev/null; echo end >&3'
	run python3 - "$BULKHEAD" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" 3>&- <<-'PY'
		import os, socket, subprocess, sys
		ours, theirs = socket.socketpair()
		def place():
		    os.dup2(theirs.fileno(), 3)
		child = subprocess.Popen(sys.argv[1:], preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL)
		theirs.close()
		ours.sendall(b"hello\n")
		answer = ours.makefile("rb").readline()
		ours.shutdown(socket.SHUT_WR)
		print(answer.decode(), ours.makefile("rb").read().decode(), child.wait(), sep="|")
	PY
	assert_output $'got hello\n|end\n|0'
}

@test "exec has its own, attached and detached" {
	config '.process.args = ["sleep", "1000"]'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	run bh exec --preserve-fds 1 "$ID" cat /proc/self/fd/3 3< <(echo 'to an exec')
	assert_equal "$output" 'to an exec'
	mkfifo "$WORK/fifo"
	bh exec --detach --preserve-fds 1 "$ID" sh -c 'echo later >&3' 3>"$WORK/three" </dev/null >/dev/null 2>&1
	local try
	for try in $(seq 300); do [ -s "$WORK/three" ] && break; sleep 0.1; done
	assert_equal "$(cat "$WORK/three")" later
}

@test "what cannot be passed is refused by name, and nothing of ours is passed" {
	run bh --log "$WORK/log" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" 3>&-
	assert_status 1
	assert_output '--preserve-fds 1: descriptor 3 is not open: please check that preserved-fd 0 (of 1) is present'
	run bh run --preserve-fds 1 --bundle "$BUNDLE" "$ID" 3</
	assert_status 1
	assert_one_line 'descriptor 3 is a directory'
	run bh run --preserve-fds 9999 --bundle "$BUNDLE" "$ID"
	assert_status 1
	assert_one_line '--preserve-fds 9999' 'from 0 to 1024'
	run bh run --preserve-fds 99 --bundle "$BUNDLE" "$ID" 3</dev/null 4</dev/null 50</dev/null
	assert_status 1
	assert_one_line '--preserve-fds 99: 48 descriptors up to the last that is open, and a VM can be given 32'
	# More than there are, as crun's users ask for.
	script 'ls /proc/self/fd | tr "\n" " "'
	run bh run --preserve-fds 99 --bundle "$BUNDLE" "$ID" 3</dev/null 4</dev/null
	assert_status 0
	assert_equal "$output" '0 1 2 3 4 5 '
}
