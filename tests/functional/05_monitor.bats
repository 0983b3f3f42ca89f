#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The monitor alone: how it pauses, how it ends, what it refuses. The cases are in monitor/monitor.py.

monitor() { timeout -k 5 120 python3 tests/functional/monitor/monitor.py "$1"; }

@test "monitor pauses and resumes one vCPU" { monitor pause_of_one_vcpu; }
@test "monitor pauses and resumes four vCPUs" { monitor pause_of_four_vcpus; }
@test "monitor ends a paused VM" { monitor kill_while_paused; }
@test "monitor ends when its proxy closes the event socket" { monitor proxy_closes_its_socket; }
@test "monitor ends when its proxy is killed" { monitor proxy_dies; }
@test "monitor refuses bad images by name" { monitor bad_images_are_refused; }
@test "monitor refuses too little memory by name" { monitor too_little_memory_is_refused; }
@test "monitor refuses wrong arguments by name" { monitor wrong_arguments_are_refused; }
@test "monitor gives the reason of a panic before the module is loaded" { monitor early_panic_gives_its_reason; }
@test "monitor reports a guest that dies in silence" { monitor silent_panic_is_reported; }
@test "monitor says where a start that is given up stands" { monitor start_given_up_is_described; }
@test "monitor boots with the least memory it takes" { monitor smallest_memory_boots; }
@test "monitor takes memory and disks in its jail" { monitor memory_and_disks_come_in_the_jail; }
