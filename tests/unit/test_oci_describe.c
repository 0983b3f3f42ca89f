/* SPDX-License-Identifier: Apache-2.0 */
/* From configuration to the agent's description and the host's shares, over a bundle in a temporary directory. */
#include "tests/unit/oci_patch.h"

#include "common/proto.h"
#include "oci/describe.h"
#include "oci/mountpoints.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char bundle[] = "/tmp/test_oci_describe.XXXXXX";

static const char *in_bundle(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", bundle, name);
	return path;
}

static void touch(const char *name)
{
	auto_fd int fd = open(in_bundle(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
}

static int make_bundle(void **state)
{
	(void)state;
	if (!mkdtemp(bundle))
		return -1;
	mkdir(in_bundle("rootfs"), 0755);
	mkdir(in_bundle("volume"), 0755);
	/* A sysfs with one character and one block device of the host. */
	mkdir(in_bundle("sys"), 0755);
	mkdir(in_bundle("sys/dev"), 0755);
	mkdir(in_bundle("sys/dev/char"), 0755);
	mkdir(in_bundle("sys/dev/block"), 0755);
	touch("sys/dev/char/10:232");
	touch("sys/dev/char/1:3");
	touch("sys/dev/block/8:0");
	touch("hosts");
	return 0;
}

static int remove_bundle(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", bundle);
	return system(command) == 0 ? 0 : -1;
}

struct described {
	struct oci_config *config;
	agent_CreateRequest request;
	struct oci_shares shares;
	int result;
	struct err err;
};

static const char *pod_container(void *arg, uint32_t clone_flag, const char *path)
{
	(void)arg;
	return clone_flag == CLONE_NEWIPC && strcmp(path, "/proc/77/ns/ipc") == 0 ? "sandbox" : NULL;
}

/* %s in the patch is the bundle's directory. */
static void __attribute__((noinline))
describe_with(struct described *d, struct oci_describe_context *context, const char *patch)
{
	char whole[8192];

	memset(d, 0, sizeof *d);
	snprintf(whole, sizeof whole, patch, bundle, bundle);
	if (patch_load(bundle, whole, &d->config, &d->err) < 0)
		fail_msg("%s: %s", whole, d->err.text);
	context->id = "box";
	context->sysfs = in_bundle("sys");
	d->result = oci_describe(d->config, context, &d->request, &d->shares, &d->err);
}

static void describe(struct described *d, const char *patch)
{
	struct oci_describe_context context = { .container_of_namespace = pod_container };

	describe_with(d, &context, patch);
	if (d->result < 0)
		fail_msg("%s: %s", patch, d->err.text);
}

static void done(struct described *d)
{
	pb_release(agent_CreateRequest_fields, &d->request);
	oci_shares_destroy(&d->shares);
	oci_config_destroy(d->config);
}

static void describe_minimal_container(void **state)
{
	struct described d;
	struct utsname names;

	(void)state;
	describe(&d, "{'linux': {'namespaces': []}}");
	const agent_Container *c = &d.request.container;
	assert_string_equal(d.request.id, "box");
	assert_true(d.request.has_container && d.request.has_process);
	assert_int_equal(d.shares.count, 1);
	assert_string_equal(d.shares.items[0].name, "rootfs");
	assert_string_equal(d.shares.items[0].path, in_bundle("rootfs"));
	assert_true(d.shares.items[0].recursive);
	assert_false(d.shares.items[0].readonly || d.shares.items[0].is_file);
	assert_string_equal(c->root_share, "rootfs");
	assert_false(c->root_readonly || c->root_overlay);
	assert_int_equal(c->mounts_count, 0);
	/* A mount namespace always; the host's names without a uts namespace. */
	assert_int_equal(c->namespaces_count, 1);
	assert_int_equal(c->namespaces[0].clone_flag, CLONE_NEWNS);
	uname(&names);
	assert_string_equal(c->hostname, names.nodename);
	/* Devices are denied by default, so there is a filter. */
	assert_non_null(c->device_filter);
	assert_int_equal(c->device_filter->size % sizeof(struct bpf_insn), 0);
	assert_int_equal(d.request.process.args_count, 3);
	assert_string_equal(d.request.process.cwd, "/");
	assert_null(d.request.process.seccomp);
	assert_false(d.request.process.has_capabilities);
	done(&d);
}

static void describe_container_members(void **state)
{
	struct described d;

	(void)state;
	describe(&d, "{'root': {'readonly': true}, 'hostname': 'h', 'domainname': 'd', 'linux': {"
		     " 'namespaces': [{'type': 'uts'}, {'type': 'network', 'path': '/run/netns/x'}, {'type': 'user'},"
		     "  {'type': 'mount'}, {'type': 'ipc', 'path': '/proc/77/ns/ipc'}, {'type': 'time'}],"
		     " 'uidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 10}],"
		     " 'gidMappings': [{'containerID': 1, 'hostID': 2000, 'size': 20}],"
		     " 'timeOffsets': {'boottime': {'secs': 5, 'nanosecs': 7}},"
		     " 'sysctl': {'net.a': '1', 'kernel.b': '2'}, 'maskedPaths': ['/proc/kcore'],"
		     " 'readonlyPaths': ['/proc/sys'], 'rootfsPropagation': 'shared',"
		     " 'resources': {'pids': {'limit': 9}, 'memory': {'limit': 100}}}}");
	const agent_Container *c = &d.request.container;
	assert_true(c->root_readonly);
	assert_true(d.shares.items[0].readonly);
	assert_false(d.shares.items[0].readonly_recursive);
	assert_string_equal(c->hostname, "h");
	assert_string_equal(c->domainname, "d");
	/* Network is the host's affair. */
	assert_int_equal(c->namespaces_count, 5);
	assert_int_equal(c->namespaces[1].clone_flag, CLONE_NEWUSER);
	assert_null(c->namespaces[1].container);
	assert_int_equal(c->namespaces[3].clone_flag, CLONE_NEWIPC);
	assert_string_equal(c->namespaces[3].container, "sandbox");
	assert_int_equal(c->uid_mappings[0].host_id, 1000);
	assert_int_equal(c->gid_mappings[0].size, 20);
	assert_int_equal(c->time_offsets_count, 1);
	assert_int_equal(c->time_offsets[0].clock, CLOCK_BOOTTIME);
	assert_int_equal(c->time_offsets[0].nanoseconds, 7);
	assert_int_equal(c->sysctls_count, 2);
	assert_string_equal(c->sysctls[1].name, "kernel.b");
	assert_string_equal(c->masked_paths[0], "/proc/kcore");
	assert_string_equal(c->readonly_paths[0], "/proc/sys");
	assert_int_equal(c->root_propagation, MS_SHARED);
	assert_int_equal(c->cgroup_files_count, 2);
	assert_string_equal(c->cgroup_files[0].name, "memory.max");
	assert_string_equal(c->cgroup_files[1].value, "9");
	done(&d);
}

static void describe_process_members(void **state)
{
	struct described d;

	(void)state;
	describe(
		&d,
		"{'process': {'env': ['A=b'], 'cwd': '/tmp', 'terminal': true,"
		" 'consoleSize': {'height': 25, 'width': 80},"
		" 'user': {'uid': 1, 'gid': 2, 'umask': 63, 'additionalGids': [3, 4]},"
		" 'capabilities': {'bounding': ['CAP_KILL'], 'effective': ['CAP_CHOWN'], 'inheritable': ['CAP_FOWNER'],"
		"  'permitted': ['CAP_SETUID'], 'ambient': ['CAP_SETGID']},"
		" 'rlimits': [{'type': 'RLIMIT_CORE', 'soft': 1, 'hard': 2}], 'noNewPrivileges': true,"
		" 'oomScoreAdj': 5, 'scheduler': {'policy': 'SCHED_BATCH', 'nice': 3},"
		" 'ioPriority': {'class': 'IOPRIO_CLASS_IDLE'}, 'execCPUAffinity': {'initial': '1'}},"
		" 'linux': {'personality': {'domain': 'LINUX32'}, 'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW',"
		"  'flags': ['SECCOMP_FILTER_FLAG_LOG'],"
		"  'syscalls': [{'names': ['mkdir'], 'action': 'SCMP_ACT_KILL'}]}}}");
	const agent_Process *p = &d.request.process;
	assert_string_equal(p->env[0], "A=b");
	assert_string_equal(p->cwd, "/tmp");
	assert_true(p->terminal);
	assert_int_equal(p->rows * 1000 + p->columns, 25080);
	assert_int_equal(p->uid, 1);
	assert_int_equal(p->gid, 2);
	assert_true(p->has_umask);
	assert_int_equal(p->umask, 077);
	assert_int_equal(p->additional_gids_count, 2);
	assert_int_equal(p->additional_gids[1], 4);
	assert_true(p->has_capabilities);
	assert_int_equal(p->bounding, 1 << 5);
	assert_int_equal(p->effective, 1 << 0);
	assert_int_equal(p->inheritable, 1 << 3);
	assert_int_equal(p->permitted, 1 << 7);
	assert_int_equal(p->ambient, 1 << 6);
	assert_int_equal(p->rlimits[0].resource, 4);
	assert_int_equal(p->rlimits[0].hard, 2);
	assert_true(p->no_new_privileges && p->has_oom_score_adj && p->has_scheduler && p->has_io_priority);
	assert_int_equal(p->oom_score_adj, 5);
	assert_int_equal(p->scheduler.policy, 3);
	assert_int_equal(p->scheduler.nice, 3);
	assert_int_equal(p->io_priority, 3 << 13);
	assert_int_equal(p->cpu_affinity_count, 0);
	assert_true(p->has_personality);
	assert_int_equal(p->personality, 8);
	assert_non_null(p->seccomp);
	assert_int_equal(p->seccomp->size % sizeof(struct sock_filter), 0);
	assert_int_equal(p->seccomp_flags, 2);
	done(&d);
}

static void describe_affinity_is_for_exec_alone(void **state)
{
	struct described d;
	struct err err = ERR_INIT;
	agent_Process process;

	(void)state;
	describe(&d, "{'process': {'execCPUAffinity': {'final': '1-2'}}}");
	assert_int_equal(d.request.process.cpu_affinity_count, 0);
	assert_int_equal(oci_describe_process(d.config, &d.config->process, &process, &err), 0);
	assert_int_equal(process.cpu_affinity_count, 2);
	assert_int_equal(process.cpu_affinity[1], 2);
	pb_release(agent_Process_fields, &process);
	done(&d);
}

static void describe_mounts_keep_their_order(void **state)
{
	struct described d;

	(void)state;
	describe(
		&d,
		"{'mounts': [{'destination': '/proc', 'type': 'proc'},"
		" {'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['nosuid', 'mode=755']},"
		" {'destination': '/data', 'source': 'volume', 'options': ['rbind', 'ro', 'nodev', 'rslave', 'rro']},"
		" {'destination': '/etc/hosts', 'source': '%s/hosts', 'options': ['bind', 'noexec', 'nosuid']},"
		" {'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup', 'options': ['ro', 'memory']},"
		" {'destination': '/tmp', 'type': 'tmpfs', 'options': ['tmpcopyup', 'size=1k', 'rnoexec']}]}");
	const agent_Mount *m = d.request.container.mounts;
	assert_int_equal(d.request.container.mounts_count, 6);
	assert_string_equal(m[0].type, "proc");
	assert_string_equal(m[0].source, "proc");
	assert_string_equal(m[1].data, "mode=755");
	assert_int_equal(m[1].flags, MS_NOSUID);
	assert_false(m[1].share);
	assert_string_equal(m[2].type, "bind");
	assert_string_equal(m[2].source, "mount2");
	assert_string_equal(m[2].destination, "/data");
	assert_int_equal(m[2].flags, MS_BIND | MS_REC | MS_RDONLY | MS_NODEV);
	assert_int_equal(m[2].propagation, MS_SLAVE | MS_REC);
	assert_int_equal(m[2].attr_set, MOUNT_ATTR_RDONLY);
	assert_true(m[2].share);
	assert_false(m[2].source_is_file);
	assert_true(m[3].share && m[3].source_is_file);
	assert_string_equal(m[4].type, "cgroup2");
	assert_null(m[4].data);
	assert_int_equal(m[4].flags, MS_RDONLY);
	assert_true(m[5].copy_up);
	assert_string_equal(m[5].data, "size=1k");
	assert_int_equal(m[5].attr_set, MOUNT_ATTR_NOEXEC);

	assert_int_equal(d.shares.count, 3);
	const struct oci_share *s = &d.shares.items[1];
	assert_string_equal(s->name, "mount2");
	assert_string_equal(s->path, in_bundle("volume"));
	assert_true(s->recursive && s->readonly && s->readonly_recursive);
	assert_false(s->noexec || s->is_file);
	s = &d.shares.items[2];
	assert_string_equal(s->name, "mount3");
	assert_true(s->is_file && s->noexec);
	assert_false(s->recursive || s->readonly);
	done(&d);
}

static void describe_views_of_the_host_become_the_guests(void **state)
{
	static const struct {
		const char *source, *destination, *type, *data;
	} cases[] = {
		{ "/proc", "/proc", "proc", NULL },
		{ "/sys", "/sys", "sysfs", NULL },
		{ "//sys/", "/sys/", "sysfs", NULL },
		{ "/dev", "/dev", "tmpfs", "mode=755" },
		{ "/dev/mqueue", "/dev/mqueue", "mqueue", NULL },
		{ "/sys/fs/cgroup", "/sys/fs/cgroup", "cgroup2", NULL },
		{ "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd", "cgroup2", NULL },
		{ "/sys/kernel", "/host/sys", "bind", NULL },
		{ "/proc", "/host/proc", "bind", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct described d;
		char patch[512];

		snprintf(patch, sizeof patch,
			 "{'mounts': [{'destination': '%s', 'source': '%s', 'options': ['rbind', 'nosuid', "
			 "'rprivate']}]}",
			 cases[i].destination, cases[i].source);
		describe(&d, patch);
		const agent_Mount *m = &d.request.container.mounts[0];
		bool is_bind = strcmp(cases[i].type, "bind") == 0;
		assert_string_equal(m->type, cases[i].type);
		if (cases[i].data)
			assert_string_equal(m->data, cases[i].data);
		else
			assert_null(m->data);
		assert_int_equal(m->flags, (is_bind ? MS_BIND | MS_REC : 0) | MS_NOSUID);
		assert_int_equal(m->propagation, MS_PRIVATE | MS_REC);
		assert_int_equal(m->share, is_bind);
		assert_int_equal(d.shares.count, is_bind ? 2 : 1);
		done(&d);
	}
}

static void describe_shared_memory_becomes_a_tmpfs_of_its_size(void **state)
{
	struct described d;
	unsigned long long size = 0;

	(void)state;
	/* /dev/shm is a tmpfs everywhere these tests run; if not, a share is right. */
	describe(&d, "{'mounts': [{'destination': '/dev/shm', 'source': '/dev/shm', 'options': ['bind', 'noexec']}]}");
	const agent_Mount *m = &d.request.container.mounts[0];
	if (strcmp(m->type, "tmpfs") == 0) {
		assert_int_equal(sscanf(m->data, "mode=1777,size=%llu", &size), 1);
		assert_true(size > 0);
		assert_int_equal(m->flags, MS_NOEXEC);
		assert_int_equal(d.shares.count, 1);
	}
	done(&d);
}

static void describe_shared_memory_of_a_pod_is_one_for_its_containers(void **state)
{
	static const char patch[] =
		"{'mounts': [{'destination': '/dev/shm', 'source': '/dev/shm', 'options': ['bind', 'noexec']}]}";
	struct oci_describe_context context = { .is_pods = true };
	struct described d, other;

	(void)state;
	describe_with(&d, &context, patch);
	describe_with(&other, &context, patch);
	assert_int_equal(d.result, 0);
	const agent_Mount *m = &d.request.container.mounts[0];
	if (m->common) { /* a tmpfs, as above */
		assert_string_equal(m->type, "tmpfs");
		assert_int_equal(m->flags, MS_BIND | MS_NOEXEC);
		assert_false(m->share);
		assert_memory_equal(m->source, "tmpfs-", 6);
		assert_string_equal(m->source, other.request.container.mounts[0].source);
		assert_int_equal(d.shares.count, 1);
	}
	done(&d);
	done(&other);
}

static void describe_shared_memory_of_another_file_system_is_shared(void **state)
{
	struct described d;

	(void)state;
	/* Root of this machine: a directory that is no tmpfs, whatever the temporary directory is. */
	describe(&d, "{'mounts': [{'destination': '/dev/shm', 'source': '/proc/self', 'options': ['bind']}]}");
	assert_string_equal(d.request.container.mounts[0].type, "bind");
	assert_int_equal(d.shares.count, 2);
	done(&d);
}

static void describe_bound_device_becomes_a_node(void **state)
{
	struct described d;

	(void)state;
	describe(&d, "{'mounts': [{'destination': '/dev/nothing', 'source': '/dev/null', 'options': ['bind']},"
		     " {'destination': '/proc', 'type': 'proc'}]}");
	assert_int_equal(d.shares.count, 1);
	assert_int_equal(d.request.container.mounts_count, 1);
	assert_string_equal(d.request.container.mounts[0].type, "proc");
	assert_int_equal(d.request.container.devices_count, 1);
	assert_string_equal(d.request.container.devices[0].path, "/dev/nothing");
	assert_int_equal(d.request.container.devices[0].mode & S_IFMT, S_IFCHR);
	assert_int_equal(d.request.container.devices[0].minor, 3);
	done(&d);
}

static void describe_socket_is_shared_as_a_file(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct described d;

	(void)state;
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", bundle);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	describe(&d, "{'mounts': [{'destination': '/s', 'source': 'socket', 'options': ['bind']}]}");
	assert_true(d.shares.items[1].is_file);
	done(&d);
}

static void describe_overlay_is_mounted_on_the_host(void **state)
{
	struct described d;

	(void)state;
	describe(&d, "{'mounts': [{'destination': '/o', 'type': 'overlay', 'source': 'overlay',"
		     " 'options': ['lowerdir=/a', 'upperdir=/b', 'workdir=/c', 'nodev']}]}");
	const struct oci_share *s = &d.shares.items[1];
	assert_string_equal(s->fs_type, "overlay");
	assert_string_equal(s->fs_options, "lowerdir=/a,upperdir=/b,workdir=/c");
	assert_null(s->path);
	const agent_Mount *m = &d.request.container.mounts[0];
	assert_true(m->share);
	assert_string_equal(m->type, "bind");
	assert_string_equal(m->source, "mount0");
	assert_int_equal(m->flags, MS_BIND | MS_NODEV);
	done(&d);
}

static void describe_id_mapping_goes_to_the_share(void **state)
{
	struct described d;

	(void)state;
	describe(&d, "{'linux': {'namespaces': [{'type': 'user'}],"
		     " 'uidMappings': [{'containerID': 0, 'hostID': 1000, 'size': 10}],"
		     " 'gidMappings': [{'containerID': 0, 'hostID': 2000, 'size': 10}]},"
		     " 'mounts': [{'destination': '/a', 'source': 'volume', 'options': ['bind', 'idmap']},"
		     " {'destination': '/b', 'source': 'volume', 'options': ['rbind', 'ridmap'],"
		     "  'uidMappings': [{'containerID': 0, 'hostID': 5, 'size': 1}],"
		     "  'gidMappings': [{'containerID': 0, 'hostID': 6, 'size': 1}]},"
		     " {'destination': '/c', 'source': 'volume', 'options': ['bind']}]}");
	assert_int_equal(d.shares.items[1].uid_mappings.items[0].host_id, 1000);
	assert_int_equal(d.shares.items[1].gid_mappings.items[0].host_id, 2000);
	assert_false(d.shares.items[1].idmap_recursive);
	assert_int_equal(d.shares.items[2].uid_mappings.items[0].host_id, 5);
	assert_int_equal(d.shares.items[2].gid_mappings.items[0].host_id, 6);
	assert_true(d.shares.items[2].idmap_recursive);
	assert_int_equal(d.shares.items[3].uid_mappings.count, 0);
	done(&d);
}

/* How often the filter asks for this number, which the guest's kernel gives it. */
static unsigned filter_mentions(const agent_Container *container, int32_t number)
{
	struct bpf_insn instruction;
	unsigned count = 0;

	for (size_t at = 0; at + sizeof instruction <= container->device_filter->size; at += sizeof instruction) {
		memcpy(&instruction, container->device_filter->bytes + at, sizeof instruction);
		count += instruction.code == (BPF_JMP | BPF_JNE | BPF_K) && instruction.imm == number;
	}
	return count;
}

static void describe_block_devices_of_the_host_as_disks(void **state)
{
	static const struct {
		const char *rules, *disk;
	} cases[] = {
		{ "{'allow': true, 'type': 'b', 'major': 8, 'minor': 0, 'access': 'rwm'}", "b8-0" },
		{ "{'allow': true, 'type': 'b', 'major': 8, 'minor': 0, 'access': 'r'}", "b8-0-ro" },
		{ "{'allow': true, 'type': 'b', 'access': 'rw'}", "b8-0" },
		{ "{'allow': true, 'type': 'b', 'access': 'rw'}, {'allow': false, 'type': 'b', 'major': 8, 'access': "
		  "'w'}",
		  "b8-0-ro" },
		{ "{'allow': true, 'type': 'b', 'major': 8, 'minor': 0, 'access': 'm'}", NULL },
		{ "{'allow': true, 'type': 'c', 'major': 8, 'minor': 0, 'access': 'rwm'}", NULL },
		{ "{'allow': true, 'access': 'rwm'}, {'allow': false, 'access': 'rwm'}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char patch[600];
		struct described d;

		snprintf(patch, sizeof patch,
			 "{'linux': {'devices': [{'path': '/dev/x', 'type': 'p'},"
			 " {'path': '/dev/disk', 'type': 'b', 'major': 8, 'minor': 0}],"
			 " 'resources': {'devices': [{'allow': false, 'access': 'rwm'}, %s]}}}",
			 cases[i].rules);
		describe(&d, patch);
		assert_int_equal(d.request.container.devices_count, 2);
		assert_null(d.request.container.devices[0].disk);
		if (cases[i].disk)
			assert_string_equal(d.request.container.devices[1].disk, cases[i].disk);
		else
			assert_null(d.request.container.devices[1].disk);
		assert_int_equal(filter_mentions(&d.request.container, PROTO_DISK_MAJOR), cases[i].disk ? 1 : 0);
		done(&d);
	}
}

static void describe_devices_by_what_their_number_means(void **state)
{
	struct described d;

	(void)state;
	describe(&d,
		 "{'linux': {'devices': ["
		 " {'path': '/dev/fuse', 'type': 'c', 'major': 10, 'minor': 229, 'uid': 1, 'gid': 2, 'fileMode': 384},"
		 " {'path': '/dev/null2', 'type': 'c', 'major': 1, 'minor': 3},"
		 " {'path': '/pipe', 'type': 'p'},"
		 " {'path': '/dev/madeup', 'type': 'b', 'major': 240, 'minor': 7}]}}");
	const agent_Device *v = d.request.container.devices;
	assert_int_equal(d.request.container.devices_count, 4);
	assert_int_equal(v[0].mode, S_IFCHR | 0600);
	assert_int_equal(v[0].gid, 2);
	assert_int_equal(v[2].mode, S_IFIFO | 0666);
	assert_int_equal(v[3].mode, S_IFBLK | 0666);
	assert_int_equal(v[3].major, 240);
	done(&d);
	/* A privileged container gets what the engine lists, and no filter. */
	describe(&d, "{'linux': {'devices': [{'path': '/dev/sda', 'type': 'b', 'major': 8, 'minor': 0},"
		     " {'path': '/dev/ptmx', 'type': 'c', 'major': 5, 'minor': 2}],"
		     " 'resources': {'devices': [{'allow': true, 'access': 'rwm'}]}}}");
	assert_int_equal(d.request.container.devices_count, 1);
	assert_null(d.request.container.device_filter);
	done(&d);
}

static void describe_what_a_vm_cannot_do_is_refused(void **state)
{
	static const struct {
		const char *patch, *error; /* %s is the bundle */
	} cases[] = {
		{ "{'root': {'path': 'none'}}", "root.path: %s/none: No such file or directory" },
		{ "{'root': {'path': 'hosts'}}", "root.path: %s/hosts: is not a directory" },
		{ "{'mounts': [{'destination': '/a', 'source': 'none', 'options': ['bind']}]}",
		  "mounts[0]: source %s/none: No such file or directory" },
		{ "{'mounts': [{'destination': '/a', 'type': 'ext4', 'source': '/dev/sdb1'}]}",
		  "mounts[0]: /a: file system ext4 on /dev/sdb1, a device of the host, cannot be mounted in a virtual "
		  "machine; mount it on the host and bind it" },
		{ "{'linux': {'devices': [{'path': '/dev/kvm', 'type': 'c', 'major': 10, 'minor': 232}]}}",
		  "linux.devices[0]: /dev/kvm (c 10:232) is a device of the host, which cannot be given to a virtual "
		  "machine" },
		{ "{'linux': {'namespaces': [{'type': 'pid', 'path': '/proc/1/ns/pid'}]}}",
		  "linux.namespaces: pid namespace /proc/1/ns/pid is not of a container in this virtual machine, and a "
		  "virtual machine cannot join one of the host" },
		{ "{'linux': {'resources': {'memory': {'swap': 5}}}}",
		  "linux.resources.memory.swap: cannot be limited without a limit of memory" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_describe_context context = { 0 };
		struct described d;
		char expected[512];

		describe_with(&d, &context, cases[i].patch);
		assert_int_equal(d.result, -1);
		snprintf(expected, sizeof expected, cases[i].error, bundle);
		assert_string_equal(d.err.text, expected);
		done(&d);
	}
}

static void describe_start_hooks_with_their_state(void **state)
{
	struct oci_describe_context context = { .hook_state = "{\"pid\":%PID%}" };
	struct described d;

	(void)state;
	describe_with(&d, &context,
		      "{'hooks': {'startContainer': [{'path': '/h', 'args': ['h', 'x'], 'env': ['A=b'], 'timeout': 3}],"
		      " 'poststop': [{'path': '/not/for/the/guest'}]}}");
	assert_int_equal(d.result, 0);
	assert_int_equal(d.request.container.start_container_hooks_count, 1);
	const agent_Hook *hook = &d.request.container.start_container_hooks[0];
	assert_string_equal(hook->path, "/h");
	assert_string_equal(hook->args[1], "x");
	assert_string_equal(hook->env[0], "A=b");
	assert_int_equal(hook->timeout, 3);
	assert_memory_equal(d.request.container.hook_state->bytes, "{\"pid\":%PID%}", 13);
	done(&d);

	auto_free char *large = calloc(1, 70000);
	memset(large, 'x', 69999);
	context.hook_state = large;
	describe_with(&d, &context, "{'hooks': {'startContainer': [{'path': '/h'}]}}");
	assert_int_equal(d.result, -1);
	assert_string_equal(d.err.text,
			    "hooks.startContainer: the state they are to read has 69999 bytes, at most 65535 "
			    "are possible (long annotations?)");
	done(&d);
	/* Without such hooks nobody reads it. */
	describe_with(&d, &context, "{}");
	assert_int_equal(d.result, 0);
	assert_null(d.request.container.hook_state);
	done(&d);
}

static void describe_shares_of_a_pod_have_prefixes(void **state)
{
	struct oci_describe_context context = { .share_prefix = "c1-", .root_overlay = true };
	struct described d;

	(void)state;
	describe_with(&d, &context, "{'mounts': [{'destination': '/a', 'source': 'volume', 'options': ['bind']}]}");
	assert_int_equal(d.result, 0);
	assert_string_equal(d.shares.items[0].name, "c1-rootfs");
	assert_true(d.shares.items[0].readonly && d.shares.items[0].readonly_recursive);
	assert_true(d.request.container.root_overlay);
	assert_false(d.request.container.root_readonly);
	assert_string_equal(d.request.container.mounts[0].source, "c1-mount0");
	done(&d);
	context.share_prefix = "0123456789012345678901234567890123456789012345678901234567890-";
	describe_with(&d, &context, "{}");
	assert_int_equal(d.result, -1);
	done(&d);
}

static void describe_request_survives_the_wire(void **state)
{
	struct described d;
	agent_CreateRequest copy = agent_CreateRequest_init_zero;
	size_t size;

	(void)state;
	describe(&d, "{'process': {'env': ['A=b'], 'rlimits': [{'type': 'RLIMIT_CORE', 'soft': 1, 'hard': 2}]},"
		     " 'mounts': [{'destination': '/proc', 'type': 'proc'}], 'linux': {'sysctl': {'a.b': 'c'},"
		     " 'seccomp': {'defaultAction': 'SCMP_ACT_ALLOW'}, 'devices': [{'path': '/p', 'type': 'p'}]}}");
	assert_true(pb_get_encoded_size(&size, agent_CreateRequest_fields, &d.request));
	auto_free pb_byte_t *bytes = malloc(size);
	pb_ostream_t out = pb_ostream_from_buffer(bytes, size);
	assert_true(pb_encode(&out, agent_CreateRequest_fields, &d.request));
	pb_istream_t in = pb_istream_from_buffer(bytes, size);
	assert_true(pb_decode(&in, agent_CreateRequest_fields, &copy));
	assert_string_equal(copy.id, "box");
	assert_string_equal(copy.process.env[0], "A=b");
	assert_int_equal(copy.process.rlimits[0].hard, 2);
	assert_string_equal(copy.container.mounts[0].type, "proc");
	assert_string_equal(copy.container.sysctls[0].value, "c");
	assert_int_equal(copy.container.device_filter->size, d.request.container.device_filter->size);
	pb_release(agent_CreateRequest_fields, &copy);
	done(&d);
}

static void mountpoints_missing_ones_are_made_inside_the_root(void **state)
{
	struct described d;
	struct stat st;

	(void)state;
	mkdir(in_bundle("outside"), 0755);
	assert_int_equal(symlink("../outside", in_bundle("rootfs/relative")), 0);
	assert_int_equal(symlink(in_bundle("outside"), in_bundle("rootfs/absolute")), 0);
	mkdir(in_bundle("rootfs/links"), 0755);
	assert_int_equal(symlink("../foo/bar/here", in_bundle("rootfs/links/file")), 0);
	assert_int_equal(symlink("/foo/baz", in_bundle("rootfs/links/directory")), 0);
	assert_int_equal(symlink("loop", in_bundle("rootfs/links/loop")), 0);
	describe(&d,
		 "{'process': {'cwd': '/work/dir'}, 'mounts': [{'destination': '/dev', 'type': 'tmpfs'},"
		 " {'destination': '/dev/pts', 'type': 'devpts'}, {'destination': '/a/b//c', 'type': 'tmpfs'},"
		 " {'destination': '/etc/hosts', 'source': 'hosts', 'options': ['bind']},"
		 " {'destination': '/relative/x', 'type': 'tmpfs'}, {'destination': '/absolute/y', 'type': 'tmpfs'},"
		 " {'destination': '/links/file', 'source': 'hosts', 'options': ['bind']},"
		 " {'destination': '/links/directory/in', 'type': 'tmpfs'}, {'destination': '/links/loop/x', 'type': "
		 "'tmpfs'},"
		 " {'destination': '/../../up', 'type': 'tmpfs'}]}");
	oci_mountpoints_make(in_bundle("rootfs"), &d.request);
	assert_int_equal(stat(in_bundle("rootfs/dev"), &st), 0);
	assert_int_equal(stat(in_bundle("rootfs/dev/pts"), &st), -1); /* in the tmpfs */
	assert_int_equal(stat(in_bundle("rootfs/a/b/c"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(stat(in_bundle("rootfs/etc/hosts"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(stat(in_bundle("rootfs/work/dir"), &st), 0);
	assert_int_equal(stat(in_bundle("rootfs/up"), &st), 0);
	/* What a link names is made. */
	assert_int_equal(lstat(in_bundle("rootfs/foo/bar/here"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(lstat(in_bundle("rootfs/foo/baz/in"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	/* Links that lead out of the root lead nowhere. */
	assert_int_equal(stat(in_bundle("outside/x"), &st), -1);
	assert_int_equal(stat(in_bundle("outside/y"), &st), -1);
	done(&d);
}

static void dev_of_the_host_is_the_guests_with_what_both_have(void **state)
{
	struct described d;
	bool has_fuse = access("/dev/fuse", F_OK) == 0, has_tun = access("/dev/net/tun", F_OK) == 0;

	(void)state;
	describe(&d, "{'mounts': [{'destination': '/dev', 'source': '/dev', 'options': ['rbind']}]}");
	assert_string_equal(d.request.container.mounts[0].type, "tmpfs");
	assert_int_equal(d.request.container.devices_count, (size_t)has_fuse + has_tun);
	if (has_fuse)
		assert_string_equal(d.request.container.devices[0].path, "/dev/fuse");
	done(&d);
}

static void mountpoints_that_are_gone_are_made_again_in_every_share(void **state)
{
	struct described d;
	struct stat st;

	(void)state;
	mkdir(in_bundle("volume"), 0755);
	mkdir(in_bundle("fixed"), 0755);
	describe(&d, "{'mounts': [{'destination': '/data', 'source': 'volume', 'options': ['bind']},"
		     " {'destination': '/data/for/nested', 'type': 'tmpfs'}, {'destination': '/again/file', 'source': "
		     "'hosts',"
		     " 'options': ['bind']}, {'destination': '/fixed', 'source': 'fixed', 'options': ['bind', 'ro']},"
		     " {'destination': '/fixed/nested', 'type': 'tmpfs'}, {'destination': '/dev', 'type': 'tmpfs'},"
		     " {'destination': '/dev/gone', 'type': 'tmpfs'}]}");
	oci_mountpoints_make_again(&d.shares, &d.request);
	assert_int_equal(stat(in_bundle("volume/for/nested"), &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(stat(in_bundle("rootfs/data"), &st), 0);
	assert_int_equal(stat(in_bundle("rootfs/data/for"), &st), -1);
	assert_int_equal(stat(in_bundle("rootfs/again/file"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(stat(in_bundle("fixed/nested"), &st), -1); /* was there, or the first start had failed */
	assert_int_equal(stat(in_bundle("rootfs/dev/gone"), &st), -1);
	done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(describe_minimal_container),
		cmocka_unit_test(describe_container_members),
		cmocka_unit_test(describe_process_members),
		cmocka_unit_test(describe_affinity_is_for_exec_alone),
		cmocka_unit_test(describe_mounts_keep_their_order),
		cmocka_unit_test(describe_views_of_the_host_become_the_guests),
		cmocka_unit_test(describe_shared_memory_becomes_a_tmpfs_of_its_size),
		cmocka_unit_test(describe_shared_memory_of_a_pod_is_one_for_its_containers),
		cmocka_unit_test(describe_shared_memory_of_another_file_system_is_shared),
		cmocka_unit_test(describe_bound_device_becomes_a_node),
		cmocka_unit_test(describe_socket_is_shared_as_a_file),
		cmocka_unit_test(describe_overlay_is_mounted_on_the_host),
		cmocka_unit_test(describe_id_mapping_goes_to_the_share),
		cmocka_unit_test(describe_devices_by_what_their_number_means),
		cmocka_unit_test(describe_block_devices_of_the_host_as_disks),
		cmocka_unit_test(describe_what_a_vm_cannot_do_is_refused),
		cmocka_unit_test(describe_start_hooks_with_their_state),
		cmocka_unit_test(describe_shares_of_a_pod_have_prefixes),
		cmocka_unit_test(describe_request_survives_the_wire),
		cmocka_unit_test(dev_of_the_host_is_the_guests_with_what_both_have),
		cmocka_unit_test(mountpoints_that_are_gone_are_made_again_in_every_share),
		cmocka_unit_test(mountpoints_missing_ones_are_made_inside_the_root),
	};

	return cmocka_run_group_tests_name("oci/describe", tests, make_bundle, remove_bundle);
}
