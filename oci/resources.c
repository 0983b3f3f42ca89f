/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/resources.h"

#include "oci/alloc.h"
#include "oci/cpu_list.h"
#include "oci/json.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

enum { UNIFIED_MAX = 1024 };

static int parse_int(const struct oci_json *at, const char *key, int64_t min, struct oci_int *out, struct err *err)
{
	int found = oci_json_int(at, key, min, INT64_MAX, &out->value, err);

	out->is_set |= found > 0;
	return found;
}

static int parse_uint(const struct oci_json *at, const char *key, struct oci_uint *out, struct err *err)
{
	int found = oci_json_uint(at, key, UINT64_MAX, &out->value, err);

	out->is_set |= found > 0;
	return found;
}

/* What cgroup v2 has no counterpart for is ignored there by every runtime; a debug line says so. */
static void note_ignored(const struct oci_json *at, const char *const *keys)
{
	for (; *keys; keys++) {
		struct oci_json member = oci_json_member(at, *keys);
		struct err note = ERR_INIT;

		if (member.value && log_is_enabled(LOG_DEBUG)) {
			oci_json_refuse(&member, &note, "has no counterpart in cgroup v2, ignored");
			log_debug("%s", note.text);
		}
	}
}

static int parse_memory(const struct oci_json *at, struct oci_memory *out, struct err *err)
{
	static const char *const ignored[] = { "kernel",           "kernelTCP",    "swappiness",
					       "disableOOMKiller", "useHierarchy", NULL };
	struct oci_json memory;
	int found = oci_json_object(at, "memory", &memory, err);

	if (found <= 0)
		return found;
	if (parse_int(&memory, "limit", -1, &out->limit, err) < 0 ||
	    parse_int(&memory, "reservation", -1, &out->reservation, err) < 0 ||
	    parse_int(&memory, "swap", -1, &out->swap, err) < 0 ||
	    oci_json_bool(&memory, "checkBeforeUpdate", &out->check_before_update, err) < 0)
		return -1;
	note_ignored(&memory, ignored);
	return 1;
}

static int parse_cpu_list(const struct oci_json *at, const char *key, char **out, struct err *err)
{
	uint32_t *list = NULL;
	size_t count;
	int found = oci_json_string(at, key, out, err);

	if (found > 0 && !oci_cpu_list_parse(*out, &list, &count)) {
		struct oci_json member = oci_json_member(at, key);
		return oci_json_refuse(&member, err, "\"%s\" is no list such as \"0-3,7\"", *out);
	}
	free(list);
	return found;
}

static int parse_cpu(const struct oci_json *at, struct oci_cpu *out, struct err *err)
{
	static const char *const ignored[] = { "realtimeRuntime", "realtimePeriod", NULL };
	struct oci_json cpu;
	int found = oci_json_object(at, "cpu", &cpu, err);

	if (found <= 0)
		return found;
	if (parse_uint(&cpu, "shares", &out->shares, err) < 0 ||
	    parse_int(&cpu, "quota", INT64_MIN, &out->quota, err) < 0 ||
	    parse_uint(&cpu, "period", &out->period, err) < 0 || parse_uint(&cpu, "burst", &out->burst, err) < 0 ||
	    parse_int(&cpu, "idle", 0, &out->idle, err) < 0 || parse_cpu_list(&cpu, "cpus", &out->cpus, err) < 0 ||
	    parse_cpu_list(&cpu, "mems", &out->mems, err) < 0)
		return -1;
	if (out->idle.is_set && out->idle.value > 1) {
		struct oci_json member = oci_json_member(&cpu, "idle");
		return oci_json_refuse(&member, err, "must be 0 or 1");
	}
	note_ignored(&cpu, ignored);
	return 1;
}

static int parse_pids(const struct oci_json *at, struct oci_int *out, struct err *err)
{
	struct oci_json pids;
	int found = oci_json_object(at, "pids", &pids, err);

	return found > 0 ? parse_int(&pids, "limit", INT64_MIN, out, err) : found;
}

/* "2MB", "1GB": it becomes part of a file name. */
static bool is_page_size(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits < 8 && strlen(text) == digits + 2 && strchr("KMG", text[digits]) &&
	       text[digits + 1] == 'B';
}

