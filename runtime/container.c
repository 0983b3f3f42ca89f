/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/container.h"

#include "runtime/agent_client.h"
#include "runtime/command.h"
#include "runtime/host_cgroup.h"
#include "runtime/network.h"
#include "runtime/pod.h"
#include "runtime/run_hooks.h"
#include "runtime/statedir.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/config.h"
#include "oci/namespaces.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASK_TIMEOUT_MS = 3 * 1000, END_TIMEOUT_MS = 15 * 1000, CONFIG_MAX = 16 << 20 };

void container_init(struct container *container)
{
	*container = (struct container){ .dirfd = -1 };
}

void container_close(struct container *container)
{
	close_fd(&container->dirfd);
	oci_store_destroy(container->store);
	free(container->id);
	container_init(container);
}

static bool is_alive(const struct oci_store *store)
{
	return store->pid > 0 && oci_pid_start(store->pid) == store->pid_start;
}

int container_open(struct container *container, const struct globals *globals, const char *id, bool lock,
		   struct err *err)
{
	container_init(container);
	container->root = globals->root;
	container->dirfd = statedir_open(globals->root, id, lock, err);
	if (container->dirfd < 0)
		return -1;
	container->id = strdup(id);
	if (!container->id)
		return err_set(err, ENOMEM, "out of memory");
	if (faccessat(container->dirfd, STATEDIR_STATE, F_OK, 0) < 0 && errno == ENOENT)
		/* Its `create` was killed before it could write, or is just beginning. */
		return err_set(err, ENOENT,
			       "container does not exist: \"%s\" (only a beginning of it; delete --force removes it)",
			       id);
	if (oci_store_read(container->dirfd, STATEDIR_STATE, &container->store, err) < 0)
		return err_wrap(err, "container \"%s\"", id);
	container->status = oci_store_status(container->store, is_alive(container->store));
	return 0;
}

int container_open_for(struct container *container, const struct globals *globals, const char *id,
		       enum lifecycle_event event, struct err *err)
{
	if (container_open(container, globals, id, true, err) < 0)
		return -1;
	return lifecycle_check(id, container->status, event, err);
}

int container_save(struct container *container, struct err *err)
{
	if (oci_store_write(container->dirfd, STATEDIR_STATE, container->store, err) < 0)
		return err_wrap(err, "%s/%s", container->root, container->id);
	return 0;
}

char *container_state_text(const struct container *container, enum oci_status status, bool indented)
{
	struct oci_state state = oci_store_state(container->store, true);

	state.status = status;
	return oci_state_text(&state, indented);
}

int container_load_config_text(const struct container *container, char **out, struct err *err)
{
	auto_fd int fd = openat(container->dirfd, STATEDIR_CONFIG, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t used = 0;

	if (fd < 0 || fd_stat(fd, &st) < 0)
		return err_set_errno(err, "container \"%s\": its configuration", container->id);
	if (st.st_size > CONFIG_MAX)
		return err_set(err, EFBIG, "container \"%s\": its configuration is too large", container->id);
	auto_free char *text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, text + used, (size_t)st.st_size - used);

		if (n <= 0)
			return err_set_errno(err, "container \"%s\": its configuration", container->id);
		used += (size_t)n;
	}
	text[used] = '\0';
	*out = take_ptr(&text);
	return 0;
}

int container_load_config(const struct container *container, struct oci_config **config, struct err *err)
{
	auto_free char *text = NULL;

	if (container_load_config_text(container, &text, err) < 0)
		return -1;
	return oci_config_parse(container->store->bundle, text, strlen(text), config, err);
}

const struct oci_config *container_config(const struct container *container, struct oci_config **loaded,
					  struct err *err)
{
	*loaded = NULL;
	if (container->config)
		return container->config;
	return container_load_config(container, loaded, err) == 0 ? *loaded : NULL;
}

