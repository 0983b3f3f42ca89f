/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics as Prometheus reads them: each declared once, samples below their own declaration, nothing of what is not
 * known. */
#include "runtime/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *print(const struct metrics *list, size_t count)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	metrics_print(list, count, out);
	fclose(out);
	return text;
}

static const struct metrics running = {
	.id = "one",
	.status = OCI_STATUS_RUNNING,
	.has_vm = true,
	.vm = { .memory_size = 512ull << 20, .vcpus = 2, .exits = UINT64_MAX, .requests = 30, .refused = 1 },
	.details = {
		.stamps = { [VMM_STAMP_START] = 5, [VMM_STAMP_LOADED] = 1000000005, [VMM_STAMP_FIRST_ENTRY] = 1000000006,
			    [VMM_STAMP_MODULE] = 2, [VMM_STAMP_AGENT_READY] = 2500000000 },
		.devices = { { 26, 1, 20, 0 }, { 1, 2, 10, 1 }, { 4711, 1, 3, 0 } },
	},
	.has_guest = true,
	.cpu_usage_us = 1000002,
	.processes = 3,
};

static void expect(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof whole, "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void test_metrics_of_a_running_container(void **state)
{
	char *text = print(&running, 1);

	(void)state;
	expect(text, "bulkhead_container_info{id=\"one\",status=\"running\"} 1");
	expect(text, "bulkhead_vm_memory_size_bytes{id=\"one\"} 536870912");
	expect(text, "bulkhead_vm_exits_total{id=\"one\"} 18446744073709551615");
	expect(text, "bulkhead_container_cpu_seconds_total{id=\"one\"} 1.000002");
	expect(text, "bulkhead_device_requests_total{id=\"one\",device=\"fs\"} 20");
	expect(text, "bulkhead_device_requests_total{id=\"one\",device=\"other\"} 3");
	expect(text, "bulkhead_device_refused_total{id=\"one\",device=\"net\"} 1");
	expect(text, "bulkhead_vm_start_phase_seconds{id=\"one\",phase=\"load\"} 1.000000000");
	expect(text, "bulkhead_vm_start_phase_seconds{id=\"one\",phase=\"jail\"} 0.000000001");
	/* A stamp before the one it follows, and one that never came. */
	assert_null(strstr(text, "phase=\"kernel\""));
	assert_null(strstr(text, "phase=\"init\""));
	expect(text, "bulkhead_vm_start_phase_seconds{id=\"one\",phase=\"agent\"} 1.499999994");
	free(text);
}

static void test_metrics_unknown_ones_are_left_out(void **state)
{
	struct metrics list[] = { running, { .id = "two", .status = OCI_STATUS_STOPPED }, running };

	(void)state;
	list[2].id = "three";
	list[2].has_guest = false;
	char *text = print(list, 3);
	expect(text, "bulkhead_container_info{id=\"two\",status=\"stopped\"} 1");
	assert_null(strstr(text, "{id=\"two\"}"));
	assert_null(strstr(text, "{id=\"two\",device"));
	assert_null(strstr(text, "{id=\"two\",phase"));
	expect(text, "bulkhead_vm_vcpus{id=\"three\"} 2");
	expect(text, "bulkhead_container_processes{id=\"one\"} 3");
	assert_null(strstr(text, "bulkhead_container_processes{id=\"three\"}"));
	free(text);
}

static void test_metrics_samples_follow_their_one_declaration(void **state)
{
	struct metrics list[] = { running, running };
	char current[160] = "", seen[4096] = "", name[128];
	unsigned declared = 0, samples = 0;

	(void)state;
	char *text = print(list, 2), *rest = text, *line;
	while ((line = strsep(&rest, "\n")) && *line) {
		if (sscanf(line, "# HELP %127s", name) == 1) {
			snprintf(current, sizeof current, " %s ", name);
			assert_null(strstr(seen, current));
			strcat(seen, current);
			snprintf(current, sizeof current, "%s", name);
			declared++;
		} else if (sscanf(line, "# TYPE %127s", name) == 1) {
			assert_string_equal(name, current);
			assert_true(strstr(line, " counter") || strstr(line, " gauge"));
			/* The convention for counters. */
			assert_int_equal(!!strstr(line, " counter"), !!strstr(name, "_total"));
		} else {
			assert_int_equal(strncmp(line, current, strlen(current)), 0);
			assert_int_equal(line[strlen(current)], '{');
			samples++;
		}
	}
	assert_true(declared > 10 && samples > 2 * declared);
	free(text);
}

static void test_metrics_without_containers_are_only_declared(void **state)
{
	char *text = print(NULL, 0);

	(void)state;
	assert_null(strchr(text, '{'));
	assert_non_null(strstr(text, "# TYPE bulkhead_container_info gauge\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_of_a_running_container),
		cmocka_unit_test(test_metrics_unknown_ones_are_left_out),
		cmocka_unit_test(test_metrics_samples_follow_their_one_declaration),
		cmocka_unit_test(test_metrics_without_containers_are_only_declared),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
