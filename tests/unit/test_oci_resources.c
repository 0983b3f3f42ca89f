/* SPDX-License-Identifier: Apache-2.0 */
/* Resources as cgroup v2 files on either side, the size of the VM, and the host's configuration. */
#include "tests/unit/oci_patch.h"

#include "oci/cpu_list.h"
#include "oci/host_config.h"
#include "oci/resources.h"
#include "oci/file_cache.h"
#include "oci/vm_size.h"

#include "common/auto.h"
#include "common/file_systems.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB 1048576ull

static struct oci_config *load(const char *patch)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	if (patch_load("/b", patch, &config, &err) < 0)
		fail_msg("%s: %s", patch, err.text);
	return config;
}

/* "file=value;file=value" in the order they would be written. */
static char *join(const struct oci_map *files)
{
	char *text = calloc(1, 4096);

	for (size_t i = 0; i < files->count; i++) {
		strcat(text, i ? ";" : "");
		strcat(text, files->items[i].key);
		strcat(text, "=");
		strcat(text, files->items[i].value);
	}
	return text;
}

static void resources_become_cgroup_files(void **state)
{
	static const struct {
		const char *resources, *guest, *host; /* the host with an overhead of 1000 bytes */
	} cases[] = {
		{ "{}", "", "" },
		{ "{'memory': {'limit': 536870912}}", "memory.max=536870912", "memory.max=536871912" },
		{ "{'memory': {'limit': 0, 'reservation': 0, 'swap': 0}}", "", "" },
		{ "{'memory': {'limit': -1}}", "memory.max=max", "memory.swap.max=max;memory.max=max" },
		{ "{'memory': {'limit': 100, 'swap': 250, 'reservation': 50}}", "memory.max=100;memory.low=50",
		  "memory.swap.max=150;memory.max=1100;memory.low=1050" },
		{ "{'memory': {'limit': 100, 'swap': 100}}", "memory.max=100", "memory.swap.max=0;memory.max=1100" },
		{ "{'memory': {'limit': 100, 'swap': -1}}", "memory.max=100", "memory.swap.max=max;memory.max=1100" },
		{ "{'memory': {'swap': -1}}", "", "memory.swap.max=max" },
		{ "{'memory': {'limit': 9223372036854775807}}", "memory.max=9223372036854775807", "memory.max=max" },
		{ "{'cpu': {'shares': 1024}}", "cpu.weight=39", "cpu.weight=39" },
		{ "{'cpu': {'shares': 2}}", "cpu.weight=1", "cpu.weight=1" },
		{ "{'cpu': {'shares': 1}}", "cpu.weight=1", "cpu.weight=1" },
		{ "{'cpu': {'shares': 262144}}", "cpu.weight=10000", "cpu.weight=10000" },
		{ "{'cpu': {'shares': 99999999}}", "cpu.weight=10000", "cpu.weight=10000" },
		{ "{'cpu': {'shares': 0, 'quota': 0, 'period': 0}}", "", "" },
		{ "{'cpu': {'quota': 50000}}", "cpu.max=50000 100000", "cpu.max=50000 100000" },
		{ "{'cpu': {'quota': 50000, 'period': 20000}}", "cpu.max=50000 20000", "cpu.max=50000 20000" },
		{ "{'cpu': {'quota': -1}}", "cpu.max=max 100000", "cpu.max=max 100000" },
		{ "{'cpu': {'period': 30000}}", "cpu.max=max 30000", "cpu.max=max 30000" },
		{ "{'cpu': {'quota': 50000, 'burst': 10000}}", "cpu.max=50000 100000;cpu.max.burst=10000",
		  "cpu.max=50000 100000;cpu.max.burst=10000" },
		{ "{'cpu': {'quota': 50000, 'burst': 0}}", "cpu.max.burst=0;cpu.max=50000 100000",
		  "cpu.max.burst=0;cpu.max=50000 100000" },
		{ "{'cpu': {'idle': 1, 'shares': 500}}", "cpu.idle=1", "cpu.idle=1" },
		{ "{'cpu': {'idle': 0, 'shares': 1024}}", "cpu.idle=0;cpu.weight=39", "cpu.idle=0;cpu.weight=39" },
		{ "{'cpu': {'cpus': '0-1', 'mems': '0'}}", "", "cpuset.cpus=0-1;cpuset.mems=0" },
		{ "{'cpu': {'cpus': '', 'mems': ''}}", "", "" },
		{ "{'pids': {'limit': 100}}", "pids.max=100", "" },
		{ "{'pids': {'limit': -1}}", "pids.max=max", "" },
		{ "{'pids': {'limit': 0}}", "", "" },
		{ "{'hugepageLimits': [{'pageSize': '2MB', 'limit': 4194304}, {'pageSize': '1GB', 'limit': 0}]}",
		  "hugetlb.2MB.max=4194304;hugetlb.2MB.rsvd.max=4194304", "" },
		{ "{'hugepageLimits': [{'pageSize': '2MB', 'limit': 0}, {'pageSize': '1GB', 'limit': 1073741824}]}",
		  "hugetlb.2MB.max=0;hugetlb.2MB.rsvd.max=0;hugetlb.1GB.max=1073741824;hugetlb.1GB.rsvd.max=1073741824",
		  "" },
		{ "{'blockIO': {'weight': 10}}", "", "io.weight=default 1" },
		{ "{'blockIO': {'weight': 1000, 'weightDevice': [{'major': 8, 'minor': 0, 'weight': 500},"
		  " {'major': 8, 'minor': 1, 'leafWeight': 3}]}}",
		  "", "io.weight=default 10000\n8:0 4950" },
		{ "{'blockIO': {'throttleReadBpsDevice': [{'major': 8, 'minor': 0, 'rate': 600}],"
		  " 'throttleWriteBpsDevice': [{'major': 8, 'minor': 1, 'rate': 0}],"
		  " 'throttleReadIOPSDevice': [{'major': 8, 'minor': 2, 'rate': 1}],"
		  " 'throttleWriteIOPSDevice': [{'major': 8, 'minor': 3, 'rate': 2}]}}",
		  "", "io.max=8:0 rbps=600\n8:1 wbps=max\n8:2 riops=1\n8:3 wiops=2" },
		{ "{'unified': {'memory.high': '5', 'pids.max': '7', 'cpu.weight': '9', 'io.bfq.weight': '3',"
		  " 'cpuset.cpus': '1', 'memory.swap.max': '8'}, 'pids': {'limit': 3}}",
		  "pids.max=7;memory.high=5;cpu.weight=9",
		  "cpu.weight=9;io.bfq.weight=3;cpuset.cpus=1;memory.swap.max=8" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_map guest = { 0 }, host = { 0 };
		struct err err = ERR_INIT;
		char patch[1024];

		snprintf(patch, sizeof patch, "{'linux': {'resources': %s}}", cases[i].resources);
		struct oci_config *config = load(patch);
		assert_int_equal(oci_resources_guest_files(&config->resources, &guest, &err), 0);
		assert_int_equal(oci_resources_host_files(&config->resources, 1000, &host, &err), 0);
		auto_free char *guest_text = join(&guest), *host_text = join(&host);
		assert_string_equal(guest_text, cases[i].guest);
		assert_string_equal(host_text, cases[i].host);
		oci_map_destroy(&guest);
		oci_map_destroy(&host);
		oci_config_destroy(config);
	}
}

static void resources_swap_without_or_below_memory_is_refused(void **state)
{
	static const struct {
		const char *resources, *error;
	} cases[] = {
		{ "{'memory': {'swap': 100}}",
		  "linux.resources.memory.swap: cannot be limited without a limit of memory" },
		{ "{'memory': {'limit': -1, 'swap': 100}}",
		  "linux.resources.memory.swap: cannot be limited without a limit of memory" },
		{ "{'memory': {'limit': 200, 'swap': 100}}",
		  "linux.resources.memory.swap: 100 is below the limit of memory 200, it counts memory and swap "
		  "together" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_map files = { 0 };
		struct err err = ERR_INIT;
		char patch[256];

		snprintf(patch, sizeof patch, "{'linux': {'resources': %s}}", cases[i].resources);
		struct oci_config *config = load(patch);
		assert_int_equal(oci_resources_guest_files(&config->resources, &files, &err), -1);
		assert_string_equal(err.text, cases[i].error);
		oci_map_destroy(&files);
		oci_config_destroy(config);
	}
}

static void resources_document_of_update_is_read(void **state)
{
	char path[] = "/tmp/test_oci_resources.XXXXXX", expected[128];
	struct oci_resources *resources = NULL;
	struct err err = ERR_INIT;
	auto_fd int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "{\"pids\":{\"limit\":5}}", 20), 20);
	assert_int_equal(oci_resources_load(path, &resources, &err), 0);
	assert_int_equal(resources->pids.value, 5);
	oci_resources_destroy(resources);
	assert_int_equal(pwrite(fd, "{\"pids\":{\"limit\":''}", 20, 0), 20);
	assert_int_equal(oci_resources_load(path, &resources, &err), -1);
	snprintf(expected, sizeof expected, "%s: line 1, column 18: unexpected character", path);
	assert_string_equal(err.text, expected);
	unlink(path);
}

