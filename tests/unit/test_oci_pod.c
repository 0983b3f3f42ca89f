/* SPDX-License-Identifier: Apache-2.0 */
/* What annotations say of a pod, and the lists of a pod's shares. */
#include "tests/unit/oci_patch.h"

#include "oci/pod.h"
#include "runtime/pod_shares.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct oci_config *load(const char *patch)
{
	char *text = patch_text(patch);
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	if (oci_config_parse("/b", text, strlen(text), &config, &err) < 0)
		fail_msg("%s", err.text);
	free(text);
	return config;
}

static void pod_role_is_found_in_the_annotations_of_both_engines(void **state)
{
	static const struct {
		const char *patch;
		enum oci_pod_role role;
		const char *sandbox;
	} cases[] = {
		{ "{}", OCI_POD_NONE, NULL },
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'sandbox', 'io.kubernetes.cri.sandbox-id': "
		  "'a'}}",
		  OCI_POD_SANDBOX, NULL },
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'container', 'io.kubernetes.cri.sandbox-id': "
		  "'a'}}",
		  OCI_POD_MEMBER, "a" },
		{ "{'annotations': {'io.kubernetes.cri-o.ContainerType': 'sandbox'}}", OCI_POD_SANDBOX, NULL },
		{ "{'annotations': {'io.kubernetes.cri-o.ContainerType': 'container', 'io.kubernetes.cri-o.SandboxID': "
		  "'b'}}",
		  OCI_POD_MEMBER, "b" },
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'container'}}", OCI_POD_NONE, NULL },
		{ "{'annotations': {'io.kubernetes.cri.sandbox-id': 'a'}}", OCI_POD_NONE, NULL },
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'x', 'io.kubernetes.cri.sandbox-id': 'a'}}",
		  OCI_POD_NONE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = load(cases[i].patch);
		struct err err = ERR_INIT;
		struct oci_pod pod;

		assert_int_equal(oci_pod_find(&config->annotations, &pod, &err), 0);
		assert_int_equal(pod.role, cases[i].role);
		if (cases[i].sandbox)
			assert_string_equal(pod.sandbox, cases[i].sandbox);
		else
			assert_null(pod.sandbox);
		oci_config_destroy(config);
	}
}

static void pod_sandbox_that_is_no_id_is_refused(void **state)
{
	struct oci_config *config = load("{'annotations': {'io.kubernetes.cri.container-type': 'container',"
					 " 'io.kubernetes.cri.sandbox-id': '../../etc'}}");
	struct err err = ERR_INIT;
	struct oci_pod pod;

	(void)state;
	assert_int_equal(oci_pod_find(&config->annotations, &pod, &err), -1);
	assert_non_null(strstr(err.text, "annotation io.kubernetes.cri.sandbox-id: container ID: "));
	oci_config_destroy(config);
}

static void pod_size_of_no_number_is_refused_by_name(void **state)
{
	struct oci_config *config = load("{'annotations': {'io.kubernetes.cri.sandbox-memory': '1Gi'}}");
	struct err err = ERR_INIT;
	struct oci_pod_size size;

	(void)state;
	assert_int_equal(oci_pod_size(&config->annotations, &size, &err), -1);
	assert_string_equal(err.text, "annotation io.kubernetes.cri.sandbox-memory: \"1Gi\" is no number");
	oci_config_destroy(config);
}

static void pod_limits_of_the_pause_process_are_not_the_machines(void **state)
{
	struct oci_config *config = load("{'linux': {'resources': {'memory': {'limit': 6291456},"
					 " 'cpu': {'shares': 2, 'quota': 1000}, 'pids': {'limit': 10}}}}");
	const struct oci_pod_size size = { .memory = 1 << 30, .cpu_shares = 512 };

	(void)state;
	oci_pod_set_resources(config, &size);
	assert_false(config->resources.memory.limit.is_set);
	assert_false(config->resources.cpu.quota.is_set);
	assert_false(config->resources.pids.is_set);
	assert_true(config->resources.cpu.shares.is_set);
	assert_int_equal(config->resources.cpu.shares.value, 512);
	oci_config_destroy(config);
}

static void pod_share_lists_are_searched_by_whole_names(void **state)
{
	(void)state;
	assert_false(pod_shares_have(NULL, "v1"));
	assert_false(pod_shares_have("", "v1"));
	assert_true(pod_shares_have("v1", "v1"));
	assert_true(pod_shares_have("c0-0,v1", "v1"));
	assert_true(pod_shares_have("v1,v2", "v1"));
	assert_true(pod_shares_have(",v1,,v2", "v2"));
	assert_false(pod_shares_have("v11,v", "v1"));
	assert_false(pod_shares_have("av1", "v1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pod_role_is_found_in_the_annotations_of_both_engines),
		cmocka_unit_test(pod_sandbox_that_is_no_id_is_refused),
		cmocka_unit_test(pod_size_of_no_number_is_refused_by_name),
		cmocka_unit_test(pod_limits_of_the_pause_process_are_not_the_machines),
		cmocka_unit_test(pod_share_lists_are_searched_by_whole_names),
	};

	return cmocka_run_group_tests_name("oci/pod", tests, NULL, NULL);
}
