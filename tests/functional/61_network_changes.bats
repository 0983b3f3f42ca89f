#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Names that are resolved on the host's side of the namespace, and interfaces that come and go while a container runs:
# by hand, then with Docker.

load helpers

setup_file() {
	ip link add bhbr1 type bridge
	ip addr add 10.97.0.1/24 dev bhbr1
	ip link set bhbr1 up
	ip netns add bhfirst && ip netns del bhfirst # see 60_network.bats
}

teardown_file() { ip link del bhbr1; }

setup() { WORK= NETNS= SERVER= DOCKER= NETWORKS=; }

teardown() {
	[ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null || true
	[ -z "$DOCKER" ] || docker rm -f $DOCKER >/dev/null 2>&1 || true
	[ -z "$NETWORKS" ] || docker network rm $NETWORKS >/dev/null 2>&1 || true
	[ -z "$NETNS" ] || { bh delete --force "$ID"; ip netns del "$NETNS"; } >/dev/null 2>&1 || true
	[ -z "$WORK" ] || bundle_teardown
}

# A namespace with nothing but the loopback, and a bundle whose container joins it.
netns_setup() {
	bundle_setup busybox
	NETNS=n$$-$BATS_TEST_NUMBER
	ip netns add "$NETNS"
	ip -n "$NETNS" link set lo up
	config --arg path "/run/netns/$NETNS" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW", "CAP_NET_BIND_SERVICE"])'
}

# Interface $1 with address 10.97.0.$2, as an engine makes it.
plug() {
	ip link add "w$1" type veth peer name "$1" netns "$NETNS"
	ip link set "w$1" master bhbr1 up
	ip -n "$NETNS" addr add "10.97.0.$2/24" brd + dev "$1"
	ip -n "$NETNS" link set "$1" up
	ip -n "$NETNS" route add 198.51.100.0/24 via "10.97.0.1" dev "$1" metric "$2"
}

# A nameserver at $1 in the namespace that knows one answer, 192.0.2.77, by UDP and by TCP.
nameserver() {
	cat >"$WORK/nameserver.py" <<'PYTHON'
import socket, struct, sys, threading
where = (sys.argv[1], 53)
def answer(question):
    return (question[:2] + b"\x81\x80" + question[4:6] + struct.pack("!HHH", 1, 0, 0) + question[12:]
            + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 77]))
def streams(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            length = struct.unpack("!H", connection.recv(2))[0]
            reply = answer(connection.recv(length))
            connection.sendall(struct.pack("!H", len(reply)) + reply)
listener = socket.create_server(where)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(where)
threading.Thread(target=streams, args=(listener,), daemon=True).start()
print("ready", flush=True)
while True:
    question, sender = datagrams.recvfrom(4096)
    datagrams.sendto(answer(question), sender)
PYTHON
	ip netns exec "$NETNS" python3 "$WORK/nameserver.py" "$1" >"$WORK/nameserver.out" 2>&1 3>&- &
	SERVER=$!
	wait_for ready "$WORK/nameserver.out"
	echo "nameserver $1" >"$WORK/resolv.conf"
	chmod 755 "$WORK" && chmod 644 "$WORK/resolv.conf"
	config --arg f "$WORK/resolv.conf" \
		'.mounts += [{"destination": "/etc/resolv.conf", "type": "bind", "source": $f, "options": ["bind"]}]'
}

# Until file $2 (the container's output) has a line with $1.
wait_for() {
	local try
	for try in $(seq 400); do
		grep -q "$1" "${2:-$WORK/out}" && return 0
		read -rt 0.1 <> <(:) || true
	done
	cat "${2:-$WORK/out}"
	return 1
}

start_detached() {
	bh create --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 3>&-
	bh start "$ID"
}

# The question for the name "x", as it goes over TCP, and the last byte of the answer.
ASK_BY_TCP='printf "\0\023\021\042\001\0\0\001\0\0\0\0\0\0\001x\0\0\001\0\001" | nc -w 5 127.0.0.53 53 | tail -c 4 | od -An -tu1'

@test "a nameserver on the namespace's loopback answers by UDP and TCP, and port 53 stays the container's" {
	netns_setup
	nameserver 127.0.0.53
	script "nslookup some.name; $ASK_BY_TCP
		nslookup -type=a other.name; /testinit answer 53 'the container' & sleep 0.3
		/testinit ask 127.0.0.1 53 question"
	run_container
	assert_status 0
	assert_output 'Address: 192.0.2.77'
	assert_output '192   0   2  77'
	assert_output 'the container'
}

