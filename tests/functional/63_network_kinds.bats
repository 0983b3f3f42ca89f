#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Other kinds of interfaces than a veth, several queues, and many connections.

load helpers

setup_file() {
	ip link add bhbr2 type bridge
	ip addr add 10.96.0.1/24 dev bhbr2
	ip link set bhbr2 up
	ip netns add bhfirst && ip netns del bhfirst # see 60_network.bats
}

teardown_file() { ip link del bhbr2; }

setup() {
	bundle_setup busybox
	NETNS=n$$-$BATS_TEST_NUMBER
	ip netns add "$NETNS"
	ip -n "$NETNS" link set lo up
	config --arg path "/run/netns/$NETNS" '(.linux.namespaces[] | select(.type == "network")).path = $path'
	config '.process.capabilities |= map_values(. + ["CAP_NET_RAW"])'
}

teardown() {
	bh delete --force "$ID" >/dev/null 2>&1 || true
	ip netns del "$NETNS"
	ip link del parent0 2>/dev/null || true
	rm -f /etc/bulkhead/bulkhead.json
	bundle_teardown
}

# eth0, 10.96.0.2, of the kind $1 (with its options) on one end of a veth, whose other end is in the bridge.
plug() {
	ip link add parent0 type veth peer name parent1
	ip link set parent0 master bhbr2 up
	ip link set parent1 up
	ip link add link parent1 name bhkind type "$@" || skip "this host's kernel has no $1"
	ip link set bhkind netns "$NETNS" name eth0
	ip -n "$NETNS" addr add 10.96.0.2/24 brd + dev eth0
	ip -n "$NETNS" link set eth0 up
	ip -n "$NETNS" route add default via 10.96.0.1
}

plug_veth() {
	ip link add parent0 type veth peer name eth0 netns "$NETNS"
	ip link set parent0 master bhbr2 up
	ip -n "$NETNS" addr add 10.96.0.2/24 brd + dev eth0
	ip -n "$NETNS" link set eth0 up
}

# The container fetches a file of 4 MiB from the host, and is pinged by it.
check_both_ways() {
	head -c 4194304 /dev/urandom >"$WORK/data"
	python3 - "$WORK/data" 3>&- <<'PYTHON' &
import socket, sys
with socket.create_server(("10.96.0.1", 7)) as server:
    connection, _ = server.accept()
    with connection, open(sys.argv[1], "rb") as file:
        connection.sendall(file.read())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
PYTHON
	script 'cat /sys/class/net/eth0/address; nc 10.96.0.1 7 </dev/null >/tmp/got; wc -c </tmp/got; md5sum </tmp/got
		ip route; echo ready; sleep 1000'
	bh create --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 3>&-
	bh start "$ID"
	local try
	for try in $(seq 200); do grep -q ready "$WORK/out" && break; read -rt 0.1 <> <(:) || true; done
	run cat "$WORK/out"
	assert_output 4194304
	assert_output "$(md5sum <"$WORK/data")"
	assert_output "$(ip -n "$NETNS" -j link show eth0 | jq -r '.[0].address')"
	assert_output 'default via 10.96.0.1'
	ping -c 1 -W 5 10.96.0.2
}

@test "a macvlan interface" {
	plug macvlan mode bridge
	check_both_ways
}

@test "an ipvlan interface" {
	plug ipvlan mode l2
	check_both_ways
}

# Podman's port handler connects from within the namespace, to the address of the tap.
@test "the tap of slirp4netns, whose ports are published from within the namespace" {
	ip -n "$NETNS" tuntap add tap0 mode tap
	ip -n "$NETNS" addr add 10.0.2.100/24 dev tap0
	ip -n "$NETNS" link set tap0 up
	config '.process.args = ["nc", "-ll", "-p", "8080", "-e", "echo", "from the guest"]'
	bh run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$WORK/out" 2>&1 3>&-
	run bh exec "$ID" ip addr show tap0
	assert_output 'inet 10.0.2.100/24'
	local address try
	for address in 10.0.2.100 127.0.0.1; do
		for try in $(seq 50); do
			run ip netns exec "$NETNS" timeout 20 python3 -c 'import socket, sys
print(socket.create_connection((sys.argv[1], 8080)).recv(64))' "$address"
			[[ $output == *guest* ]] && break
			sleep 0.2
		done
		assert_output 'from the guest'
	done
}

@test "ten thousand short connections, or as many as fit in a minute, are all answered" {
	plug_veth
	config --arg p "$ROOTFS_DIR/debian" '.root.path = $p'
	cat >"$WORK/server.py" <<'PYTHON'
import socket
server = socket.create_server(("", 80), backlog=64)
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(connection.recv(64))
    connection.close()
PYTHON
	chmod 755 "$WORK"
	config --arg f "$WORK/server.py" '.mounts += [{"destination": "/server.py", "type": "bind", "source": $f, "options": ["bind", "ro"]}]
		| .process.args = ["python3", "/server.py"]'
	bh create --bundle "$BUNDLE" "$ID" >"$WORK/out" 2>&1 3>&-
	bh start "$ID"
	local try
	for try in $(seq 600); do grep -q ready "$WORK/out" && break; read -rt 0.1 <> <(:) || true; done
	run python3 - <<'PYTHON'
import socket, time
good = bad = 0
end = time.monotonic() + 60
while good + bad < 10000 and time.monotonic() < end:
    question = b"%d" % (good + bad)
    with socket.create_connection(("10.96.0.2", 80), timeout=20) as s:
        s.sendall(question)
        answer = s.recv(64)
    if answer == question:
        good += 1
    else:
        bad += 1
print("good", good, "bad", bad)
PYTHON
	echo "# $output" >&3
	assert_status 0
	assert_output 'bad 0'
	[ "$(cut -d' ' -f2 <<<"$output")" -ge 1000 ]
}
