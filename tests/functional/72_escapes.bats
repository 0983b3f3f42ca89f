#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Ways out of containers that other runtimes had, tried against this one.

load helpers

setup() { bundle_setup busybox copy; }
teardown() { bundle_teardown; }

# Nothing came out; but was anything tried? The program ran and said so, or this was refused for what it is.
assert_tried() { # WORDS...: of the program, or of the refusal
	local words
	for words in "$@"; do [[ $output != *"$words"* ]] || return 0; done
	echo "expected one of: $*"
	echo "status $status; output: $output"
	return 1
}

programs() { sha256sum "$(command -v bulkhead)" /usr/local/libexec/bulkhead/* /usr/local/share/bulkhead/*; }

@test "CVE-2019-5736: a container cannot write to what runs it" {
	local before
	before=$(programs)
	# The image's shell is a script for whoever executes it; in the container that is the agent, never the runtime.
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/bin/trap"
	chmod 755 "$BUNDLE/rootfs/bin/trap"
	config '.process.args = ["/bin/trap"]'
	run_container
	script 'while :; do for p in /proc/[0-9]*; do echo overwritten >$p/exe; done; sleep 0.1; done 2>/dev/null'
	bh run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run bh exec "$ID" /bin/trap
	run bh exec "$ID" /bin/true
	assert_status 0
	bh delete --force "$ID"
	assert_equal "$(programs)" "$before"
	script 'echo fine'
	run_container
	assert_equal "$output" fine
}

@test "CVE-2024-21626: no descriptor and no working directory leads out" {
	local fd
	script 'ls /proc/self/fd; pwd'
	run_container
	# The three streams, the folder that ls reads, and nothing else.
	assert_equal "$(head -n -1 <<<"$output" | tr '\n' ' ')" '0 1 2 3 '
	for fd in 3 5 7 8 9 10; do
		config --arg cwd "/proc/self/fd/$fd" '.process.cwd = $cwd | .process.args = ["/bin/ls", "../../../../etc"]'
		run_container
		refute_output debian_version
		[ "$status" -eq 0 ] || assert_tried "/proc/self/fd/$fd" ../../../../etc
	done
	config --arg cwd "/proc/1/root/proc/self/fd/8" '.process.cwd = $cwd'
	run_container
	refute_output debian_version
	[ "$status" -eq 0 ] || assert_tried /proc/1/root/proc/self/fd/8 ../../../../etc
}

@test "CVE-2025-31133: a masked path does not become what the image's /dev/null points at" {
	local before
	before=$(cat /proc/sys/kernel/core_pattern)
	mkdir -p "$BUNDLE/rootfs/dev"
	rm -f "$BUNDLE/rootfs/dev/null"
	ln -s /proc/sys/kernel/core_pattern "$BUNDLE/rootfs/dev/null"
	ln -s /proc/sysrq-trigger "$BUNDLE/rootfs/dev/console"
	config '.linux.maskedPaths = ["/proc/kcore", "/proc/keys", "/proc/timer_list"] | .linux.readonlyPaths = ["/proc/sys"]'
	script 'echo "|/escaped %P" >/proc/keys; echo "|/escaped" >/proc/sys/kernel/core_pattern; cat /proc/sys/kernel/core_pattern; echo it-ran'
	run_container
	refute_output escaped
	assert_output it-ran
	assert_equal "$(cat /proc/sys/kernel/core_pattern)" "$before"
	# And without those masks a root with every right changes its own kernel's, not the host's.
	config '.linux.maskedPaths = [] | .linux.readonlyPaths = []
		| .process.capabilities[] += ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]'
	run_container
	assert_output it-ran
	assert_equal "$(cat /proc/sys/kernel/core_pattern)" "$before"
}

@test "CVE-2025-52565: a console that is a link in the image does not lead the terminal elsewhere" {
	local before root=$BUNDLE/rootfs
	before=$(cat /proc/sys/kernel/core_pattern)
	echo untouched >"$WORK/outside"
	mkdir -p "$root/dev"
	# The image's own /dev, with a console and terminals of its own making.
	config 'del(.mounts[] | select(.destination | startswith("/dev"))) | .process.terminal = true'
	config '.linux.maskedPaths = [] | .linux.readonlyPaths = []'
	local target
	for target in /proc/sys/kernel/core_pattern "../../../../../../../../../..$WORK/outside" /etc; do
		rm -rf "$root/dev/console" "$root/dev/pts"
		ln -s "$target" "$root/dev/console"
		ln -s /proc "$root/dev/pts"
		script 'echo "|/escaped %P" >/dev/console; tty; cat /proc/sys/kernel/core_pattern; ls /etc/passwd'
		run timeout 60 script -qec "$BULKHEAD run --bundle $BUNDLE $ID" /dev/null </dev/null
		echo "$target: $output"
		assert_tried /etc/passwd 'terminal: '
		bh delete --force "$ID" 2>/dev/null || true
		assert_equal "$(cat /proc/sys/kernel/core_pattern)" "$before"
		assert_equal "$(cat "$WORK/outside")" untouched
		[ -f "$root/etc/passwd" ]
	done
}

@test "CVE-2025-52881: what is written below /proc for a container goes to no file of the image's or the host's choice" {
	local before root=$BUNDLE/rootfs
	before=$(sysctl -n net.ipv4.ping_group_range; cat /proc/self/attr/exec 2>/dev/null)
	echo untouched >"$WORK/outside"
	rm -rf "$root/proc"
	mkdir -p "$root/fake/sys/net/ipv4" "$root/fake/self/attr"
	ln -s /fake "$root/proc"
	ln -s "../../../../../../../../../..$WORK/outside" "$root/fake/sys/net/ipv4/ping_group_range"
	ln -s "../../../../../../../../../..$WORK/outside" "$root/fake/self/attr/exec"
	config '.linux.sysctl = {"net.ipv4.ping_group_range": "17 4711"} | .process.apparmorProfile = "unconfined"'
	script 'cat /proc/sys/net/ipv4/ping_group_range; echo it-ran'
	run_container
	assert_tried it-ran /proc ping_group_range
	assert_equal "$(cat "$WORK/outside")" untouched
	# A tmpfs that the configuration has over /proc, with the same links in it by then: nothing there to write to.
	rm "$root/proc"
	mkdir "$root/proc"
	config '(.mounts[] | select(.destination == "/proc")) |= {"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}'
	run_container
	assert_tried it-ran /proc ping_group_range
	assert_equal "$(cat "$WORK/outside")" untouched
	assert_equal "$(sysctl -n net.ipv4.ping_group_range; cat /proc/self/attr/exec 2>/dev/null)" "$before"
}

@test "a mount's place that becomes a symbolic link during create leads nowhere" {
	local root=$BUNDLE/rootfs racer untried=
	mkdir "$WORK/outside" "$root/place"
	ln -s "$WORK/outside" "$root/link"
	ln -s ../../../../../../../../../../../../"$WORK/outside" "$root/up"
	cat >"$WORK/race.py" <<'PY'
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
while True:
    for other in (b"link", b"up"):
        libc.renameat2(-100, b"place", -100, other, 2)  # RENAME_EXCHANGE
        libc.renameat2(-100, b"place", -100, other, 2)
PY
	python3 "$WORK/race.py" "$root" &
	racer=$!
	config '.mounts += [{"destination": "/place/deep", "type": "tmpfs", "source": "tmpfs"}]'
	script 'echo in >/place/deep/file; mknod /place/node c 1 3; chmod 777 /place; echo it-ran'
	for _ in 1 2 3 4; do
		run_container
		assert_tried it-ran /place >/dev/null || untried+="status $status: $output"$'\n'
	done
	kill "$racer"
	assert_equal "$untried" ''
	assert_equal "$(find "$WORK/outside" | wc -l)" 1
	assert_equal "$(stat -c %a "$WORK/outside")" 755
}

@test "what a container leaves on its share does nothing on the host" {
	script 'cp /bin/busybox /suid; chown 0:0 /suid; chmod 4755 /suid; mknod /disk b 254 0; mknod /zero c 1 5; ls /'
	config '.process.capabilities[] += ["CAP_MKNOD"]'
	run_container
	assert_status 0
	# The monitor's own view of the share, held by a container that runs: devices do not open there.
	config '.process.args = ["/bin/sleep", "1000"]'
	bh run -d --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	run bh exec "$ID" sh -c 'head -c 4 /zero | od -An -tx1'
	assert_output '00 00 00 00'
	local monitor fd
	monitor=$(pgrep -x bulkhead-vmm)
	for fd in /proc/"$monitor"/fd/*; do
		[ -e "$fd/zero" ] || continue
		run head -c 4 "$fd/zero"
		assert_output 'Permission denied'
		return 0
	done
	echo "the share was not found among the monitor's descriptors"
	return 1
}
