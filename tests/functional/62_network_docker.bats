#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Network modes of Docker and Podman that 60_network.bats does not have: IPv6, the host's network, another container's.

load helpers

setup_file() {
	mkdir -p /etc/docker
	cat >/etc/docker/daemon.json <<-JSON
		{"runtimes": {"bulkhead": {"path": "$(command -v "${BULKHEAD:-bulkhead}")"}},
		 "ipv6": true, "fixed-cidr-v6": "fd00:98::/64"}
	JSON
	start-dockerd 3>&- 4>&-
	tar -C "${ROOTFS_DIR:-/opt/rootfs}/busybox" -c . | docker import - busybox >/dev/null
}

setup() { WORK= DOCKER= NETWORK=; }

teardown() {
	[ -z "$DOCKER" ] || docker rm -f $DOCKER >/dev/null 2>&1 || true
	[ -z "$NETWORK" ] || docker network rm "$NETWORK" >/dev/null 2>&1 || true
	[ -z "$WORK" ] || rm -rf "$WORK" # Docker makes mounts as it likes: none of ours to count
	assert_equal "$(pgrep -x 'bulkhead.*' -a)" ""
}

dk() { timeout 120 docker "$@" 3>&-; }
pm() { timeout 120 podman --runtime "$(command -v "$BULKHEAD")" "$@" 3>&-; }
# Docker's own proxy takes a connection before the server in the container listens, and then drops it.
fetch() {
	local try
	for try in $(seq 90); do
		curl -gs --max-time 60 "$@" && return
		read -rt 1 <> <(:) || true
	done
	return 1
}

HOST_REFUSED="linux.namespaces: the host's network cannot be a virtual machine's"

@test "the host's network is refused, and the remedy named; where none is named there is the loopback" {
	bundle_setup busybox
	config '(.linux.namespaces[] | select(.type == "network")).path = "/proc/1/ns/net"'
	run_container
	assert_status 1
	assert_one_line "config.json: $HOST_REFUSED" '--network bridge, or none'
	run dk run --rm --runtime bulkhead --network host busybox true
	[ "$status" -ne 0 ]
	assert_output "$HOST_REFUSED"
	# Podman says "the host's" by naming none.
	run pm run --rm --network host --rootfs "$ROOTFS_DIR/busybox:O" ls /sys/class/net
	assert_status 0
	assert_equal "${lines[-1]}" lo
}

@test "the network of another container: in its VM, with its loopback and its way out" {
	DOCKER="one$$ two$$"
	dk run -d --runtime bulkhead -m 128m --name "one$$" busybox sh -c \
		'mkdir /www; echo by one >/www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www'
	run dk run --runtime bulkhead --name "two$$" --network "container:one$$" busybox sh -c \
		'until wget -qO- http://127.0.0.1/index.html; do sleep 0.2; done; ip route; ps | grep -c "[h]ttpd"; ls /www'
	assert_output 'by one'
	assert_output 'default via '
	assert_output $'\n0\n' # processes and files are its own
	assert_output 'No such file or directory'
	local before cgroup
	cgroup=/sys/fs/cgroup$(cut -d: -f3 "/proc/$(pgrep -x bulkhead-vmm)/cgroup")
	before=$(cat "$cgroup/memory.max")
	dk run -d --runtime bulkhead -m 256m --name "three$$" --network "container:one$$" busybox sleep 1000
	DOCKER+=" three$$"
	assert_equal "$(pgrep -c -x bulkhead-vmm)" 1
	# The host's limit of the one whose cgroup the VM is in is not that of both; and it stays so.
	[ "$(cat "$cgroup/memory.max")" -gt $((before + (200 << 20))) ]
	dk update -m 160m --memory-swap -1 "one$$"
	[ "$(cat "$cgroup/memory.max")" -gt $((before + (200 << 20))) ]
	# One is paused, and updated meanwhile: the other goes on, and so does the first afterwards.
	dk pause "one$$"
	dk update --pids-limit 40 "one$$"
	dk exec "three$$" true
	dk unpause "one$$"
	dk exec "one$$" true
	# When a member goes, the first one has lost nothing.
	dk rm -f "three$$"
	run dk exec "one$$" sh -c 'ping -c 1 -W 5 $(ip route | sed -n "s/default via \([^ ]*\).*/\1/p")'
	assert_status 0
}

