#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The Debian package on a clean Debian: installed, used, upgraded, removed.

load helpers

setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/package.XXXXXX")
	mount -t tmpfs tmpfs "$WORK"
	mkdir "$WORK/upper" "$WORK/work" "$WORK/root"
	cp build/bulkhead_*.deb "$WORK/bulkhead.deb"
	leak_snapshot
}

teardown() {
	local leaks
	leaks=$(leak_report)
	umount "$WORK"
	rmdir "$WORK"
	[ -z "$leaks" ] || { echo "left behind: $leaks"; return 1; }
}

# A command in a Debian in which nobody has ever built or installed anything of ours; what it writes is there the next time.
clean() {
	run timeout "$RUN_TIMEOUT" unshare --mount sh -ec '
		work=$1
		shift
		mount -t overlay -o "lowerdir=/opt/rootfs/debian,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
		cp "$work/bulkhead.deb" "$work/root/tmp/"
		for dir in dev sys; do mount --rbind "/$dir" "$work/root/$dir"; done
		mount -t proc proc "$work/root/proc"
		mount -t tmpfs tmpfs "$work/root/run"
		cd "$work/root"
		pivot_root . mnt
		cd /
		umount -l /mnt
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"' \
		sh "$WORK" "$@"
}

# Everything but what dpkg notes for itself.
files() { clean sh -c 'find / -xdev \( -path /tmp -o -path /var/lib/dpkg -o -path /var/log \) -prune -o -print | sort'; }

@test "the package installs, runs a container, keeps an edited configuration, and is removed without a trace" {
	files
	local before=$output
	clean sh -c 'command -v bulkhead || echo "none there"'
	assert_output 'none there'

	clean dpkg -i /tmp/bulkhead.deb
	assert_status 0
	assert_output '"path": "/usr/bin/bulkhead"'
	clean bulkhead check
	assert_status 0
	assert_output 'monitor: /usr/libexec/bulkhead/bulkhead-vmm'
	assert_output 'guest kernel: /usr/share/bulkhead/vmlinux'
	clean bulkhead do -- sh -c 'uname -r; head -n 1 /etc/os-release'
	assert_status 0
	assert_output '6.12.'
	assert_output 'Debian GNU/Linux 12'
	clean sh -c 'dpkg -V bulkhead && md5sum -c --quiet /var/lib/dpkg/info/bulkhead.md5sums 2>&1'
	assert_status 0

	clean sh -c 'echo "{\"max_vcpus\": 1, \"default_vcpus\": 2}" >/etc/bulkhead/bulkhead.json; bulkhead do true'
	assert_status 1
	assert_one_line '/etc/bulkhead/bulkhead.json: document: a default is above its maximum'
	clean dpkg -i --force-confold /tmp/bulkhead.deb
	assert_status 0
	refute_output 'daemon.json'
	clean cat /etc/bulkhead/bulkhead.json
	assert_output '"default_vcpus": 2'

	clean dpkg -r bulkhead
	assert_status 0
	clean sh -c 'ls /etc/bulkhead /usr/bin/bulkhead* /usr/libexec/bulkhead'
	assert_output bulkhead.json
	refute_output '/usr/bin/bulkhead:'
	clean dpkg -P bulkhead
	assert_status 0
	files
	assert_equal "$output" "$before"
}
