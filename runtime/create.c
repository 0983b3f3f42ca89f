/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/create.h"

#include "runtime/checkpoint.h"
#include "runtime/create_cgroup.h"
#include "runtime/create_record.h"
#include "runtime/frame.h"
#include "runtime/interrupt.h"
#include "runtime/last_words.h"
#include "runtime/launch.h"
#include "runtime/nameservers.h"
#include "runtime/neighbour.h"
#include "runtime/net_devices.h"
#include "runtime/network.h"
#include "runtime/notify_socket.h"
#include "runtime/paths.h"
#include "runtime/pid_file.h"
#include "runtime/pod.h"
#include "runtime/preserved_fds.h"
#include "runtime/proxy_root.h"
#include "runtime/run_hooks.h"
#include "runtime/selinux.h"
#include "runtime/start_proxy.h"
#include "runtime/statedir.h"
#include "runtime/template_touched.h"
#include "runtime/trace.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/describe.h"
#include "oci/file_cache.h"
#include "oci/host_config.h"
#include "oci/mountpoints.h"
#include "oci/pod.h"
#include "oci/vm_size.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pb_decode.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* Everything create_container opens on the way; one cleanup whatever was reached. */
struct creation {
	const struct create_request *request;
	struct created *created;
	struct paths paths;
	struct oci_host_config *host;
	struct pod pod;
	struct launch launch;
	agent_CreateRequest description;
	struct oci_shares shares;
	struct terminal terminal;
	struct notify_socket notify;
	int request_fd, cgroup_fd, network_fd, root_fd, resolv_fd, last_words_fd;
	int preserved_fds, listen_fds; /* how many; the second are part of the first */
	bool new_network;
	bool tells_of_no_network; /* the configuration names none */
	char *selinux_label;      /* of the monitor; NULL: none */
	struct oci_map cpu_limit;
};

static int check_terminal(const struct create_request *request, struct err *err)
{
	bool terminal = request->config->process.terminal;
	const char *console = request->options->console_socket;

	if (terminal && request->detached && !console)
		return err_set(err, EINVAL,
			       "cannot allocate tty if bulkhead will detach without setting console socket");
	if (console && (!terminal || !request->detached))
		return err_set(err, EINVAL, "cannot use console socket if bulkhead will not detach or allocate tty");
	return 0;
}

/* What sd_listen_fds(3) looks for: the container's process is to find the descriptors as its own. */
static void pass_listen_environment(struct creation *c)
{
	const char *names = getenv("LISTEN_FDNAMES");
	struct oci_strings *env = &c->request->config->process.env;
	char text[32];

	/* A fork is given no descriptors: those are the original's. */
	if (c->request->checkpoint && strcmp(c->request->checkpoint->mode, "fork") == 0)
		return;
	c->listen_fds = preserved_fds_listen_count();
	if (c->listen_fds == 0)
		return;
	snprintf(text, sizeof text, "LISTEN_FDS=%d", c->listen_fds);
	oci_strings_add(env, text);
	oci_strings_add(env, "LISTEN_PID=1");
	if (names) {
		auto_free char *variable = oci_format("LISTEN_FDNAMES=%s", names);

		oci_strings_add(env, variable);
	}
}

/* What the guest is told, and what it is shown; refuses what a VM can't do. */
static int describe(struct creation *c, struct err *err)
{
	const struct create_request *request = c->request;
	struct oci_state state = oci_store_state(c->created->container.store, true);
	auto_free char *hook_state = NULL;

	state.status = OCI_STATUS_CREATED;
	if (request->config->hooks.lists[OCI_HOOK_START_CONTAINER].count > 0)
		hook_state = oci_state_guest_text(&state);
	struct oci_describe_context context = {
		.id = request->id,
		.root_overlay = request->root_overlay,
		.hook_state = hook_state,
		.is_pods = c->pod.joins || c->pod.is_sandbox,
		.container_of_namespace = pod_container_of_namespace,
		.arg = &c->pod,
	};
	int result = oci_describe(request->config, &context, &c->description, &c->shares, err);
	notify_socket_describe(&c->notify, &c->description.container);
	c->description.dies_with_connection = c->pod.joins;
	return result;
}

