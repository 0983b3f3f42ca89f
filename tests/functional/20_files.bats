#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Files over shares: what programs see in the guest is what they see on the host's own file system.

load helpers

setup() {
	bundle_setup debian
	RUN_TIMEOUT=400
	DATA=$WORK/data
	mkdir "$DATA"
	share "$DATA" /data rw
	# The host's own Python has the modules that the image leaves out; both are of one Debian.
	share /usr /usr ro
	config '.process.capabilities[] |= . + ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD",
		"CAP_SETUID", "CAP_SETGID", "CAP_SETFCAP", "CAP_KILL"] | .process.capabilities[] |= unique'
}
teardown() {
	if mountpoint -q "$WORK/disk"; then umount -R "$WORK/disk"; fi
	bundle_teardown
}

@test "file operations give what they give on the host's ext4" {
	truncate -s 1G "$WORK/image"
	mkfs.ext4 -q "$WORK/image"
	mkdir "$WORK/disk"
	modprobe loop
	mount -o loop "$WORK/image" "$WORK/disk"
	mkdir "$WORK/disk/native" "$WORK/disk/guest"
	cp tests/functional/files/operations.py "$DATA"
	share "$WORK/disk/guest" /disk rw
	python3 "$DATA/operations.py" "$WORK/disk/native" >"$WORK/native"
	script 'python3 /data/operations.py /disk'
	run bash -c "timeout -k 5 $RUN_TIMEOUT $BULKHEAD run --bundle '$BUNDLE' '$ID' >'$WORK/guest'"
	assert_status 0
	run diff "$WORK/native" "$WORK/guest"
	assert_equal "$output" ""
	[ "$(wc -l <"$WORK/guest")" -gt 250 ]
	# What lies on the disk afterwards is the same as well, owners and modes included.
	local side
	for side in native guest; do
		(cd "$WORK/disk/$side" && find . -printf '%p %y %m %U %G %s %n %l\n' | sed 's/^\(\S* d \S* \S* \S*\) \S*/\1/' |
			sort) >"$WORK/list-$side"
	done
	run diff "$WORK/list-native" "$WORK/list-guest"
	assert_equal "$output" ""
	run fsck.ext4 -n "$WORK/image"
}

@test "file operations give what they give on tmpfs" {
	mkdir "$WORK/disk"
	mount -t tmpfs none "$WORK/disk"
	mkdir "$WORK/disk/native" "$WORK/disk/guest"
	cp tests/functional/files/operations.py "$DATA"
	share "$WORK/disk/guest" /disk rw
	local subjects='creating links renaming removing contents appending mapping unnamed special_files permissions'
	# shellcheck disable=SC2086 # a list of words
	python3 "$DATA/operations.py" "$WORK/disk/native" $subjects >"$WORK/native"
	script "python3 /data/operations.py /disk $subjects"
	run bash -c "timeout -k 5 $RUN_TIMEOUT $BULKHEAD run --bundle '$BUNDLE' '$ID' >'$WORK/guest'"
	assert_status 0
	run diff "$WORK/native" "$WORK/guest"
	assert_equal "$output" ""
}

@test "what the host changes is seen within two seconds" {
	echo old >"$DATA/changed"
	echo gone >"$DATA/removed"
	# The host's side waits for the guest to have looked, then changes, and the guest looks again.
	script 'cat /data/changed /data/removed; ls /data; [ ! -e /data/appeared ]; touch /data/looked
		sleep 4; cat /data/changed; cat /data/removed; cat /data/appeared'
	{
		until [ -e "$DATA/looked" ]; do sleep 0.1; done
		echo new and longer >"$DATA/changed"
		echo now >"$DATA/appeared"
		rm "$DATA/removed"
	} &
	local other=$!
	run_container
	wait "$other"
	assert_output 'new and longer'
	assert_output 'now'
	assert_output 'removed: No such file'
}

@test "a read-only mount takes no change" {
	echo text >"$DATA/f"
	config '(.mounts[] | select(.destination == "/data")).options = ["rbind", "ro"]'
	script 'echo x >/data/f; echo x >/data/g; rm -f /data/f; chmod 777 /data/f; mkdir /data/d; cat /data/f'
	run_container
	assert_output 'Read-only file system'
	assert_equal "$(cat "$DATA/f")" text
	assert_equal "$(ls "$DATA")" f
}

@test "a mount within a share is a mount of its own" {
	mkdir "$DATA/sub" "$WORK/disk"
	mount -t tmpfs none "$WORK/disk"
	mkdir "$WORK/disk/sub"
	mount -t tmpfs none "$WORK/disk/sub"
	echo inner >"$WORK/disk/sub/f"
	share "$WORK/disk" /disk rw
	script 'cat /disk/sub/f; echo more >/disk/sub/g; [ "$(stat -c %d /disk)" != "$(stat -c %d /disk/sub)" ] && echo apart
		find /disk -xdev'
	run_container
	assert_status 0
	assert_output inner
	assert_output apart
	refute_output /disk/sub/f
	assert_equal "$(cat "$WORK/disk/sub/g")" more
}

@test "shares may have as much to be written as other file systems" {
	script 'cd /sys/class/bdi/$(mountpoint -d /) && cat max_ratio strict_limit'
	run_container
	assert_status 0
	assert_equal "$output" $'100\n0'
}

@test "a link out of a share leads nowhere" {
	echo secret >"$WORK/secret"
	ln -s "$WORK/secret" "$DATA/away"
	ln -s ../../../../../../../../../../../etc/hostname "$DATA/up"
	script 'cat /data/away; cat /data/up 2>&1; ln -s /etc/shadow /data/new; readlink /data/new'
	run_container
	refute_output secret
	assert_output 'away: No such file'
	assert_output /etc/shadow
}
