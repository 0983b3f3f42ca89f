/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_events.c - statistics of a container in runc's JSON, once (--stats) or again and again, and out-of-memory kills.
 *
 * The numbers are those of the container's cgroup in the guest: what a container without a VM would show.
 */
#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/interrupt.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/proto.h"

#include "agent.pb.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <pb_decode.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct events_options {
	bool stats;
	const char *interval;
};

static const struct option options[] = {
	{ "stats", 0, OPTION_FLAG, offsetof(struct events_options, stats), NULL, "once, then end" },
	{ "interval", 0, OPTION_TEXT, offsetof(struct events_options, interval), "TIME",
	  "between statistics: 500ms, 5s, 1m (default: 5s)" },
	OPTION_END,
};

static int parse_interval(const char *text, int *ms, struct err *err)
{
	char *end;
	double value = text ? strtod(text, &end) : 5.0;

	if (text) {
		if (strcmp(end, "ms") == 0)
			value /= 1000;
		else if (strcmp(end, "m") == 0)
			value *= 60;
		else if (strcmp(end, "h") == 0)
			value *= 3600;
		else if (strcmp(end, "s") != 0)
			value = 0;
	}
	if (!(value >= 0.001 && value <= 86400))
		return err_set(err, EINVAL, "--interval: \"%s\" is not a time such as 500ms, 5s or 1m", text);
	*ms = (int)(value * 1000);
	return 0;
}

static void add(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

/* Limits that are not set are shown as runc shows them: 2^64 - 1 for memory, 0 for processes. */
static struct json_object *memory_json(const agent_StatsReply *stats)
{
	struct json_object *memory = json_object_new_object(), *usage = json_object_new_object(),
			   *swap = json_object_new_object(), *raw = json_object_new_object();
	uint64_t cache = 0;

	for (pb_size_t i = 0; i < stats->memory_stat_count; i++) {
		const agent_FileValue *item = &stats->memory_stat[i];
		uint64_t value = item->value ? strtoull(item->value, NULL, 10) : 0;

		if (!item->name)
			continue;
		if (strcmp(item->name, "file") == 0)
			cache = value;
		add(raw, item->name, value);
	}
	add(usage, "limit", stats->memory_max);
	add(usage, "usage", stats->memory_current);
	add(usage, "max", stats->memory_peak);
	add(usage, "failcnt", stats->oom_kills);
	add(swap, "limit", 0);
	add(swap, "usage", stats->memory_swap_current);
	add(swap, "failcnt", 0);
	add(memory, "cache", cache);
	json_object_object_add(memory, "usage", usage);
	json_object_object_add(memory, "swap", swap);
	json_object_object_add(memory, "kernel", json_object_new_object());
	json_object_object_add(memory, "kernelTCP", json_object_new_object());
	json_object_object_add(memory, "raw", raw);
	return memory;
}

static struct json_object *cpu_json(const agent_StatsReply *stats)
{
	struct json_object *cpu = json_object_new_object(), *usage = json_object_new_object(),
			   *throttling = json_object_new_object();

	add(usage, "total", stats->cpu_usage_us * 1000);
	add(usage, "kernel", stats->cpu_system_us * 1000);
	add(usage, "user", stats->cpu_user_us * 1000);
	add(throttling, "periods", stats->cpu_periods);
	add(throttling, "throttledPeriods", stats->cpu_throttled_periods);
	add(throttling, "throttledTime", stats->cpu_throttled_us * 1000);
	json_object_object_add(cpu, "usage", usage);
	json_object_object_add(cpu, "throttling", throttling);
	return cpu;
}

static struct json_object *event_json(const char *type, const char *id)
{
	struct json_object *event = json_object_new_object();

	json_object_object_add(event, "type", json_object_new_string(type));
	json_object_object_add(event, "id", json_object_new_string(id));
	return event;
}

static int print_event(struct json_object *event, struct err *err)
{
	puts(json_object_to_json_string_ext(event, JSON_C_TO_STRING_PLAIN));
	json_object_put(event);
	return fflush(stdout) == 0 ? 0 : err_set_errno(err, "standard output");
}

static int print_stats(const struct container *container, const agent_StatsReply *stats, struct err *err)
{
	struct json_object *event = event_json("stats", container->id), *data = json_object_new_object(),
			   *pids = json_object_new_object();

	add(pids, "current", stats->pids_current);
	add(pids, "limit", stats->pids_max == UINT64_MAX ? 0 : stats->pids_max);
	json_object_object_add(data, "cpu", cpu_json(stats));
	json_object_object_add(data, "memory", memory_json(stats));
	json_object_object_add(data, "pids", pids);
	json_object_object_add(data, "blkio", json_object_new_object());
	json_object_object_add(data, "hugetlb", json_object_new_object());
	json_object_object_add(event, "data", data);
	return print_event(event, err);
}

static int ask_stats(struct container *container, uint64_t *oom_kills, struct err *err)
{
	agent_ContainerRequest request = { .container = container->id };
	agent_StatsReply stats = agent_StatsReply_init_zero;
	struct agent_client agent;

	if (agent_client_open(&agent, container->dirfd, AGENT_TIMEOUT_MS, err) < 0)
		return -1;
	int result = agent_client_call(&agent, PROTO_STATS, agent_ContainerRequest_fields, &request,
				       agent_StatsReply_fields, &stats, AGENT_TIMEOUT_MS, err);
	agent_client_close(&agent);
	if (result < 0)
		return -1;
	if (stats.oom_kills > *oom_kills && *oom_kills != UINT64_MAX)
		result = print_event(event_json("oom", container->id), err);
	*oom_kills = stats.oom_kills;
	if (result == 0)
		result = print_stats(container, &stats, err);
	pb_release(agent_StatsReply_fields, &stats);
	return result;
}

/* Until the container ends (0), or the user has enough of it. */
static int stream(struct container *container, int interval_ms, struct err *err)
{
	uint64_t oom_kills = UINT64_MAX;
	auto_fd int proxy = container_open_process(container->store->pid, container->store->pid_start);

	if (interrupt_catch(err) < 0)
		return -1;
	for (;;) {
		struct pollfd polled[] = {
			{ .fd = proxy, .events = POLLIN },
			{ .fd = interrupt_fd(), .events = POLLIN },
		};

		if (ask_stats(container, &oom_kills, err) < 0)
			return err->code == ECONNRESET || err->code == ECONNREFUSED ? 0 : -1;
		if (poll(polled, 2, interval_ms) > 0)
			return 0;
	}
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct events_options *given = invocation->options;
	uint64_t oom_kills = UINT64_MAX;
	struct container container;
	int interval_ms = 0;

	if (parse_interval(given->interval, &interval_ms, err) < 0)
		return -1;
	int result = container_open(&container, invocation->globals, invocation->operands[0], false, err);
	if (result == 0)
		result = lifecycle_check(container.id, container.status, LIFECYCLE_STATS, err);
	if (result == 0)
		result = given->stats ? ask_stats(&container, &oom_kills, err) : stream(&container, interval_ms, err);
	container_close(&container);
	return result;
}

const struct command cmd_events = {
	.name = "events",
	.operands = "ID",
	.summary = "print a container's statistics and out-of-memory kills",
	.run = run,
	.options = options,
	.options_size = sizeof(struct events_options),
	.operands_min = 1,
	.operands_max = 1,
};
