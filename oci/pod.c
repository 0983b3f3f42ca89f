/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/pod.h"

#include "oci/config.h"
#include "oci/state.h"

#include "common/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The same facts under the names that each engine gives them. */
static const struct {
	const char *type, *sandbox;
} engines[] = {
	{ "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id" },
	{ "io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID" },
};

static int find_member(const struct oci_map *annotations, const char *key, struct oci_pod *out, struct err *err)
{
	const char *sandbox = oci_map_get(annotations, key);

	if (!sandbox)
		return 0;
	if (oci_id_check(sandbox, err) < 0)
		return err_wrap(err, "annotation %s", key);
	out->role = OCI_POD_MEMBER;
	out->sandbox = sandbox;
	return 0;
}

int oci_pod_find(const struct oci_map *annotations, struct oci_pod *out, struct err *err)
{
	*out = (struct oci_pod){ 0 };
	for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
		const char *type = oci_map_get(annotations, engines[i].type);

		if (!type)
			continue;
		if (strcmp(type, "sandbox") == 0)
			out->role = OCI_POD_SANDBOX;
		else if (strcmp(type, "container") == 0)
			return find_member(annotations, engines[i].sandbox, out, err);
		return 0;
	}
	return 0;
}

bool oci_is_podmans(const struct oci_map *annotations)
{
	const char *manager = oci_map_get(annotations, "io.container.manager");

	return manager && strcmp(manager, "libpod") == 0;
}

bool oci_pod_may_lead(const struct oci_map *annotations)
{
	struct err ignored = ERR_INIT;
	struct oci_pod pod;

	if (oci_pod_find(annotations, &pod, &ignored) < 0 || pod.role == OCI_POD_MEMBER)
		return false;
	return pod.role == OCI_POD_SANDBOX || oci_is_podmans(annotations);
}

/* Negative, as in a quota of -1, is no limit. */
static int read_number(const struct oci_map *annotations, const char *key, uint64_t *out, struct err *err)
{
	const char *text = oci_map_get(annotations, key);
	char *end;

	*out = 0;
	if (!text || !*text)
		return 0;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno || *end || isspace((unsigned char)*text))
		return err_set(err, EINVAL, "annotation %s: \"%.100s\" is no number", key, text);
	*out = value > 0 ? (uint64_t)value : 0;
	return 0;
}

int oci_pod_size(const struct oci_map *annotations, struct oci_pod_size *out, struct err *err)
{
	*out = (struct oci_pod_size){ 0 };
	if (read_number(annotations, "io.kubernetes.cri.sandbox-memory", &out->memory, err) < 0 ||
	    read_number(annotations, "io.kubernetes.cri.sandbox-cpu-shares", &out->cpu_shares, err) < 0 ||
	    read_number(annotations, "io.kubernetes.cri.sandbox-cpu-quota", &out->cpu_quota, err) < 0 ||
	    read_number(annotations, "io.kubernetes.cri.sandbox-cpu-period", &out->cpu_period, err) < 0)
		return -1;
	return 0;
}

void oci_pod_set_resources(struct oci_config *config, const struct oci_pod_size *size)
{
	struct oci_resources *resources = &config->resources;

	resources->memory.limit = resources->memory.reservation = resources->memory.swap = (struct oci_int){ 0 };
	resources->cpu.quota = (struct oci_int){ 0 };
	resources->cpu.period = resources->cpu.burst = (struct oci_uint){ 0 };
	resources->cpu.shares = (struct oci_uint){ .is_set = size->cpu_shares > 0, .value = size->cpu_shares };
	resources->pids = (struct oci_int){ 0 };
}