static void cpu_list_is_read_or_refused(void **state)
{
	static const struct {
		const char *text;
		int count; /* -1: refused */
		uint32_t last;
	} cases[] = {
		{ "", 0, 0 },    { "0", 1, 0 },       { "0-3", 4, 3 },   { "0-1,7", 3, 7 }, { "7,0-1,1", 3, 7 },
		{ "5\n", 1, 5 }, { "8191", 1, 8191 }, { "8192", -1, 0 }, { "3-1", -1, 0 },  { "a", -1, 0 },
		{ "-1", -1, 0 }, { "1-", -1, 0 },     { " 1", -1, 0 },   { "1 2", -1, 0 },  { "99999999999999", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		auto_free uint32_t *list = NULL;
		size_t count = 0;
		bool good = oci_cpu_list_parse(cases[i].text, &list, &count);

		if (good != (cases[i].count >= 0) || (good && (int)count != cases[i].count) ||
		    (count && list[count - 1] != cases[i].last))
			fail_msg("\"%s\"", cases[i].text);
	}
}

static struct oci_host_config *make_host(void)
{
	struct oci_host_config *host = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(oci_host_config_load("/no/such/bulkhead.json", &host, &err), 0);
	assert_int_equal(host->default_memory_mib, 512);
	assert_int_equal(host->default_vcpus, 1);
	assert_int_equal(host->log_level, LOG_INFO);
	assert_false(host->allow_debug); /* nobody gets it who did not ask */
	/* This machine's numbers would make the tables below depend on it. */
	host->max_memory_mib = 4095;
	host->max_vcpus = 8;
	return host;
}

static void vm_size_huge_pages_are_a_matter_of_yes_or_no(void **state)
{
	static const struct {
		const char *patch;
		bool huge;
		const char *error;
	} cases[] = {
		{ "{}", false, NULL },
		{ "{'annotations': {'io.bulkhead.huge-pages': 'true'}}", true, NULL },
		{ "{'annotations': {'io.bulkhead.huge-pages': 'false'}}", false, NULL },
		{ "{'annotations': {'io.bulkhead.huge-pages': '1'}}", false,
		  "annotation io.bulkhead.huge-pages: must be true or false, not \"1\"" },
	};
	struct oci_host_config *host = make_host();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = load(cases[i].patch);
		struct oci_vm_size size = { 0 };
		struct err err = ERR_INIT;

		assert_int_equal(oci_vm_size(config, host, &size, &err), cases[i].error ? -1 : 0);
		if (cases[i].error)
			assert_string_equal(err.text, cases[i].error);
		assert_int_equal(size.huge_pages, cases[i].huge);
		oci_config_destroy(config);
	}
	oci_host_config_destroy(host);
}

