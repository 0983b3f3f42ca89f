/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/start.h"

#include "runtime/agent_client.h"
#include "runtime/container.h"
#include "runtime/nameservers.h"
#include "runtime/network.h"
#include "runtime/run_hooks.h"
#include "runtime/trace.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/proto.h"

#include "oci/config.h"
#include "oci/host_config.h"
#include "oci/namespaces.h"

#include "agent.pb.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* startContainer hooks run in the guest before the answer comes, each with its own time-out if it has one. */
static int start_timeout_ms(const struct oci_config *config)
{
	const struct oci_hook_list *hooks = &config->hooks.lists[OCI_HOOK_START_CONTAINER];
	int seconds = AGENT_TIMEOUT_MS / 1000;

	for (size_t i = 0; i < hooks->count; i++) {
		unsigned timeout = hooks->items[i].timeout;

		if (timeout == 0 || timeout > 3600)
			timeout = 3600;
		if (seconds < 24 * 3600)
			seconds += (int)timeout;
	}
	return seconds * 1000;
}

/* By now the engine has put the interfaces into the namespace; one that comes later is the proxy's to see. */
static int attach_network(struct container *container, const struct oci_config *config, struct agent_client *agent,
			  struct err *err)
{
	struct oci_host_config *host;
	struct err ignored = ERR_INIT;

	/* A member finds its pod's network in the VM. */
	if (container->store->sandbox || geteuid() != 0 || !oci_namespaces_find(&config->namespaces, CLONE_NEWNET))
		return 0;
	if (oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, err) < 0)
		return -1;
	auto_fd int resolv_fd = nameservers_open_conf(config, container->store->rootfs);
	struct network network = {
		.dirfd = container->dirfd,
		.use_vhost = host->vhost_net,
		.resolv_fd = resolv_fd,
	};
	oci_host_config_destroy(host);
	int result = network_attach(&network, container->store->pid, agent, err);
	trace_mark("network attached");
	if (result == 0 && vm_socket_poke(container->dirfd, VM_SOCKET_PROXY, &ignored) < 0)
		log_debug("changes of the network will not be seen: %s", ignored.text);
	return result;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int tell_agent(struct container *container, const struct oci_config *config, struct err *err)
{
	agent_ContainerRequest request = { .container = container->id };
	struct agent_client agent;

	if (agent_client_open(&agent, container->dirfd, AGENT_TIMEOUT_MS, err) < 0)
		return -1;
	int result = attach_network(container, config, &agent, err);
	/* As if the program had failed to start: engines expect nothing to be left of it. */
	request.realtime_ns = now_ns();
	if (result < 0)
		container_stop(container);
	else
		result = agent_client_call(&agent, PROTO_START, agent_ContainerRequest_fields, &request, NULL, NULL,
					   start_timeout_ms(config), err);
	agent_client_close(&agent);
	return result;
}

static int run_poststart(struct container *container, const struct oci_config *config, struct err *err)
{
	const struct oci_hook_list *hooks = &config->hooks.lists[OCI_HOOK_POSTSTART];

	if (hooks->count == 0)
		return 0;
	auto_free char *state = container_state_text(container, OCI_STATUS_RUNNING, false);
	return run_hooks(OCI_HOOK_POSTSTART, hooks, state, container->store->bundle, -1, err);
}

int start_container(struct container *container, struct err *err)
{
	struct oci_config *loaded;
	const struct oci_config *config = container_config(container, &loaded, err);
	int result = config ? tell_agent(container, config, err) : -1;

	if (result == 0) {
		trace_mark("process started");
		container->store->is_started = true;
		container->status = OCI_STATUS_RUNNING;
		result = container_save(container, err);
	}
	if (result == 0 && run_poststart(container, config, err) < 0) {
		container_stop(container);
		result = -1;
	}
	oci_config_destroy(loaded);
	return result;
}
