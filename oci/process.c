/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/process.h"

#include "oci/alloc.h"
#include "oci/cpu_list.h"
#include "oci/json.h"
#include "oci/names.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct oci_name rlimit_names[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
	{ NULL, 0 },
};

/* The kernel's numbers (sched_setattr(2)), which libc's headers only have in part. */
static const struct oci_name scheduler_policies[] = {
	{ "SCHED_OTHER", 0 }, { "SCHED_FIFO", 1 }, { "SCHED_RR", 2 },       { "SCHED_BATCH", 3 },
	{ "SCHED_ISO", 4 },   { "SCHED_IDLE", 5 }, { "SCHED_DEADLINE", 6 }, { NULL, 0 },
};
static const struct oci_name scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", 0x01 },  { "SCHED_FLAG_RECLAIM", 0x02 },
	{ "SCHED_FLAG_DL_OVERRUN", 0x04 },     { "SCHED_FLAG_KEEP_POLICY", 0x08 },
	{ "SCHED_FLAG_KEEP_PARAMS", 0x10 },    { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 }, { NULL, 0 },
};

/* ioprio_set(2): the class is above 13 bits of level. */
enum { IOPRIO_SHIFT = 13, IOPRIO_LEVELS = 8 };
static const struct oci_name io_classes[] = {
	{ "IOPRIO_CLASS_RT", 1 },
	{ "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 },
	{ NULL, 0 },
};

static int parse_user(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_json user, gids;
	int found = oci_json_object(at, "user", &user, err);

	if (found <= 0)
		return found; /* absent is what the zero value of other runtimes gives: root */
	if (oci_json_uint32(&user, "uid", &out->uid, err) < 0 || oci_json_uint32(&user, "gid", &out->gid, err) < 0)
		return -1;
	int umask = oci_json_uint32(&user, "umask", &out->umask, err);
	if (umask < 0)
		return -1;
	if (umask > 0 && out->umask > 0777) {
		struct oci_json member = oci_json_member(&user, "umask");
		return oci_json_refuse(&member, err, "must be from 0 to 511 (octal 0777), not %u", out->umask);
	}
	out->has_umask = umask > 0;
	found = oci_json_array(&user, "additionalGids", &gids, err);
	for (size_t i = 0; found > 0 && i < oci_json_length(&gids); i++) {
		struct json_object *value = json_object_array_get_idx(gids.value, i);

		if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0 ||
		    json_object_get_int64(value) > UINT32_MAX)
			return oci_json_refuse(&gids, err, "must be an array of group ids");
		out->additional_gids = oci_grow(out->additional_gids, i, sizeof *out->additional_gids);
		out->additional_gids[i] = (uint32_t)json_object_get_int64(value);
		out->additional_gid_count = i + 1;
	}
	return found;
}

static int parse_console_size(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_json size;
	uint64_t height, width;
	int found = oci_json_object(at, "consoleSize", &size, err);

	if (found <= 0)
		return found;
	/* Terminal sizes are 16 bits wide (TIOCSWINSZ). */
	if (oci_json_need_uint(&size, "height", UINT16_MAX, &height, err) < 0 ||
	    oci_json_need_uint(&size, "width", UINT16_MAX, &width, err) < 0)
		return -1;
	if (out->terminal) {
		out->rows = (uint32_t)height;
		out->columns = (uint32_t)width;
	}
	return 1;
}

static int parse_capability_set(const struct oci_json *object, const char *key, uint64_t *out, struct err *err)
{
	struct oci_strings names = { 0 };
	int found = oci_json_strings(object, key, &names, err);

	for (size_t i = 0; i < names.count; i++) {
		int number = oci_capability_number(names.items[i]);

		/* The specification: warn, don't fail, about what cannot be granted. */
		if (number < 0)
			log_warn("process.capabilities.%s: \"%s\" is not known, ignored", key, names.items[i]);
		else
			*out |= UINT64_C(1) << number;
	}
	oci_strings_destroy(&names);
	return found;
}

static int parse_capabilities(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_capabilities *sets = &out->capabilities;
	struct oci_json object;
	int found = oci_json_object(at, "capabilities", &object, err);

	if (found <= 0)
		return found;
	out->has_capabilities = true;
	if (parse_capability_set(&object, "bounding", &sets->bounding, err) < 0 ||
	    parse_capability_set(&object, "effective", &sets->effective, err) < 0 ||
	    parse_capability_set(&object, "inheritable", &sets->inheritable, err) < 0 ||
	    parse_capability_set(&object, "permitted", &sets->permitted, err) < 0 ||
	    parse_capability_set(&object, "ambient", &sets->ambient, err) < 0)
		return -1;
	return 1;
}

