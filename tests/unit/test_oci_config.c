/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: every member arrives where it should, and every refusal says what and where. */
#include "tests/unit/oci_patch.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static struct oci_config *load(const char *patch)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	if (patch_load("/bundle", patch, &config, &err) < 0)
		fail_msg("%s: %s", patch, err.text);
	return config;
}

static void config_refusals_name_the_value(void **state)
{
	static const struct {
		const char *patch, *error;
	} cases[] = {
		/* the top */
		{ "{'ociVersion': null}", "ociVersion: missing" },
		{ "{'ociVersion': 1}", "ociVersion: must be a string" },
		{ "{'ociVersion': 'one'}", "ociVersion: \"one\" is no version such as \"1.2.0\"" },
		{ "{'ociVersion': '12'}", "ociVersion: \"12\" is no version such as \"1.2.0\"" },
		{ "{'ociVersion': '2.0.0'}", "ociVersion: \"2.0.0\" is not a version 1 of the specification" },
		{ "{'root': null}", "root: missing" },
		{ "{'root': 'rootfs'}", "root: must be an object" },
		{ "{'root': {'path': null}}", "root.path: missing" },
		{ "{'root': {'path': ''}}", "root.path: is empty" },
		{ "{'root': {'readonly': 'yes'}}", "root.readonly: must be true or false" },
		{ "{'linux': []}", "linux: must be an object" },
		{ "{'annotations': {'a': 1}}", "annotations.a: must be a string" },
		{ "{'hostname': 'a', 'linux': {'namespaces': []}}",
		  "hostname: cannot be set without a uts namespace in linux.namespaces" },
		{ "{'domainname': 'a', 'linux': null}",
		  "domainname: cannot be set without a uts namespace in linux.namespaces" },
		{ "{'hostname': '0123456789012345678901234567890123456789012345678901234567890123456789'}",
		  "hostname: longer than 64 bytes" },
		/* process */
		{ "{'process': null}", "process: missing" },
		{ "{'process': {'args': null}}", "process.args: must be a non-empty array of strings" },
		{ "{'process': {'args': []}}", "process.args: must be a non-empty array of strings" },
		{ "{'process': {'args': 'sh'}}", "process.args: must be a non-empty array of strings" },
		{ "{'process': {'args': ['sh', 5]}}", "process.args[1]: must be a string" },
		{ "{'process': {'env': [null]}}", "process.env[0]: must be a string" },
		{ "{'process': {'cwd': null}}", "process.cwd: missing" },
		{ "{'process': {'cwd': 'tmp'}}", "process.cwd: must be an absolute path, not \"tmp\"" },
		{ "{'process': {'user': {'uid': 'root'}}}", "process.user.uid: must be an integer" },
		{ "{'process': {'user': {'gid': 4294967296}}}",
		  "process.user.gid: must be from 0 to 4294967295, not 4294967296" },
		{ "{'process': {'user': {'umask': 512}}}",
		  "process.user.umask: must be from 0 to 511 (octal 0777), not 512" },
		{ "{'process': {'user': {'additionalGids': [1, -1]}}}",
		  "process.user.additionalGids: must be an array of group ids" },
		{ "{'process': {'terminal': 1}}", "process.terminal: must be true or false" },
		{ "{'process': {'consoleSize': {'height': 10}}}", "process.consoleSize.width: missing" },
		{ "{'process': {'consoleSize': {'height': 70000, 'width': 1}}}",
		  "process.consoleSize.height: must be from 0 to 65535, not 70000" },
		{ "{'process': {'capabilities': ['CAP_CHOWN']}}", "process.capabilities: must be an object" },
		{ "{'process': {'capabilities': {'bounding': [7]}}}",
		  "process.capabilities.bounding[0]: must be a string" },
		{ "{'process': {'rlimits': [{'soft': 1, 'hard': 1}]}}", "process.rlimits[0]: has no type" },
		{ "{'process': {'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 2, 'hard': 1}]}}",
		  "process.rlimits[0]: soft limit 2 is above the hard limit 1" },
		{ "{'process': {'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 1}]}}",
		  "process.rlimits[0].hard: missing" },
		{ "{'process': {'rlimits': [{'type': 'RLIMIT_CORE', 'soft': 1, 'hard': 1},"
		  " {'type': 'RLIMIT_CORE', 'soft': 1, 'hard': 1}]}}",
		  "process.rlimits[1]: a second limit of the same type" },
		{ "{'process': {'oomScoreAdj': 1001}}", "process.oomScoreAdj: must be from -1000 to 1000, not 1001" },
		{ "{'process': {'scheduler': {}}}", "process.scheduler: has no policy" },
		{ "{'process': {'scheduler': {'policy': 'SCHED_X'}}}",
		  "process.scheduler.policy: \"SCHED_X\" is none of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, "
		  "SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE" },
		{ "{'process': {'scheduler': {'policy': 'SCHED_FIFO', 'priority': 100}}}",
		  "process.scheduler.priority: must be from 0 to 99, not 100" },
		{ "{'process': {'scheduler': {'policy': 'SCHED_OTHER', 'nice': 20}}}",
		  "process.scheduler.nice: must be from -20 to 19, not 20" },
		{ "{'process': {'ioPriority': {'class': 'IOPRIO_CLASS_X'}}}",
		  "process.ioPriority.class: \"IOPRIO_CLASS_X\" is none of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, "
		  "IOPRIO_CLASS_IDLE" },
		{ "{'process': {'ioPriority': {'class': 'IOPRIO_CLASS_RT', 'priority': 8}}}",
		  "process.ioPriority.priority: must be from 0 to 7, not 8" },
		{ "{'process': {'execCPUAffinity': {'final': '3-1'}}}",
		  "process.execCPUAffinity.final: \"3-1\" is no list of CPUs such as \"0-3,7\"" },
		/* mounts */
		{ "{'mounts': {}}", "mounts: must be an array" },
		{ "{'mounts': ['/proc']}", "mounts[0]: must be an object" },
		{ "{'mounts': [{'type': 'proc'}]}", "mounts[0].destination: missing" },
		{ "{'mounts': [{'destination': '', 'type': 'proc'}]}", "mounts[0]: has an empty destination" },
		{ "{'mounts': [{'destination': '/a'}]}", "mounts[0]: has no type, and is no bind mount" },
		{ "{'mounts': [{'destination': '/a', 'options': ['bind']}]}",
		  "mounts[0]: a bind mount without a source" },
		{ "{'mounts': [{'destination': '/a', 'type': 'tmpfs', 'options': 'ro'}]}",
		  "mounts[0].options: must be an array of strings" },
		{ "{'mounts': [{'destination': '/a', 'type': 'tmpfs', 'options': ['idmap']}]}",
		  "mounts[0]: id mappings are for bind mounts, this is a tmpfs" },
		{ "{'mounts': [{'destination': '/a', 'source': '/b', 'options': ['bind', 'idmap']}]}",
		  "mounts[0]: idmap needs uidMappings and gidMappings, here or of a user namespace" },
		{ "{'mounts': [{'destination': '/a', 'source': '/b', 'options': ['bind'],"
		  " 'uidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}]}]}",
		  "mounts[0]: needs both uidMappings and gidMappings" },
		{ "{'mounts': [{'destination': '/a', 'source': '/b', 'options': ['bind'],"
		  " 'uidMappings': [{'containerID': 4294967295, 'hostID': 1, 'size': 1}]}]}",
		  "mounts[0].uidMappings[0]: maps nothing, or beyond the last id" },
		/* hooks */
		{ "{'hooks': {'prestart': {}}}", "hooks.prestart: must be an array" },
		{ "{'hooks': {'poststop': [{'args': []}]}}", "hooks.poststop[0].path: missing" },
		{ "{'hooks': {'createRuntime': [{'path': 'x'}]}}",
		  "hooks.createRuntime[0].path: must be an absolute path, not \"x\"" },
		{ "{'hooks': {'poststart': [{'path': '/x', 'timeout': 0}]}}",
		  "hooks.poststart[0].timeout: must be from 1 to 2147483647, not 0" },
		/* linux */
		{ "{'linux': {'namespaces': [{}]}}", "linux.namespaces[0]: has no type" },
		{ "{'linux': {'namespaces': [{'type': 'net'}]}}",
		  "linux.namespaces[0].type: \"net\" is none of cgroup, ipc, mount, network, pid, time, user, uts" },
		{ "{'linux': {'namespaces': [{'type': 'pid'}, {'type': 'pid'}]}}",
		  "linux.namespaces[1]: a second namespace of type pid" },
		{ "{'linux': {'namespaces': [{'type': 'pid', 'path': 'proc/1/ns/pid'}]}}",
		  "linux.namespaces[0]: path must be absolute, not \"proc/1/ns/pid\"" },
		{ "{'linux': {'uidMappings': [{'containerID': 0, 'hostID': 1, 'size': 1}]}}",
		  "linux.uidMappings: needs a user namespace in linux.namespaces" },
		{ "{'linux': {'namespaces': [{'type': 'user'}], 'uidMappings': [{'containerID': 0, 'hostID': 1, "
		  "'size': 1}]}}",
		  "linux.uidMappings: and gidMappings are needed for a new user namespace in linux.namespaces" },
		{ "{'linux': {'timeOffsets': {'monotonic': {'secs': 1}}}}",
		  "linux.timeOffsets: cannot be set without a time namespace in linux.namespaces" },
		{ "{'linux': {'namespaces': [{'type': 'time'}], 'timeOffsets': {'realtime': {}}}}",
		  "linux.timeOffsets.realtime: must be \"monotonic\" or \"boottime\"" },
		{ "{'linux': {'namespaces': [{'type': 'time'}], 'timeOffsets': {'boottime': {'nanosecs': "
		  "1000000000}}}}",
		  "linux.timeOffsets.boottime.nanosecs: must be from 0 to 999999999, not 1000000000" },
		{ "{'linux': {'devices': [{'path': '/dev/x', 'type': 'x'}]}}",
		  "linux.devices[0]: type must be c, u, b or p, not \"x\"" },
		{ "{'linux': {'devices': [{'path': '/dev/x', 'type': 'c', 'minor': 1}]}}",
		  "linux.devices[0].major: missing" },
		{ "{'linux': {'devices': [{'path': '/dev/x', 'type': 'c', 'major': 5000, 'minor': 1}]}}",
		  "linux.devices[0].major: must be from 0 to 4095, not 5000" },
		{ "{'linux': {'sysctl': {'../../x': '1'}}}",
		  "linux.sysctl.../../x: is no name of a kernel parameter: contains an invalid path" },
		{ "{'linux': {'sysctl': {'net.x': 1}}}", "linux.sysctl.net.x: must be a string" },
		{ "{'linux': {'sysctl': {'kernel/hostname': 'x'}}}",
		  "linux.sysctl.kernel/hostname: is not allowed: the host's name is in hostname" },
		{ "{'linux': {'namespaces': [{'type': 'mount'}], 'sysctl': {'kernel.domainname': 'x'}}}",
		  "linux.sysctl.kernel.domainname: is not allowed without a uts namespace in linux.namespaces" },
		{ "{'linux': {'namespaces': [{'type': 'mount'}], 'sysctl': {'fs.mqueue.queues_max': '1'}}}",
		  "linux.sysctl.fs.mqueue.queues_max: is not allowed without an ipc namespace in linux.namespaces" },
		{ "{'linux': {'namespaces': [{'type': 'mount'}], 'sysctl': {'net.ipv4.ip_forward': '1'}}}",
		  "linux.sysctl.net.ipv4.ip_forward: is not allowed without a network namespace in linux.namespaces" },
		{ "{'linux': {'maskedPaths': ['proc']}}",
		  "linux.maskedPaths[0]: must be an absolute path, not \"proc\"" },
		{ "{'linux': {'readonlyPaths': ['/a', '']}}",
		  "linux.readonlyPaths[1]: must be an absolute path, not \"\"" },
		{ "{'linux': {'rootfsPropagation': 'ro'}}",
		  "linux.rootfsPropagation: \"ro\" is none of shared, slave, private, unbindable" },
		{ "{'linux': {'personality': {'domain': 'BSD'}}}",
		  "linux.personality.domain: \"BSD\" is none of LINUX, LINUX32" },
		{ "{'linux': {'personality': {'domain': 'LINUX', 'flags': ['X']}}}",
		  "linux.personality.flags: no flags are defined" },
		{ "{'linux': {'intelRdt': {'closID': 'x'}}}",
		  "linux.intelRdt: not supported: no resctrl group is made for a virtual machine" },
		{ "{'linux': {'namespaces': [{'type': 'mount'}], 'netDevices': {'eth0': {}}}}",
		  "linux.netDevices: unable to move network devices without a NET namespace" },
		{ "{'linux': {'namespaces': [{'type': 'network'}], 'netDevices': {'a/b': {}}}}",
		  "linux.netDevices.a/b: invalid network device name \"a/b\"" },
		{ "{'linux': {'namespaces': [{'type': 'network'}], 'netDevices': {'a': {'name': 'sixteen-letters-'}}}}",
		  "linux.netDevices.a: invalid network device name \"sixteen-letters-\"" },
		{ "{'linux': {'namespaces': [{'type': 'network'}], 'netDevices': {'a': {'name': 'eth%d'}}}}",
		  "linux.netDevices.a: invalid network device name \"eth%d\"" },
		{ "{'linux': {'namespaces': [{'type': 'network'}], 'netDevices': {'a': {'name': 'c'}, 'b': {'name': "
		  "'c'}}}}",
		  "linux.netDevices.b: a second network device with the name c" },
		{ "{'linux': {'memoryPolicy': {'mode': 'INTERLEAVE', 'nodes': '0'}}}",
		  "linux.memoryPolicy: invalid memory policy mode \"INTERLEAVE\"" },
		{ "{'linux': {'memoryPolicy': {'nodes': '0-7'}}}",
		  "linux.memoryPolicy: invalid memory policy mode \"\"" },
		{ "{'linux': {'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0', 'flags': ['x']}}}",
		  "linux.memoryPolicy: invalid memory policy flag \"x\"" },
		{ "{'linux': {'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0-9876543210'}}}",
		  "linux.memoryPolicy: invalid memory policy node list \"0-9876543210\"" },
		{ "{'linux': {'memoryPolicy': {'mode': 'MPOL_INTERLEAVE'}}}",
		  "linux.memoryPolicy: set_mempolicy: invalid argument" },
		{ "{'linux': {'memoryPolicy': {'mode': 'MPOL_PREFERRED', 'flags': ['MPOL_F_NUMA_BALANCING']}}}",
		  "linux.memoryPolicy: set_mempolicy: invalid argument" },
		/* linux.resources */
		{ "{'linux': {'resources': {'memory': {'limit': '1g'}}}}",
		  "linux.resources.memory.limit: must be an integer" },
		{ "{'linux': {'resources': {'memory': {'limit': -2}}}}",
		  "linux.resources.memory.limit: must be from -1 to 9223372036854775807, not -2" },
		{ "{'linux': {'resources': {'cpu': {'cpus': 'all'}}}}",
		  "linux.resources.cpu.cpus: \"all\" is no list such as \"0-3,7\"" },
		{ "{'linux': {'resources': {'cpu': {'idle': 2}}}}", "linux.resources.cpu.idle: must be 0 or 1" },
		{ "{'linux': {'resources': {'hugepageLimits': [{'pageSize': '2mb', 'limit': 1}]}}}",
		  "linux.resources.hugepageLimits[0]: pageSize must be like \"2MB\", not \"2mb\"" },
		{ "{'linux': {'resources': {'blockIO': {'weight': 1001}}}}",
		  "linux.resources.blockIO.weight: must be from 0 to 1000, not 1001" },
		{ "{'linux': {'resources': {'blockIO': {'throttleReadBpsDevice': [{'major': 8, 'minor': 0}]}}}}",
		  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: missing" },
		{ "{'linux': {'resources': {'devices': [{'allow': true, 'access': 'x'}]}}}",
		  "linux.resources.devices[0]: access must be made of r, w and m, not \"x\"" },
		{ "{'linux': {'resources': {'devices': [{'type': 'p'}]}}}",
		  "linux.resources.devices[0]: type must be a, c or b, not \"p\"" },
		{ "{'linux': {'resources': {'unified': {'../memory.max': '1'}}}}",
		  "linux.resources.unified.../memory.max: is no name of a cgroup v2 file: the specified key has not "
		  "the form CONTROLLER.VALUE "
		  "`../memory.max`" },
		{ "{'linux': {'resources': {'unified': {'tasks': '1'}}}}",
		  "linux.resources.unified.tasks: is no name of a cgroup v2 file: the specified key has not the form "
		  "CONTROLLER.VALUE `tasks`" },
		{ "{'linux': {'resources': {'unified': {'foo.bar': '1'}}}}",
		  "linux.resources.unified.foo.bar: the requested cgroup controller `foo` is not available" },
		{ "{'linux': {'resources': {'unified': {'cgroup.procs': '1'}}}}",
		  "linux.resources.unified.cgroup.procs: is not a limit, and is the runtime's to write" },
		{ "{'linux': {'resources': {'rdma': {'mlx5_1': {'hcaHandles': 3}}}}}",
		  "linux.resources.rdma: not supported: a virtual machine has no RDMA device of the host" },
		/* linux.seccomp */
		{ "{'linux': {'seccomp': {}}}", "linux.seccomp.defaultAction: missing" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_NOTIFY'}}}",
		  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported: the listener is on the host, the "
		  "system call in a virtual machine" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls':"
		  " [{'names': ['x'], 'action': 'SCMP_ACT_NOTIFY'}]}}}",
		  "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported: the listener is on the host, "
		  "the "
		  "system call in a virtual machine" },
		{ "{'linux': {'seccomp': {'defaultAction': 'ALLOW'}}}",
		  "linux.seccomp.defaultAction: \"ALLOW\" is none of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, "
		  "SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, SCMP_ACT_TRACE, SCMP_ACT_TRAP" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'defaultErrnoRet': 1}}}",
		  "linux.seccomp.defaultErrnoRet: has no meaning for SCMP_ACT_ALLOW" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'architectures': ['x86']}}}",
		  "linux.seccomp.architectures: \"x86\" is no architecture of libseccomp" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'flags': ['X']}}}",
		  "linux.seccomp.flags[0]: \"X\" is none of SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "
		  "SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': [],"
		  " 'action': 'SCMP_ACT_LOG'}]}}}",
		  "linux.seccomp.syscalls[0]: names no system call" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['a'],"
		  " 'action': 'SCMP_ACT_LOG', 'args': [{'index': 6, 'value': 1, 'op': 'SCMP_CMP_EQ'}]}]}}}",
		  "linux.seccomp.syscalls[0].args[0].index: must be from 0 to 5, not 6" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['a'],"
		  " 'action': 'SCMP_ACT_LOG', 'args': [{'index': 0, 'value': 1}]}]}}}",
		  "linux.seccomp.syscalls[0].args[0]: has no op" },
		{ "{'linux': {'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['a'],"
		  " 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 5000}]}}}",
		  "linux.seccomp.syscalls[0].errnoRet: must be from 0 to 4095, not 5000" },
		/* vm */
		{ "{'vm': {'hypervisor': {'path': '/bin/sh'}}}",
		  "vm.hypervisor: not supported: bulkhead runs its own monitor and no other" },
		{ "{'vm': {'image': {'path': '/x', 'format': 'raw'}}}",
		  "vm.image: not supported: the guest starts from an initramfs (vm.kernel.initrd)" },
		{ "{'vm': {'kernel': {}}}", "vm.kernel.path: missing" },
		{ "{'vm': {'kernel': {'path': 'vmlinux'}}}",
		  "vm.kernel.path: must be an absolute path, not \"vmlinux\"" },
		{ "{'vm': {'kernel': {'path': '/k', 'initrd': 'i'}}}",
		  "vm.kernel.initrd: must be an absolute path, not \"i\"" },
		{ "{'vm': {'hwConfig': {'irqs': [5]}}}",
		  "vm.hwConfig.irqs: not supported: this machine has no device tree and no passthrough" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = NULL;
		struct err err = ERR_INIT;

		if (patch_load("/bundle", cases[i].patch, &config, &err) == 0)
			fail_msg("accepted: %s", cases[i].patch);
		assert_string_equal(err.text, cases[i].error);
		assert_null(config);
	}
}