static void vm_size_the_hosts_window_is_for_read_only_roots(void **state)
{
	static const struct {
		const char *patch;
		bool is_asked; /* the host's default, where the file system allows it */
		uint32_t otherwise;
	} cases[] = {
		{ "{'root': {'path': '/tmp', 'readonly': true}}", true, 0 },
		{ "{'root': {'path': '/tmp', 'readonly': false}}", false, 0 },
		{ "{'root': {'path': '/proc', 'readonly': true}}", false, 0 },
		{ "{'root': {'path': '/no/such/root', 'readonly': true}}", false, 0 },
		{ "{'root': {'path': '/tmp', 'readonly': true}, 'annotations': {'io.bulkhead.dax-mib': '0'}}", false,
		  0 },
		{ "{'root': {'path': '/tmp'}, 'annotations': {'io.bulkhead.dax-mib': '128'}}", false, 128 },
		{ "{'root': {'path': '/tmp', 'readonly': true},"
		  " 'annotations': {'io.kubernetes.cri.container-type': 'sandbox'}}",
		  false, 0 },
	};
	struct oci_host_config *host = make_host();
	struct statfs fs;
	bool is_plain = statfs("/tmp", &fs) == 0 && file_system_is_plain((unsigned long)fs.f_type);

	(void)state;
	assert_int_equal(host->default_dax_mib, 0);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = load(cases[i].patch);

		for (uint32_t chosen = 0; chosen <= 64; chosen += 64) {
			uint32_t expected = cases[i].is_asked && is_plain ? chosen : cases[i].otherwise;
			struct oci_vm_size size = { 0 };
			struct err err = ERR_INIT;

			host->default_dax_mib = chosen;
			if (oci_vm_size(config, host, &size, &err) < 0)
				fail_msg("%s: %s", cases[i].patch, err.text);
			if (size.dax_mib != expected)
				fail_msg("%s: %u MiB", cases[i].patch, size.dax_mib);
			assert_int_equal(oci_vm_beside(config, host, NULL), expected * MIB / 64);
		}
		oci_config_destroy(config);
	}
	oci_host_config_destroy(host);
}

