/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as /etc/bulkhead/bulkhead.json: refused with a reason that names the file, or numbers that fit together.
 *
 * Covers: oci/host_config.c
 */
#include "oci/host_config.h"

#include "tests/fuzz/json_mutator.h"

#include "oci/vm_size.h"

#include "common/auto.h"
#include "common/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fd int fd = memfd_create("bulkhead.json", MFD_CLOEXEC);
	struct oci_host_config *host = NULL;
	struct err err = ERR_INIT;
	char path[64];

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (oci_host_config_load(path, &host, &err) < 0) {
		assert(!host && err.code && strncmp(err.text, path, strlen(path)) == 0 && !strchr(err.text, '\n'));
		return 0;
	}
	assert(host->default_memory_mib >= OCI_VM_MEMORY_MIN_MIB && host->default_memory_mib <= host->max_memory_mib);
	assert(host->default_vcpus >= 1 && host->default_vcpus <= host->max_vcpus);
	assert(host->log_level < LOG_LEVEL_COUNT);
	for (size_t i = 0; i < host->allowed_annotations.count; i++)
		assert(oci_annotation_is_known(host->allowed_annotations.items[i]));
	oci_host_config_destroy(host);
	return 0;
}
