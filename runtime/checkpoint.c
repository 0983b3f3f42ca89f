/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/checkpoint.h"

#include "runtime/control_client.h"
#include "runtime/last_words.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/describe.h"
#include "oci/file_cache.h"
#include "oci/pod.h"

#include "agent.pb.h"

#include <errno.h>
#include <pb_decode.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void checkpoint_init(struct checkpoint *checkpoint)
{
	*checkpoint = (struct checkpoint){ .memory_fd = -1, .state_fd = -1, .mode = "strict" };
}

void checkpoint_close(struct checkpoint *checkpoint)
{
	close_fd(&checkpoint->memory_fd);
	close_fd(&checkpoint->state_fd);
	free(checkpoint->shares);
	checkpoint_init(checkpoint);
}

/* --- what has to be the same --------------------------------------------------------------------------------- */

/* A destination is a path, which may have anything in it. */
static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= ' ' || c == '%' || c >= 0x7f)
			fprintf(out, "%%%02x", c);
		else
			fputc(c, out);
	}
}

char *checkpoint_shares(const struct oci_config *config, const char *id, struct err *err)
{
	const struct oci_describe_context context = { .id = id };
	agent_CreateRequest description = agent_CreateRequest_init_zero;
	struct oci_shares shares = { 0 };
	char *text = NULL;
	size_t length;
	int result = oci_describe(config, &context, &description, &shares, err);
	FILE *out = result == 0 ? open_memstream(&text, &length) : NULL;

	if (result == 0 && !out)
		err_set(err, ENOMEM, "out of memory");
	if (out) {
		const agent_Container *container = &description.container;

		fprintf(out, "%s /\n", container->root_share);
		for (size_t i = 0; i < container->mounts_count; i++) {
			if (!container->mounts[i].share)
				continue;
			fprintf(out, "%s ", container->mounts[i].source);
			put_escaped(out, container->mounts[i].destination);
			fputc('\n', out);
		}
		if (fclose(out) != 0) {
			free(text);
			text = NULL;
			err_set(err, ENOMEM, "out of memory");
		}
	}
	pb_release(agent_CreateRequest_fields, &description);
	oci_shares_destroy(&shares);
	return text;
}

static bool is_escaped(const char *line, const char *text)
{
	char *escaped = NULL;
	size_t length;
	FILE *out = open_memstream(&escaped, &length);

	if (!out)
		return false;
	put_escaped(out, text);
	bool result = fclose(out) == 0 && strncmp(line, escaped, length) == 0 && line[length] == '\n';
	free(escaped);
	return result;
}

static void place_mount(struct oci_config *config, bool *placed, size_t place, const char *destination)
{
	size_t at = 0;

	while (at < config->mount_count && (placed[at] || !is_escaped(destination, config->mounts[at].destination)))
		at++;
	if (at == config->mount_count || place >= config->mount_count || placed[place])
		return;
	const struct oci_mount mount = config->mounts[at];
	config->mounts[at] = config->mounts[place];
	config->mounts[place] = mount;
	placed[place] = true;
}

void checkpoint_order_mounts(const char *shares, struct oci_config *config)
{
	auto_free bool *placed = oci_alloc(config->mount_count + 1, sizeof *placed);

	for (; *shares; shares += strcspn(shares, "\n"), shares += *shares == '\n') {
		size_t place;
		int end = 0;

		if (sscanf(shares, "mount%zu %n", &place, &end) == 1 && end > 0)
			place_mount(config, placed, place, shares + end);
	}
}

/* The first line of `text` that `other` has not at the same place. */
static const char *first_difference(const char *text, const char *other, size_t *length)
{
	while (*text) {
		size_t line = strcspn(text, "\n") + 1;

		*length = line - 1;
		if (strncmp(text, other, line) != 0)
			return text;
		text += line;
		other += line;
	}
	*length = strcspn(other, "\n");
	return *other ? other : NULL;
}

int checkpoint_shares_fit(const struct checkpoint *checkpoint, const char *shares, struct err *err)
{
	size_t length = 0;
	const char *line = first_difference(checkpoint->shares, shares, &length);

	if (!line)
		return 0;
	return err_set(err, EINVAL,
		       "the bundle's mounts are not those of the checkpoint: the first that differs is \"%.*s\"",
		       (int)length, line);
}

int checkpoint_fits(const struct checkpoint *checkpoint, const struct oci_config *config, const char *shares,
		    int preserved_fds, struct err *err)
{
	if (checkpoint->terminal != config->process.terminal)
		return err_set(err, EINVAL, "the checkpoint's process has %s terminal, the bundle's %s",
			       checkpoint->terminal ? "a" : "no", checkpoint->terminal ? "has none" : "has one");
	if (checkpoint->streams != (uint32_t)preserved_fds)
		return err_set(err, EINVAL,
			       "the checkpoint's process was given %u descriptors beyond 2: --preserve-fds %u",
			       checkpoint->streams, checkpoint->streams);
	return checkpoint_shares_fit(checkpoint, shares, err);
}