static void vm_size_follows_what_is_asked(void **state)
{
	static const struct {
		const char *patch;
		unsigned memory_mib, vcpus;
	} cases[] = {
		{ "{}", 512, 1 },
		/* limit + 64 MiB + a 64th of it for page structures, up to the next size class */
		{ "{'linux': {'resources': {'memory': {'limit': 134217728}}}}", 256, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': 1073741824}}}}", 1280, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': 6291456}}}}", 128, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': 534773760}}}}", 640, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': 2147483648}}}}", 2560, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': -1}}}}", 512, 1 },
		{ "{'linux': {'resources': {'memory': {'limit': 9223372036854771712}}}}", 4094, 1 },
		{ "{'linux': {'resources': {'unified': {'memory.max': '134217728'}}}}", 256, 1 },
		{ "{'linux': {'resources': {'unified': {'memory.max': 'max'}}}}", 512, 1 },
		{ "{'linux': {'resources': {'cpu': {'quota': 100000}}}}", 512, 1 },
		{ "{'linux': {'resources': {'cpu': {'quota': 100001}}}}", 512, 2 },
		{ "{'linux': {'resources': {'cpu': {'quota': 150000, 'period': 50000}}}}", 512, 3 },
		{ "{'linux': {'resources': {'cpu': {'quota': 1000}}}}", 512, 1 },
		{ "{'linux': {'resources': {'cpu': {'quota': -1}}}}", 512, 1 },
		{ "{'linux': {'resources': {'cpu': {'quota': 9223372036854775807, 'period': 1}}}}", 512, 8 },
		{ "{'linux': {'resources': {'cpu': {'quota': 400000, 'cpus': '2,3'}}}}", 512, 2 },
		{ "{'linux': {'resources': {'unified': {'cpu.max': '250000 100000'}}}}", 512, 3 },
		{ "{'linux': {'resources': {'unified': {'cpu.max': 'max 100000'}}}}", 512, 1 },
		{ "{'vm': {'hwConfig': {'vcpus': 5, 'memory': 268435456}}}", 256, 5 },
		{ "{'vm': {'hwConfig': {'vcpus': 5, 'memory': 268435456}}, 'annotations':"
		  " {'io.bulkhead.memory-mib': '1001', 'io.bulkhead.vcpus': '2'},"
		  " 'linux': {'resources': {'memory': {'limit': 134217728}}}}",
		  1002, 2 },
		/* Huge pages are beside the limit, or beside the default. */
		{ "{'linux': {'resources': {'memory': {'limit': 134217728},"
		  " 'hugepageLimits': [{'pageSize': '1GB', 'limit': 1073741824}, {'pageSize': '2MB', 'limit': "
		  "268435456}]}}}",
		  512, 1 },
		{ "{'linux': {'resources': {'hugepageLimits': [{'pageSize': '2MB', 'limit': 268435456}]}}}", 896, 1 },
		{ "{'linux': {'resources': {'hugepageLimits': [{'pageSize': '2MB', 'limit': 18446744073709551615}]}}}",
		  4094, 1 },
		{ "{'annotations': {'io.bulkheads': 'x', 'io.other': 'y'}}", 512, 1 },
		/* A pod's VM is that of its sandbox, whose own limits are those of `pause`. */
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'sandbox',"
		  " 'io.kubernetes.cri.sandbox-memory': '134217728', 'io.kubernetes.cri.sandbox-cpu-quota': '250000',"
		  " 'io.kubernetes.cri.sandbox-cpu-period': '100000'},"
		  " 'linux': {'resources': {'memory': {'limit': 6291456}, 'cpu': {'quota': 1000}}}}",
		  256, 3 },
		{ "{'annotations': {'io.kubernetes.cri.container-type': 'sandbox',"
		  " 'io.kubernetes.cri.sandbox-memory': '0', 'io.kubernetes.cri.sandbox-cpu-quota': '-1',"
		  " 'io.kubernetes.cri.sandbox-cpu-shares': '2049'},"
		  " 'linux': {'resources': {'memory': {'limit': 6291456}}}}",
		  512, 3 },
		{ "{'annotations': {'io.kubernetes.cri-o.ContainerType': 'sandbox'}}", 512, 1 },
	};
	struct oci_host_config *host = make_host();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = load(cases[i].patch);
		struct oci_vm_size size = { 0 };
		struct err err = ERR_INIT;

		if (oci_vm_size(config, host, &size, &err) < 0)
			fail_msg("%s: %s", cases[i].patch, err.text);
		if (size.memory_mib != cases[i].memory_mib || size.vcpus != cases[i].vcpus)
			fail_msg("%s: %u MiB, %u vCPUs", cases[i].patch, size.memory_mib, size.vcpus);
		oci_config_destroy(config);
	}
	oci_host_config_destroy(host);
}

