#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Files over shares when it gets hard: random work against a copy, races with the host, many files, bounds, locks.

load helpers

setup() {
	bundle_setup debian
	RUN_TIMEOUT=300
	DATA=$WORK/data
	mkdir "$DATA"
	share "$DATA" /data rw
	share "$PWD/tests/functional/files" /scripts ro
	share /usr /usr ro
	config '.process.capabilities[] |= . + ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"] | .process.capabilities[] |= unique'
}
teardown() {
	if mountpoint -q "$WORK/disk"; then umount "$WORK/disk"; fi
	bundle_teardown
}

@test "random changes of a file on ext4 give what they should" {
	truncate -s 200M "$WORK/image"
	mkfs.ext4 -q "$WORK/image"
	mkdir "$WORK/disk"
	modprobe loop
	mount -o loop "$WORK/image" "$WORK/disk"
	share "$WORK/disk" /disk rw
	script 'for seed in 1 2 3; do python3 /scripts/random_file.py /disk/f$seed 15 $seed || exit 1; done'
	run_container
	assert_status 0
	assert_equal "$(grep -c '^equal after' <<<"$output")" 3
}

@test "nothing outside of a share is reached, whoever moves and links what" {
	local base=$WORK/base
	mkdir -p "$base/share" "$base/outside" "$base/elsewhere"
	echo "the host's secret" >"$base/outside/secret"
	chmod 640 "$base/outside/secret"
	touch -d 2001-01-01 "$base/outside/secret" "$base/outside"
	local before
	before=$(cd "$base/outside" && find . -printf '%p %y %m %U %n %T@ %C@\n' | sort && sha256sum secret)
	share "$base/share" /race rw
	# The guest's links lead to its own root as well.
	config '.root.readonly = true'
	script 'python3 /scripts/race_guest.py /race 20; : >/race/stop'
	python3 tests/functional/files/race_host.py "$base" >"$WORK/host" &
	local other=$!
	run_container
	touch "$base/share/stop"
	wait "$other"
	cat "$WORK/host"
	assert_status 0
	assert_output 'guest: '
	refute_output reached
	refute_output secret
	grep -q 'rounds' "$WORK/host"
	assert_equal "$(cd "$base/outside" && find . -printf '%p %y %m %U %n %T@ %C@\n' | sort && sha256sum secret)" "$before"
}

@test "a directory of 10,000 files is listed whole" {
	# Made on the host; 100,000 take ten times as long and nothing else.
	python3 -c 'import os, sys
for i in range(10000): os.close(os.open("%s/entry-number-%d" % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY))' "$DATA"
	script 'ls -f /data | grep -c entry; ls /data | sort -u | grep -c entry; ls -l /data | grep -c entry
		find /data -name "entry-number-77*" | wc -l; rm -r /data/entry-number-*5; ls /data | wc -l'
	run_container
	assert_status 0
	assert_equal "${lines[*]}" '10000 10000 10000 111 9000'
	assert_equal "$(find "$DATA" -type f | wc -l)" 9000
}

@test "a guest that holds too many files gets ENFILE and nobody else does" {
	python3 -c 'import os, sys
for i in range(900): os.close(os.open("%s/f%d" % (sys.argv[1], i), os.O_CREAT | os.O_WRONLY))' "$DATA"
	cat >"$DATA/hold.py" <<-'PY'
		import errno, os
		held, seen = [], set()
		for i in range(900):
		    try:
		        held.append(os.open("/data/f%d" % i, os.O_RDONLY))
		    except OSError as error:
		        seen.add(errno.errorcode[error.errno])
		print("bounded" if 100 < len(held) < 900 else "held %d" % len(held), seen)
		for fd in held:
		    os.close(fd)
		# What is not used any more makes room again.
		with open("/proc/sys/vm/drop_caches", "w") as file:
		    file.write("2\n")
		print(os.stat("/data/f899").st_size)
	PY
	config '.process.capabilities[] |= . + ["CAP_SYS_ADMIN"] | .linux.readonlyPaths = [] | .linux.maskedPaths = []'
	script 'python3 /data/hold.py'
	# The monitor takes its bound from the limit of open files that it starts with.
	run bash -c "ulimit -n 1200; exec timeout -k 5 $RUN_TIMEOUT $BULKHEAD run --bundle '$BUNDLE' '$ID'"
	assert_status 0
	assert_equal "${lines[0]}" "bounded {'ENFILE'}"
	assert_equal "${lines[1]}" 0
}

