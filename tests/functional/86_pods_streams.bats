#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What kubectl does with a running pod: exec, attach, logs, port-forward; and probes, limits, statistics, termination.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

stream() { timeout 120 python3 tests/functional/cri/stream.py "$@"; }

@test "exec, attach, port-forward, update, statistics and graceful termination" {
	pod streams
	shell server 'mkdir /w; echo through a port >/w/i; echo to stderr >&2; trap "echo asked to end; exit 0" TERM; httpd -p 127.0.0.1:8080 -h /w; while :; do sleep 0.2; done'
	local server=$CTR url
	wait_log server "stderr F to stderr"
	url=$(cri Exec "{\"container_id\": \"$server\", \"cmd\": [\"sh\", \"-c\", \"read x; echo got \$x; exit 3\"], \"stdin\": true, \"stdout\": true, \"stderr\": true}" | jq -r .url)
	run stream "$url" 'a line\n'
	assert_output "got a line"
	assert_output "exit code 3"
	# A probe that takes too long.
	run cri ExecSync "{\"container_id\": \"$server\", \"cmd\": [\"sleep\", \"100\"], \"timeout\": 2}"
	assert_output "timeout 2s exceeded"

	# It listens on the guest's loopback alone.
	url=$(cri PortForward "{\"pod_sandbox_id\": \"$POD\", \"port\": [8080]}" | jq -r .url)
	run stream --port "$url" 'GET /i HTTP/1.0\r\n\r\n'
	assert_status 0
	assert_output "through a port"
	local network
	network=/proc/$(bh_pod state "$POD" | jq .pid)/ns/net
	assert_equal "$(nsenter --net="$network" curl -s --max-time 30 http://127.0.0.1:8080/i)" "through a port"
	run nsenter --net="$network" curl -s --max-time 30 http://127.0.0.1:8081/
	assert_status 52 # an empty reply: nobody listens there
	# ... which the network does not reach.
	run curl -s --max-time 5 "http://$(pod_address):8080/i"
	[ "$status" -ne 0 ]

	cri UpdateContainerResources "{\"container_id\": \"$server\", \"linux\": {\"memory_limit_in_bytes\": 67108864, \"cpu_shares\": 512}}"
	run in_container "$server" cat /sys/fs/cgroup/memory.max
	assert_output 67108864
	run bh_pod events --stats "$server"
	assert_equal "$(jq .data.memory.usage.limit <<<"$output")" 67108864
	assert_equal "$(cri ContainerStats "{\"container_id\": \"$server\"}" | jq -r .stats.attributes.id)" "$server"
	[ "$(cri PodSandboxStats "{\"pod_sandbox_id\": \"$POD\"}" | jq '.stats.linux.memory.working_set_bytes.value | tonumber')" -gt 8000000 ]

	shell beside 'while :; do sleep 0.2; done'
	local beside=$CTR
	bh_pod pause "$beside"
	assert_equal "$(bh_pod state "$beside" | jq -r .status)" paused
	run in_container "$server" echo still there
	assert_output "still there"
	bh_pod resume "$beside"
	assert_equal "$(bh_pod state "$beside" | jq -r .status)" running

	container talker '.command = ["sh", "-c", "read x; echo heard $x"] | .stdin = true | .stdin_once = true'
	start
	url=$(cri Attach "{\"container_id\": \"$CTR\", \"stdin\": true, \"stdout\": true, \"stderr\": true}" | jq -r .url)
	run stream "$url" 'something\n'
	assert_output "heard something"
	assert_equal "$(wait_exit "$CTR")" "0 Completed"

	stop "$server" 30
	assert_equal "$(wait_exit "$server")" "0 Completed"
	run log_of server
	assert_output "asked to end"
}
