/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/vm_size.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/cpu_list.h"
#include "oci/file_cache.h"
#include "oci/host_config.h"
#include "oci/pod.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/file_systems.h"
#include "common/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define MIB UINT64_C(1048576)
#define HUGE_MAX (UINT64_C(1) << 50) /* sums of it do not wrap */
enum { PERIOD_DEFAULT_US = 100000 };

/* The kernel keeps 64 bytes (struct page) for each page of 4096. */
enum { PAGE_STRUCT_SHARE = 4096 / 64 };

bool oci_annotation_is_known(const char *name)
{
	return strcmp(name, OCI_ANNOTATION_MEMORY) == 0 || strcmp(name, OCI_ANNOTATION_VCPUS) == 0 ||
	       strcmp(name, OCI_ANNOTATION_HUGE_PAGES) == 0 || strcmp(name, OCI_ANNOTATION_FILE_CACHE) == 0 ||
	       strcmp(name, OCI_ANNOTATION_DAX) == 0;
}

static int check_annotations(const struct oci_map *annotations, const struct oci_host_config *host, struct err *err)
{
	for (size_t i = 0; i < annotations->count; i++) {
		const char *key = annotations->items[i].key;

		if (strncmp(key, OCI_ANNOTATION_PREFIX, strlen(OCI_ANNOTATION_PREFIX)) != 0)
			continue;
		if (!oci_annotation_is_known(key))
			return err_set(err, EINVAL, "annotation %s: is none of bulkhead's", key);
		if (!oci_strings_have(&host->allowed_annotations, key))
			return err_set(err, EPERM,
				       "annotation %s: not allowed on this host (allowed_annotations in %s)", key,
				       OCI_HOST_CONFIG_FILE);
	}
	return 0;
}

/* A wish by annotation: 0 in *out if there is none. `setting` is what bounds it on this host, or NULL. */
static int get_annotation(const struct oci_map *annotations, const char *key, uint32_t min, uint32_t max,
			  const char *setting, uint64_t *out, struct err *err)
{
	const char *text = oci_map_get(annotations, key);
	char *end;

	*out = 0;
	if (!text)
		return 0;
	errno = 0;
	*out = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno)
		return err_set(err, EINVAL, "annotation %s: \"%s\" is no number", key, text);
	if ((*out < min || *out > max) && !setting)
		return err_set(err, EINVAL, "annotation %s: must be from %u to %u, not %s", key, min, max, text);
	if (*out < min || *out > max)
		return err_set(err, EINVAL, "annotation %s: must be from %u to %u (%s in %s), not %s", key, min, max,
			       setting, OCI_HOST_CONFIG_FILE, text);
	return 0;
}

uint64_t oci_memory_limit(const struct oci_resources *resources)
{
	const char *unified = oci_map_get(&resources->unified, "memory.max");
	int64_t limit = resources->memory.limit.value;

	if (unified)
		limit = isdigit((unsigned char)unified[0]) ? strtoll(unified, NULL, 10) : 0;
	return limit > 0 ? (uint64_t)limit : 0;
}

uint64_t oci_huge_pages(const struct oci_resources *resources)
{
	for (size_t i = 0; i < resources->hugepage_count; i++)
		if (strcmp(resources->hugepages[i].size, "2MB") == 0)
			return resources->hugepages[i].limit < HUGE_MAX ? resources->hugepages[i].limit : HUGE_MAX;
	return 0;
}

uint64_t oci_vm_reserve(const struct oci_host_config *host, uint64_t limit)
{
	return host->reserve_memory_mib * MIB + limit / PAGE_STRUCT_SHARE;
}

/*
 * Few sizes, so that few templates serve all containers: steps of 64 MiB, from 512 MiB on of an eighth to a quarter.
 * The container's own limit is the guest cgroup's.
 */
static uint64_t size_class(uint64_t mib)
{
	uint64_t step = 64;

	while (step * 8 <= mib)
		step *= 2;
	return (mib + step - 1) / step * step;
}