static int parse_rlimits(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_json array, item;
	int found = oci_json_array(at, "rlimits", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		struct oci_rlimit limit;
		uint64_t resource;

		if (oci_json_element(&array, i, &item, err) < 0)
			return -1;
		int named = oci_name_parse(&item, "type", rlimit_names, &resource, err);
		if (named < 0)
			return -1;
		if (named == 0)
			return oci_json_refuse(&item, err, "has no type");
		limit.resource = (uint32_t)resource;
		if (oci_json_need_uint(&item, "soft", UINT64_MAX, &limit.soft, err) < 0 ||
		    oci_json_need_uint(&item, "hard", UINT64_MAX, &limit.hard, err) < 0)
			return -1;
		if (limit.soft > limit.hard)
			return oci_json_refuse(&item, err, "soft limit %" PRIu64 " is above the hard limit %" PRIu64,
					       limit.soft, limit.hard);
		for (size_t k = 0; k < out->rlimit_count; k++)
			if (out->rlimits[k].resource == limit.resource)
				return oci_json_refuse(&item, err, "a second limit of the same type");
		out->rlimits = oci_grow(out->rlimits, out->rlimit_count, sizeof *out->rlimits);
		out->rlimits[out->rlimit_count++] = limit;
	}
	return found;
}

static int parse_scheduler(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_scheduler *s = &out->scheduler;
	struct oci_json object;
	uint64_t policy = 0, priority = 0;
	int64_t nice = 0;
	int found = oci_json_object(at, "scheduler", &object, err);

	if (found <= 0)
		return found;
	int named = oci_name_parse(&object, "policy", scheduler_policies, &policy, err);
	if (named < 0)
		return -1;
	if (named == 0)
		return oci_json_refuse(&object, err, "has no policy");
	if (oci_json_int(&object, "nice", -20, 19, &nice, err) < 0 ||
	    oci_json_uint(&object, "priority", 99, &priority, err) < 0 ||
	    oci_name_parse_flags(&object, "flags", scheduler_flags, &s->flags, err) < 0 ||
	    oci_json_uint(&object, "runtime", UINT64_MAX, &s->runtime, err) < 0 ||
	    oci_json_uint(&object, "deadline", UINT64_MAX, &s->deadline, err) < 0 ||
	    oci_json_uint(&object, "period", UINT64_MAX, &s->period, err) < 0)
		return -1;
	s->policy = (uint32_t)policy;
	s->priority = (uint32_t)priority;
	s->nice = (int32_t)nice;
	out->has_scheduler = true;
	return 1;
}

static int parse_io_priority(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	struct oci_json object;
	uint64_t class = 0, level = 0;
	int found = oci_json_object(at, "ioPriority", &object, err);

	if (found <= 0)
		return found;
	int named = oci_name_parse(&object, "class", io_classes, &class, err);
	if (named < 0)
		return -1;
	if (named == 0)
		return oci_json_refuse(&object, err, "has no class");
	if (oci_json_uint(&object, "priority", IOPRIO_LEVELS - 1, &level, err) < 0)
		return -1;
	out->io_priority = (uint32_t)(class << IOPRIO_SHIFT | level);
	out->has_io_priority = true;
	return 1;
}

static int parse_affinity(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	static const char *const keys[] = { "final", "initial" };
	struct oci_json object;
	int found = oci_json_object(at, "execCPUAffinity", &object, err);

	for (int i = 0; found > 0 && i < 2; i++) {
		auto_free char *text = NULL;
		uint32_t *list = NULL;
		size_t count = 0;

		if (oci_json_string(&object, keys[i], &text, err) < 0)
			return -1;
		if (text && !oci_cpu_list_parse(text, &list, &count)) {
			struct oci_json member = oci_json_member(&object, keys[i]);
			return oci_json_refuse(&member, err, "\"%s\" is no list of CPUs such as \"0-3,7\"", text);
		}
		if (out->cpu_affinity_count == 0) {
			out->cpu_affinity = list;
			out->cpu_affinity_count = count;
		} else {
			free(list);
		}
	}
	return found;
}

