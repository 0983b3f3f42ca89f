# SPDX-License-Identifier: Apache-2.0
#
# Pods as a kubelet has them, for the tests: containerd with its CRI plug-in and CNI, a client (cri/cri.py), two images.
#
#     load pods
#     setup_file() { pods_start; }
#     setup() { pods_setup; }                   what is there before
#     teardown() { pods_teardown; }             removes every pod, and fails if anything leaked
#     pod NAME [JQ-ARGUMENT...]                 runs a sandbox, sets POD to its id; jq edits its PodSandboxConfig
#     container NAME [JQ-ARGUMENT...]           creates a container in $POD, sets CTR; jq edits its ContainerConfig
#     start [ID], stop ID, remove ID            default: $CTR
#     wait_exit ID                              until it has ended; prints its exit code and reason
#     cri METHOD JSON                           anything else

CRI_DIR=/run/cri-test
CRI_SOCKET=$CRI_DIR/socket
KUBELET=/var/lib/kubelet-test
STATE_ROOT=/run/containerd/runc/k8s.io # the one that containerd's shim gives for the CRI's containers

cri() { # METHOD [JSON]
	local reply
	reply=$(jq -cn --arg method "$1" --argjson request "${2:-{\}}" '{method: $method, request: $request}' |
		socat -t 300 - "UNIX-CONNECT:$CRI_SOCKET")
	if [ -z "$reply" ] || jq -e 'has("error")' <<<"$reply" >/dev/null; then
		jq -r .error <<<"${reply:-{\"error\": \"the client does not answer\"\}}" >&2
		return 1
	fi
	echo "$reply"
}

bh_pod() { bh --root "$STATE_ROOT" "$@"; }

# ---- what has to be there once ----

# A root filesystem as an image: an archive with one layer.
make_image() { # FOLDER NAME CONFIG-JSON
	local work layer
	work=$(mktemp -d)
	tar -C "$1" --numeric-owner -cf "$work/layer.tar" .
	layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
	jq -n --arg layer "sha256:$layer" --argjson config "$3" \
		'{architecture: "amd64", os: "linux", config: $config, rootfs: {type: "layers", diff_ids: [$layer]}}' \
		>"$work/config.json"
	jq -n --arg name "$2" '[{Config: "config.json", RepoTags: [$name], Layers: ["layer.tar"]}]' >"$work/manifest.json"
	tar -C "$work" -cf "$work/image.tar" manifest.json config.json layer.tar
	timeout 120 ctr -n k8s.io images import "$work/image.tar" >/dev/null
	rm -rf "$work"
}

