/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the host's memory a VM may take: never less than what its guest was told that it has. */
#include "runtime/create_cgroup.h"

#include "common/err.h"

#include "oci/config.h"
#include "oci/host_config.h"
#include "oci/strings.h"
#include "oci/vm_size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB UINT64_C(1048576)

static const struct oci_host_config host = { .reserve_memory_mib = 64, .max_memory_mib = 4096 };

static struct oci_config *load(const char *annotations, const char *resources)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;
	char text[1024];

	snprintf(text, sizeof text,
		 "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"rootfs\"}, \"annotations\": {%s},"
		 " \"process\": {\"cwd\": \"/\", \"args\": [\"true\"]}, \"linux\": {\"resources\": {%s}}}",
		 annotations, resources);
	assert_int_equal(oci_config_parse("/b", text, strlen(text), &config, &err), 0);
	return config;
}

static uint64_t memory_max(const struct oci_resources *resources, uint64_t beside)
{
	struct oci_map files = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(create_cgroup_files(resources, beside, &host, &files, &err), 0);
	uint64_t value = strtoull(oci_map_get(&files, "memory.max"), NULL, 10);
	oci_map_destroy(&files);
	return value;
}

static void test_create_cgroup_an_update_of_the_limit_leaves_room_for_huge_pages(void **state)
{
	struct oci_config *config = load("", "\"memory\": {\"limit\": 67108864},"
					     " \"hugepageLimits\": [{\"pageSize\": \"2MB\", \"limit\": 134217728}]");
	struct oci_resources update = { .memory.limit = { .is_set = true, .value = 67108864 } };

	(void)state;
	assert_int_equal(oci_vm_beside(config, &host, NULL), 128 * MIB);
	assert_int_equal(oci_vm_beside(config, &host, &update), 128 * MIB);
	uint64_t created = memory_max(&config->resources, oci_vm_beside(config, &host, NULL));
	assert_true(created >= (64 + 64 + 128) * MIB);
	assert_int_equal(memory_max(&update, oci_vm_beside(config, &host, &update)), created);
	oci_config_destroy(config);
}

static void test_create_cgroup_the_page_structures_of_a_window_are_the_vms(void **state)
{
	struct oci_config *config = load("\"io.bulkhead.dax-mib\": \"16384\"", "\"memory\": {\"limit\": 67108864}");

	(void)state;
	assert_int_equal(oci_vm_beside(config, &host, NULL), 256 * MIB);
	assert_true(memory_max(&config->resources, oci_vm_beside(config, &host, NULL)) >= (64 + 64 + 256) * MIB);
	oci_config_destroy(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_cgroup_an_update_of_the_limit_leaves_room_for_huge_pages),
		cmocka_unit_test(test_create_cgroup_the_page_structures_of_a_window_are_the_vms),
	};

	return cmocka_run_group_tests_name("create_cgroup", tests, NULL, NULL);
}