@test "locks hold among the guest's processes and are the guest's own" {
	cat >"$DATA/locks.py" <<-'PY'
		import fcntl, os, struct, sys, time
		def lock(kind, how):
		    fd = os.open("/data/locked", os.O_RDWR | os.O_CREAT)
		    try:
		        if kind == "ofd":
		            fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
		        else:
		            (fcntl.lockf if kind == "posix" else fcntl.flock)(fd, how)
		        return "taken"
		    except OSError as error:
		        return "refused"
		kinds = ("posix", "ofd", "flock")
		if sys.argv[1] == "hold":
		    lock("posix", fcntl.LOCK_EX)
		    lock("flock", fcntl.LOCK_EX)
		    open("/data/held", "w").close()
		    time.sleep(1000)
		print(*(kind + " " + lock(kind, fcntl.LOCK_EX | fcntl.LOCK_NB) for kind in kinds))
	PY
	script 'python3 /data/locks.py hold & until [ -e /data/held ]; do sleep 0.1; done
		echo guest: $(python3 /data/locks.py try); touch /data/tried; until [ -e /data/go ]; do sleep 0.1; done
		kill -9 $!; wait; echo after: $(python3 /data/locks.py try)'
	{
		until [ -e "$DATA/tried" ]; do sleep 0.1; done
		sed "s|/data/|$DATA/|" "$DATA/locks.py" >"$WORK/locks.py"
		python3 "$WORK/locks.py" try >"$WORK/host" || true
		touch "$DATA/go"
	} &
	local other=$!
	run_container
	wait "$other"
	assert_status 0
	assert_output 'guest: posix refused ofd refused flock refused'
	assert_output 'after: posix taken ofd'
	# As docs/files.md says: the host does not see them.
	assert_equal "$(cat "$WORK/host" | cut -d' ' -f1,2,5,6)" 'posix taken flock taken'
}

@test "how long the guest believes what it knows is the container's choice" {
	# The guest has looked; the host changes file and names within the same second; the guest looks again.
	echo old >"$DATA/changed"
	script 'cat /data/changed /data/appeared; touch /data/looked; until [ -e /data/done-$1 ]; do :; done; cat /data/changed
		[ -e /data/appeared ] && echo appeared'
	config '.process.args[3] = "sh" | .process.args[4] = "none" | .annotations["io.bulkhead.file-cache"] = "none"'
	{
		until [ -e "$DATA/looked" ]; do sleep 0.05; done
		echo new >"$DATA/changed"
		touch "$DATA/appeared" "$DATA/done-none"
	} &
	local other=$!
	run_container
	wait "$other"
	assert_status 0
	assert_output new
	assert_output appeared
	# And the other way: what only the guest has written is on the host when it has ended, small pieces and times too.
	script 'i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i + 1)); done >/data/lines; touch -d 2001-02-03 /data/old
		echo more >>/data/old; touch -d 2001-02-03 /data/old; stat -c %Y /data/old; cat /data/changed'
	config '.annotations["io.bulkhead.file-cache"] = "always"'
	run_container
	assert_status 0
	assert_equal "$(wc -l <"$DATA/lines")" 300
	assert_equal "$(tail -n 1 "$DATA/lines")" 'line 299'
	assert_equal "$(cat "$DATA/old")" more
	assert_equal "$(stat -c %Y "$DATA/old")" "${lines[0]}"
	config '.annotations["io.bulkhead.file-cache"] = "sometimes"'
	run_container
	assert_status 1
	assert_output 'annotation io.bulkhead.file-cache: must be none, auto or always, not "sometimes"'
}

