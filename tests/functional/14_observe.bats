#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What an operator sees: metrics, a shell in the VM, logs, the trace.

load helpers

setup() { bundle_setup debian; }
teardown() {
	rm -f /etc/bulkhead/bulkhead.json
	bundle_teardown
}

start_container() {
	script "${1:-sleep 1000}"
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1
}

# The value of a sample.
metric() { printf '%s\n' "$output" | awk -v name="$1" '$1 == name { print $2 }'; }

@test "metrics tell of the VM, its devices, its start and the container, paused and ended ones too" {
	start_container 'sleep 1000'
	# One that boots has more phases than one that begins with a template.
	assert_equal "$(bh metrics "$ID" | grep -cE 'phase="(setup|restore|load|jail)"|phase="(kernel|init|agent)"')" \
		"$(bh metrics "$ID" | grep -q 'phase="setup"' && echo 4 || echo 5)"
	run bh metrics "$ID"
	assert_status 0
	assert_output "bulkhead_container_info{id=\"$ID\",status=\"running\"} 1"
	assert_equal "$(metric "bulkhead_vm_memory_size_bytes{id=\"$ID\"}")" $((512 << 20))
	assert_equal "$(metric "bulkhead_device_refused_total{id=\"$ID\",device=\"fs\"}")" 0
	local name
	for name in vm_exits_total vm_memory_resident_bytes container_cpu_seconds_total container_memory_bytes \
		container_processes; do
		[[ $(metric "bulkhead_$name{id=\"$ID\"}") =~ ^[0-9.]*[1-9][0-9.]*$ ]] || { echo "$name: $output"; return 1; }
	done
	for name in load jail; do
		[[ $(metric "bulkhead_vm_start_phase_seconds{id=\"$ID\",phase=\"$name\"}") =~ ^[0-9]+\.[0-9]{9}$ ]]
	done
	local before after
	before=$(metric "bulkhead_device_requests_total{id=\"$ID\",device=\"fs\"}")
	bh exec "$ID" ls -lR /etc >/dev/null
	run bh metrics
	after=$(metric "bulkhead_device_requests_total{id=\"$ID\",device=\"fs\"}")
	[ "$after" -gt "$before" ] || { echo "$before, then $after"; return 1; }

	bh pause "$ID"
	run bh metrics "$ID"
	assert_equal "$(metric "bulkhead_vm_paused{id=\"$ID\"}")" 1
	refute_output "container_processes{id=\"$ID\"}"
	bh resume "$ID"
	bh kill "$ID" KILL
	run timeout 20 sh -c "until bulkhead state $ID | grep -q stopped; do sleep 0.2; done; bulkhead metrics $ID"
	assert_output "bulkhead_container_info{id=\"$ID\",status=\"stopped\"} 1"
	refute_output "vm_exits_total{id=\"$ID\"}"
	run bh metrics nobody
	assert_one_line 'container does not exist'
}

@test "debug runs a root shell beside the container, where the host allows it" {
	mkdir -p /etc/bulkhead
	config '.process.user = {"uid": 1000, "gid": 1000} | .process.capabilities = {} | .process.noNewPrivileges = true'
	start_container
	run bh debug "$ID" true
	assert_status 255
	assert_one_line 'not allowed on this host; "allow_debug": true in /etc/bulkhead/bulkhead.json allows it'

	echo '{"allow_debug": true, "log_level": "debug"}' >/etc/bulkhead/bulkhead.json
	run bh debug "$ID" sh -c 'id -u; cat /proc/1/comm; grep CapEff /proc/self/status; head -n 1 /etc/os-release; exit 7'
	assert_status 7
	assert_line_is 0 0
	assert_line_is 1 init
	[[ ${lines[2]} =~ CapEff:.*1ffffffffff$ ]] || { echo "${lines[2]}"; return 1; }
	assert_output 'Debian GNU/Linux 12'
	# The guest's own log, which no container sees; and the container does not see us.
	run bh debug "$ID" dmesg
	assert_output 'Linux version 6.12'
	bh debug "$ID" sleep 1234 </dev/null >/dev/null 2>&1 3>&- &
	local debugger=$!
	run bh exec "$ID" sh -c 'sleep 2; cat /proc/[0-9]*/cmdline /proc/1/comm | tr "\0" " "'
	assert_output 'sleep 1000'
	refute_output 'sleep 1234'
	refute_output init
	bh delete --force "$ID"
	wait "$debugger" || true # a bare `wait` would wait for bats' own clock, too
	run bh debug "$ID" true
	assert_one_line 'container does not exist'
}
assert_line_is() { assert_equal "${lines[$1]}" "$2"; }

@test "logs: the monitor's level is the host's, a failure is one JSON object, and --trace has every phase" {
	mkdir -p /etc/bulkhead
	echo '{"log_level": "debug", "cmdline": "ignore_loglevel", "templates": false}' >/etc/bulkhead/bulkhead.json
	start_container
	# The guest's console, as docs/debugging.md says.
	grep -q 'debug: console: guest says ".*Run /init as init process' "$STATE_ROOT/$ID/log" ||
		{ head -n 20 "$STATE_ROOT/$ID/log"; return 1; }
	bh delete --force "$ID"
	echo '{"log_level": "error"}' >/etc/bulkhead/bulkhead.json
	bh --trace "$WORK/trace" run --detach --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	assert_equal "$(cat "$STATE_ROOT/$ID/log")" ''
	local phase
	for phase in 'command start' 'config parsed' 'agent ready' exit; do
		jq -e --arg name "$phase" '.traceEvents | map(.name) | index($name) != null' "$WORK/trace" ||
			{ jq -c '.traceEvents | map(.name)' "$WORK/trace"; return 1; }
	done
	run bh --log "$WORK/log" --log-format json run --bundle "$BUNDLE" "$ID"
	assert_status 1
	assert_equal "$(jq -s 'length' "$WORK/log")" 1
	jq -e '.level == "error" and (.msg | test("already exists")) and (.time | test("^20.*Z$"))' "$WORK/log"
}