static void vm_size_wishes_beyond_the_host_are_refused(void **state)
{
	static const struct {
		const char *patch, *error;
	} cases[] = {
		{ "{'annotations': {'io.bulkhead.memory-mib': '8192'}}",
		  "annotation io.bulkhead.memory-mib: must be from 64 to 4095 (max_memory_mib in "
		  "/etc/bulkhead/bulkhead.json), not 8192" },
		{ "{'annotations': {'io.bulkhead.vcpus': '0'}}", "annotation io.bulkhead.vcpus: must be from 1 to 8 "
								 "(max_vcpus in /etc/bulkhead/bulkhead.json), not 0" },
		{ "{'annotations': {'io.bulkhead.vcpus': '-1'}}", "annotation io.bulkhead.vcpus: \"-1\" is no number" },
		{ "{'annotations': {'io.bulkhead.vcpus': '2 '}}", "annotation io.bulkhead.vcpus: \"2 \" is no number" },
		{ "{'annotations': {'io.bulkhead.vcpus': ''}}", "annotation io.bulkhead.vcpus: \"\" is no number" },
		{ "{'annotations': {'io.bulkhead.kernel': '/x'}}",
		  "annotation io.bulkhead.kernel: is none of bulkhead's" },
		{ "{'vm': {'hwConfig': {'vcpus': 9}}}",
		  "vm.hwConfig.vcpus: must be from 1 to 8 (max_vcpus in /etc/bulkhead/bulkhead.json), not 9" },
		{ "{'vm': {'hwConfig': {'memory': 1048576}}}",
		  "vm.hwConfig.memory: must be from 64 to 4095 MiB (max_memory_mib in /etc/bulkhead/bulkhead.json), "
		  "not 1" },
	};
	struct oci_host_config *host = make_host();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = load(cases[i].patch);
		struct oci_vm_size size;
		struct err err = ERR_INIT;

		assert_int_equal(oci_vm_size(config, host, &size, &err), -1);
		assert_string_equal(err.text, cases[i].error);
		oci_config_destroy(config);
	}
	oci_strings_destroy(&host->allowed_annotations);
	struct oci_config *config = load("{'annotations': {'io.bulkhead.vcpus': '2'}}");
	struct oci_vm_size size;
	struct err err = ERR_INIT;
	assert_int_equal(oci_vm_size(config, host, &size, &err), -1);
	assert_string_equal(err.text, "annotation io.bulkhead.vcpus: not allowed on this host (allowed_annotations in "
				      "/etc/bulkhead/bulkhead.json)");
	oci_config_destroy(config);
	oci_host_config_destroy(host);
}