static int parse_hugepages(const struct oci_json *at, struct oci_resources *out, struct err *err)
{
	struct oci_json array, item;
	int found = oci_json_array(at, "hugepageLimits", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->hugepages = oci_grow(out->hugepages, out->hugepage_count, sizeof *out->hugepages);
		struct oci_hugepage_limit *limit = &out->hugepages[out->hugepage_count++];

		if (oci_json_element(&array, i, &item, err) < 0 ||
		    oci_json_need_string(&item, "pageSize", &limit->size, err) < 0 ||
		    oci_json_need_uint(&item, "limit", UINT64_MAX, &limit->limit, err) < 0)
			return -1;
		if (!is_page_size(limit->size))
			return oci_json_refuse(&item, err, "pageSize must be like \"2MB\", not \"%s\"", limit->size);
	}
	return found;
}

static int parse_number_pair(const struct oci_json *item, uint32_t *major, uint32_t *minor, struct err *err)
{
	uint64_t a, b;

	if (oci_json_need_uint(item, "major", UINT32_MAX, &a, err) < 0 ||
	    oci_json_need_uint(item, "minor", UINT32_MAX, &b, err) < 0)
		return -1;
	*major = (uint32_t)a;
	*minor = (uint32_t)b;
	return 0;
}

static int parse_weights(const struct oci_json *block, struct oci_block_io *out, struct err *err)
{
	struct oci_json array, item;
	uint64_t weight = 0;

	if (oci_json_uint(block, "weight", 1000, &weight, err) < 0)
		return -1;
	out->weight = (uint32_t)weight;
	int found = oci_json_array(block, "weightDevice", &array, err);
	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->weights = oci_grow(out->weights, out->weight_count, sizeof *out->weights);
		struct oci_block_weight *w = &out->weights[out->weight_count++];

		weight = 0;
		if (oci_json_element(&array, i, &item, err) < 0 ||
		    parse_number_pair(&item, &w->major, &w->minor, err) < 0 ||
		    oci_json_uint(&item, "weight", 1000, &weight, err) < 0)
			return -1;
		w->weight = (uint32_t)weight;
	}
	return found;
}

static int parse_throttles(const struct oci_json *block, const char *key, enum oci_throttle_kind kind,
			   struct oci_block_io *out, struct err *err)
{
	struct oci_json array, item;
	int found = oci_json_array(block, key, &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->throttles = oci_grow(out->throttles, out->throttle_count, sizeof *out->throttles);
		struct oci_block_throttle *t = &out->throttles[out->throttle_count++];

		t->kind = kind;
		if (oci_json_element(&array, i, &item, err) < 0 ||
		    parse_number_pair(&item, &t->major, &t->minor, err) < 0 ||
		    oci_json_need_uint(&item, "rate", UINT64_MAX, &t->rate, err) < 0)
			return -1;
	}
	return found;
}

static int parse_block_io(const struct oci_json *at, struct oci_block_io *out, struct err *err)
{
	static const char *const ignored[] = { "leafWeight", NULL };
	struct oci_json block;
	int found = oci_json_object(at, "blockIO", &block, err);

	if (found <= 0)
		return found;
	if (parse_weights(&block, out, err) < 0 ||
	    parse_throttles(&block, "throttleReadBpsDevice", OCI_THROTTLE_READ_BPS, out, err) < 0 ||
	    parse_throttles(&block, "throttleWriteBpsDevice", OCI_THROTTLE_WRITE_BPS, out, err) < 0 ||
	    parse_throttles(&block, "throttleReadIOPSDevice", OCI_THROTTLE_READ_IOPS, out, err) < 0 ||
	    parse_throttles(&block, "throttleWriteIOPSDevice", OCI_THROTTLE_WRITE_IOPS, out, err) < 0)
		return -1;
	note_ignored(&block, ignored);
	return 1;
}

/* Those that a kernel may have; whether the guest's has this one shows there. */
static bool is_controller(const char *name)
{
	static const char *const known[] = { "cgroup", "cpu",  "cpuset", "io",   "memory", "hugetlb",
					     "pids",   "rdma", "misc",   "dmem", NULL };
	size_t length = strcspn(name, ".");

	for (size_t i = 0; known[i]; i++)
		if (strlen(known[i]) == length && strncmp(known[i], name, length) == 0)
			return true;
	return false;
}

