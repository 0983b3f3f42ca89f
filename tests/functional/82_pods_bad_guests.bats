#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A fork bomb in a pod, and a guest that panics: the other pods serve on.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

@test "a fork bomb and a guest panic stay in their pods" {
	pod good
	shell server 'mkdir /w; echo good >/w/i; exec httpd -f -p 80 -h /w'
	local good=$CTR address
	address=$(pod_address)
	pod bomb
	shell bomb 'b() { b | b & }; b; sleep 1000' '.linux.resources = {unified: {"pids.max": "200"}}'
	local bomb=$CTR
	sleep 3
	assert_equal "$(curl -s "http://$address/i")" good
	stop "$bomb"
	assert_equal "$(wait_exit "$bomb" | cut -d' ' -f1)" 137
	shell after 'echo the pod is usable'
	assert_equal "$(wait_exit "$CTR")" "0 Completed"

	pod panic '.linux.security_context.privileged = true'
	touch "$KUBELET/words"
	shell panic 'echo own words >/dev/termination-log; sleep 1; echo c >/proc/sysrq-trigger; sleep 1000' '.linux.security_context.privileged = true' \
		".mounts = [{container_path: \"/dev/termination-log\", host_path: \"$KUBELET/words\"}]"
	assert_equal "$(wait_exit "$CTR" | cut -d' ' -f1)" 137
	# What the kubelet makes the message of the container's status.
	run cat "$KUBELET/words"
	assert_output 'own words'
	assert_output 'the virtual machine was lost: guest panic'
	assert_output sysrq
	assert_equal "$(curl -s "http://$address/i")" good
	assert_equal "$(status_of "$good" | jq -r .state)" CONTAINER_RUNNING
}
