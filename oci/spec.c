/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec.h"

#include "oci/alloc.h"
#include "oci/features.h"

#include "common/auto.h"

#include <assert.h>
#include <json-c/json.h>
#include <unistd.h>

/* json-c reads single quotes when it is not told to be strict, which lets these texts look like what they make. */
static const char process_text[] =
	"{ 'terminal': true, 'user': { 'uid': 0, 'gid': 0 }, 'args': ['sh'],"
	"  'env': ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],"
	"  'cwd': '/',"
	"  'capabilities': {"
	"    'bounding': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],"
	"    'effective': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],"
	"    'permitted': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'],"
	"    'ambient': ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'] },"
	"  'rlimits': [{ 'type': 'RLIMIT_NOFILE', 'hard': 1024, 'soft': 1024 }],"
	"  'noNewPrivileges': true }";

static const char first_mounts_text[] = "[ { 'destination': '/proc', 'type': 'proc', 'source': 'proc' },"
					"  { 'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',"
					"    'options': ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] } ]";
static const char pts_text[] =
	"{ 'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',"
	"  'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] }";
/* Group 5 has no number in a namespace with one user. */
static const char rootless_pts_text[] =
	"{ 'destination': '/dev/pts', 'type': 'devpts', 'source': 'devpts',"
	"  'options': ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'] }";
static const char shm_text[] = "{ 'destination': '/dev/shm', 'type': 'tmpfs', 'source': 'shm',"
			       "  'options': ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'] }";
static const char mqueue_text[] = "{ 'destination': '/dev/mqueue', 'type': 'mqueue', 'source': 'mqueue',"
				  "  'options': ['nosuid', 'noexec', 'nodev'] }";
static const char sys_text[] = "{ 'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs',"
			       "  'options': ['nosuid', 'noexec', 'nodev', 'ro'] }";
static const char rootless_sys_text[] = "{ 'destination': '/sys', 'type': 'none', 'source': '/sys',"
					"  'options': ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] }";
static const char cgroup_text[] = "{ 'destination': '/sys/fs/cgroup', 'type': 'cgroup', 'source': 'cgroup',"
				  "  'options': ['nosuid', 'noexec', 'nodev', 'relatime', 'ro'] }";

static const char namespaces_text[] =
	"[ { 'type': 'pid' }, { 'type': 'network' }, { 'type': 'ipc' }, { 'type': 'uts' },"
	"  { 'type': 'mount' }, { 'type': 'cgroup' } ]";
static const char rootless_namespaces_text[] =
	"[ { 'type': 'pid' }, { 'type': 'network' }, { 'type': 'ipc' }, { 'type': 'uts' },"
	"  { 'type': 'mount' }, { 'type': 'cgroup' }, { 'type': 'user' } ]";
static const char masked_text[] =
	"[ '/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list',"
	"  '/proc/timer_stats', '/proc/sched_debug', '/sys/firmware', '/proc/scsi' ]";
static const char readonly_text[] = "[ '/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger' ]";

static struct json_object *parse(const char *text)
{
	struct json_object *object = json_tokener_parse(text);

	assert(object);
	return object;
}

static struct json_object *make_mounts(bool rootless)
{
	struct json_object *mounts = parse(first_mounts_text);

	json_object_array_add(mounts, parse(rootless ? rootless_pts_text : pts_text));
	json_object_array_add(mounts, parse(shm_text));
	json_object_array_add(mounts, parse(mqueue_text));
	json_object_array_add(mounts, parse(rootless ? rootless_sys_text : sys_text));
	json_object_array_add(mounts, parse(cgroup_text));
	return mounts;
}

static struct json_object *make_mapping(uid_t host_id)
{
	auto_free char *text = oci_format("[ { 'containerID': 0, 'hostID': %u, 'size': 1 } ]", host_id);

	return parse(text);
}

static struct json_object *make_linux(bool rootless)
{
	struct json_object *section = json_object_new_object();

	if (rootless) {
		json_object_object_add(section, "uidMappings", make_mapping(geteuid()));
		json_object_object_add(section, "gidMappings", make_mapping(getegid()));
	} else {
		json_object_object_add(section, "resources",
				       parse("{ 'devices': [{ 'allow': false, 'access': 'rwm' }] }"));
	}
	json_object_object_add(section, "namespaces", parse(rootless ? rootless_namespaces_text : namespaces_text));
	json_object_object_add(section, "maskedPaths", parse(masked_text));
	json_object_object_add(section, "readonlyPaths", parse(readonly_text));
	return section;
}

char *oci_spec_text(bool rootless)
{
	struct json_object *spec = json_object_new_object();

	json_object_object_add(spec, "ociVersion", json_object_new_string(OCI_VERSION_MAX));
	json_object_object_add(spec, "process", parse(process_text));
	json_object_object_add(spec, "root", parse("{ 'path': 'rootfs', 'readonly': true }"));
	json_object_object_add(spec, "hostname", json_object_new_string("bulkhead"));
	json_object_object_add(spec, "mounts", make_mounts(rootless));
	json_object_object_add(spec, "linux", make_linux(rootless));
	char *text = oci_strdup(
		json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB |
							     JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(spec);
	return text;
}