static void config_minimal_has_defaults(void **state)
{
	struct oci_config *config = load("{}");

	(void)state;
	assert_string_equal(config->bundle, "/bundle");
	assert_string_equal(config->oci_version, "1.2.0");
	assert_string_equal(config->root_path, "rootfs");
	assert_int_equal(config->process.args.count, 3);
	assert_int_equal(config->mount_count, 0);
	assert_false(config->root_readonly || config->has_resources || config->has_seccomp || config->has_personality);
	assert_false(config->process.has_capabilities || config->process.has_umask ||
		     config->process.has_oom_score_adj || config->process.has_scheduler);
	assert_null(config->hostname);
	assert_null(config->cgroups_path);
	assert_int_equal(config->rootfs_propagation, 0);
	oci_config_destroy(config);
}

static void config_unknown_members_are_ignored(void **state)
{
	(void)state;
	oci_config_destroy(
		load("{'solaris': {}, 'x': 1, 'process': {'y': []}, 'linux': {'memoryLane': {'mode': 1},"
		     " 'resources': {'network': {'classID': 5}}}, 'mounts': [{'destination': '/p', 'type': 'proc',"
		     " 'z': {}}]}"));
}

static void config_older_and_newer_minor_versions_are_read(void **state)
{
	static const char *const versions[] = { "{'ociVersion': '1.0.2-dev'}", "{'ociVersion': '1.0.0-rc5+x'}",
						"{'ociVersion': '1.99.0'}" };

	(void)state;
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		oci_config_destroy(load(versions[i]));
}

