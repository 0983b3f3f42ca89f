# SPDX-License-Identifier: Apache-2.0
#
# What the functional tests share. They run as root on a machine whose KVM is good (usually the test host), with the
# tree as working directory and bulkhead installed.
#
#     load helpers
#     setup() { bundle_setup busybox; }          makes $BUNDLE with config.json for that root filesystem
#     teardown() { bundle_teardown; }            deletes what is left, and fails if anything leaked
#     config '.process.args = ["true"]'          edits config.json with jq
#     bh run --bundle "$BUNDLE" "$ID"            runs bulkhead with a bound on time
#     assert_line / assert_status ...            say what was seen when they fail

BULKHEAD=${BULKHEAD:-bulkhead}
ROOTFS_DIR=${ROOTFS_DIR:-/opt/rootfs}
TESTINIT=${TESTINIT:-$PWD/build/testinit}
RUN_TIMEOUT=${RUN_TIMEOUT:-180}
STATE_ROOT=/run/bulkhead

bh() { timeout -k 5 "$RUN_TIMEOUT" "$BULKHEAD" "$@"; }

# A bundle in a fresh folder. The root filesystem is the read-only image `$1` below $ROOTFS_DIR, shared by all tests, or
# with `copy` as second argument a private, writable copy.
bundle_setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/bundle.XXXXXX")
	BUNDLE=$WORK/bundle
	ID=t-$$-$BATS_TEST_NUMBER
	mkdir "$BUNDLE"
	local rootfs=$ROOTFS_DIR/$1
	if [ "${2:-}" = copy ]; then
		cp -a "$rootfs" "$BUNDLE/rootfs"
		rootfs=rootfs
	fi
	(cd "$BUNDLE" && "$BULKHEAD" spec)
	# testinit inside the container, at /testinit, whatever the image.
	config --arg path "$rootfs" --arg init "$TESTINIT" \
		'.process.terminal = false | .root.readonly = false | .process.args = ["/bin/sh", "-c", "true"] |
		.root.path = $path | .mounts += [{"destination": "/testinit", "type": "bind", "source": $init, "options": ["bind", "ro"]}]'
	leak_snapshot
}

bundle_teardown() {
	local id
	for id in $("$BULKHEAD" list -q 2>/dev/null || ls "$STATE_ROOT" 2>/dev/null); do
		bh delete --force "$id" >/dev/null 2>&1 || true
	done
	local leaks
	leaks=$(leak_report)
	rm -rf "$WORK"
	if [ -n "$leaks" ]; then
		echo "left behind: $leaks"
		return 1
	fi
}

config() {
	jq "$@" "$BUNDLE/config.json" >"$BUNDLE/config.new" && mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

# A folder or file of the host's in the container, recursively.
share() { # SOURCE DESTINATION OPTION
	config --arg source "$1" --arg at "$2" --arg option "$3" \
		'.mounts += [{"destination": $at, "type": "bind", "source": $source, "options": ["rbind", $option]}]'
}

# The container's command as a shell script.
script() { config --arg text "$1" '.process.args = ["/bin/sh", "-c", $text]'; }

run_container() { run bh run --bundle "$BUNDLE" "$ID"; }

assert_status() {
	[ "$status" -eq "$1" ] || { echo "status $status, expected $1; output: $output"; return 1; }
}
assert_output() {
	[[ $output == *"$1"* ]] || { echo "expected to see: $1"; echo "output: $output"; return 1; }
}
refute_output() {
	[[ $output != *"$1"* ]] || { echo "expected not to see: $1"; echo "output: $output"; return 1; }
}
assert_equal() {
	[ "$1" = "$2" ] || { echo "expected: $2"; echo "     got: $1"; return 1; }
}
# One clear line on standard error that holds every argument.
assert_one_line() {
	[ "${#lines[@]}" -eq 1 ] || { echo "expected one line, got ${#lines[@]}: $output"; return 1; }
	local part
	for part in "$@"; do assert_output "$part" || return 1; done
}

# What must be the same before and after: processes, mounts, cgroups, state, network devices, sockets' folders. It is asked
# twice for each test, and a process costs the test host as much as all of this: so no other program does it.
leak_state() (
	trap - DEBUG ERR # bats has them run for each command
	set +eET
	shopt -s globstar nullglob
	local path name words lines mounts=0
	for path in /proc/[0-9]*; do
		{ read -r name <"$path/comm"; } 2>/dev/null && [[ $name == bulkhead* ]] || continue
		mapfile -d '' words 2>/dev/null <"$path/cmdline" && echo "process ${words[*]:-$name}"
	done
	mapfile -t lines </proc/self/mountinfo
	for name in "${lines[@]}"; do [[ $name == *' /run/netns '* ]] || mounts=$((mounts + 1)); done # `ip netns` keeps that one
	echo "mounts $mounts"
	for path in "$STATE_ROOT"/*; do echo "state ${path##*/}"; done
	for path in /sys/class/net/*; do echo "link ${path##*/}"; done
	for path in /run/netns/*; do echo "netns ${path##*/}"; done
	shopt -s dotglob
	printf 'cgroup %s\n' /sys/fs/cgroup/**/
)
leak_snapshot() { leak_state >"$WORK/before"; }
leak_report() {
	# A killed process may need a moment to be reaped by its parent: look again for at most two seconds.
	local try before now difference=
	before=$(<"$WORK/before")
	for try in 1 2 3 4 5 6 7 8 9 10; do
		now=$(leak_state)
		[ "$now" != "$before" ] || return 0
		difference=$(diff <(sort <<<"$before") <(sort <<<"$now") | grep '^>' || true)
		[ -n "$difference" ] || return 0
		read -rt 0.2 <> <(:) || true
	done
	echo "$difference (after $try looks)"
}
