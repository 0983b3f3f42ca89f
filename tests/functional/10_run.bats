#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bulkhead run: a real root filesystem, its command's output, input, terminal and exit status.

load helpers

setup() { bundle_setup debian; }
teardown() { bundle_teardown; }

@test "run shows the image's os-release and the guest's own kernel" {
	script 'cat /etc/os-release; uname -r'
	run_container
	assert_status 0
	assert_output 'PRETTY_NAME="Debian GNU/Linux 12'
	assert_output '6.12.'
	refute_output "$(uname -r)"
}

@test "run passes the exit status on" {
	local wanted
	for wanted in 0 1 42 126 127 255; do
		script "exit $wanted"
		run_container
		assert_status "$wanted"
	done
}

@test "run answers 128+n for death by signal" {
	local sig
	for sig in 9 15 6 11; do
		# A child of PID 1 would hide the signal: the test program is PID 1 and signals are delivered to it by the host.
		config --arg sig "$sig" '.process.args = ["/testinit", "kill", $sig]
			| .linux.namespaces |= map(select(.type != "pid"))'
		run_container
		assert_status $((128 + sig))
	done
}

@test "run of a missing program fails with runc's words" {
	config '.process.args = ["/no/such/program"]'
	run_container
	assert_status 1
	assert_output 'exec: "/no/such/program": stat /no/such/program: no such file or directory'
	config '.process.args = ["nosuchprogram"]'
	run_container
	assert_output 'exec: "nosuchprogram": executable file not found in $PATH'
	config '.process.args = ["/etc/passwd"]'
	run_container
	assert_output 'exec: "/etc/passwd": permission denied'
}