write_configuration() {
	mkdir -p /etc/containerd /etc/cni/net.d
	# The example, and what this host has elsewhere.
	cat examples/kubernetes/containerd.toml - >/etc/containerd/config.toml <<-END
	[plugins."io.containerd.grpc.v1.cri"]
	  sandbox_image = "localhost/pause:latest"
	  disable_hugetlb_controller = false
	  [plugins."io.containerd.grpc.v1.cri".cni]
	    bin_dir = "/usr/lib/cni"
	    conf_dir = "/etc/cni/net.d"
	END
	grep -q 'handler: bulkhead$' examples/kubernetes/runtimeclass.yaml
	cat >/etc/cni/net.d/10-pods.conflist <<-END
	{"cniVersion": "0.4.0", "name": "pods", "plugins": [
	  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
	   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	END
}

start_client() {
	mkdir -p "$CRI_DIR"
	rm -f "$CRI_SOCKET"
	setsid python3 tests/functional/cri/cri.py "$CRI_SOCKET" >"$CRI_DIR/log" 2>&1 </dev/null 3>&- 4>&- &
	local try
	for try in $(seq 300); do
		[ -S "$CRI_SOCKET" ] && return 0
		sleep 0.1
	done
	cat "$CRI_DIR/log"
	return 1
}

pods_start() {
	local pause
	write_configuration
	start-containerd 3>&- 4>&-
	[ -S "$CRI_SOCKET" ] && return 0
	start_client
	pause=$(mktemp -d)
	cp "$TESTINIT" "$pause/pause"
	make_image "$pause" localhost/pause:latest '{"Entrypoint": ["/pause", "sleep", "1000000"]}'
	rm -rf "$pause"
	make_image "$ROOTFS_DIR/busybox" localhost/busybox:latest '{"Env": ["PATH=/bin"], "Cmd": ["sh"]}'
	# The first pod makes the bridge, and what it leaves of that is there before every test.
	ip link show cni0 >/dev/null 2>&1 || { pods_setup; pod warm; cri RemovePodSandbox "{\"pod_sandbox_id\": \"$POD\"}" >/dev/null; }
}

# ---- each test ----

pods_setup() {
	WORK=$(mktemp -d "${BATS_RUN_TMPDIR:-/tmp}/pods.XXXXXX")
	mkdir -p "$KUBELET"
	leak_snapshot
}

pods_teardown() {
	local id leaks removals=()
	# Shown by bats if the test failed.
	journal_of_failure
	for id in $(cri ListPodSandbox | jq -r '.items[]?.id'); do
		{
			cri StopPodSandbox "{\"pod_sandbox_id\": \"$id\"}" || true
			cri RemovePodSandbox "{\"pod_sandbox_id\": \"$id\"}" || true
		} >/dev/null 3>&- &
		removals+=($!)
	done
	[ ${#removals[@]} -eq 0 ] || wait "${removals[@]}"
	rmdir /sys/fs/cgroup/kubepods/* /sys/fs/cgroup/kubepods 2>/dev/null || true
	umount "$KUBELET"/* 2>/dev/null || true
	leaks=$(leak_report)
	rm -rf "$WORK" "$KUBELET"
	if [ -n "$leaks" ]; then
		echo "left behind: $leaks"
		return 1
	fi
}

journal_of_failure() {
	[ -z "${BATS_TEST_COMPLETED:-}" ] || return 0
	grep -E 'level=(error|warning)' /run/containerd.log | grep -vE 'clean(ing)?.?up|cleanup warnings' | cut -c1-600 | tail -n 8
	tail -n 5 "$STATE_ROOT"/*/log 2>/dev/null || true
}

pod() { # NAME [JQ-ARGUMENT...]
	local name=$1
	shift
	mkdir -p "$WORK/logs/$name"
	POD_CONFIG=$(jq -cn --arg name "$name" --arg logs "$WORK/logs/$name" '{
		metadata: {name: $name, uid: ("uid-" + $name), namespace: "default", attempt: 0},
		hostname: $name, log_directory: $logs, dns_config: {servers: ["10.88.0.1"], searches: ["cluster.local"]},
		linux: {cgroup_parent: ("/kubepods/pod" + $name), security_context: {namespace_options: {pid: "CONTAINER"}}}}')
	[ $# -eq 0 ] || POD_CONFIG=$(jq -c "$@" <<<"$POD_CONFIG")
	mkdir -p "/sys/fs/cgroup/kubepods/pod$name"
	POD=$(cri RunPodSandbox "{\"config\": $POD_CONFIG, \"runtime_handler\": \"bulkhead\"}" | jq -er .pod_sandbox_id)
	POD_NAME=$name
	[ -n "$POD" ]
}

container() { # NAME [JQ-ARGUMENT...]
	local name=$1
	shift
	CTR_CONFIG=$(jq -cn --arg name "$name" '{metadata: {name: $name, attempt: 0}, image: {image: "localhost/busybox:latest"},
		log_path: ($name + ".log"), linux: {security_context: {namespace_options: {pid: "CONTAINER"}}}}')
	[ $# -eq 0 ] || CTR_CONFIG=$(jq -c "$@" <<<"$CTR_CONFIG")
	CTR=$(cri CreateContainer "{\"pod_sandbox_id\": \"$POD\", \"config\": $CTR_CONFIG, \"sandbox_config\": $POD_CONFIG}" |
		jq -er .container_id)
	[ -n "$CTR" ]
}

# The usual container: a shell script, and perhaps more.
shell() { # NAME SCRIPT [JQ-ARGUMENT...]
	local name=$1 text=$2
	shift 2
	container "$name" --arg text "$text" '.command = ["sh", "-c", $text]'" $(printf '| %s' "${@:-.}")"
	start
}

start() { cri StartContainer "{\"container_id\": \"${1:-$CTR}\"}" >/dev/null; }
stop() { cri StopContainer "{\"container_id\": \"$1\", \"timeout\": ${2:-0}}" >/dev/null; }
remove() { cri RemoveContainer "{\"container_id\": \"$1\"}" >/dev/null; }
status_of() { cri ContainerStatus "{\"container_id\": \"$1\"}" | jq -c .status; }
in_container() { # ID COMMAND...
	local id=$1
	shift
	cri ExecSync "$(printf '%s\1' "$@" | jq -Rsc --arg id "$id" '{container_id: $id, cmd: split("\u0001")[:-1], timeout: 60}')" |
		jq -r '(.stdout // "" | @base64d), (.stderr // "" | @base64d), "exit \(.exit_code // 0)"' | sed '/^$/d'
}
wait_exit() { # ID
	local status
	for _ in $(seq 300); do
		status=$(status_of "$1")
		if [ "$(jq -r .state <<<"$status")" = CONTAINER_EXITED ]; then
			jq -r '"\(.exit_code // 0) \(.reason // "")"' <<<"$status"
			return 0
		fi
		sleep 0.2
	done
	echo "container $1 is $status"
	return 1
}
log_of() { sed 's/^[^ ]* //' "$WORK/logs/$POD_NAME/$1.log"; } # "stdout F text"
wait_log() { # NAME TEXT
	for _ in $(seq 300); do
		grep -qs -- "$2" "$WORK/logs/$POD_NAME/$1.log" && return 0
		sleep 0.2
	done
	echo "no '$2' in the log of $1:"
	cat "$WORK/logs/$POD_NAME/$1.log"
	return 1
}
pod_address() { cri PodSandboxStatus "{\"pod_sandbox_id\": \"${1:-$POD}\"}" | jq -r .status.network.ip; }
monitors() { pgrep -xc bulkhead-vmm; }