/*
 * A guest that may write makes its mount points itself, but not one that goes on: what it made may have stayed behind
 * in the root that it had (Podman's archives leave out what it mounts over).
 */
static void adapt_root(struct creation *c)
{
	struct oci_share *root = &c->shares.items[0];

	if (c->request->root_overlay)
		root->recursive = false; /* an overlay's layer does not lead across mounts */
	else if ((root->readonly || c->request->checkpoint) && root->path)
		oci_mountpoints_make(root->path, &c->description);
	if (c->request->checkpoint && !c->request->root_overlay)
		oci_mountpoints_make_again(&c->shares, &c->description);
}

/* What is new about a container that exists already; its description is as good for that as for a new one. */
static int encode_adoption(struct creation *c, uint8_t **payload, size_t *length, struct err *err)
{
	const agent_Container *container = &c->description.container;
	agent_AdoptRequest adoption = {
		.id = c->description.id,
		.hostname = container->hostname,
		.domainname = container->domainname,
		.cgroup_files = container->cgroup_files,
		.cgroup_files_count = container->cgroup_files_count,
		.new_machine_id = c->request->checkpoint->new_machine_id,
	};

	return frame_encode_payload(agent_AdoptRequest_fields, &adoption, payload, length, err);
}

static int encode(struct creation *c, struct err *err)
{
	auto_free uint8_t *payload = NULL;
	size_t length;

	if (c->request->checkpoint) {
		if (encode_adoption(c, &payload, &length, err) < 0)
			return -1;
	} else if (frame_encode_payload(agent_CreateRequest_fields, &c->description, &payload, &length, err) < 0)
		return -1;
	c->request_fd = start_proxy_request_fd(payload, length, err);
	return c->request_fd < 0 ? -1 : 0;
}

/* Nothing in a VM is the host's network; who counts on that should hear of it now, not by what is missing. */
static int refuse_host_network(const struct oci_config *config, struct err *err)
{
	return err_set(err, ENOTSUP,
		       "%s/config.json: linux.namespaces: the host's network cannot be a virtual machine's; give the "
		       "container a network of its own (--network bridge, or none)",
		       config->bundle);
}

/*
 * A bundle that says nothing of the network mostly does not use it, and runs with what is its own anyway, the loopback;
 * so does `podman run --network host`. Podman's user is told of it, and whoever sits there; a program that reads what
 * the container says is not to find a line of ours in it. A pod that is to have its node's network needs that, and says
 * so by the same omission.
 */
static int open_absent_network(struct creation *c, struct err *err)
{
	if (c->pod.is_sandbox)
		return refuse_host_network(c->request->config, err);
	log_debug("linux.namespaces: no network namespace: the container has one of its own, with the loopback alone");
	c->tells_of_no_network = oci_is_podmans(&c->request->config->annotations) || isatty(STDERR_FILENO);
	c->new_network = geteuid() == 0;
	return 0;
}

/*
 * To whoever reads what the container writes, and not to --log: engines show that after a failure only, and Podman can
 * read one line of it. With an engine's terminal nobody sees our standard error.
 */
static void tell_of_no_network(const struct creation *c)
{
	bool on_terminal = c->terminal.slave >= 0 && c->request->options->console_socket;

	if (c->tells_of_no_network && !c->request->checkpoint)
		network_tell_of_none(on_terminal ? c->terminal.slave : STDERR_FILENO, on_terminal);
}

static int open_network(struct creation *c, struct err *err)
{
	const struct oci_config *config = c->request->config;
	const struct oci_namespace *network = oci_namespaces_find(&config->namespaces, CLONE_NEWNET);

	if (!network)
		return open_absent_network(c, err);
	if (network->path) {
		c->network_fd = open(network->path, O_RDONLY | O_CLOEXEC);
		if (c->network_fd < 0)
			return err_set_errno(err, "linux.namespaces: network: %s", network->path);
		if (!network_is_namespace(c->network_fd))
			return err_set(err, EINVAL, "linux.namespaces: network: %s is not a network namespace",
				       network->path);
		if (network_is_hosts_own(c->network_fd))
			return refuse_host_network(config, err);
	} else {
		/* Nobody but root can make one; then the guest has no network, and no namespace shows that. */
		c->new_network = geteuid() == 0;
	}
	return 0;
}

