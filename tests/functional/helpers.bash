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
	config '.process.terminal = false | .root.readonly = false | .process.args = ["/bin/sh", "-c", "true"]'
	config --arg path "$rootfs" '.root.path = $path'
	# testinit inside the container, at /testinit, whatever the image.
	config --arg init "$TESTINIT" \
		'.mounts += [{"destination": "/testinit", "type": "bind", "source": $init, "options": ["bind", "ro"]}]'
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

# What must be the same before and after: processes, mounts, cgroups, state, network devices, sockets' folders.
leak_state() {
	pgrep -x 'bulkhead.*' -a | sed 's/^[0-9]* /process /' | sort
	grep -vc ' /run/netns ' /proc/self/mountinfo | sed 's/^/mounts /' # `ip netns` keeps that one for good
	find /sys/fs/cgroup -type d 2>/dev/null | sort | sed 's/^/cgroup /'
	ls "$STATE_ROOT" 2>/dev/null | sed 's/^/state /'
	ls /sys/class/net | sed 's/^/link /'
	ls /run/netns 2>/dev/null | sed 's/^/netns /'
}
leak_snapshot() { leak_state >"$WORK/before"; }
leak_report() {
	# A killed process may need a moment to be reaped by its parent: look again for at most two seconds.
	local try difference=
	for try in 1 2 3 4 5 6 7 8 9 10; do
		difference=$(leak_state | diff "$WORK/before" - | grep '^>' || true)
		[ -z "$difference" ] && return 0
		read -rt 0.2 <> <(:) || true
	done
	echo "$difference (after $try looks)"
}
