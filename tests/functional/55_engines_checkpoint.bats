#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Checkpoints by the engines' own commands: Podman's, within a host and as an archive, Docker's, containerd's. Podman asks CRIU for
# its version before it asks the runtime for anything; here something that says one stands in (checkpoint/criu).

load helpers

setup_file() {
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | podman import - localhost/busybox >/dev/null
	# An image of a VM's memory passes through archives and checksums: small ones, so that it does not take long.
	mkdir -p /etc/bulkhead
	echo '{"default_memory_mib": 64}' >/etc/bulkhead/bulkhead.json
}
teardown_file() { rm -f /etc/bulkhead/bulkhead.json; }

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/engine.XXXXXX")
	NAME=p$$-$BATS_TEST_NUMBER
	mkdir "$WORK/bin"
	cp tests/functional/checkpoint/criu "$WORK/bin/"
	PATH=$WORK/bin:$PATH
}

teardown() {
	timeout 60 podman rm -f --ignore -t 10 "$NAME" "$NAME-2" >/dev/null 2>&1 || true
	timeout 60 podman volume rm -f "$NAME" >/dev/null 2>&1 || true
	timeout 60 docker rm -f "$NAME" >/dev/null 2>&1 || true
	timeout 60 ctr tasks delete -f "$NAME" >/dev/null 2>&1 || true
	timeout 60 ctr containers delete "$NAME" >/dev/null 2>&1 || true
	rm -rf "$WORK"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

pm() { timeout 240 podman --runtime "$(command -v "$BULKHEAD")" "$@"; }

# A number a moment, in memory only, and where it stands in a file.
COUNT='i=0; while :; do i=$((i + 1)); echo $i; echo $i >/tmp/new && mv /tmp/new /tmp/at; sleep 0.5; done'
count_of() { pm exec "$1" cat /tmp/at; }
wait_for_count() { # NAME LEAST
	local try
	for try in $(seq 100); do
		[ "$(count_of "$1")" -ge "$2" ] && return 0
		read -rt 0.2 <> <(:) || true
	done
	pm logs "$1" | tail -n 3
	return 1
}
state_of() { pm inspect -f '{{.State.Status}} {{.State.Checkpointed}}' "$1"; }

@test "podman container checkpoint and restore, twice: the program goes on, and its log" {
	pm run -d --name "$NAME" -p 8095:80 localhost/busybox sh -c "httpd -h /etc; $COUNT" >/dev/null
	wait_for_count "$NAME" 3
	local round before
	for round in 1 2; do
		run pm container checkpoint "$NAME"
		assert_equal "$output" "$NAME"
		assert_equal "$(state_of "$NAME")" 'exited true'
		before=$(pm logs "$NAME" | tail -n 1)
		run pm container restore "$NAME"
		assert_equal "$output" "$NAME"
		assert_equal "$(state_of "$NAME")" 'running false'
		wait_for_count "$NAME" $((before + 2))
	done
	# None came twice: it is one program.
	assert_equal "$(pm logs "$NAME" | sort -n | uniq -d)" ''
	assert_equal "$(curl -s http://127.0.0.1:8095/passwd | head -c 5)" root:
}

@test "podman container checkpoint --leave-running, --print-stats" {
	pm run -d --name "$NAME" localhost/busybox sh -c "$COUNT" >/dev/null
	wait_for_count "$NAME" 2
	run pm container checkpoint --leave-running --print-stats "$NAME"
	assert_status 0
	assert_output '"pages_scanned": 16384'
	assert_output '"frozen_time": '
	assert_equal "$(state_of "$NAME")" 'running false'
	wait_for_count "$NAME" $(($(count_of "$NAME") + 2))
}

@test "podman container checkpoint --export, and --import under another name, with a volume" {
	pm run -d --name "$NAME" -v "$NAME:/vol" localhost/busybox \
		sh -c "exec 5>>/vol/open 6>>/opened; echo first >&5; echo first >&6; while [ ! -e /vol/go ]; do sleep 0.2; done; echo second >&5; echo second >&6; cat /vol/open /opened; $COUNT" >/dev/null
	sleep 1
	run pm container checkpoint --export "$WORK/checkpoint.tar" "$NAME"
	assert_equal "$output" "$NAME"
	pm rm "$NAME" >/dev/null
	pm volume rm "$NAME" >/dev/null
	run pm container restore --import "$WORK/checkpoint.tar" --name "$NAME-2"
	assert_status 0
	pm exec "$NAME-2" touch /vol/go
	wait_for_count "$NAME-2" 1
	run pm logs "$NAME-2"
	assert_equal "${lines[*]:0:4}" 'first second first second'
}

@test "docker checkpoint create, and start --checkpoint" {
	mkdir -p /etc/docker
	printf '{"experimental": true, "runtimes": {"bulkhead": {"path": "%s"}}}' "$(command -v "$BULKHEAD")" >/etc/docker/daemon.json
	start-dockerd 3>&- 4>&-
	tar -C "$ROOTFS_DIR/busybox" -c . | docker import - busybox >/dev/null
	timeout 240 docker run -d --runtime bulkhead --name "$NAME" busybox sh -c "$COUNT" >/dev/null
	sleep 2
	timeout 240 docker checkpoint create "$NAME" saved
	assert_equal "$(docker inspect -f '{{.State.Running}}' "$NAME")" false
	local before=$(docker logs "$NAME" | tail -n 1)
	timeout 240 docker start --checkpoint saved "$NAME"
	sleep 2
	[ "$(timeout 60 docker exec "$NAME" cat /tmp/at)" -gt "$before" ]
	assert_equal "$(docker logs "$NAME" | sort -n | uniq -d)" ''
	timeout 60 docker rm -f "$NAME" >/dev/null
}

@test "ctr tasks checkpoint leaves a bulkhead image" {
	start-containerd 3>&- 4>&-
	timeout 240 ctr run -d --runtime io.containerd.runc.v2 --runc-binary "$(command -v "$BULKHEAD")" \
		--rootfs "$ROOTFS_DIR/busybox" "$NAME" /bin/sleep 1000
	timeout 240 ctr tasks checkpoint --image-path "$WORK/image" --work-path "$WORK/work" "$NAME" >/dev/null
	grep -q '^bulkhead-checkpoint ' "$WORK/image/manifest"
	run timeout 60 ctr tasks exec --exec-id e "$NAME" /bin/echo goes on
	assert_output 'goes on'
	timeout 60 ctr tasks kill -s KILL "$NAME"
}