static void process_members_are_read(void **state)
{
	struct oci_config *config = load(
		"{'process': {'terminal': true, 'consoleSize': {'height': 25, 'width': 80}, 'env': ['A=b', 'C'],"
		" 'cwd': '/tmp', 'user': {'uid': 1000, 'gid': 1001, 'umask': 18, 'additionalGids': [5, 4294967295]},"
		" 'noNewPrivileges': true, 'oomScoreAdj': -500, 'apparmorProfile': 'p', 'selinuxLabel': 'l',"
		" 'rlimits': [{'type': 'RLIMIT_NOFILE', 'soft': 1024, 'hard': 18446744073709551615}],"
		" 'scheduler': {'policy': 'SCHED_DEADLINE', 'nice': -5, 'priority': 3,"
		"  'flags': ['SCHED_FLAG_RESET_ON_FORK', 'SCHED_FLAG_DL_OVERRUN'], 'runtime': 1, 'deadline': 2, "
		"'period': 3},"
		" 'ioPriority': {'class': 'IOPRIO_CLASS_BE', 'priority': 4},"
		" 'execCPUAffinity': {'initial': '9', 'final': '0-1,4,1'}}}");
	const struct oci_process *p = &config->process;

	(void)state;
	assert_true(p->terminal);
	assert_int_equal(p->rows, 25);
	assert_int_equal(p->columns, 80);
	assert_int_equal(p->env.count, 2);
	assert_string_equal(p->env.items[0], "A=b");
	assert_string_equal(p->cwd, "/tmp");
	assert_int_equal(p->uid, 1000);
	assert_int_equal(p->gid, 1001);
	assert_true(p->has_umask);
	assert_int_equal(p->umask, 022);
	assert_int_equal(p->additional_gid_count, 2);
	assert_int_equal(p->additional_gids[0], 5);
	assert_true(p->additional_gids[1] == UINT32_MAX);
	assert_true(p->no_new_privileges);
	assert_true(p->has_oom_score_adj);
	assert_int_equal(p->oom_score_adj, -500);
	assert_string_equal(p->apparmor_profile, "p");
	assert_string_equal(p->selinux_label, "l");
	assert_int_equal(p->rlimit_count, 1);
	assert_int_equal(p->rlimits[0].resource, 7);
	assert_int_equal(p->rlimits[0].soft, 1024);
	assert_true(p->rlimits[0].hard == UINT64_MAX);
	assert_true(p->has_scheduler);
	assert_int_equal(p->scheduler.policy, 6);
	assert_int_equal(p->scheduler.nice, -5);
	assert_int_equal(p->scheduler.priority, 3);
	assert_int_equal(p->scheduler.flags, 5);
	assert_int_equal(p->scheduler.runtime + p->scheduler.deadline * 10 + p->scheduler.period * 100, 321);
	assert_true(p->has_io_priority);
	assert_int_equal(p->io_priority, 2 << 13 | 4);
	assert_int_equal(p->cpu_affinity_count, 3);
	assert_int_equal(p->cpu_affinity[2], 4);

	/* A copy holds the same and shares nothing. */
	struct oci_process *copy = oci_process_copy(p);
	oci_config_destroy(config);
	assert_string_equal(copy->args.items[0], "sh");
	assert_string_equal(copy->env.items[1], "C");
	assert_int_equal(copy->additional_gids[0], 5);
	assert_int_equal(copy->rlimits[0].soft, 1024);
	assert_int_equal(copy->cpu_affinity[1], 1);
	assert_string_equal(copy->apparmor_profile, "p");
	oci_process_destroy(copy);
}

