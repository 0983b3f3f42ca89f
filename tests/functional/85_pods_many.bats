#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# Many pods at once: $PODS, or twenty.

load helpers
load pods

setup_file() { pods_start; }
setup() { pods_setup; }
teardown() { pods_teardown; }

PODS=${PODS:-20}

@test "twenty pods at once serve, each at its address" {
	local i addresses=()
	for i in $(seq "$PODS"); do
		pod "p$i" '.linux.resources = {memory_limit_in_bytes: 33554432}'
		shell server "echo $i >/i; exec httpd -f -p 80 -h /"
		addresses[i]=$(pod_address)
	done
	echo "# $PODS pods run after $SECONDS s" >&3
	assert_equal "$(monitors)" "$PODS"
	assert_equal "$(printf '%s\n' "${addresses[@]}" | sort -u | wc -l)" "$PODS"
	for i in $(seq "$PODS"); do assert_equal "$(curl -s "http://${addresses[i]}/i")" "$i"; done
	run in_container "$CTR" wget -qO- "http://${addresses[1]}/i"
	assert_output 1
}