/* The shares once more, for the proxy; only root can give it a mount namespace, and only root's engines enter that. */
static void open_root(struct creation *c)
{
	struct err why = ERR_INIT;

	if (geteuid() != 0 || !c->shares.items[0].path)
		return;
	c->root_fd = proxy_root_pack(&c->shares, &c->description.container, &why);
	if (c->root_fd < 0)
		log_debug("the proxy has an empty root: %s", why.text);
}

/* An administrator who asked for it is told where it cannot be had. */
static int choose_label(struct creation *c, struct err *err)
{
	const char *label = c->request->config->process.selinux_label;

	if (!c->host->selinux || !label || !*label)
		return 0;
	if (!selinux_is_on()) {
		log_warn("process.selinuxLabel: this host has no SELinux, ignored");
		return 0;
	}
	c->selinux_label = selinux_monitor_label(label, err);
	return c->selinux_label ? 0 : -1;
}

/* Whose VM, and how large. */
static int choose_machine(struct creation *c, struct err *err)
{
	struct oci_config *config = c->request->config;
	struct oci_pod_size pod_size;
	struct oci_vm_size size;

	if (choose_label(c, err) < 0 || oci_vm_size(config, c->host, &size, err) < 0 ||
	    pod_open(&c->pod, c->request->globals, config, err) < 0 ||
	    neighbour_take_mappings(c->request->globals, config, !c->pod.joins, err) < 0)
		return -1;
	if (c->request->checkpoint) {
		if (c->pod.joins || c->pod.is_sandbox)
			return err_set(err, ENOTSUP, "a container of a pod cannot continue from a checkpoint");
		c->launch.memory_mib = c->request->checkpoint->memory_mib;
		c->launch.vcpus = c->request->checkpoint->vcpus;
		c->launch.max_memory_mib = c->host->max_memory_mib;
		return 0;
	}
	c->launch.memory_mib = size.memory_mib;
	c->launch.max_memory_mib = c->host->max_memory_mib;
	c->launch.vcpus = size.vcpus;
	c->launch.huge_pages = size.huge_pages;
	c->launch.dax_mib = size.dax_mib;
	if (c->pod.is_sandbox) {
		if (oci_pod_size(&config->annotations, &pod_size, err) < 0)
			return -1;
		oci_pod_set_resources(config, &pod_size);
	}
	return 0;
}

static int open_machine(struct creation *c, struct err *err)
{
	if (c->pod.joins)
		return 0;
	if (launch_open_guest(&c->launch, &c->paths, c->host, c->request->config, err) < 0)
		return -1;
	if (c->request->checkpoint)
		return launch_open_checkpoint(&c->launch, c->request->checkpoint, err);
	return launch_open_template(&c->launch, &c->paths, c->host, c->request->config, err);
}

static int open_shares(struct creation *c, struct err *err)
{
	if (launch_open_shares(&c->launch, &c->shares, err) < 0)
		return -1;
	if (!c->pod.joins)
		return 0;
	return pod_name_shares(&c->launch, &c->shares, &c->description.container, c->created->container.store, err);
}

static int check_checkpoint(struct creation *c, struct err *err)
{
	const struct create_request *request = c->request;

	if (!request->checkpoint)
		return 0;
	auto_free char *shares = checkpoint_shares(request->config, request->id, err);
	return shares ? checkpoint_fits(request->checkpoint, request->config, shares, c->preserved_fds, err) : -1;
}