static void process_console_size_without_terminal_is_ignored(void **state)
{
	struct oci_config *config = load("{'process': {'consoleSize': {'height': 25, 'width': 80}}}");

	(void)state;
	assert_int_equal(config->process.rows, 0);
	oci_config_destroy(config);
}

static void process_capabilities_are_bits_and_unknown_ones_ignored(void **state)
{
	struct oci_config *config =
		load("{'process': {'capabilities': {'bounding': ['CAP_CHOWN', 'CAP_KILL'],"
		     " 'effective': ['CAP_CHECKPOINT_RESTORE'], 'permitted': ['cap_kill', 'CAP_NEW_IN_2040'],"
		     " 'inheritable': [], 'ambient': ['NET_RAW']}}}");

	(void)state;
	assert_true(config->process.has_capabilities);
	assert_int_equal(config->process.capabilities.bounding, 1 | 1 << 5);
	assert_true(config->process.capabilities.effective == UINT64_C(1) << 40);
	assert_int_equal(config->process.capabilities.permitted, 1 << 5);
	assert_int_equal(config->process.capabilities.inheritable, 0);
	assert_int_equal(config->process.capabilities.ambient, 1 << 13);
	oci_config_destroy(config);
}

static void config_root_hostname_annotations_are_read(void **state)
{
	struct oci_config *config =
		load("{'root': {'path': '/r', 'readonly': true}, 'hostname': 'h', 'domainname': 'd',"
		     " 'annotations': {'a/b': 'c', 'e': ''}}");

	(void)state;
	assert_string_equal(config->root_path, "/r");
	assert_true(config->root_readonly);
	assert_string_equal(config->hostname, "h");
	assert_string_equal(config->domainname, "d");
	assert_string_equal(oci_map_get(&config->annotations, "a/b"), "c");
	assert_string_equal(oci_map_get(&config->annotations, "e"), "");
	assert_null(oci_map_get(&config->annotations, "f"));
	oci_config_destroy(config);
}

