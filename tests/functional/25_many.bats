#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Many containers, in turn and at once, and kill -9 of every process at every stage of create: nothing is left behind.

load helpers

setup() { bundle_setup busybox; }
teardown() { bundle_teardown; }

assert_no_leak() {
	local leaks
	leaks=$(leak_report)
	[ -z "$leaks" ] || { echo "left behind $1: $leaks"; return 1; }
}

# Verb by verb, as an engine does it.
one_after_the_other() {
	local i try
	for i in $(seq "$1"); do
		bh create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
		bh start "$ID"
		for try in $(seq 300); do
			[ -d "/proc/$(cat "$WORK/pid")" ] || break
			[ "$(sed 's/.*) //; s/ .*//' "/proc/$(cat "$WORK/pid")/stat" 2>/dev/null)" != Z ] || break
			sleep 0.1
		done
		bh delete "$ID"
		assert_equal "$(cat "$WORK/out")" "number $i"
		script "echo number $((i + 1))"
	done
	assert_no_leak "by $1 in turn"
}

# A hundred in all, in four tests: on a busy machine each of them takes its time.
@test "25 containers created, started and deleted in turn leave nothing" {
	script 'echo number 1'
	one_after_the_other 25
}

@test "25 more" {
	script 'echo number 1'
	one_after_the_other 25
}

runs() {
	local i
	script 'exit 7'
	for i in $(seq "$1"); do
		run_container
		assert_status 7
	done
	assert_no_leak "by $1 runs"
}

@test "25 runs leave nothing" { runs 25; }

@test "25 more runs" { runs 25; }

@test "twenty at once all run, end and leave nothing" {
	local i try
	for i in $(seq 20); do
		mkdir "$WORK/b$i"
		script "echo container $i; while [ ! -e /go/go ]; do sleep 2; done; exit $i"
		config --arg d "$WORK/go" '.mounts |= map(select(.destination != "/go"))
			+ [{"destination": "/go", "type": "bind", "source": $d, "options": ["bind", "ro"]}]
			| .annotations["io.bulkhead.memory-mib"] = "128"'
		cp "$BUNDLE/config.json" "$WORK/b$i/"
	done
	mkdir "$WORK/go"
	for i in $(seq 20); do
		"$BULKHEAD" run --bundle "$WORK/b$i" "$ID-$i" </dev/null >"$WORK/out$i" 2>&1 3>&- &
		eval "pid$i=$!"
	done
	for try in $(seq 600); do
		[ "$(cat "$WORK"/out*)" != "" ] && [ "$(cat "$WORK"/out* | wc -l)" -ge 20 ] && break
		sleep 0.5
	done
	assert_equal "$(cat "$WORK"/out* | sort -V)" "$(seq -f 'container %g' 20)"
	assert_equal "$(bh list -q | wc -l)" 20
	assert_equal "$(bh list --format json | jq -r '[.[].status] | unique | join(" ")')" running
	touch "$WORK/go/go"
	for i in $(seq 20); do
		local pid_name=pid$i status=0
		wait "${!pid_name}" || status=$?
		assert_equal "$status" "$i"
	done
	assert_no_leak "by 20 at once"
}

# ---- kill -9 ----

# The stages of create, each by what can be seen of it.
stage_state_directory() { [ -d "$STATE_ROOT/$ID" ]; }
stage_record() { [ -e "$STATE_ROOT/$ID/state.json" ]; }
stage_proxy() { pgrep -x bulkhead-proxy >/dev/null; }
stage_monitor() { pgrep -x bulkhead-vmm >/dev/null; }
stage_prestart() { [ -e "$WORK/prestart" ]; }
stage_guest() { [ -e "$WORK/hooks-done" ]; }
stage_created() { [ -e "$WORK/pid" ]; }

# kill_at STAGE VICTIM: false if that stage does not have that process (any more).
kill_at() {
	local stage=$1 victim=$2 create_pid pid try status=0
	rm -f "$WORK"/{prestart,hooks-done,pid}
	"$BULKHEAD" create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" </dev/null >"$WORK/out" 2>&1 3>&- &
	create_pid=$!
	until "stage_$stage"; do
		[ -d "/proc/$create_pid" ] || break
	done
	case $victim in
	create) pid=$create_pid ;;
	proxy) pid=$(pgrep -x bulkhead-proxy) ;;
	monitor) pid=$(pgrep -x bulkhead-vmm) ;;
	esac
	[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null || pid=
	wait "$create_pid" || status=$?
	# Whose proxy or monitor was killed cleans up itself; only after the command itself has gone somebody else has to.
	if [ -n "$pid" ] && [ "$victim" != create ] && [ "$status" -ne 0 ]; then
		[ ! -e "$STATE_ROOT/$ID" ] || { echo "$stage, $victim: state left: $(ls "$STATE_ROOT/$ID")"; return 1; }
		[ -s "$WORK/out" ] || { echo "$stage, $victim: failed without a word"; return 1; }
		[ "$(wc -l <"$WORK/out")" -eq 1 ] || { echo "$stage, $victim: $(cat "$WORK/out")"; return 1; }
	fi
	bh delete --force "$ID"
	assert_no_leak "by kill -9 of $victim at stage $stage"
	echo "$stage $victim ${pid:+killed} status $status" >>"$WORK/kills"
}

@test "kill -9 of every process at every stage of create leaves nothing" {
	local stage victim
	config '.process.args = ["/testinit", "sleep", "1000"]'
	config --arg w "$WORK" '.hooks = {
		"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "touch \($w)/prestart; sleep 0.3"]}],
		"createContainer": [{"path": "/usr/bin/touch", "args": ["touch", "\($w)/hooks-done"]}]}'
	for stage in state_directory record proxy monitor prestart guest created; do
		for victim in create proxy monitor; do
			kill_at "$stage" "$victim"
		done
	done
	cat "$WORK/kills"
	# The test must have met them: each stage's process, but those that are not there yet.
	[ "$(grep -c killed "$WORK/kills")" -ge 15 ]
}
