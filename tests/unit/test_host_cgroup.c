/* SPDX-License-Identifier: Apache-2.0 */
/* linux.cgroupsPath, as the two drivers read it. */
#include "runtime/host_cgroup.h"

#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *given, bool systemd, const char *wanted)
{
	struct err err = ERR_INIT;
	char *path = host_cgroup_path(given, "box", systemd, &err);

	assert_non_null(path);
	assert_string_equal(path, wanted);
	free(path);
}

static void refuse(const char *given, bool systemd, const char *words)
{
	struct err err = ERR_INIT;

	assert_null(host_cgroup_path(given, "box", systemd, &err));
	assert_non_null(strstr(err.text, words));
}

static void test_host_cgroup_absolute_path_is_below_the_mount(void **state)
{
	(void)state;
	expect("/docker/abc", false, "/docker/abc");
	expect("/kubepods/burstable/pod1/abc", false, "/kubepods/burstable/pod1/abc");
}

static void test_host_cgroup_path_that_leads_outside_is_refused(void **state)
{
	(void)state;
	refuse("/../etc", false, "leads outside");
	refuse("a/../../b", false, "leads outside");
}

static void test_host_cgroup_systemd_names_become_paths(void **state)
{
	(void)state;
	expect("system.slice:docker:abc", true, "/system.slice/docker-abc.scope");
	expect("kubepods-burstable-pod1.slice:cri-containerd:abc", true,
	       "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope");
	expect(":docker:abc", true, "/system.slice/docker-abc.scope");
	expect("-.slice:docker:abc", true, "/docker-abc.scope");
	expect("user.slice::abc", true, "/user.slice/abc.scope");
	expect("system.slice:x:my.slice", true, "/system.slice/my.slice");
	expect(NULL, true, "/system.slice/bulkhead-box.scope");
}

static void test_host_cgroup_systemd_names_of_another_form_are_refused(void **state)
{
	(void)state;
	refuse("/docker/abc", true, "SLICE:PREFIX:NAME");
	refuse("a:b", true, "SLICE:PREFIX:NAME");
	refuse("a.slice:b:c:d", true, "SLICE:PREFIX:NAME");
	refuse("system:docker:abc", true, "not the name of a slice");
	refuse("-x.slice:docker:abc", true, "not the name of a slice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_cgroup_absolute_path_is_below_the_mount),
		cmocka_unit_test(test_host_cgroup_path_that_leads_outside_is_refused),
		cmocka_unit_test(test_host_cgroup_systemd_names_become_paths),
		cmocka_unit_test(test_host_cgroup_systemd_names_of_another_form_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