static void test_file_cache_is_one_of_three(void **state)
{
	static const char *const names[] = { "none", "auto", "always" };
	struct err err = ERR_INIT;
	const char *mode;
	char patch[80];

	(void)state;
	struct oci_config *config = load("{}");
	assert_int_equal(oci_file_cache(config, &mode, &err), 0);
	assert_string_equal(mode, "auto");
	oci_config_destroy(config);
	for (size_t i = 0; i < 3; i++) {
		snprintf(patch, sizeof patch, "{'annotations': {'io.bulkhead.file-cache': '%s'}}", names[i]);
		config = load(patch);
		assert_int_equal(oci_file_cache(config, &mode, &err), 0);
		assert_string_equal(mode, names[i]);
		oci_config_destroy(config);
	}
	config = load("{'annotations': {'io.bulkhead.file-cache': 'Always'}}");
	assert_int_equal(oci_file_cache(config, &mode, &err), -1);
	assert_string_equal(err.text,
			    "annotation io.bulkhead.file-cache: must be none, auto or always, not \"Always\"");
	oci_config_destroy(config);
}

static int load_host(const char *text, struct oci_host_config **out, struct err *err)
{
	char path[] = "/tmp/test_oci_resources.XXXXXX";
	auto_fd int fd = mkstemp(path);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	int result = oci_host_config_load(path, out, err);
	unlink(path);
	return result;
}

static void host_config_members_are_read(void **state)
{
	struct oci_host_config *host = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
		load_host("{\"kernel\": \"/k\", \"initrd\": \"/i\", \"cmdline\": \"quiet\","
			  "\"default_memory_mib\": 256, \"max_memory_mib\": 1024, \"reserve_memory_mib\": 32,"
			  "\"default_vcpus\": 2, \"max_vcpus\": 4, \"default_dax_mib\": 64, \"allowed_annotations\": "
			  "[\"io.bulkhead.vcpus\"],"
			  "\"log_level\": \"debug\", \"vhost_net\": false, \"allow_debug\": true, \"selinux\": true}",
			  &host, &err),
		0);
	assert_string_equal(host->kernel, "/k");
	assert_string_equal(host->initrd, "/i");
	assert_string_equal(host->cmdline, "quiet");
	assert_int_equal(host->default_memory_mib, 256);
	assert_int_equal(host->max_memory_mib, 1024);
	assert_int_equal(oci_vm_reserve(host, 64 * MIB), 33 * MIB);
	assert_int_equal(host->default_vcpus, 2);
	assert_int_equal(host->max_vcpus, 4);
	assert_int_equal(host->default_dax_mib, 64);
	assert_int_equal(host->allowed_annotations.count, 1);
	assert_int_equal(host->log_level, LOG_DEBUG);
	assert_true(host->allow_debug && host->selinux && !host->vhost_net);
	oci_host_config_destroy(host);
}