int container_open_process(pid_t pid, uint64_t start)
{
	if (pid <= 0)
		return -1;
	auto_fd int fd = pidfd_open(pid, 0);
	/* Compared after opening: what the fd means cannot change any more. */
	if (fd < 0 || oci_pid_start(pid) != start)
		return -1;
	return take_fd(&fd);
}

static bool wait_end(int pid_fd, int timeout_ms)
{
	struct pollfd poller = { .fd = pid_fd, .events = POLLIN };
	int n;

	do
		n = poll(&poller, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static int ask_guest_to_kill(struct container *container, struct err *err)
{
	agent_KillRequest request = { .container = container->id, .signal = SIGKILL };
	struct agent_client agent;

	if (agent_client_open(&agent, container->dirfd, ASK_TIMEOUT_MS, err) < 0)
		return -1;
	int result = agent_client_call(&agent, PROTO_KILL, agent_KillRequest_fields, &request, NULL, NULL,
				       ASK_TIMEOUT_MS, err);
	agent_client_close(&agent);
	return result;
}

/* The monitor goes with its proxy; it is killed by name too, in case the record is all there is. */
static void kill_processes(struct container *container)
{
	const struct oci_store *store = container->store;
	auto_fd int proxy = container_open_process(store->pid, store->pid_start);
	auto_fd int monitor = container_open_process(store->vmm_pid, store->vmm_pid_start);

	if (proxy >= 0)
		pidfd_send_signal(proxy, SIGKILL, NULL, 0);
	if (monitor >= 0)
		pidfd_send_signal(monitor, SIGKILL, NULL, 0);
	if ((proxy >= 0 && !wait_end(proxy, END_TIMEOUT_MS)) || (monitor >= 0 && !wait_end(monitor, END_TIMEOUT_MS)))
		log_warn("container %s: a killed process is still there", container->id);
}

void container_stop(struct container *container)
{
	const struct oci_store *store = container->store;
	struct err err = ERR_INIT;
	auto_fd int proxy = container_open_process(store->pid, store->pid_start);

	/* Frozen, it could not answer. */
	if (proxy >= 0 && store->is_created && !store->is_paused) {
		if (ask_guest_to_kill(container, &err) == 0 && wait_end(proxy, END_TIMEOUT_MS))
			return;
		log_debug("container %s: not stopped by its guest: %s", container->id, err.text);
	}
	kill_processes(container);
}

void container_await_end(struct container *container)
{
	auto_fd int proxy = container_open_process(container->store->pid, container->store->pid_start);

	if (proxy >= 0 && !wait_end(proxy, END_TIMEOUT_MS))
		kill_processes(container);
}

/* A namespace that the engine made outlives us, and is left as it was. */
static void clean_network(const struct container *container)
{
	struct oci_config *loaded;
	struct err ignored = ERR_INIT;

	/* A member's network is the pod's. */
	if (geteuid() != 0 || container->store->sandbox)
		return;

	const struct oci_config *config = container_config(container, &loaded, &ignored);
	const struct oci_namespace *network = config ? oci_namespaces_find(&config->namespaces, CLONE_NEWNET) : NULL;

	if (network && network->path)
		network_clean(network->path);
	oci_config_destroy(loaded);
}

int container_destroy(struct container *container, struct err *err)
{
	struct err later = ERR_INIT;
	int result = 0;

	if (container->store) {
		const struct oci_store *store = container->store;

		kill_processes(container);
		pod_leave(container);
		clean_network(container);
		if (store->cgroup_path && host_cgroup_destroy(store->cgroup_path, err) < 0)
			result = -1;
		if (store->poststop.count > 0) {
			auto_free char *state = container_state_text(container, OCI_STATUS_STOPPED, false);

			if (state)
				run_hooks_anyway(OCI_HOOK_POSTSTOP, &store->poststop, state, store->bundle);
		}
	}
	if (statedir_remove(container->root, container->id, container->dirfd, result < 0 ? &later : err) < 0)
		result = -1;
	return result;
}