static int parse_unified(const struct oci_json *at, struct oci_map *out, struct err *err)
{
	struct oci_json member = oci_json_member(at, "unified");
	int found = oci_json_map(at, "unified", out, err);

	if (found > 0 && out->count > UNIFIED_MAX)
		return oci_json_refuse(&member, err, "has more than %d members", UNIFIED_MAX);
	/* Each key is a file of one directory, which is the container's cgroup, and no other. */
	for (size_t i = 0; found > 0 && i < out->count; i++) {
		const char *name = out->items[i].key;
		struct oci_json file = { .parent = &member, .key = name };
		bool plain = isalpha((unsigned char)name[0]) && strlen(name) < 128;

		for (const char *c = name; *c; c++)
			plain &= isalnum((unsigned char)*c) || *c == '.' || *c == '_' || *c == '-';
		if (!plain || !strchr(name, '.'))
			return oci_json_refuse(&file, err,
					       "is no name of a cgroup v2 file: the specified key has not the form "
					       "CONTROLLER.VALUE `%s`",
					       name);
		if (!is_controller(name))
			return oci_json_refuse(&file, err, "the requested cgroup controller `%.*s` is not available",
					       (int)strcspn(name, "."), name);
		/* Moving processes and handing out controllers is the runtime's part. */
		if (strncmp(name, "cgroup.", 7) == 0 && strcmp(name, "cgroup.max.depth") != 0 &&
		    strcmp(name, "cgroup.max.descendants") != 0)
			return oci_json_refuse(&file, err, "is not a limit, and is the runtime's to write");
	}
	return found;
}

int oci_resources_parse(const struct oci_json *at, struct oci_resources *out, struct err *err)
{
	static const char *const known[] = { "memory",  "cpu",     "pids",    "hugepageLimits", "blockIO",
					     "unified", "devices", "network", "rdma",           NULL };
	static const char *const ignored[] = { "network", NULL };
	struct oci_json rdma;

	if (parse_memory(at, &out->memory, err) < 0 || parse_cpu(at, &out->cpu, err) < 0 ||
	    parse_pids(at, &out->pids, err) < 0 || parse_hugepages(at, out, err) < 0 ||
	    parse_block_io(at, &out->block_io, err) < 0 || parse_unified(at, &out->unified, err) < 0 ||
	    oci_device_rules_parse(at, &out->device_rules, err) < 0)
		return -1;
	int found = oci_json_object(at, "rdma", &rdma, err);
	if (found > 0 && json_object_object_length(rdma.value) > 0)
		return oci_json_refuse(&rdma, err, "not supported: a virtual machine has no RDMA device of the host");
	note_ignored(at, ignored);
	oci_json_note_unknown(at, known);
	return found < 0 ? -1 : 0;
}

int oci_resources_load(const char *file, struct oci_resources **out, struct err *err)
{
	struct json_object *object;

	if (oci_json_read(file, true, &object, err) < 0)
		return -1;
	struct oci_resources *resources = oci_alloc(1, sizeof *resources);
	struct oci_json document = oci_json_document(object);
	int result = oci_resources_parse(&document, resources, err);
	json_object_put(object);
	if (result < 0) {
		oci_resources_destroy(resources);
		return err_wrap(err, "%s", file);
	}
	*out = resources;
	return 0;
}

void oci_resources_fini(struct oci_resources *resources)
{
	free(resources->cpu.cpus);
	free(resources->cpu.mems);
	for (size_t i = 0; i < resources->hugepage_count; i++)
		free(resources->hugepages[i].size);
	free(resources->hugepages);
	free(resources->block_io.weights);
	free(resources->block_io.throttles);
	oci_device_rules_destroy(&resources->device_rules);
	oci_map_destroy(&resources->unified);
	*resources = (struct oci_resources){ 0 };
}

void oci_resources_destroy(struct oci_resources *resources)
{
	if (resources) {
		oci_resources_fini(resources);
		free(resources);
	}
}