@test "a python script writes and reads a hundred files" {
	bundle_teardown
	bundle_setup debian
	mkdir "$WORK/data"
	config --arg data "$WORK/data" \
		'.mounts += [{"destination": "/data", "type": "bind", "source": $data, "options": ["rbind", "rw"]}]'
	cat >"$WORK/data/work.py" <<'PY'
import hashlib, os
total = hashlib.sha256()
for i in range(100):
    with open(f"/data/f{i}", "wb") as f:
        f.write(bytes([i]) * (i * 1009))
for i in range(100):
    with open(f"/data/f{i}", "rb") as f:
        data = f.read()
    assert data == bytes([i]) * (i * 1009), i
    total.update(data)
os.rename("/data/f99", "/data/renamed")
os.unlink("/data/f98")
print("sum", total.hexdigest())
PY
	config '.process.args = ["python3", "/data/work.py"]'
	run_container
	assert_status 0
	local expected
	expected=$(python3 -c 'import hashlib
t = hashlib.sha256()
for i in range(100): t.update(bytes([i]) * (i * 1009))
print("sum", t.hexdigest())')
	assert_output "$expected"
	[ -f "$WORK/data/renamed" ] && [ ! -e "$WORK/data/f98" ]
	assert_equal "$(stat -c %s "$WORK/data/f50")" $((50 * 1009))
}

@test "a perl script writes and reads a hundred files" {
	mkdir "$WORK/data"
	config --arg data "$WORK/data" \
		'.mounts += [{"destination": "/data", "type": "bind", "source": $data, "options": ["rbind", "rw"]}]'
	config '.process.args = ["perl", "-e", "for my $i (0..99) { open(my $f, q(>), qq(/data/$i)) or die $!; print $f $i x 100; close $f } my $n = 0; for my $i (0..99) { open(my $f, q(<), qq(/data/$i)) or die; local $/; $n++ if <$f> eq $i x 100 } print qq(good $n\n)"]'
	run_container
	assert_status 0
	assert_output 'good 100'
	assert_equal "$(ls "$WORK/data" | wc -l)" 100
}

@test "stdin of 64 MiB comes back with an equal checksum" {
	local file=$WORK/stdin expected
	head -c 67108864 /dev/urandom >"$file"
	expected=$(sha256sum <"$file")
	script 'cat'
	RUN_TIMEOUT=240
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" <"$file" | sha256sum)" "$expected"
	script 'sha256sum'
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" <"$file")" "$expected"
}

@test "stdout and stderr stay apart" {
	script 'echo out; echo err >&2'
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" 2>/dev/null)" out
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" 2>&1 >/dev/null)" err
}

@test "end of file on stdin reaches the container" {
	script 'wc -c'
	assert_equal "$(printf 12345 | bh run --bundle "$BUNDLE" "$ID")" 5
	assert_equal "$(bh run --bundle "$BUNDLE" "$ID" </dev/null)" 0
}

@test "a reader that goes away ends the writer" {
	script 'yes | head -c 100000000; echo "status $?" >&2'
	run bash -c "timeout 60 $BULKHEAD run --bundle '$BUNDLE' '$ID' 2>/dev/null | head -c 10"
	assert_status 0
	assert_output 'y'
}

@test "an interactive terminal has a size, follows its changes, and takes input" {
	config '.process.terminal = true | .process.args = ["/bin/sh", "-c", "tty; stty size; trap \"stty size; exit 7\" WINCH; echo ready; while :; do read line; echo got $line; done"]'
	cat >"$WORK/term.py" <<'PY'
import fcntl, os, pty, select, struct, sys, termios, time
def size(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
size(fd, 33, 101)
seen, sent, resized, deadline = b"", False, False, time.time() + 60
while time.time() < deadline:
    ready, _, _ = select.select([fd], [], [], 1)
    if ready:
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    if b"ready" in seen and not sent:
        os.write(fd, b"hello\n")
        sent = True
    if b"got hello" in seen and not resized:
        size(fd, 44, 122)
        resized = True
_, status = os.waitpid(pid, 0)
sys.stdout.write(seen.decode(errors="replace"))
print("status", os.waitstatus_to_exitcode(status))
PY
	run timeout 90 python3 "$WORK/term.py" "$BULKHEAD" run --bundle "$BUNDLE" "$ID"
	assert_output '/dev/'
	assert_output '33 101'
	assert_output 'got hello'
	assert_output '44 122'
	assert_output 'status 7'
}

@test "signals to a foreground run reach the container" {
	script 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.1; done'
	"$BULKHEAD" run --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 3>&- &
	local pid=$! try
	for try in $(seq 300); do grep -q ready "$WORK/out" && break; sleep 0.2; done
	kill -TERM "$pid"
	local result=0
	wait "$pid" || result=$?
	assert_equal "$result" 3
	grep -q caught "$WORK/out"
}

@test "do runs a command over a throw-away view of the host's root" {
	run bh do -- /bin/sh -c 'uname -r; echo spoiled > /etc/hostname-of-bulkhead && cat /etc/hostname-of-bulkhead'
	assert_status 0
	assert_output '6.12.'
	assert_output 'spoiled'
	[ ! -e /etc/hostname-of-bulkhead ]
	run bh do -- /bin/sh -c 'exit 9'
	assert_status 9
}

@test "spec writes a config.json that runs" {
	mkdir -p "$WORK/fresh/rootfs"
	cp -a "$ROOTFS_DIR/busybox/." "$WORK/fresh/rootfs/"
	(cd "$WORK/fresh" && "$BULKHEAD" spec)
	jq -e '.ociVersion and .process.args == ["sh"] and .root.path == "rootfs"' "$WORK/fresh/config.json"
	jq '.process.terminal = false | .process.args = ["echo", "fresh"]' "$WORK/fresh/config.json" >"$WORK/c" && mv "$WORK/c" "$WORK/fresh/config.json"
	run bh run --bundle "$WORK/fresh" "$ID"
	assert_status 0
	assert_output fresh
	run bash -c "cd '$WORK/fresh' && '$BULKHEAD' spec"
	assert_status 1
	assert_output 'config.json'
}

@test "check finds this host able to run containers" {
	run bh check
	assert_status 0
	assert_output kvm
}

@test "two CPUs are two CPUs" {
	# More than the host has, if the operator wants it so: test hosts have one.
	mkdir -p /etc/bulkhead
	[ -e /etc/bulkhead/bulkhead.json ] || echo '{"max_vcpus": 2}' >/etc/bulkhead/bulkhead.json
	config '.annotations["io.bulkhead.vcpus"] = "2" | .process.args = ["nproc"]'
	run_container
	assert_status 0
	assert_equal "$output" 2
}