/* All that can fail because of what the user wrote or the host lacks, before anything is made. */
static int prepare(struct creation *c, struct err *err)
{
	const struct create_request *request = c->request;

	if (oci_id_check(request->id, err) < 0)
		return err_wrap(err, "\"%s\"", request->id);
	if (check_terminal(request, err) < 0 || paths_find(&c->paths, err) < 0 ||
	    oci_host_config_load(OCI_HOST_CONFIG_FILE, &c->host, err) < 0 || choose_machine(c, err) < 0 ||
	    oci_file_cache(request->config, &c->launch.file_cache, err) < 0)
		return -1;
	c->created->container.store = create_record_new(request);
	if (request->checkpoint) {
		checkpoint_order_mounts(request->checkpoint->shares, request->config);
		oci_map_set(&c->created->container.store->extra, CHECKPOINT_SHARES, request->checkpoint->shares);
	}
	if (c->pod.joins)
		c->created->container.store->sandbox = oci_strdup(c->pod.sandbox.id);
	pass_listen_environment(c);
	/* A process that was there before has such a socket, or will never have one. */
	if (!request->checkpoint || request->checkpoint->has_notify)
		notify_socket_find(&c->notify, request->config);
	if (request->checkpoint ? request->checkpoint->has_notify : c->notify.fd >= 0)
		create_record_note(c->created->container.store, "notify", 1);
	if (describe(c, err) < 0)
		return -1;
	c->preserved_fds =
		preserved_fds_describe(&request->options->preserve_fds, c->listen_fds, &c->description.process, err);
	if (c->preserved_fds > 0)
		create_record_note(c->created->container.store, "preserved-fds", c->preserved_fds);
	if (c->preserved_fds < 0 || check_checkpoint(c, err) < 0)
		return -1;
	if (c->shares.items[0].path)
		oci_mountpoints_open_tmpfs(c->shares.items[0].path, &c->description);
	if (open_network(c, err) < 0)
		return -1;
	if (c->tells_of_no_network && oci_is_podmans(&request->config->annotations) && !request->checkpoint)
		create_record_note(c->created->container.store, NETWORK_NONE, 1);
	/* A VM that continues has the devices it had, and disks are not among them (vmm/template.c). */
	if ((!request->checkpoint && launch_open_disks(&c->launch, &c->description.container, err) < 0) ||
	    open_machine(c, err) < 0)
		return -1;
	adapt_root(c);
	if (open_shares(c, err) < 0 || encode(c, err) < 0)
		return -1;
	open_root(c);
	c->last_words_fd = last_words_open_log(request->config);
	if (!c->pod.joins)
		c->resolv_fd = nameservers_open_conf(request->config, c->created->container.store->rootfs);
	if (request->config->process.terminal) {
		if (terminal_open(&c->terminal, err) < 0)
			return -1;
		terminal_set_size(c->terminal.master, request->config->process.rows, request->config->process.columns);
	}
	return 0;
}

/* A VM of its own, or the pod's. */
static int open_state(struct creation *c, struct err *err)
{
	int dirfd = c->created->container.dirfd;

	if (!c->pod.joins) {
		if (launch_open_state(&c->launch, dirfd, err) < 0 ||
		    (c->pod.is_sandbox && last_words_make(dirfd, err) < 0))
			return -1;
		return launch_arguments(&c->launch, c->paths.monitor, c->request->globals->debug, err);
	}
	if (launch_open_log(&c->launch, dirfd, err) < 0)
		return -1;
	return pod_join(&c->pod, &c->created->container, &c->launch, &c->shares, c->request->config, c->host, err);
}