@test "IPC and processes of another container besides; by another path its network is refused" {
	DOCKER="one$$ two$$"
	dk run -d --runtime bulkhead --name "one$$" --ipc shareable busybox sh -c 'echo of one >/tmp/index.html; exec httpd -f -h /tmp'
	run dk run --runtime bulkhead --name "two$$" --network "container:one$$" --ipc "container:one$$" --pid "container:one$$" \
		busybox sh -c 'wget -qO- http://127.0.0.1/index.html; hostname; ps | grep -c "[h]ttpd -f"'
	assert_status 0
	assert_output 'of one'
	assert_equal "${lines[-1]}" 1
	assert_equal "$(pgrep -cx bulkhead-vmm)" 1
	run dk exec "one$$" wget -qO- http://127.0.0.1/index.html
	assert_output 'of one'
	bundle_setup busybox
	config --arg path "$(dk inspect -f '{{.NetworkSettings.SandboxKey}}' "one$$")" \
		'(.linux.namespaces[] | select(.type == "network")).path = $path'
	run_container
	assert_status 1
	assert_output "network interface eth0 is in another container's virtual machine"
	# The first one has lost nothing.
	run dk exec "one$$" sh -c 'ping -c 1 -W 5 $(ip route | sed -n "s/default via \([^ ]*\).*/\1/p")'
	assert_status 0
}

@test "IPv6 on Docker's bridge: in, out, and published" {
	DOCKER=six$$
	dk run -d --runtime bulkhead --name "$DOCKER" -p 8086:80 -p 5386:53/udp -v "$TESTINIT:/testinit:ro" busybox sh -c \
		'mkdir -p /www; echo by six >/www/index.html; /testinit answer 53 "udp by six" & exec httpd -f -p "[::]:80" -h /www'
	local address=$(dk inspect -f '{{.NetworkSettings.GlobalIPv6Address}}' "$DOCKER")
	local gateway=$(dk inspect -f '{{.NetworkSettings.IPv6Gateway}}' "$DOCKER")
	[ -n "$address" ]
	assert_equal "$(fetch "http://[$address]/index.html")" 'by six'
	assert_equal "$(fetch 'http://[::1]:8086/index.html')" 'by six'
	assert_equal "$(fetch 'http://127.0.0.1:8086/index.html')" 'by six'
	local to answer try
	for to in "$address 53" '::1 5386' '127.0.0.1 5386'; do
		answer=
		for try in 1 2 3; do
			answer=$(echo question | timeout 5 nc -u -w 3 $to) || true
			[ -z "$answer" ] || break
		done
		assert_equal "$answer" 'udp by six'
	done
	run dk exec "$DOCKER" ping -6 -c 1 -W 5 "$gateway"
	assert_status 0
	run dk exec "$DOCKER" ip -6 route
	assert_output "default via $gateway"
}

@test "python's http.server behind a published port" {
	DOCKER=python$$
	# Python is in the image, most of its modules are the host's. Not `-m http.server`, which looks its own name up first,
	# and nothing in there resolves it.
	local modules=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
	dk run -d --runtime bulkhead --name "$DOCKER" -p 8087:8000 -v "$ROOTFS_DIR/debian:/debian:ro" \
		-v "$modules:/debian$modules:ro" busybox \
		chroot /debian python3 -c 'import http.server, os, socketserver
os.chdir("/etc")
socketserver.TCPServer(("", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()'
	run fetch http://127.0.0.1:8087/debian_version
	[ "$status" -eq 0 ] || dk logs "$DOCKER"
	assert_equal "$output" "$(cat "$ROOTFS_DIR/debian/etc/debian_version")"
	fetch http://127.0.0.1:8087/ | grep -q 'Directory listing'
}

@test "a network with an MTU of 1400 carries that much and no more in one piece" {
	DOCKER=mtu$$ NETWORK=mtu$$
	dk network create -o com.docker.network.driver.mtu=1400 "$NETWORK"
	run dk run --rm --runtime bulkhead --name "$DOCKER" --network "$NETWORK" busybox sh -c \
		'cat /sys/class/net/eth0/mtu; ping -c 1 -W 5 -s 1372 $(ip route | sed -n "s/default via \([^ ]*\).*/\1/p")'
	assert_status 0
	assert_output 1400
	assert_output '1380 bytes from'
}