@test "random changes of a file that is written back late give what they should" {
	config '.annotations["io.bulkhead.file-cache"] = "always"'
	script 'for seed in 4 5; do python3 /scripts/random_file.py /data/f 15 $seed || exit 1; done; md5sum /data/f | cut -c1-32'
	run_container
	assert_status 0
	assert_equal "$(grep -c '^equal after' <<<"$output")" 2
	assert_equal "$(md5sum "$DATA/f" | cut -c1-32)" "${lines[-1]}"
}

@test "a file of an overlay's lower layer can be written after it was unlinked" {
	mkdir -p "$WORK/disk" "$WORK/lower" "$WORK/upper" "$WORK/work"
	echo lower >"$WORK/lower/f"
	mount -t overlay none -o "lowerdir=$WORK/lower,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/disk"
	share "$WORK/disk" /disk rw
	script 'exec 3<>/disk/f && rm /disk/f && echo written >&3 && head -c 100 /proc/self/fd/3'
	run_container
	assert_status 0
	assert_output written
	assert_equal "$(cat "$WORK/lower/f")" lower
}

@test "files of a read-only share are mapped from the host, and survive being truncated there" {
	local ro=$WORK/disk i
	truncate -s 200M "$WORK/image"
	mkfs.ext4 -q "$WORK/image"
	mkdir "$ro"
	modprobe loop
	mount -o loop "$WORK/image" "$ro"
	head -c 9000000 /dev/urandom >"$ro/large"
	head -c 300000 /dev/zero | tr '\0' a >"$ro/changed"
	head -c 6291456 /dev/zero | tr '\0' '\1' >"$ro/racing"
	share "$ro" /ro ro
	config '.annotations["io.bulkhead.dax-mib"] = "64"'
	script 'python3 /scripts/mapped.py /ro /data; echo no >/ro/large'
	{
		until [ -e "$DATA/change" ]; do sleep 0.05; done
		printf bbb | dd of="$ro/changed" conv=notrunc status=none
		touch "$DATA/changed"
		until [ -e "$DATA/race" ]; do sleep 0.05; done
		for i in $(seq 20); do
			truncate -s $((i * 100000)) "$ro/racing"
			head -c 6291456 /dev/zero | tr '\0' '\1' >"$ro/racing"
		done
		touch "$DATA/raced"
		until [ -e "$DATA/cut" ]; do sleep 0.05; done
		truncate -s 5000 "$ro/racing"
		touch "$DATA/is-cut"
		until [ -e "$DATA/grow" ]; do sleep 0.05; done
		head -c 6291456 /dev/zero | tr '\0' '\1' >"$ro/racing"
		touch "$DATA/has-grown"
	} &
	local other=$!
	run_container
	touch "$DATA/change" "$DATA/race" "$DATA/cut" "$DATA/grow" # whatever became of the container
	wait "$other"
	assert_output "sum $(md5sum "$ro/large" | cut -c1-32)"
	assert_output 'cached little'
	assert_output "before b'aaa'"
	assert_output "after b'bbb'"
	assert_output 'direct 262144'
	assert_output "private b'own' b'bbb'"
	assert_output 'raced True'
	refute_output 'wrong byte'
	assert_output 'cut 1 0'
	assert_output 'grown True {1}'
	assert_output end
	assert_output 'Read-only file system'
	cmp -n 262144 "$ro/changed" "$DATA/direct"
	config '.annotations["io.bulkhead.dax-mib"] = "20000"'
	run_container
	assert_status 1
	assert_output 'annotation io.bulkhead.dax-mib: must be from 0 to 16384, not 20000'
}