/* Up to an even number, down where the host's maximum is odd. */
static uint32_t within_bounds(const struct oci_host_config *host, uint64_t mib)
{
	if (mib > host->max_memory_mib)
		mib = host->max_memory_mib;
	if (mib < OCI_VM_MEMORY_MIN_MIB)
		mib = OCI_VM_MEMORY_MIN_MIB;
	mib += mib & 1;
	return (uint32_t)(mib > host->max_memory_mib ? mib - 2 : mib);
}

uint32_t oci_vm_memory_for(const struct oci_host_config *host, uint64_t limit)
{
	/* Also keeps the sum from wrapping. */
	if (limit > host->max_memory_mib * MIB)
		return within_bounds(host, host->max_memory_mib);
	return within_bounds(host, size_class((limit + oci_vm_reserve(host, limit) + MIB - 1) / MIB));
}

static int size_memory(const struct oci_config *config, const struct oci_host_config *host,
		       const struct oci_pod_size *pod, uint32_t dax_mib, uint32_t *out, struct err *err)
{
	/* A pod's are its members', for which the VM grows. */
	uint64_t huge = pod ? 0 : oci_huge_pages(&config->resources);
	uint64_t dax = dax_mib * MIB / PAGE_STRUCT_SHARE;
	uint64_t mib, limit = pod ? pod->memory : oci_memory_limit(&config->resources);

	if (get_annotation(&config->annotations, OCI_ANNOTATION_MEMORY, OCI_VM_MEMORY_MIN_MIB, host->max_memory_mib,
			   "max_memory_mib", &mib, err) < 0)
		return -1;
	if (mib == 0 && config->vm.memory != 0) {
		mib = config->vm.memory / MIB;
		if (mib < OCI_VM_MEMORY_MIN_MIB || mib > host->max_memory_mib)
			return err_set(
				err, EINVAL,
				"vm.hwConfig.memory: must be from %d to %u MiB (max_memory_mib in %s), not %" PRIu64,
				OCI_VM_MEMORY_MIN_MIB, host->max_memory_mib, OCI_HOST_CONFIG_FILE, mib);
	}
	if (mib == 0 && limit != 0)
		mib = oci_vm_memory_for(host, limit + huge + dax);
	if (mib == 0 && huge != 0)
		mib = oci_vm_memory_for(host, host->default_memory_mib * MIB + huge + dax);
	if (mib == 0)
		mib = host->default_memory_mib;
	*out = within_bounds(host, mib);
	return 0;
}

/* quota / period, rounded up; 0: no quota. */
static uint64_t quota_cpus(const struct oci_resources *resources)
{
	uint64_t period = resources->cpu.period.value ? resources->cpu.period.value : PERIOD_DEFAULT_US;
	uint64_t quota = resources->cpu.quota.value > 0 ? (uint64_t)resources->cpu.quota.value : 0;
	const char *unified = oci_map_get(&resources->unified, "cpu.max");

	if (unified && isdigit((unsigned char)unified[0])) {
		char *end;

		quota = strtoull(unified, &end, 10);
		period = strtoull(end, NULL, 10);
		period = period ? period : PERIOD_DEFAULT_US;
	}
	return quota / period + (quota % period != 0);
}

/* What all containers of a pod may use; without a bound what they ask for, which is a share for each of 1024. */
static uint64_t pod_cpus(const struct oci_pod_size *pod, const struct oci_host_config *host)
{
	uint64_t period = pod->cpu_period ? pod->cpu_period : PERIOD_DEFAULT_US;
	uint64_t wanted = pod->cpu_shares / 1024 + (pod->cpu_shares % 1024 != 0);

	if (pod->cpu_quota)
		return pod->cpu_quota / period + (pod->cpu_quota % period != 0);
	return wanted > host->default_vcpus ? wanted : 0;
}