static void config_hooks_are_read_in_order(void **state)
{
	struct oci_config *config = load(
		"{'hooks': {'prestart': [{'path': '/a'}], 'createRuntime': [{'path': '/b'}],"
		" 'createContainer': [{'path': '/c'}], 'startContainer': [{'path': '/d'}],"
		" 'poststart': [{'path': '/e'}],"
		" 'poststop': [{'path': '/f', 'args': ['f', '-x'], 'env': ['K=v'], 'timeout': 7}, {'path': '/g'}]}}");

	(void)state;
	for (int i = 0; i < OCI_HOOK_COUNT; i++) {
		const struct oci_hook_list *list = &config->hooks.lists[i];

		assert_int_equal(list->count, i == OCI_HOOK_POSTSTOP ? 2 : 1);
		assert_int_equal(list->items[0].path[1], 'a' + i);
	}
	const struct oci_hook *hook = &config->hooks.lists[OCI_HOOK_POSTSTOP].items[0];
	assert_string_equal(hook->args.items[1], "-x");
	assert_string_equal(hook->env.items[0], "K=v");
	assert_int_equal(hook->timeout, 7);
	assert_int_equal(config->hooks.lists[OCI_HOOK_POSTSTOP].items[1].timeout, 0);
	oci_config_destroy(config);
}