@test "a nameserver on the container's own loopback is not taken away" {
	netns_setup
	echo "nameserver 127.0.0.1" >"$WORK/resolv.conf"
	chmod 755 "$WORK"
	config --arg f "$WORK/resolv.conf" \
		'.mounts += [{"destination": "/etc/resolv.conf", "type": "bind", "source": $f, "options": ["bind"]}]'
	script "/testinit answer 53 'its own' & sleep 0.3; /testinit ask 127.0.0.1 53 question"
	run_container
	assert_output 'its own'
}

@test "interfaces come, change and go while the container runs" {
	netns_setup
	plug eth0 2
	script 'while [ ! -e /sys/class/net/eth1 ] || ! ip addr show eth1 | grep -q 10.97.0.5; do sleep 0.1; done; echo came
		until ip route | grep -q "metric 5"; do sleep 0.1; done; ping -c 1 -W 5 10.97.0.1 && echo pinged
		until ip addr show eth1 | grep -q 10.97.0.8; do sleep 0.1; done
		while ip route | grep -q "metric 5"; do sleep 0.1; done; echo changed
		while [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ping -c 1 -W 5 10.97.0.1 && echo left
		while [ ! -e /sys/class/net/eth7 ]; do sleep 0.1; done; cat /sys/class/net/eth7/address; echo again'
	start_detached
	plug eth1 5
	wait_for came
	wait_for pinged
	ip -n "$NETNS" route del 198.51.100.0/24 metric 5
	ip -n "$NETNS" addr add 10.97.0.8/24 dev eth1
	wait_for changed
	ip link del weth0
	wait_for left
	plug eth7 7
	wait_for again
	run cat "$WORK/out"
	assert_output "$(ip netns exec "$NETNS" cat /sys/class/net/eth7/address)"
	bh delete --force "$ID"
	run ip -n "$NETNS" link
	refute_output bhtap
	refute_output 'qdisc ingress'
}

docker_start() {
	mkdir -p /etc/docker
	echo '{"runtimes": {"bulkhead": {"path": "'"$(command -v "$BULKHEAD")"'"}}}' >/etc/docker/daemon.json
	docker info >/dev/null 2>&1 || start-dockerd 3>&-
	docker image inspect busybox >/dev/null 2>&1 ||
		tar -C "$ROOTFS_DIR/busybox" -c . | docker import - busybox >/dev/null
}

dk() { timeout 120 docker "$@" 3>&-; }

@test "two containers on a network of the user's find each other by name" {
	docker_start
	DOCKER="first$$ second$$" NETWORKS=names$$
	dk network create "names$$"
	dk run -d --runtime bulkhead --name "first$$" --network "names$$" busybox sleep 1000
	dk run -d --runtime bulkhead --name "second$$" --network "names$$" --network-alias other busybox sleep 1000
	run dk exec "first$$" ping -c 1 -W 5 "second$$"
	assert_status 0
	run dk exec "second$$" ping -c 1 -W 5 "first$$"
	assert_status 0
	run dk exec "first$$" nslookup other
	assert_output "Address: $(dk inspect -f "{{.NetworkSettings.Networks.names$$.IPAddress}}" "second$$")"
}

@test "docker network connect and disconnect reach a running container, names too" {
	docker_start
	DOCKER="moves$$ stays$$" NETWORKS=late$$
	dk network create "late$$"
	dk run -d --name "stays$$" --network "late$$" busybox sleep 1000
	dk run -d --runtime bulkhead --name "moves$$" busybox sleep 1000
	run dk exec "moves$$" ls /sys/class/net
	refute_output eth1
	dk network connect "late$$" "moves$$"
	run dk exec "moves$$" sh -c 'for i in 1 2 3 4 5 6 7 8; do ping -c 1 -W 5 stays'$$' && exit; sleep 0.5; done; ip a; exit 1'
	assert_status 0
	assert_output "$(dk inspect -f "{{.NetworkSettings.Networks.late$$.IPAddress}}" "stays$$")"
	dk network disconnect bridge "moves$$"
	run dk exec "moves$$" sh -c 'while [ -e /sys/class/net/eth0 ]; do sleep 0.1; done; ping -c 1 -W 5 stays'$$' && ip route'
	assert_status 0
	assert_output 'default via'
	assert_output 'dev eth1'
}