static int start(struct creation *c, struct err *err)
{
	const struct create_request *request = c->request;
	struct created *created = c->created;
	const struct globals *globals = request->globals;
	auto_free int *fds = NULL;
	size_t fd_count = 0;

	if (open_state(c, err) < 0 || (!c->pod.joins && launch_fds(&c->launch, &fds, &fd_count, err) < 0))
		return -1;
	/* A description of its own: our lock must not live on in the proxy. */
	auto_fd int state_fd = openat(created->container.dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (state_fd < 0)
		return err_set_errno(err, "cannot open the state directory");
	struct start_proxy proxy = {
		.globals = globals,
		.program = c->paths.proxy,
		.container = request->id,
		.adopts = request->checkpoint,
		.state_fd = state_fd,
		.request_fd = c->request_fd,
		.terminal_fd = c->terminal.slave,
		.log_fd = globals->log_fd >= 0 ? globals->log_fd : c->launch.log_fd,
		.monitor_arguments = c->launch.arguments,
		.monitor_fds = fds,
		.monitor_fd_count = fd_count,
		.root_fd = c->root_fd,
		.last_words_fd = c->last_words_fd,
		.preserved_fds = c->preserved_fds,
		.notify_fd = c->notify.fd,
		.cgroup_fd = c->cgroup_fd,
		.network_fd = c->network_fd,
		.new_network = c->new_network,
		.watches_network = !c->pod.joins && (c->network_fd >= 0 || c->new_network),
		.use_vhost = c->host->vhost_net,
		.resolv_fd = c->resolv_fd,
		.selinux_label = c->selinux_label,
		.has_oom_score_adj = request->config->process.has_oom_score_adj,
		.oom_score_adj = request->config->process.oom_score_adj,
	};
	created->pid = start_proxy(&proxy, &created->sync_fd, err);
	return created->pid > 0 ? 0 : -1;
}

static int save_process(struct creation *c, int64_t monitor_pid, struct err *err)
{
	struct oci_store *store = c->created->container.store;

	store->pid = c->created->pid;
	store->pid_start = oci_pid_start(store->pid);
	store->vmm_pid = (pid_t)monitor_pid;
	store->vmm_pid_start = oci_pid_start(store->vmm_pid);
	return container_save(&c->created->container, err);
}

/* With the namespaces there and the VM on its way, in the order of the specification. */
static int run_create_hooks(struct creation *c, struct err *err)
{
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME,
						    OCI_HOOK_CREATE_CONTAINER };
	const struct oci_hooks *hooks = &c->request->config->hooks;
	const struct oci_store *store = c->created->container.store;
	auto_free char *state = container_state_text(&c->created->container, OCI_STATUS_CREATED, false);
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/ns/net", (int)c->created->pid);
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const struct oci_hook_list *list = &hooks->lists[kinds[i]];
		const char *directory = store->bundle;
		auto_fd int network_fd = -1;

		if (list->count == 0)
			continue;
		/*
		 * "In the container namespace": of the host's namespaces that is the proxy's network. The directory is
		 * what such hooks find with runc.
		 */
		if (kinds[i] == OCI_HOOK_CREATE_CONTAINER) {
			network_fd = open(path, O_RDONLY | O_CLOEXEC);
			directory = store->rootfs;
		}
		if (run_hooks(kinds[i], list, state, directory, network_fd, err) < 0)
			return -1;
	}
	return 0;
}

static int send_sockets(struct creation *c, struct err *err)
{
	const struct create_options *options = c->request->options;

	if (c->terminal.master >= 0 && options->console_socket) {
		if (terminal_send(&c->terminal, options->console_socket, err) < 0)
			return -1;
		close_fd(&c->terminal.master);
	}
	if (options->pidfd_socket) {
		auto_fd int pid_fd = pidfd_open(c->created->pid, 0);

		if (pid_fd < 0)
			return err_set_errno(err, "pidfd_open");
		return terminal_send_fd(pid_fd, "pidfd", options->pidfd_socket, "--pidfd-socket", err);
	}
	return 0;
}

/* The monitor knows its files by descriptor only; the user knows them by name. */
static int name_guest_file(const struct creation *c, struct err *err)
{
	if (err->code != ENOEXEC)
		return -1;
	return err_wrap(err, "%s", strstr(err->text, "initramfs") ? c->launch.initrd_path : c->launch.kernel_path);
}

/* The next VM of this template does not come upon the same pages one by one. */
static void note_touched_pages(const struct creation *c)
{
	const struct template_files *template = &c->launch.template;
	struct err why = ERR_INIT;

	if (template->directory_fd >= 0 && template->touched_fd < 0 &&
	    template_touched_note(template->directory_fd, template->memory_fd, c->created->container.store->vmm_pid,
				  &why) < 0)
		log_debug("template: %s", why.text);
}