static void linux_members_are_read(void **state)
{
	struct oci_config *config = load(
		"{'linux': {'namespaces': [{'type': 'user'}, {'type': 'network', 'path': '/run/netns/x'},"
		"  {'type': 'ipc', 'path': ''}, {'type': 'time'}],"
		" 'uidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 10}],"
		" 'gidMappings': [{'containerID': 1, 'hostID': 2000, 'size': 20}],"
		" 'timeOffsets': {'boottime': {'secs': -5, 'nanosecs': 7}, 'monotonic': {'secs': 100}},"
		" 'devices': [{'path': '/dev/f', 'type': 'u', 'major': 10, 'minor': 229, 'fileMode': 8630, 'uid': 1, "
		"'gid': 2},"
		"  {'path': '/p', 'type': 'p'}],"
		" 'cgroupsPath': '/a/b', 'sysctl': {'net.ipv4.ip_forward': '1', 'kernel/shmmax': '5'},"
		" 'maskedPaths': ['/proc/kcore'], 'readonlyPaths': ['/proc/sys', '/x'],"
		" 'rootfsPropagation': 'rslave', 'mountLabel': 'm', 'personality': {'domain': 'LINUX32', 'flags': []},"
		" 'memoryPolicy': {'mode': 'MPOL_BIND', 'nodes': '0-1', 'flags': ['MPOL_F_STATIC_NODES']},"
		" 'intelRdt': {}, 'netDevices': {'a0': {}, 'b0': {'name': 'c0'}}}}");

	(void)state;
	assert_string_equal(oci_map_get(&config->net_devices, "a0"), "a0");
	assert_string_equal(oci_map_get(&config->net_devices, "b0"), "c0");
	const struct oci_namespace *net = oci_namespaces_find(&config->namespaces, CLONE_NEWNET);
	const struct oci_namespace *ipc = oci_namespaces_find(&config->namespaces, CLONE_NEWIPC);
	assert_string_equal(net->path, "/run/netns/x");
	assert_null(ipc->path);
	assert_null(oci_namespaces_find(&config->namespaces, CLONE_NEWPID));
	assert_string_equal(oci_namespace_name(CLONE_NEWTIME), "time");
	assert_int_equal(config->uid_mappings.items[0].host_id, 1000);
	assert_int_equal(config->gid_mappings.items[0].size, 20);
	assert_int_equal(config->time_offset_count, 2);
	assert_int_equal(config->time_offsets[0].clock, CLOCK_BOOTTIME);
	assert_int_equal(config->time_offsets[0].seconds, -5);
	assert_int_equal(config->time_offsets[0].nanoseconds, 7);
	assert_int_equal(config->time_offsets[1].clock, CLOCK_MONOTONIC);
	assert_int_equal(config->devices.count, 2);
	assert_int_equal(config->devices.items[0].type, 'c');
	assert_int_equal(config->devices.items[0].mode, 0666);
	assert_int_equal(config->devices.items[0].gid, 2);
	assert_int_equal(config->devices.items[1].type, 'p');
	assert_string_equal(config->cgroups_path, "/a/b");
	assert_string_equal(oci_map_get(&config->sysctl, "kernel/shmmax"), "5");
	assert_int_equal(config->masked_paths.count, 1);
	assert_int_equal(config->readonly_paths.count, 2);
	assert_int_equal(config->rootfs_propagation, MS_SLAVE | MS_REC);
	assert_string_equal(config->mount_label, "m");
	assert_true(config->has_personality);
	assert_int_equal(config->personality, 8);
	oci_config_destroy(config);
}

