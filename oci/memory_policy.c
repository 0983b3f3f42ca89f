/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/memory_policy.h"

#include "oci/cpu_list.h"
#include "oci/json.h"
#include "oci/names.h"
#include "oci/strings.h"

#include "common/auto.h"
#include "common/log.h"

#include <json-c/json.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stdlib.h>

#define WEIGHTED_INTERLEAVE 6 /* Linux 6.9 */

static const struct oci_name modes[] = {
	{ "MPOL_DEFAULT", MPOL_DEFAULT },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },
	{ "MPOL_BIND", MPOL_BIND },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
	{ "MPOL_LOCAL", MPOL_LOCAL },
	{ "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
	{ "MPOL_WEIGHTED_INTERLEAVE", WEIGHTED_INTERLEAVE },
	{ NULL, 0 },
};

static const struct oci_name flag_names[] = {
	{ "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
	{ NULL, 0 },
};

struct policy {
	uint64_t mode, flags;
	size_t node_count;
};

static int parse_mode(const struct oci_json *policy, uint64_t *out, struct err *err)
{
	auto_free char *text = NULL;

	if (oci_json_string(policy, "mode", &text, err) < 0)
		return -1;
	if (!text || !oci_name_find(modes, text, out))
		return oci_json_refuse(policy, err, "invalid memory policy mode \"%s\"", text ? text : "");
	return 0;
}

static int parse_flags(const struct oci_json *policy, uint64_t *out, struct err *err)
{
	struct oci_strings texts = { 0 };
	int result = oci_json_strings(policy, "flags", &texts, err) < 0 ? -1 : 0;

	for (size_t i = 0; result == 0 && i < texts.count; i++) {
		uint64_t flag = 0;

		if (!oci_name_find(flag_names, texts.items[i], &flag))
			result = oci_json_refuse(policy, err, "invalid memory policy flag \"%s\"", texts.items[i]);
		*out |= flag;
	}
	oci_strings_destroy(&texts);
	return result;
}

static int parse_nodes(const struct oci_json *policy, size_t *count, struct err *err)
{
	auto_free char *text = NULL;
	auto_free uint32_t *nodes = NULL;

	if (oci_json_string(policy, "nodes", &text, err) < 0)
		return -1;
	if (text && !oci_cpu_list_parse(text, &nodes, count))
		return oci_json_refuse(policy, err, "invalid memory policy node list \"%s\"", text);
	return 0;
}

/* What set_mempolicy(2) gives EINVAL for. */
static bool is_possible(const struct policy *policy)
{
	const uint64_t kinds = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;

	if ((policy->flags & kinds) == kinds)
		return false;
	if (policy->flags & MPOL_F_NUMA_BALANCING && policy->mode != MPOL_BIND && policy->mode != MPOL_PREFERRED_MANY)
		return false;
	switch (policy->mode) {
	case MPOL_DEFAULT:
	case MPOL_LOCAL:
		return policy->node_count == 0 && !(policy->flags & kinds);
	case MPOL_PREFERRED:
		return policy->node_count > 0 || !(policy->flags & kinds);
	default:
		return policy->node_count > 0;
	}
}

int oci_memory_policy_check(const struct oci_json *linux_object, struct err *err)
{
	struct oci_json object;
	struct policy policy = { 0 };
	int found = oci_json_object(linux_object, "memoryPolicy", &object, err);

	if (found <= 0 || json_object_object_length(object.value) == 0)
		return found;
	if (parse_mode(&object, &policy.mode, err) < 0 || parse_flags(&object, &policy.flags, err) < 0 ||
	    parse_nodes(&object, &policy.node_count, err) < 0)
		return -1;
	if (!is_possible(&policy))
		return oci_json_refuse(&object, err, "set_mempolicy: invalid argument");
	log_debug("linux.memoryPolicy: no effect, the virtual machine has one memory node");
	return 1;
}
