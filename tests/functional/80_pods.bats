#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Kubernetes pods, driven through containerd's CRI as a kubelet does: several containers in one VM.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

@test "a pod with an init container, a server, a side-car and a debug container is one VM" {
	mkdir -p "$KUBELET/shared"
	local volume="(.mounts = [{container_path: \"/shared\", host_path: \"$KUBELET/shared\"}])"
	pod web
	shell init 'echo made by init >/shared/index.html; hostname; ip -4 addr show eth0 | grep -o "inet [0-9.]*"' "$volume"
	local init=$CTR
	assert_equal "$(wait_exit "$init")" "0 Completed"
	run log_of init
	assert_output "stdout F web"
	assert_output "inet $(pod_address)"

	shell server 'echo serving; exec httpd -f -p 8080 -h /shared' "$volume"
	local server=$CTR
	shell sidecar 'until wget -qO- http://localhost:8080/index.html; do sleep 0.2; done; hostname; echo from side-car >/shared/more; exec sleep 1000' "$volume"
	local sidecar=$CTR
	wait_log sidecar "made by init"
	wait_log sidecar "F web"
	assert_equal "$(monitors)" 1
	assert_equal "$(bh_pod list -q | wc -l)" 3 # the init container has gone
	run in_container "$server" cat /shared/more
	assert_output "from side-car"
	assert_output "exit 0"
	# The host reaches it by the pod's address, with a probe's method.
	assert_equal "$(curl -s "http://$(pod_address):8080/more")" "from side-car"

	# An ephemeral container sees the processes of the one it looks at.
	shell debug 'ps; exec sleep 1000' "(.linux.security_context.namespace_options = {pid: \"TARGET\", target_id: \"$server\"})"
	wait_log debug "httpd -f"
	run in_container "$sidecar" ps
	refute_output httpd
	assert_equal "$(monitors)" 1

	# One that ends leaves the rest, and comes back.
	stop "$sidecar"
	assert_equal "$(wait_exit "$sidecar")" "137 Error"
	remove "$sidecar"
	remove "$init"
	shell sidecar2 'wget -qO- http://localhost:8080/more; exec sleep 1000' "$volume"
	wait_log sidecar2 "from side-car"
	run in_container "$server" ls /shared
	assert_output more
	cri StopPodSandbox "{\"pod_sandbox_id\": \"$POD\"}"
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
	assert_equal "$(wait_exit "$server" | cut -d' ' -f1)" 137
	assert_equal "$(bh_pod list -q)" ""
	cri RemovePodSandbox "{\"pod_sandbox_id\": \"$POD\"}"
}