static void vm_section_is_read_in_both_forms(void **state)
{
	struct oci_config *config =
		load("{'vm': {'kernel': {'path': '/k', 'initrd': '/i', 'parameters': ['a=b', 'c d']},"
		     " 'hwConfig': {'vcpus': 3, 'memory': 1073741824}}}");

	(void)state;
	assert_string_equal(config->vm.kernel, "/k");
	assert_string_equal(config->vm.initrd, "/i");
	assert_int_equal(config->vm.parameters.count, 2);
	assert_int_equal(config->vm.vcpus, 3);
	assert_int_equal(config->vm.memory, 1073741824);
	oci_config_destroy(config);
	config = load("{'vm': {'kernel': {'path': '/k', 'parameters': 'foo=bar hello  world'}}}");
	assert_int_equal(config->vm.parameters.count, 3);
	assert_string_equal(config->vm.parameters.items[2], "world");
	oci_config_destroy(config);
}

static void resources_members_are_read(void **state)
{
	struct oci_config *config =
		load("{'linux': {'resources': {'memory': {'limit': 100, 'reservation': -1, 'swap': 200, 'kernel': 5,"
		     "  'swappiness': 60, 'disableOOMKiller': true, 'checkBeforeUpdate': true},"
		     " 'cpu': {'shares': 1024, 'quota': -1, 'period': 50000, 'burst': 0, 'idle': 1, 'cpus': '0-1', "
		     "'mems': '0',"
		     "  'realtimePeriod': 5},"
		     " 'pids': {'limit': 32}, 'hugepageLimits': [{'pageSize': '2MB', 'limit': 9223372036854771712}],"
		     " 'blockIO': {'weight': 10, 'leafWeight': 5, 'weightDevice': [{'major': 8, 'minor': 16, 'weight': "
		     "500}],"
		     "  'throttleReadBpsDevice': [{'major': 8, 'minor': 0, 'rate': 600}],"
		     "  'throttleWriteIOPSDevice': [{'major': 8, 'minor': 0, 'rate': 300}]},"
		     " 'devices': [{'allow': false, 'access': 'rwm'}, {'allow': true, 'type': 'c', 'major': 1, "
		     "'access': 'rm'}],"
		     " 'unified': {'memory.high': '1'}}}}");
	const struct oci_resources *r = &config->resources;

	(void)state;
	assert_true(config->has_resources);
	assert_true(r->memory.limit.is_set && r->memory.swap.is_set && r->memory.check_before_update);
	assert_int_equal(r->memory.limit.value, 100);
	assert_int_equal(r->memory.reservation.value, -1);
	assert_int_equal(r->cpu.shares.value, 1024);
	assert_int_equal(r->cpu.quota.value, -1);
	assert_true(r->cpu.burst.is_set && r->cpu.burst.value == 0);
	assert_int_equal(r->cpu.idle.value, 1);
	assert_string_equal(r->cpu.cpus, "0-1");
	assert_int_equal(r->pids.value, 32);
	assert_string_equal(r->hugepages[0].size, "2MB");
	assert_int_equal(r->block_io.weight, 10);
	assert_int_equal(r->block_io.weights[0].weight, 500);
	assert_int_equal(r->block_io.throttle_count, 2);
	assert_int_equal(r->block_io.throttles[1].kind, OCI_THROTTLE_WRITE_IOPS);
	assert_int_equal(r->device_rules.count, 2);
	assert_int_equal(r->device_rules.items[0].type, 'a');
	assert_int_equal(r->device_rules.items[1].minor, -1);
	assert_int_equal(r->device_rules.items[1].access, OCI_DEVICE_READ | OCI_DEVICE_MKNOD);
	assert_string_equal(oci_map_get(&r->unified, "memory.high"), "1");
	oci_config_destroy(config);
}

static char directory[] = "/tmp/test_oci_config.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command) == 0 ? 0 : -1;
}

static void write_file(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *f = fopen(path, "we");
	fputs(text, f);
	fclose(f);
}

static void config_bundle_directory_or_file_is_read(void **state)
{
	auto_free char *text = patch_text("{}");
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;
	char path[256];

	(void)state;
	write_file("config.json", text);
	assert_int_equal(oci_config_load(directory, &config, &err), 0);
	assert_string_equal(config->bundle, directory);
	oci_config_destroy(config);
	write_file("other.json", text);
	snprintf(path, sizeof path, "%s/../%s/other.json", directory, strrchr(directory, '/') + 1);
	assert_int_equal(oci_config_load(path, &config, &err), 0);
	assert_string_equal(config->bundle, directory);
	oci_config_destroy(config);
}

static void config_bundle_missing_or_bad_is_refused_by_name(void **state)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;
	char expected[256];

	(void)state;
	assert_int_equal(oci_config_load("/no/such/bundle", &config, &err), -1);
	assert_string_equal(err.text, "bundle /no/such/bundle: No such file or directory");
	assert_int_equal(oci_config_load("/proc/self/task", &config, &err), -1);
	assert_string_equal(err.text, "/proc/self/task/config.json: No such file or directory");
	write_file("config.json", "{\n\"ociVersion\": 1.0.0\n}");
	assert_int_equal(oci_config_load(directory, &config, &err), -1);
	snprintf(expected, sizeof expected, "%s/config.json: line 2, column 18: unexpected character", directory);
	/* Where exactly json-c stops is its own affair; that file and line are named is ours. */
	assert_int_equal(strncmp(err.text, expected, strlen(directory) + strlen("/config.json: line 2, ")), 0);
	write_file("config.json", "{\"ociVersion\": \"1.0.0\", \"process\": {}}");
	assert_int_equal(oci_config_load(directory, &config, &err), -1);
	snprintf(expected, sizeof expected, "%s/config.json: process.args: must be a non-empty array of strings",
		 directory);
	assert_string_equal(err.text, expected);
}