int oci_process_parse(const struct oci_json *at, struct oci_process *out, struct err *err)
{
	static const char *const known[] = {
		"args",
		"env",
		"cwd",
		"user",
		"terminal",
		"consoleSize",
		"capabilities",
		"rlimits",
		"noNewPrivileges",
		"oomScoreAdj",
		"scheduler",
		"ioPriority",
		"apparmorProfile",
		"selinuxLabel",
		"execCPUAffinity",
		NULL,
	};
	int64_t oom_score_adj = 0;

	struct oci_json args = oci_json_member(at, "args");
	if (!json_object_is_type(args.value, json_type_array) || json_object_array_length(args.value) == 0)
		return oci_json_refuse(&args, err, "must be a non-empty array of strings");
	if (oci_json_strings(at, "args", &out->args, err) < 0 || oci_json_strings(at, "env", &out->env, err) < 0 ||
	    oci_json_need_path(at, "cwd", &out->cwd, err) < 0 ||
	    oci_json_bool(at, "terminal", &out->terminal, err) < 0 ||
	    oci_json_bool(at, "noNewPrivileges", &out->no_new_privileges, err) < 0 ||
	    oci_json_string(at, "apparmorProfile", &out->apparmor_profile, err) < 0 ||
	    oci_json_string(at, "selinuxLabel", &out->selinux_label, err) < 0)
		return -1;
	int oom = oci_json_int(at, "oomScoreAdj", -1000, 1000, &oom_score_adj, err);
	if (oom < 0)
		return -1;
	out->has_oom_score_adj = oom > 0;
	out->oom_score_adj = (int32_t)oom_score_adj;
	if (parse_user(at, out, err) < 0 || parse_console_size(at, out, err) < 0 ||
	    parse_capabilities(at, out, err) < 0 || parse_rlimits(at, out, err) < 0 ||
	    parse_scheduler(at, out, err) < 0 || parse_io_priority(at, out, err) < 0 ||
	    parse_affinity(at, out, err) < 0)
		return -1;
	oci_json_note_unknown(at, known);
	return 0;
}

int oci_process_load(const char *file, struct oci_process **out, struct err *err)
{
	struct json_object *object;

	if (oci_json_read(file, false, &object, err) < 0)
		return -1;
	struct oci_process *process = oci_alloc(1, sizeof *process);
	struct oci_json document = oci_json_document(object);
	int result = oci_process_parse(&document, process, err);
	json_object_put(object);
	if (result < 0) {
		oci_process_destroy(process);
		return err_wrap(err, "%s", file);
	}
	*out = process;
	return 0;
}

static void *copy_array(const void *items, size_t count, size_t size)
{
	return count ? memcpy(oci_alloc(count, size), items, count * size) : NULL;
}

struct oci_process *oci_process_copy(const struct oci_process *from)
{
	struct oci_process *copy = oci_alloc(1, sizeof *copy);

	/* The plain members; every pointer is replaced below. */
	*copy = *from;
	copy->args = (struct oci_strings){ 0 };
	oci_strings_copy(&copy->args, &from->args);
	copy->env = (struct oci_strings){ 0 };
	oci_strings_copy(&copy->env, &from->env);
	copy->cwd = oci_strdup(from->cwd);
	copy->additional_gids =
		copy_array(from->additional_gids, from->additional_gid_count, sizeof *from->additional_gids);
	copy->rlimits = copy_array(from->rlimits, from->rlimit_count, sizeof *from->rlimits);
	copy->cpu_affinity = copy_array(from->cpu_affinity, from->cpu_affinity_count, sizeof *from->cpu_affinity);
	copy->apparmor_profile = oci_strdup(from->apparmor_profile);
	copy->selinux_label = oci_strdup(from->selinux_label);
	return copy;
}

void oci_process_inherit(struct oci_process *process, const struct oci_process *container)
{
	if (!process->has_capabilities) {
		process->has_capabilities = container->has_capabilities;
		process->capabilities = container->capabilities;
	}
	if (process->rlimit_count == 0) {
		process->rlimits = copy_array(container->rlimits, container->rlimit_count, sizeof *container->rlimits);
		process->rlimit_count = container->rlimit_count;
	}
	if (!process->has_umask) {
		process->has_umask = container->has_umask;
		process->umask = container->umask;
	}
	if (!process->has_oom_score_adj) {
		process->has_oom_score_adj = container->has_oom_score_adj;
		process->oom_score_adj = container->oom_score_adj;
	}
}

void oci_process_fini(struct oci_process *process)
{
	oci_strings_destroy(&process->args);
	oci_strings_destroy(&process->env);
	free(process->cwd);
	free(process->additional_gids);
	free(process->rlimits);
	free(process->cpu_affinity);
	free(process->apparmor_profile);
	free(process->selinux_label);
	*process = (struct oci_process){ 0 };
}

void oci_process_destroy(struct oci_process *process)
{
	if (process) {
		oci_process_fini(process);
		free(process);
	}
}
