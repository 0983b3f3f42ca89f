#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd restarted in the middle, and processes of pods killed on the host.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

host_pid() { bh_pod state "$1" | jq .pid; }

@test "pods are managed on after containerd was restarted" {
	pod first
	shell server 'echo first >/i; exec httpd -f -p 80 -h /'
	local first=$CTR first_address
	first_address=$(pod_address)
	pod second
	shell server 'echo second >/i; exec httpd -f -p 80 -h /'
	local second=$CTR

	# As an upgrade of it does: the pods run on, and it finds them again.
	pkill -x containerd
	while pgrep -x containerd >/dev/null; do sleep 0.2; done
	assert_equal "$(curl -s "http://$first_address/i")" first
	start-containerd 3>&- 4>&-
	assert_equal "$(cri ListPodSandbox '{"filter": {"state": {"state": "SANDBOX_READY"}}}' | jq '.items | length')" 2
	assert_equal "$(monitors)" 2
	run in_container "$first" cat /i
	assert_output first
	shell late 'wget -qO- http://localhost/i; exec sleep 1000'
	wait_log late "F second"
	stop "$CTR"
	assert_equal "$(wait_exit "$CTR")" "137 Error"
	stop "$second"
	assert_equal "$(wait_exit "$second")" "137 Error"
	assert_equal "$(curl -s "http://$first_address/i")" first
}

@test "a killed proxy ends its container, a killed monitor its pod" {
	mkdir -p "$KUBELET/disk"
	touch "$KUBELET/words"
	local volume=".mounts = [{container_path: \"/disk\", host_path: \"$KUBELET/disk\"}, {container_path: \"/dev/termination-log\", host_path: \"$KUBELET/words\"}]"
	pod killed
	shell stays 'exec sleep 1000' "$volume"
	local stays=$CTR
	shell goes 'while :; do date +%s%N >/disk/alive; sleep 0.1; done' "$volume"
	local goes=$CTR
	kill -9 "$(host_pid "$goes")"
	assert_equal "$(wait_exit "$goes")" "137 Error"
	# In the guest, too: nobody writes any more.
	sleep 1
	local before
	before=$(cat "$KUBELET/disk/alive")
	sleep 1
	assert_equal "$(cat "$KUBELET/disk/alive")" "$before"
	run in_container "$stays" echo here
	assert_output here
	remove "$goes"

	kill -9 "$(pgrep -x bulkhead-vmm)"
	assert_equal "$(wait_exit "$stays")" "137 Error"
	assert_equal "$(cat "$KUBELET/words")" "the virtual machine was lost: the monitor was killed by signal 9"
	for _ in $(seq 100); do
		[ "$(cri PodSandboxStatus "{\"pod_sandbox_id\": \"$POD\"}" | jq -r .status.state)" = SANDBOX_NOTREADY ] && return 0
		sleep 0.2
	done
	return 1
}
