#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers and pods that misbehave: what is theirs suffers, the others serve on, and the status says why.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

@test "out of memory: the container's end says so, the pod and its neighbour serve on" {
	pod neighbour
	shell server 'mkdir /w; echo neighbour >/w/i; exec httpd -f -p 80 -h /w'
	local neighbour
	neighbour=$(pod_address)
	local first=$POD
	pod greedy '.linux.resources = {memory_limit_in_bytes: 201326592}'
	shell server 'mkdir /w; echo greedy >/w/i; exec httpd -f -p 80 -h /w'
	local server=$CTR
	shell hog 'tail /dev/zero' '.linux.resources = {memory_limit_in_bytes: 33554432}'
	local hog=$CTR
	assert_equal "$(wait_exit "$hog")" "137 OOMKilled"
	assert_equal "$(status_of "$server" | jq -r .state)" CONTAINER_RUNNING
	assert_equal "$(curl -s "http://$(pod_address)/i")" greedy

	# Its child is killed, and it notices: it ends by itself, and the status says why all the same.
	shell parent 'tail /dev/zero; echo ended; exit 3' '.linux.resources = {memory_limit_in_bytes: 33554432}'
	assert_equal "$(wait_exit "$CTR")" "3 OOMKilled"
	# A container that has it all: the guest's memory is used up, the pod's other container lives.
	shell unlimited 'tail /dev/zero'
	assert_equal "$(wait_exit "$CTR")" "137 OOMKilled"
	assert_equal "$(curl -s "http://$(pod_address)/i")" greedy
	# One pod reaches the other by its address.
	run in_container "$server" wget -qO- "http://$neighbour/i"
	assert_output neighbour
	assert_equal "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$first\"}" | jq -r .status.state)" null # READY is 0
}