static int size_vcpus(const struct oci_config *config, const struct oci_host_config *host,
		      const struct oci_pod_size *pod, uint32_t *out, struct err *err)
{
	uint64_t vcpus;
	uint32_t *list = NULL;
	size_t cpus = 0;

	if (get_annotation(&config->annotations, OCI_ANNOTATION_VCPUS, 1, host->max_vcpus, "max_vcpus", &vcpus, err) <
	    0)
		return -1;
	if (vcpus == 0 && config->vm.vcpus != 0) {
		vcpus = config->vm.vcpus;
		if (vcpus > host->max_vcpus)
			return err_set(err, EINVAL,
				       "vm.hwConfig.vcpus: must be from 1 to %u (max_vcpus in %s), not %" PRIu64,
				       host->max_vcpus, OCI_HOST_CONFIG_FILE, vcpus);
	}
	if (vcpus == 0)
		vcpus = pod ? pod_cpus(pod, host) : quota_cpus(&config->resources);
	if (vcpus == 0)
		vcpus = host->default_vcpus;
	/* More vCPUs than the CPUs they may run on only wait for each other. */
	if (config->resources.cpu.cpus && oci_cpu_list_parse(config->resources.cpu.cpus, &list, &cpus) && cpus != 0 &&
	    vcpus > cpus)
		vcpus = cpus;
	free(list);
	*out = (uint32_t)(vcpus > host->max_vcpus ? host->max_vcpus : vcpus);
	return 0;
}

static int find_huge_pages(const struct oci_map *annotations, bool *out, struct err *err)
{
	const char *text = oci_map_get(annotations, OCI_ANNOTATION_HUGE_PAGES);

	*out = text && strcmp(text, "true") == 0;
	if (!text || *out || strcmp(text, "false") == 0)
		return 0;
	return err_set(err, EINVAL, "annotation %s: must be true or false, not \"%s\"", OCI_ANNOTATION_HUGE_PAGES,
		       text);
}

/* Whether programs can be read through a window: most are in the root. */
static bool root_may_be_mapped(const struct oci_config *config)
{
	struct err ignored = ERR_INIT;
	struct oci_pod pod;
	struct statfs fs;

	if (!config->root_readonly || !config->root_path || oci_pod_find(&config->annotations, &pod, &ignored) < 0 ||
	    pod.role != OCI_POD_NONE)
		return false;
	auto_free char *path = config->root_path[0] == '/' ? oci_strdup(config->root_path)
							   : oci_format("%s/%s", config->bundle, config->root_path);
	return statfs(path, &fs) == 0 && file_system_is_plain((unsigned long)fs.f_type);
}

static int size_dax(const struct oci_config *config, const struct oci_host_config *host, uint32_t *out, struct err *err)
{
	uint64_t mib = host->default_dax_mib;

	if (oci_map_get(&config->annotations, OCI_ANNOTATION_DAX)) {
		if (get_annotation(&config->annotations, OCI_ANNOTATION_DAX, 0, OCI_VM_DAX_MAX_MIB, NULL, &mib, err) <
		    0)
			return -1;
	} else if (mib && !root_may_be_mapped(config)) {
		mib = 0;
	}
	*out = (uint32_t)(mib + (mib & 1));
	return 0;
}

uint64_t oci_vm_beside(const struct oci_config *config, const struct oci_host_config *host,
		       const struct oci_resources *update)
{
	struct err ignored = ERR_INIT;
	uint32_t dax_mib = 0;

	/* One that cannot be read was refused when the VM was made. */
	if (size_dax(config, host, &dax_mib, &ignored) < 0)
		dax_mib = 0;
	return oci_huge_pages(update && update->hugepage_count ? update : &config->resources) +
	       dax_mib * MIB / PAGE_STRUCT_SHARE;
}

int oci_vm_size(const struct oci_config *config, const struct oci_host_config *host, struct oci_vm_size *out,
		struct err *err)
{
	const struct oci_pod_size *sandbox = NULL;
	struct oci_pod_size size;
	struct oci_pod pod;

	if (oci_pod_find(&config->annotations, &pod, err) < 0)
		return -1;
	if (pod.role == OCI_POD_SANDBOX) {
		if (oci_pod_size(&config->annotations, &size, err) < 0)
			return -1;
		sandbox = &size;
	}
	if (check_annotations(&config->annotations, host, err) < 0 || size_dax(config, host, &out->dax_mib, err) < 0 ||
	    size_memory(config, host, sandbox, out->dax_mib, &out->memory_mib, err) < 0 ||
	    size_vcpus(config, host, sandbox, &out->vcpus, err) < 0 ||
	    find_huge_pages(&config->annotations, &out->huge_pages, err) < 0)
		return -1;
	log_debug("machine: %u MiB, %u vCPUs", out->memory_mib, out->vcpus);
	return 0;
}
