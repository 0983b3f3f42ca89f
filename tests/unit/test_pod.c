/* SPDX-License-Identifier: Apache-2.0 */
/* Where a container with a pod's annotations is made, by what the state directories of others say. */
#include "tests/unit/oci_patch.h"

#include "runtime/command.h"
#include "runtime/launch.h"
#include "runtime/pod.h"
#include "runtime/pod_shares.h"
#include "runtime/statedir.h"

#include "oci/alloc.h"
#include "oci/describe.h"

#include "common/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <pb_decode.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SANDBOX "'io.kubernetes.cri.container-type': 'sandbox'"
#define MEMBER "'io.kubernetes.cri.container-type': 'container', 'io.kubernetes.cri.sandbox-id': "

static char root[] = "/tmp/test_pod.XXXXXX";
static struct globals globals = { .root = root };

static int make_root(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", root);
	return system(command) == 0 ? 0 : -1;
}

/* A container that "runs": we are its proxy. */
static void make_container(const char *id, const char *sandbox, const char *shares, bool is_alive, const char *patch)
{
	struct oci_store store = {
		.id = (char *)(size_t)id,
		.bundle = (char *)"/b",
		.pid = getpid(),
		.pid_start = is_alive ? oci_pid_start(getpid()) : 1,
		.is_created = true,
		.is_started = true,
		.sandbox = (char *)(size_t)sandbox,
		.shares = (char *)(size_t)shares,
	};
	struct err err = ERR_INIT;
	auto_free char *text = patch_text(patch);
	auto_fd int dirfd = statedir_create(root, id, &err);

	if (dirfd < 0)
		fail_msg("%s", err.text);
	assert_int_equal(oci_store_write(dirfd, STATEDIR_STATE, &store, &err), 0);
	auto_fd int fd = openat(dirfd, STATEDIR_CONFIG, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static struct oci_config *load(const char *patch)
{
	auto_free char *text = patch_text(patch);
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	if (oci_config_parse("/b", text, strlen(text), &config, &err) < 0)
		fail_msg("%s", err.text);
	return config;
}

static int open_pod(struct pod *pod, const char *patch, struct err *err)
{
	struct oci_config *config = load(patch);
	int result = pod_open(pod, &globals, config, err);

	oci_config_destroy(config);
	return result;
}

/* The first test: it is not to find the containers of the others, which have our process, too. */
static void pod_of_another_containers_network_is_that_containers(void **state)
{
	auto_free char *network = oci_format("{ 'type': 'network', 'path': '/proc/%d/ns/net' }", (int)getpid());
	const struct {
		const char *annotations, *network;
		bool joins;
	} cases[] = {
		{ "", network, true },
		{ "'io.container.manager': 'libpod'", network, true },
		{ SANDBOX, network, false },
		{ "", "{ 'type': 'network', 'path': '/proc/1/ns/net' }", false },
		{ "", "{ 'type': 'network', 'path': '/run/netns/x' }", false },
		{ "", "{ 'type': 'network' }", false },
	};

	(void)state;
	make_container("peer", NULL, NULL, true, "{}");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_free char *patch = oci_format("{'annotations': {%s}, 'linux': {'namespaces': [%s]}}",
						   cases[i].annotations, cases[i].network);
		struct err err = ERR_INIT;
		struct pod pod;

		if (open_pod(&pod, patch, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(pod.joins, cases[i].joins);
		if (pod.joins)
			assert_string_equal(pod.sandbox.id, "peer");
		pod_close(&pod);
	}
}

static void pod_of_no_sandbox_that_runs_is_refused_by_name(void **state)
{
	static const struct {
		const char *patch, *error;
	} cases[] = {
		{ "{'annotations': {" MEMBER "'dead'}}",
		  "the pod's sandbox dead is stopped: nothing can be started in its virtual machine" },
		{ "{'annotations': {" MEMBER "'alone'}}", "container alone is not the sandbox of a pod" },
		{ "{'annotations': {" MEMBER "'nested'}}", "the pod's sandbox nested is itself in the pod of other" },
	};

	(void)state;
	make_container("dead", NULL, NULL, false, "{'annotations': {" SANDBOX "}}");
	make_container("alone", NULL, NULL, true, "{}");
	make_container("nested", "other", NULL, true, "{'annotations': {" SANDBOX "}}");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct err err = ERR_INIT;
		struct pod pod;

		assert_int_equal(open_pod(&pod, cases[i].patch, &err), -1);
		assert_string_equal(err.text, cases[i].error);
		pod_close(&pod);
	}
}

static void pod_member_joins_only_in_its_pods_network(void **state)
{
	static const struct {
		const char *network;
		bool joins;
	} cases[] = {
		{ "{ 'type': 'network', 'path': '/proc/self/ns/net' }", true },
		{ "{ 'type': 'network' }", false },
		{ "{ 'type': 'network', 'path': '/proc/self/ns/uts' }", false },
		{ "{ 'type': 'ipc' }", false },
	};

	(void)state;
	make_container("sandbox", NULL, NULL, true,
		       "{'annotations': {" SANDBOX "}, 'linux': {'namespaces': [{ 'type': 'network' }]}}");
	struct pod alone;
	struct err nothing = ERR_INIT;
	assert_int_equal(open_pod(&alone, "{'annotations': {" MEMBER "'none'}}", &nothing), 0);
	assert_false(alone.joins);
	assert_null(pod_container_of_namespace(&alone, CLONE_NEWIPC, "/proc/1/ns/ipc"));
	pod_close(&alone);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_free char *patch = oci_format("{'annotations': {" MEMBER "'sandbox'},"
						   " 'linux': {'namespaces': [{ 'type': 'pid' }, %s]}}",
						   cases[i].network);
		struct err err = ERR_INIT;
		struct pod pod;

		assert_int_equal(open_pod(&pod, patch, &err), 0);
		assert_int_equal(pod.joins, cases[i].joins);
		assert_false(pod.is_sandbox);
		pod_close(&pod);
	}
}

/* Podman's infra container says nothing of pods; only who else is Podman's may name it. */
static void pod_of_podmans_infra_container_is_joined(void **state)
{
	static const struct {
		const char *sandbox, *namespaces;
		bool joins;
	} cases[] = {
		{ "infra", "{ 'type': 'network', 'path': '/proc/self/ns/net' }", true },
		{ "infra", "{ 'type': 'uts' }", false },
		{ "infra-of-host", "{ 'type': 'uts' }", true },
		{ "infra-of-host", "{ 'type': 'network' }", false },
	};

	(void)state;
	make_container("infra", NULL, NULL, true,
		       "{'annotations': {'io.container.manager': 'libpod'},"
		       " 'linux': {'namespaces': [{ 'type': 'pid' }, { 'type': 'network' }]}}");
	make_container("infra-of-host", NULL, NULL, true,
		       "{'annotations': {'io.container.manager': 'libpod'},"
		       " 'linux': {'namespaces': [{ 'type': 'pid' }]}}");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_free char *patch =
			oci_format("{'annotations': {'io.container.manager': 'libpod',"
				   " 'io.kubernetes.cri-o.ContainerType': 'container',"
				   " 'io.kubernetes.cri-o.SandboxID': '%s'}, 'linux': {'namespaces': [%s]}}",
				   cases[i].sandbox, cases[i].namespaces);
		struct err err = ERR_INIT;
		struct pod pod;

		if (open_pod(&pod, patch, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(pod.joins, cases[i].joins);
		pod_close(&pod);
	}
}

static void pod_namespaces_by_process_or_by_path_are_the_containers(void **state)
{
	char path[64];
	struct err err = ERR_INIT;
	struct pod pod;

	(void)state;
	make_container("crio", NULL, NULL, true,
		       "{'annotations': {'io.kubernetes.cri-o.ContainerType': 'sandbox'},"
		       " 'linux': {'namespaces': [{ 'type': 'pid' }, { 'type': 'ipc', 'path': '/run/ipcns/1' }]}}");
	assert_int_equal(open_pod(&pod,
				  "{'annotations': {'io.kubernetes.cri-o.ContainerType': 'container',"
				  " 'io.kubernetes.cri-o.SandboxID': 'crio'}, 'linux': {'namespaces':"
				  " [{ 'type': 'pid' }, { 'type': 'network', 'path': '/proc/self/ns/net' }]}}",
				  &err),
			 0);
	assert_true(pod.joins);
	snprintf(path, sizeof path, "/proc/%d/ns/ipc", (int)getpid());
	assert_string_equal(pod_container_of_namespace(&pod, CLONE_NEWIPC, path), "crio");
	assert_string_equal(pod_container_of_namespace(&pod, CLONE_NEWIPC, "/run/ipcns/1"), "crio");
	assert_null(pod_container_of_namespace(&pod, CLONE_NEWUTS, "/run/ipcns/1"));
	assert_null(pod_container_of_namespace(&pod, CLONE_NEWIPC, "/run/ipcns/2"));
	assert_null(pod_container_of_namespace(&pod, CLONE_NEWIPC, "/proc/1/ns/ipc"));
	assert_null(pod_container_of_namespace(&pod, CLONE_NEWIPC, "/proc/self/ns/ipc"));
	pod_close(&pod);

	/* The sandbox itself: what CRI-O made on the host is made in the guest. */
	assert_int_equal(open_pod(&pod, "{'annotations': {" SANDBOX "}}", &err), 0);
	assert_true(pod.is_sandbox);
	assert_string_equal(pod_container_of_namespace(&pod, CLONE_NEWIPC, "/run/ipcns/1"), "");
	assert_null(pod_container_of_namespace(&pod, CLONE_NEWPID, "/proc/1/ns/pid"));
	pod_close(&pod);
}

static void pod_shares_are_named_by_what_they_are(void **state)
{
	struct oci_share items[2][3] = { { { .name = "rootfs" }, { .name = "mount0" }, { .name = "mount4" } },
					 { { .name = "rootfs" }, { .name = "mount0" }, { .name = "mount4" } } };
	struct oci_store stores[2] = { 0 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		agent_Container description = agent_Container_init_zero;
		struct oci_shares shares = { .items = items[i], .count = 3 };
		struct launch_share opened[3] = { { .fd = open("/", O_PATH) },
						  { .fd = open("/tmp", O_PATH) },
						  { .fd = open("/usr", O_PATH) } };
		struct launch launch = { .shares = opened, .share_count = 3 };
		struct err err = ERR_INIT;

		for (size_t s = 0; s < 3; s++)
			items[i][s].path = (char *)"/some/path";
		items[i][2].readonly = i == 1;
		description.root_share = oci_strdup("rootfs");
		description.mounts = oci_alloc(2, sizeof *description.mounts);
		description.mounts_count = 2;
		description.mounts[0] = (agent_Mount){ .share = true, .source = oci_strdup("mount4") };
		description.mounts[1] = (agent_Mount){ .share = false, .source = oci_strdup("mount4") };
		assert_int_equal(pod_name_shares(&launch, &shares, &description, &stores[i], &err), 0);
		assert_string_equal(description.root_share, items[i][0].name);
		assert_string_equal(description.mounts[0].source, items[i][2].name);
		assert_string_equal(description.mounts[1].source, "mount4"); /* no share, whatever its name */
		for (size_t s = 0; s < 3; s++) {
			assert_true(pod_shares_have(stores[i].shares, items[i][s].name));
			close(opened[s].fd);
		}
		pb_release(agent_Container_fields, &description);
	}
	assert_string_not_equal(items[0][0].name, items[1][0].name); /* a root is nobody else's */
	assert_string_equal(items[0][1].name, items[1][1].name);
	assert_string_not_equal(items[0][2].name, items[1][2].name); /* read-only is another */
	free(stores[0].shares);
	free(stores[1].shares);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pod_of_another_containers_network_is_that_containers),
		cmocka_unit_test(pod_of_no_sandbox_that_runs_is_refused_by_name),
		cmocka_unit_test(pod_member_joins_only_in_its_pods_network),
		cmocka_unit_test(pod_of_podmans_infra_container_is_joined),
		cmocka_unit_test(pod_namespaces_by_process_or_by_path_are_the_containers),
		cmocka_unit_test(pod_shares_are_named_by_what_they_are),
	};

	return cmocka_run_group_tests_name("runtime/pod", tests, make_root, remove_root);
}
