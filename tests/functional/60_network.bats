#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Takes minutes.
# The network of a container is the one its engine gave it: by hand with a veth and a bridge, then with the engines.

load helpers

setup_file() {
	ip link add bhbr0 type bridge
	ip addr add 10.99.0.1/24 dev bhbr0
	ip -6 addr add fd99::1/64 dev bhbr0 nodad
	ip link set bhbr0 up
	# The first namespace with a name leaves a mount behind, for good: not to be counted as ours.
	ip netns add bhfirst && ip netns del bhfirst
}

teardown_file() { ip link del bhbr0; }

setup() { WORK= NETNS= DOCKER= PODMAN= CTR=; }

teardown() {
	[ -z "$DOCKER" ] || docker rm -f $DOCKER >/dev/null 2>&1 || true
	[ -z "$PODMAN" ] || podman rm -f -t 0 $PODMAN >/dev/null 2>&1 || true
	if [ -n "$CTR" ]; then
		timeout 30 ctr tasks delete -f "$CTR" >/dev/null 2>&1 || true
		timeout 30 ctr containers delete "$CTR" >/dev/null 2>&1 || true
	fi
	rm -f /etc/bulkhead/bulkhead.json
	[ -z "$NETNS" ] || { bh delete --force "$ID"; ip netns del "$NETNS"; } >/dev/null 2>&1 || true
	[ -z "$WORK" ] || bundle_teardown
}

# A namespace with eth0 (10.99.0.2, fd99::2) on the bridge, and a bundle whose container joins it.
netns_setup() {
	bundle_setup busybox
	NETNS=n$$-$BATS_TEST_NUMBER
	ip netns add "$NETNS"
	ip link add "v$BATS_TEST_NUMBER" type veth peer name eth0 netns "$NETNS"
	ip link set "v$BATS_TEST_NUMBER" master bhbr0 mtu "${1:-1500}" up
	[ -z "${1:-}" ] || ip link set bhbr0 mtu "$1"
	ip -n "$NETNS" link set lo up
	ip -n "$NETNS" link set eth0 mtu "${1:-1500}"
	ip -n "$NETNS" addr add 10.99.0.2/24 brd + dev eth0
	ip -n "$NETNS" -6 addr add fd99::2/64 dev eth0 nodad
	ip -n "$NETNS" link set eth0 up
	ip -n "$NETNS" route add default via 10.99.0.1
	ip -n "$NETNS" route add 192.0.2.0/24 via 10.99.0.7 metric 50
	ip -n "$NETNS" neigh add 10.99.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent
	config --arg path "/run/netns/$NETNS" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
}

start_detached() {
	bh create --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 3>&-
	bh start "$ID"
}

# Until the container has written its mark.
wait_for() {
	local try
	for try in $(seq 400); do
		grep -q "$1" "$WORK/out" && return 0
		read -rt 0.1 <> <(:) || true
	done
	cat "$WORK/out"
	return 1
}

use_vhost() {
	mkdir -p /etc/bulkhead
	echo "{\"vhost_net\": $1}" >/etc/bulkhead/bulkhead.json
}

@test "a veth's name, MAC, MTU, addresses, routes and neighbours are the guest's" {
	netns_setup 1400
	script 'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ip addr show eth0; ip route; ip neigh; ip -6 addr
		ping -c 1 -W 5 10.99.0.1 && ping -c 1 -W 5 fd99::1 && echo pinged'
	local mac=$(ip netns exec "$NETNS" cat /sys/class/net/eth0/address)
	run_container
	ip link set bhbr0 mtu 1500
	assert_status 0
	assert_output "$mac"
	assert_output 1400
	assert_output 'inet 10.99.0.2/24 brd 10.99.0.255'
	assert_output 'inet6 fd99::2/64'
	refute_output tentative
	assert_output 'default via 10.99.0.1 dev eth0'
	assert_output '192.0.2.0/24 via 10.99.0.7 dev eth0'
	assert_output '10.99.0.9 dev eth0 lladdr 02:00:00:00:00:09'
	assert_output pinged
}

@test "delete leaves the namespace as it was" {
	netns_setup
	local before=$(ip -n "$NETNS" -d link; tc -n "$NETNS" qdisc show)
	script 'sleep 1000'
	start_detached
	run ip -n "$NETNS" link
	assert_output bhtap
	kill -9 "$(pgrep -x bulkhead-vmm)"
	bh delete --force "$ID"
	assert_equal "$(ip -n "$NETNS" -d link; tc -n "$NETNS" qdisc show)" "$before"
}

# The container answers on port 7 with the checksum of what it got, then sends as much, for either path.
bulk() {
	netns_setup
	use_vhost "$1"
	head -c "$2" /dev/urandom >"$WORK/data"
	chmod 644 "$WORK/data"
	config --arg f "$WORK/data" '.mounts += [{"destination": "/data", "type": "bind", "source": $f, "options": ["bind", "ro"]}]'
	script 'echo ready; nc -l -p 7 </dev/null | md5sum; echo received; nc -l -p 8 </data'
	start_detached
	wait_for ready
	local sum=$(md5sum <"$WORK/data") try
	for try in $(seq 50); do timeout 300 nc -N 10.99.0.2 7 <"$WORK/data" && break; read -rt 0.1 <> <(:) || true; done
	wait_for received
	run cat "$WORK/out"
	assert_output "$sum"
	for try in $(seq 50); do
		[ "$(timeout 300 nc -d 10.99.0.2 8 | tee "$WORK/back" | wc -c)" = 0 ] || break
		read -rt 0.1 <> <(:) || true
	done
	assert_equal "$(md5sum <"$WORK/back")" "$sum"
}

@test "64 MiB both ways through vhost-net arrive as they were sent" { bulk true 67108864; }