/* What engines really write, and the seeds of the fuzzer: all of them are good. */
static void config_samples_of_engines_are_read(void **state)
{
	static const char *const names[] = {
		"cri-container",     "cri-sandbox", "crun-spec", "ctr",       "docker",
		"docker-privileged", "everything",  "podman",    "runc-spec", "runc-spec-rootless",
	};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct oci_seccomp_program program = { 0 };
		struct oci_config *config = NULL;
		struct err err = ERR_INIT;
		char path[128];

		snprintf(path, sizeof path, "tests/fuzz/seeds/config/%s.json", names[i]);
		if (oci_config_load(path, &config, &err) < 0)
			fail_msg("%s", err.text);
		if (config->has_seccomp && oci_seccomp_compile(&config->seccomp, &program, &err) < 0)
			fail_msg("%s: %s", path, err.text);
		free(program.filter);
		oci_config_destroy(config);
	}
}

static void process_file_is_read_or_refused_by_name(void **state)
{
	struct oci_process *process = NULL;
	struct err err = ERR_INIT;
	char path[256], expected[300];

	(void)state;
	snprintf(path, sizeof path, "%s/process.json", directory);
	write_file("process.json", "{\"args\": [\"id\"], \"cwd\": \"/\", \"user\": {\"uid\": 3}}");
	assert_int_equal(oci_process_load(path, &process, &err), 0);
	assert_int_equal(process->uid, 3);
	oci_process_destroy(process);
	write_file("process.json", "{\"args\": [\"id\"]}");
	assert_int_equal(oci_process_load(path, &process, &err), -1);
	snprintf(expected, sizeof expected, "%s: cwd: missing", path);
	assert_string_equal(err.text, expected);
}

static void process_file_inherits_what_it_does_not_mention(void **state)
{
	struct oci_rlimit limit = { .soft = 5, .hard = 6 };
	struct oci_process container = {
		.has_capabilities = true,
		.capabilities = { .bounding = 3 },
		.rlimits = &limit,
		.rlimit_count = 1,
		.has_umask = true,
		.umask = 077,
		.has_oom_score_adj = true,
		.oom_score_adj = 9,
		.no_new_privileges = true,
	};
	struct oci_process *process;
	struct err err = ERR_INIT;
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "%s/process.json", directory);
	write_file("process.json", "{\"args\": [\"id\"], \"cwd\": \"/\"}");
	assert_int_equal(oci_process_load(path, &process, &err), 0);
	oci_process_inherit(process, &container);
	assert_true(process->has_capabilities);
	assert_int_equal(process->capabilities.bounding, 3);
	assert_int_equal(process->rlimit_count, 1);
	assert_int_equal(process->rlimits[0].hard, 6);
	assert_int_equal(process->umask, 077);
	assert_int_equal(process->oom_score_adj, 9);
	assert_false(process->no_new_privileges);
	oci_process_destroy(process);
	write_file("process.json", "{\"args\": [\"id\"], \"cwd\": \"/\", \"capabilities\": {}, \"oomScoreAdj\": 0,"
				   " \"user\": {\"umask\": 18},"
				   " \"rlimits\": [{\"type\": \"RLIMIT_CORE\", \"soft\": 1, \"hard\": 2}]}");
	assert_int_equal(oci_process_load(path, &process, &err), 0);
	oci_process_inherit(process, &container);
	assert_int_equal(process->capabilities.bounding, 0);
	assert_int_equal(process->rlimit_count, 1);
	assert_int_equal(process->rlimits[0].hard, 2);
	assert_int_equal(process->umask, 18);
	assert_int_equal(process->oom_score_adj, 0);
	oci_process_destroy(process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_refusals_name_the_value),
		cmocka_unit_test(config_minimal_has_defaults),
		cmocka_unit_test(config_unknown_members_are_ignored),
		cmocka_unit_test(config_older_and_newer_minor_versions_are_read),
		cmocka_unit_test(process_members_are_read),
		cmocka_unit_test(process_console_size_without_terminal_is_ignored),
		cmocka_unit_test(process_capabilities_are_bits_and_unknown_ones_ignored),
		cmocka_unit_test(config_root_hostname_annotations_are_read),
		cmocka_unit_test(config_hooks_are_read_in_order),
		cmocka_unit_test(linux_members_are_read),
		cmocka_unit_test(vm_section_is_read_in_both_forms),
		cmocka_unit_test(resources_members_are_read),
		cmocka_unit_test(config_bundle_directory_or_file_is_read),
		cmocka_unit_test(config_bundle_missing_or_bad_is_refused_by_name),
		cmocka_unit_test(config_samples_of_engines_are_read),
		cmocka_unit_test(process_file_is_read_or_refused_by_name),
		cmocka_unit_test(process_file_inherits_what_it_does_not_mention),
	};

	return cmocka_run_group_tests_name("oci/config", tests, make_directory, remove_directory);
}