static int make(struct creation *c, struct err *err)
{
	struct container *container = &c->created->container;
	struct sync_message message;

	/* The record comes first: from here on `delete --force` can find whatever there is. */
	if (create_cgroup_choose(c->request->globals, c->request->config, container->store, err) < 0 ||
	    container_save(container, err) < 0 || create_record_copy_config(c->request, container->dirfd, err) < 0 ||
	    create_cgroup_make(c->request->config, c->host, container->store, &c->cgroup_fd, &c->cpu_limit, err) < 0 ||
	    start(c, err) < 0)
		return -1;
	trace_mark("proxy started");
	if (start_proxy_await(c->created->sync_fd, SYNC_JOINED, &message, err) < 0 ||
	    save_process(c, message.number, err) < 0 ||
	    net_devices_move(&c->request->config->net_devices, c->created->pid, err) < 0 ||
	    run_create_hooks(c, err) < 0 || send_sockets(c, err) < 0 ||
	    start_proxy_tell(c->created->sync_fd, SYNC_GO, err) < 0 ||
	    start_proxy_await(c->created->sync_fd, SYNC_CREATED, &message, err) < 0)
		return name_guest_file(c, err);
	trace_mark("container created");
	note_touched_pages(c);
	if (create_cgroup_limit_cpu(container->store, &c->cpu_limit, err) < 0)
		return -1;
	container->store->is_created = true;
	container->status = OCI_STATUS_CREATED;
	if (container_save(container, err) < 0)
		return -1;
	if (c->request->options->pid_file && pid_file_write(c->request->options->pid_file, c->created->pid, err) < 0)
		return -1;
	if (c->request->detached)
		notify_socket_tell_main(&c->notify, c->created->pid);
	tell_of_no_network(c);
	return start_proxy_tell(c->created->sync_fd, SYNC_DONE, err);
}

static void creation_close(struct creation *c)
{
	launch_close(&c->launch);
	pod_close(&c->pod);
	pb_release(agent_CreateRequest_fields, &c->description);
	oci_shares_destroy(&c->shares);
	oci_map_destroy(&c->cpu_limit);
	oci_host_config_destroy(c->host);
	terminal_close(&c->terminal);
	close_fd(&c->notify.fd);
	close_fd(&c->request_fd);
	close_fd(&c->cgroup_fd);
	close_fd(&c->network_fd);
	close_fd(&c->root_fd);
	close_fd(&c->resolv_fd);
	close_fd(&c->last_words_fd);
	free(c->selinux_label);
}

int create_container(const struct create_request *request, struct created *created, struct err *err)
{
	struct creation c = {
		.request = request,
		.created = created,
		.terminal = { .master = -1, .slave = -1 },
		.notify = { .fd = -1 },
		.request_fd = -1,
		.cgroup_fd = -1,
		.network_fd = -1,
		.root_fd = -1,
		.resolv_fd = -1,
		.last_words_fd = -1,
	};
	int result;

	*created = (struct created){ .sync_fd = -1, .terminal = { .master = -1, .slave = -1 } };
	container_init(&created->container);
	created->container.root = request->globals->root;
	container_init(&c.pod.sandbox);
	launch_init(&c.launch);
	result = interrupt_catch(err);
	if (result == 0)
		result = prepare(&c, err);
	if (result == 0) {
		created->container.dirfd = statedir_create(request->globals->root, request->id, err);
		result = created->container.dirfd < 0 ? -1 : 0;
	}
	if (result == 0) {
		created->container.id = oci_strdup(request->id);
		created->container.config = request->config;
		result = make(&c, err);
	}
	if (result == 0) {
		created->terminal.master = take_fd(&c.terminal.master);
	} else if (created->container.dirfd >= 0) {
		created_destroy(created);
	} else {
		created_close(created);
	}
	creation_close(&c);
	return result;
}

void created_close(struct created *created)
{
	close_fd(&created->sync_fd);
	terminal_close(&created->terminal);
	container_close(&created->container);
}

void created_destroy(struct created *created)
{
	struct err ignored = ERR_INIT;

	start_proxy_kill(created->pid);
	if (container_destroy(&created->container, &ignored) < 0)
		log_warn("%s", ignored.text);
	created_close(created);
}