/* Who installs the package is where who has no file is. */
static void host_config_as_installed_is_the_defaults(void **state)
{
	struct oci_host_config *without = NULL, *installed = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(oci_host_config_load("/no/such/bulkhead.json", &without, &err), 0);
	if (oci_host_config_load("packaging/bulkhead.json", &installed, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(installed->default_memory_mib, without->default_memory_mib);
	assert_int_equal(installed->reserve_memory_mib, without->reserve_memory_mib);
	assert_int_equal(installed->default_vcpus, without->default_vcpus);
	assert_int_equal(installed->default_dax_mib, without->default_dax_mib);
	assert_int_equal(installed->log_level, without->log_level);
	assert_int_equal(installed->allow_debug, without->allow_debug);
	assert_int_equal(installed->vhost_net, without->vhost_net);
	assert_int_equal(installed->allowed_annotations.count, without->allowed_annotations.count);
	for (size_t i = 0; i < without->allowed_annotations.count; i++)
		assert_string_equal(installed->allowed_annotations.items[i], without->allowed_annotations.items[i]);
	oci_host_config_destroy(installed);
	oci_host_config_destroy(without);
}

static void host_config_mistakes_are_refused(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "[]", "must be a JSON object, which begins with '{'" },
		{ "{\"kernal\": \"/k\"}", "kernal: is no setting of bulkhead" },
		{ "{\"kernel\": \"k\"}", "kernel: must be an absolute path, not \"k\"" },
		{ "{\"default_memory_mib\": 16}", "default_memory_mib: must be from 64 to 4294967295, not 16" },
		{ "{\"default_dax_mib\": 20000}", "default_dax_mib: must be from 0 to 16384, not 20000" },
		{ "{\"max_vcpus\": 1000}", "max_vcpus: must be from 1 to 255, not 1000" },
		{ "{\"default_vcpus\": 4, \"max_vcpus\": 2}", "document: a default is above its maximum" },
		{ "{\"log_level\": \"loud\"}", "log_level: \"loud\" is none of error, warn, info, debug" },
		{ "{\"allowed_annotations\": [\"io.bulkhead.kernel\"]}",
		  "allowed_annotations: \"io.bulkhead.kernel\" is no annotation of bulkhead" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_host_config *host;
		struct err err = ERR_INIT;

		assert_int_equal(load_host(cases[i].text, &host, &err), -1);
		assert_string_equal(strstr(err.text, ": ") + 2, cases[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources_become_cgroup_files),
		cmocka_unit_test(resources_swap_without_or_below_memory_is_refused),
		cmocka_unit_test(resources_document_of_update_is_read),
		cmocka_unit_test(cpu_list_is_read_or_refused),
		cmocka_unit_test(vm_size_huge_pages_are_a_matter_of_yes_or_no),
		cmocka_unit_test(vm_size_the_hosts_window_is_for_read_only_roots),
		cmocka_unit_test(vm_size_follows_what_is_asked),
		cmocka_unit_test(vm_size_wishes_beyond_the_host_are_refused),
		cmocka_unit_test(host_config_members_are_read),
		cmocka_unit_test(test_file_cache_is_one_of_three),
		cmocka_unit_test(host_config_as_installed_is_the_defaults),
		cmocka_unit_test(host_config_mistakes_are_refused),
	};

	return cmocka_run_group_tests_name("oci/resources", tests, NULL, NULL);
}
