#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The agent without a VM: its test build builds containers on this machine's kernel (tests/functional/agent). One test
# here for all cases there; those that failed are shown.

@test "the agent builds, runs and removes containers" {
	run tests/functional/agent/run build/bulkhead-agent-test
	printf '%s\n' "$output" | grep -vE '^ok ' || true
	[ "$status" -eq 0 ]
	[ "$(printf '%s\n' "$output" | grep -c '^ok ')" -gt 80 ]
}