/* --- taking one ---------------------------------------------------------------------------------------------- */

static int check_kind(const struct container *container, const struct oci_config *config, struct err *err)
{
	struct oci_pod pod;

	if (oci_pod_find(&config->annotations, &pod, err) < 0)
		return -1;
	/* Also where it was so: then pausing it is for the guest's kernel. */
	if (pod.role == OCI_POD_SANDBOX || last_words_exist(container->dirfd))
		return err_set(
			err, ENOTSUP,
			"container %s is one of a pod's, which share a virtual machine: they cannot be checkpointed",
			container->id);
	return 0;
}

static uint32_t count_streams(const struct container *container)
{
	const char *text = oci_map_get(&container->store->extra, "preserved-fds");

	return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static int describe(struct container *container, struct checkpoint *out, struct err *err)
{
	struct vmm_control_reply reply;
	struct oci_config *config = NULL;
	const char *cache;
	int result = container_load_config(container, &config, err);

	if (result == 0)
		result = check_kind(container, config, err);
	if (result == 0)
		result = oci_file_cache(config, &cache, err);
	if (result == 0)
		result = control_call(container->dirfd, VMM_CONTROL_STATS, &reply, err);
	/* A container that was restored itself. */
	const char *order = oci_map_get(&container->store->extra, CHECKPOINT_SHARES);
	if (result == 0 && order)
		checkpoint_order_mounts(order, config);
	if (result == 0) {
		out->memory_mib = (uint32_t)(reply.stats.memory_size >> 20);
		out->vcpus = (uint32_t)reply.stats.vcpus;
		out->terminal = config->process.terminal;
		out->streams = count_streams(container);
		out->has_notify = oci_map_get(&container->store->extra, "notify");
		snprintf(out->file_cache, sizeof out->file_cache, "%s", cache);
		out->shares = checkpoint_shares(config, container->id, err);
		result = out->shares ? 0 : -1;
	}
	oci_config_destroy(config);
	return result;
}

static int call(struct checkpointing *work, uint16_t type, struct err *err)
{
	agent_ContainerRequest request = { .container = work->container->id };

	return agent_client_call(&work->agent, type, agent_ContainerRequest_fields, &request, NULL, NULL,
				 AGENT_TIMEOUT_MS, err);
}

int checkpoint_take(struct checkpointing *work, struct container *container, struct checkpoint *out, struct err *err)
{
	*work = (struct checkpointing){ .container = container, .agent = { .fd = -1 } };
	if (describe(container, out, err) < 0)
		return -1;
	/*
	 * Paused by its VM: its agent has to have a word with its processes. They may run for a moment meanwhile. Not
	 * before it is known that the VM is the container's own: a pod's would be stopped for one of its containers.
	 */
	work->was_paused = container->store->is_paused;
	if (work->was_paused && control_call(container->dirfd, VMM_CONTROL_RESUME, NULL, err) < 0)
		return -1;
	if (agent_client_open(&work->agent, container->dirfd, AGENT_TIMEOUT_MS, err) < 0)
		return -1;
	work->is_suspended = true;
	work->began_us = checkpoint_stats_now();
	if (call(work, PROTO_SUSPEND, err) < 0)
		return err_wrap(err, "container %s cannot be stopped for a checkpoint", container->id);
	work->stats.freezing_us = checkpoint_stats_now() - work->began_us;
	int result = control_checkpoint(container->dirfd, out->memory_fd, out->state_fd, err);
	work->stats.frozen_us = checkpoint_stats_now() - work->began_us;
	work->stats.dump_us = work->stats.frozen_us - work->stats.freezing_us;
	return result;
}

/* Whatever fails here: the end of the connection has the same effect. */
void checkpoint_release(struct checkpointing *work)
{
	struct err err = ERR_INIT;

	if (work->is_suspended && call(work, PROTO_RELEASE, &err) < 0)
		log_debug("%s", err.text);
	agent_client_close(&work->agent);
	if (work->was_paused && control_call(work->container->dirfd, VMM_CONTROL_PAUSE, NULL, &err) < 0)
		log_warn("container %s is not paused any more: %s", work->container->id, err.text);
	*work = (struct checkpointing){ .agent = { .fd = -1 } };
}

int checkpoint_stop(struct checkpointing *work, struct err *err)
{
	agent_KillRequest request = { .container = work->container->id, .signal = SIGKILL, .all = true };
	int result = agent_client_call(&work->agent, PROTO_KILL, agent_KillRequest_fields, &request, NULL, NULL,
				       AGENT_TIMEOUT_MS, err);

	if (result < 0)
		return -1;
	agent_client_close(&work->agent);
	container_await_end(work->container);
	return 0;
}