@test "16 MiB both ways through the monitor arrive as they were sent" { bulk false 16777216; }

@test "an MTU of 9000 carries packets of that size" {
	netns_setup 9000
	script 'cat /sys/class/net/eth0/mtu; ping -c 1 -W 5 -s 8900 10.99.0.1 && echo pinged'
	run_container
	ip link set bhbr0 mtu 1500
	assert_output 9000
	assert_output pinged
}

@test "an interface moved into the pid's namespace between create and start is there" {
	bundle_setup busybox
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
	script 'ip addr show eth0; ping -c 1 -W 5 10.99.0.1 && echo pinged'
	bh create --bundle "$BUNDLE" --pid-file "$WORK/pid" "$ID" >"$WORK/out" 2>&1 3>&-
	local pid=$(cat "$WORK/pid")
	ip link add vmoved type veth peer name eth0 netns "$pid"
	ip link set vmoved master bhbr0 up
	nsenter -t "$pid" -n sh -c 'ip addr add 10.99.0.3/24 dev eth0; ip link set eth0 up'
	bh start "$ID"
	wait_for pinged
	run cat "$WORK/out"
	assert_output 10.99.0.3/24
}

@test "a thousand short connections are all answered" {
	netns_setup
	script 'mkdir -p /tmp/www; echo hello >/tmp/www/index.html; echo ready; exec httpd -f -p 80 -h /tmp/www'
	start_detached
	wait_for ready
	run python3 - <<'PYTHON'
import socket, time
good = 0
for i in range(1000):
    for attempt in range(50):
        try:
            s = socket.create_connection(("10.99.0.2", 80), timeout=20)
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    s.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
    data = b""
    while part := s.recv(4096):
        data += part
    good += data.endswith(b"hello\n")
    s.close()
print("good", good)
PYTHON
	assert_output 'good 1000'
}

docker_start() {
	mkdir -p /etc/docker
	echo '{"runtimes": {"bulkhead": {"path": "'"$(command -v "$BULKHEAD")"'"}}}' >/etc/docker/daemon.json
	docker info >/dev/null 2>&1 || start-dockerd 3>&-
	docker image inspect busybox >/dev/null 2>&1 ||
		tar -C "$ROOTFS_DIR/busybox" -c . | docker import - busybox >/dev/null
}

dk() { timeout 120 docker "$@" 3>&-; }

@test "docker -p publishes TCP and UDP ports" {
	docker_start
	DOCKER=web$$
	dk run -d --runtime bulkhead --name "$DOCKER" -p 8080:80 -p 5353:53/udp \
		-v "$TESTINIT:/testinit:ro" busybox sh -c \
		'mkdir -p /www; echo from the guest >/www/index.html; httpd -p 80 -h /www; ping -c 1 $(ip route | sed -n "s/default via \([^ ]*\).*/\1/p") && echo pinged
		exec /testinit answer 53 "udp answer"'
	assert_equal "$(curl -s --retry 20 --retry-all-errors --retry-delay 1 --max-time 60 http://127.0.0.1:8080/index.html)" 'from the guest'
	local try answer=
	for try in 1 2 3 4 5 6; do
		answer=$(echo question | timeout 5 nc -u -w 3 127.0.0.1 5353) || true
		[ -z "$answer" ] || break
	done
	assert_equal "$answer" 'udp answer'
	run dk logs "$DOCKER"
	assert_output pinged
}

@test "docker --network none has the loopback alone" {
	docker_start
	DOCKER=none$$
	run dk run --rm --runtime bulkhead --network none --name "$DOCKER" busybox sh -c 'ip link; ping -c 1 127.0.0.1'
	assert_status 0
	assert_output '1: lo:'
	refute_output eth0
}

@test "podman with netavark: a published port, and out again" {
	PODMAN=pod$$
	timeout 120 podman --runtime "$(command -v "$BULKHEAD")" run -d --name "$PODMAN" -p 8090:80 --rootfs "$ROOTFS_DIR/busybox:O" \
		sh -c 'mkdir -p /www; echo by podman >/www/index.html; exec httpd -f -p 80 -h /www' 3>&-
	local ip=$(podman inspect -f '{{.NetworkSettings.IPAddress}}' "$PODMAN")
	assert_equal "$(curl -s --retry 20 --retry-all-errors --retry-delay 1 --max-time 60 "http://$ip/index.html")" 'by podman'
	assert_equal "$(curl -s --max-time 60 http://127.0.0.1:8090/index.html)" 'by podman'
}

@test "ctr run --cni with the bridge plug-in" {
	ls /usr/lib/cni/bridge /opt/cni/bin/bridge 2>/dev/null | grep -q . || skip "no CNI plug-ins on this host"
	mkdir -p /etc/cni/net.d /opt/cni
	[ -e /opt/cni/bin ] || ln -s /usr/lib/cni /opt/cni/bin
	cat >/etc/cni/net.d/10-bh.conf <<'JSON'
{"cniVersion": "0.4.0", "name": "bhcni", "type": "bridge", "bridge": "bhcni0", "isGateway": true,
 "ipam": {"type": "host-local", "subnet": "10.98.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}
JSON
	ctr version >/dev/null 2>&1 || start-containerd 3>&-
	CTR=cni$$
	run timeout 120 ctr run --rm --cni --runtime io.containerd.runc.v2 --runc-binary "$(command -v "$BULKHEAD")" \
		--rootfs "$ROOTFS_DIR/busybox" "$CTR" /bin/sh -c 'ip addr show eth0; ping -c 1 -W 5 10.98.0.1 && echo pinged'
	rm -f /etc/cni/net.d/10-bh.conf
	assert_output 'inet 10.98.0.'
	assert_output pinged
}
