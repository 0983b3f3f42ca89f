/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as config.json: read, sized, described, compiled and freed. Nothing is shared or mounted; paths of the
 * document are only looked at with stat(2), below a bundle that does not exist or by absolute name.
 *
 * Covers: oci/config.c oci/process.c oci/mounts.c oci/resources.c oci/seccomp.c oci/seccomp_compile.c oci/devices.c
 * oci/device_filter.c oci/describe.c oci/describe_mounts.c oci/vm_size.c oci/json.c
 */
#include "oci/config.h"
#include "oci/describe.h"
#include "oci/host_config.h"
#include "oci/vm_size.h"

#include "tests/fuzz/json_mutator.h"

#include "common/err.h"
#include "common/log.h"

#include <assert.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void describe(struct oci_config *config)
{
	const struct oci_describe_context context = { .id = "fuzz", .sysfs = "/nowhere", .hook_state = "{}" };
	agent_CreateRequest request;
	struct oci_shares shares;
	struct err err = ERR_INIT;
	size_t length;

	/* Most inputs would end at their missing root. */
	free(config->root_path);
	config->root_path = strdup("/");
	if (oci_describe(config, &context, &request, &shares, &err) == 0) {
		assert(pb_get_encoded_size(&length, agent_CreateRequest_fields, &request));
		assert(shares.count >= 1);
	} else {
		assert(err.code && err.text[0] && !strchr(err.text, '\n'));
	}
	pb_release(agent_CreateRequest_fields, &request);
	oci_shares_destroy(&shares);
}

static void size_vm(const struct oci_config *config)
{
	static struct oci_host_config *host;
	struct oci_map files = { 0 };
	struct oci_vm_size vm = { 0 };
	struct err err = ERR_INIT;

	if (!host)
		assert(oci_host_config_load("/nowhere", &host, &err) == 0);
	if (oci_vm_size(config, host, &vm, &err) == 0)
		assert(vm.vcpus >= 1 && vm.vcpus <= host->max_vcpus && vm.memory_mib % 2 == 0 &&
		       vm.memory_mib <= host->max_memory_mib);
	else
		assert(err.code && err.text[0] && !strchr(err.text, '\n'));
	oci_resources_host_files(&config->resources, 1 << 20, &files, &err);
	oci_map_destroy(&files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	if (oci_config_parse("/nowhere", (const char *)data, size, &config, &err) < 0) {
		assert(!config && err.code && err.text[0] && !strchr(err.text, '\n'));
		return 0;
	}
	size_vm(config);
	describe(config);
	oci_config_destroy(config);
	return 0;
}
