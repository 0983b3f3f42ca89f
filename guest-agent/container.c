/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/container.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "guest-agent/agent.h"
#include "guest-agent/boot.h"
#include "guest-agent/common_mounts.h"
#include "guest-agent/device_filter.h"
#include "guest-agent/device_nodes.h"
#include "guest-agent/disks.h"
#include "guest-agent/errtext.h"
#include "guest-agent/hugepages.h"
#include "guest-agent/kernel.h"
#include "guest-agent/launch.h"
#include "guest-agent/namespaces.h"
#include "guest-agent/process.h"
#include "guest-agent/reply.h"
#include "guest-agent/suspend.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

static struct container *find(const struct agent *agent, const char *id)
{
	struct container *container = agent->containers;

	while (container && strcmp(container->id, id) != 0)
		container = container->next;
	return container;
}

struct process *container_first_process(const struct container *container)
{
	struct process *process = container->processes;

	while (process && process->next)
		process = process->next;
	return process;
}

struct container *container_find(struct agent *agent, const char *id, struct reply *reply)
{
	struct container *container = find(agent, id);
	struct err err = ERR_INIT;

	if (!container) {
		err_set(&err, ENOENT, "container %.256s does not exist", id);
		reply_error(reply, &err);
	}
	return container;
}

struct process *container_find_process(struct agent *agent, const char *id, const char *exec, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);
	struct process *process = container ? container->processes : NULL;
	struct err err = ERR_INIT;

	while (process && strcmp(process->exec, exec) != 0)
		process = process->next;
	if (container && !process) {
		err_set(&err, ESRCH, "no such process: exec %.256s of container %.256s", exec, id);
		reply_error(reply, &err);
	}
	return process;
}

/* Moves the container's life on. False: refused, and the reply was answered. */
bool container_advance(struct container *container, enum life_event event, struct reply *reply)
{
	const char *refusal;
	struct err err = ERR_INIT;

	if (life_next(container->state, event, &container->state, &refusal))
		return true;
	err_set(&err, EBUSY, "%s", refusal);
	reply_error(reply, &err);
	return false;
}

/* ---- Making one ---- */

/* The container has them by now, or never will. */
static void remove_nodes(struct container *container)
{
	if (container->has_nodes)
		device_nodes_remove(container->id);
	container->has_nodes = false;
}

static void destroy(struct container *container)
{
	remove_nodes(container);
	struct container **link = &container->agent->containers;

	while (*link && *link != container)
		link = &(*link)->next;
	if (*link)
		*link = container->next;
	/* Pages that a process still maps leave the pool when it lets go of them. */
	if (container->huge_bytes)
		(void)hugepages_fit(container->agent, &(struct err)ERR_INIT);
	while (container->processes) {
		struct process *process = container->processes;

		container->processes = process->next;
		process_destroy(process);
	}
	loop_remove(container->agent->loop, container->cgroup_watch);
	loop_remove(container->agent->loop, container->oom_watch);
	close_fd(&container->oom_fd);
	cgroup_destroy(&container->cgroup);
	reply_drop(&container->freezes, NULL);
	reply_drop(&container->suspends, NULL);
	reply_drop(&container->deletes, NULL);
	reply_drop(&container->oom_waits, NULL);
	for (size_t i = 0; i < container->share_count; i++)
		free(container->shares[i]);
	free(container->shares);
	free(container->uid_mappings);
	free(container->gid_mappings);
	free(container->id);
	free(container);
}

static bool copy_mappings(agent_IdMapping **out, size_t *out_count, const agent_IdMapping *from, size_t count)
{
	if (count == 0)
		return true;
	*out = calloc(count, sizeof **out);
	if (!*out)
		return false;
	memcpy(*out, from, count * sizeof **out);
	*out_count = count;
	return true;
}

static bool copy_shares(struct container *container, const agent_Container *from)
{
	container->shares = calloc(1 + from->mounts_count, sizeof *container->shares);
	if (!container->shares)
		return false;
	for (size_t i = 0; i <= from->mounts_count; i++) {
		const char *name = i == 0                      ? from->root_share
				   : from->mounts[i - 1].share ? from->mounts[i - 1].source
							       : NULL;

		if (!name)
			continue;
		container->shares[container->share_count] = strdup(name);
		if (!container->shares[container->share_count++])
			return false;
	}
	return true;
}

/*
 * Shares that the host has removed by now: looking for one is what makes the kernel forget its files, which the host
 * keeps open until then.
 */
static void look_for_shares(const struct container *container)
{
	struct stat status;
	char path[PATH_MAX];

	for (size_t i = 0; i < container->share_count; i++) {
		snprintf(path, sizeof path, "%s/shares/%s", container->agent->run_dir, container->shares[i]);
		(void)!lstat(path, &status);
	}
}

static void cgroup_changed(void *arg, uint32_t events)
{
	(void)events;
	container_settle(arg);
}

/* Files that do not speak of huge pages change nothing. */
static int set_huge_pages(struct container *container, const agent_FileValue *files, size_t count, struct err *err)
{
	int64_t limit = hugepages_limit(files, count);
	uint64_t before = container->huge_bytes;

	if (limit < 0 || (uint64_t)limit == before)
		return 0;
	container->huge_bytes = (uint64_t)limit;
	if (hugepages_fit(container->agent, err) == 0)
		return 0;
	container->huge_bytes = before;
	return -1;
}

/* The record of a container and its cgroup, without a process. On failure nothing is left. */
static struct container *make_record(struct agent *agent, const agent_CreateRequest *request, struct err *err)
{
	struct container *container = calloc(1, sizeof *container);
	const agent_Container *from = &request->container;

	if (!container) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	*container = (struct container){ .agent = agent, .cgroup = CGROUP_EMPTY, .oom_fd = -1 };
	container->id = strdup(request->id);
	if (!container->id ||
	    !copy_mappings(&container->uid_mappings, &container->uid_mapping_count, from->uid_mappings,
			   from->uid_mappings_count) ||
	    !copy_mappings(&container->gid_mappings, &container->gid_mapping_count, from->gid_mappings,
			   from->gid_mappings_count) ||
	    !copy_shares(container, from)) {
		err_set(err, ENOMEM, "out of memory");
		goto failed;
	}
	if (cgroup_create(&container->cgroup, agent->cgroup_fd, container->id, err) < 0)
		goto failed;
	if (cgroup_write_files(&container->cgroup, from->cgroup_files, from->cgroup_files_count, err) < 0)
		goto failed;
	container->cgroup_watch =
		loop_add_fd(agent->loop, container->cgroup.events_fd, EPOLLPRI, cgroup_changed, container);
	if (!container->cgroup_watch) {
		errtext_set(err, "watching the cgroup");
		goto failed;
	}
	container->next = agent->containers;
	agent->containers = container;
	if (set_huge_pages(container, from->cgroup_files, from->cgroup_files_count, err) < 0)
		goto failed;
	return container;

failed:
	cgroup_remove(&container->cgroup);
	destroy(container);
	return NULL;
}

/* The namespaces of another container that `id` names, added to the plan. */
static int plan_join(struct namespace_plan *plan, const struct agent *agent, const char *id, uint64_t flag,
		     uint64_t *joined, struct err *err)
{
	const struct container *other = find(agent, id);
	const struct process *first = other ? container_first_process(other) : NULL;

	if (!first || first->pidfd < 0)
		return err_set(err, ESRCH, "container %.256s, whose namespace is to be joined, is not running", id);
	if (!(other->namespaces & flag)) /* it has none of its own: nothing to join */
		return 0;
	*joined |= flag;
	for (unsigned i = 0; i < plan->join_count; i++) {
		if (plan->joins[i].pidfd == first->pidfd) {
			plan->joins[i].flags |= flag;
			return 0;
		}
	}
	if (plan->join_count == NAMESPACE_JOINS_MAX)
		return err_set(err, E2BIG, "namespaces of too many containers are to be joined");
	plan->joins[plan->join_count++] = (struct namespace_join){
		.pid = first->pid,
		.pidfd = first->pidfd,
		.flags = flag,
	};
	return 0;
}

/* A user namespace is entered first: it gives the right to enter those it owns. */
static void put_user_namespace_first(struct namespace_plan *plan)
{
	for (unsigned i = 1; i < plan->join_count; i++) {
		if (plan->joins[i].flags & CLONE_NEWUSER) {
			struct namespace_join first = plan->joins[0];

			plan->joins[0] = plan->joins[i];
			plan->joins[i] = first;
		}
	}
}

static int plan_create(struct namespace_plan *plan, struct container *container, const agent_Container *from,
		       struct err *err)
{
	uint64_t joined = 0;

	*plan = (struct namespace_plan){
		.create = CLONE_NEWNS, /* always: the container's root is made in it */
		.time_offsets = from->time_offsets,
		.time_offset_count = from->time_offsets_count,
		.cgroup_fd = container->cgroup.dir_fd,
	};
	for (size_t i = 0; i < from->namespaces_count; i++) {
		const agent_Namespace *ns = &from->namespaces[i];
		const char *other = message_text(ns->container);

		if (!other[0])
			plan->create |= ns->clone_flag;
		else if (ns->clone_flag != CLONE_NEWNS &&
			 plan_join(plan, container->agent, other, ns->clone_flag, &joined, err) < 0)
			return -1;
	}
	put_user_namespace_first(plan);
	container->namespaces = plan->create | joined;
	/* The helper, being nobody in there, may not put a process into a cgroup of ours: see move_into_cgroup. */
	if (joined & CLONE_NEWUSER)
		plan->cgroup_fd = -1;
	return 0;
}

static int move_into_cgroup(const struct container *container, const struct namespace_plan *plan, pid_t pid,
			    struct err *err)
{
	if (plan->cgroup_fd < 0 && cgroup_add(&container->cgroup, pid) < 0)
		return errtext_set(err, "moving the process into its cgroup");
	return 0;
}

/* What the container has no namespace of its own for is the guest's, and set by the agent. */
static int set_guests_own(const struct container *container, const agent_Container *from, struct err *err)
{
	auto_fd int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (proc_fd < 0)
		return errtext_set(err, "the guest's /proc");
	if (!(container->namespaces & CLONE_NEWUTS) && namespaces_set_names(from, err) < 0)
		return -1;
	if (!(container->namespaces & CLONE_NEWNET))
		return sysctl_apply(proc_fd, from, SYSCTL_NETWORK, err);
	return 0;
}

static int spawn_first(struct container *container, struct process *process, const agent_CreateRequest *request,
		       struct err *err)
{
	const agent_Container *from = &request->container;
	struct namespace_plan plan;

	if (plan_create(&plan, container, from, err) < 0 || set_guests_own(container, from, err) < 0 ||
	    common_mounts_make(container->agent->run_dir, from, err) < 0)
		return -1;
	if (from->devices_count && (container->namespaces & CLONE_NEWUSER || from->root_readonly)) {
		container->has_nodes = true;
		if (device_nodes_make(container->id, from, err) < 0)
			return -1;
	}
	struct launch launch = {
		.id = container->id,
		.run_dir = container->agent->run_dir,
		.container = from,
		.process = process->description,
		.in_user_namespace = container->namespaces & CLONE_NEWUSER,
		.new_cgroup_namespace = plan.create & CLONE_NEWCGROUP,
		.new_network_namespace = plan.create & CLONE_NEWNET,
		.new_uts_namespace = plan.create & CLONE_NEWUTS,
		.sysctls = container->namespaces & CLONE_NEWNET ? SYSCTL_ALL : SYSCTL_OTHERS,
	};
	plan.create &= ~(uint64_t)CLONE_NEWCGROUP;
	uint32_t uid =
		namespaces_map_id(container->uid_mappings, container->uid_mapping_count, process->description->uid);
	uint32_t gid =
		namespaces_map_id(container->gid_mappings, container->gid_mapping_count, process->description->gid);
	if (process_spawn(process, &plan, &launch, uid, gid, err) < 0)
		return -1;
	if (plan.create & CLONE_NEWUSER && namespaces_write_maps(process->pid, from, err) < 0)
		return -1;
	if (container->namespaces & CLONE_NEWUSER && launch.new_cgroup_namespace &&
	    cgroup_delegate(&container->cgroup,
			    namespaces_map_id(container->uid_mappings, container->uid_mapping_count, 0),
			    namespaces_map_id(container->gid_mappings, container->gid_mapping_count, 0), err) < 0)
		return -1;
	if (move_into_cgroup(container, &plan, process->pid, err) < 0)
		return -1;
	return process_go(process, err);
}

void container_create(struct agent *agent, agent_CreateRequest *request, struct reply *reply)
{
	struct err err = ERR_INIT;
	struct container *container = NULL;

	if (find(agent, request->id))
		err_set(&err, EEXIST, "container with given ID already exists");
	else if (boot_finish(agent, request->realtime_ns, &err) == 0 && disks_resolve(&request->container, &err) == 0)
		container = make_record(agent, request, &err);
	if (!container) {
		message_free(agent_CreateRequest_fields, request);
		reply_error(reply, &err);
		return;
	}
	struct process *process = process_create(container, "", agent_CreateRequest_fields, request, &request->process);
	if (!process) {
		err_set(&err, ENOMEM, "out of memory");
		reply_error(reply, &err);
		cgroup_remove(&container->cgroup);
		destroy(container);
		return;
	}
	container->processes = process;
	process->reply = reply;
	if (request->dies_with_connection)
		process->owner = reply->conn;
	if (spawn_first(container, process, request, &err) < 0) {
		process_fail(process, &err);
		container->is_doomed = true;
		if (!process->pid)
			process->stage = PROCESS_ENDED; /* there is nothing to reap */
		container_settle(container);
	}
}

/* ---- What its processes do ---- */

int container_process_ready(struct process *process, struct err *err)
{
	struct container *container = process->container;
	const char *refusal;

	if (process->exec[0])
		return 0;
	remove_nodes(container);
	/* After the child has made the device nodes, which the filter may forbid, and before the user's program. */
	const agent_CreateRequest *request = process->request;
	const pb_bytes_array_t *filter = request->container.device_filter;
	if (filter && filter->size &&
	    device_filter_attach(container->cgroup.dir_fd, filter->bytes, filter->size, err) < 0)
		return -1;
	if (!life_next(container->state, LIFE_BUILT, &container->state, &refusal))
		return err_set(err, ECANCELED, "%s", refusal);
	return 0;
}

void container_process_started(struct process *process)
{
	struct container *container = process->container;
	const char *refusal;

	if (!life_next(container->state, LIFE_STARTED, &container->state, &refusal))
		log_debug("started while %s", life_state_name(container->state));
}

static void forget_process(struct process *process)
{
	struct process **link = &process->container->processes;

	while (*link != process)
		link = &(*link)->next;
	*link = process->next;
	process_destroy(process);
}

static void tell_oom(struct container *container)
{
	uint64_t kills = cgroup_oom_kills(&container->cgroup);

	if (container->oom_waits && kills > container->oom_kills_told) {
		container->oom_kills_told = kills;
		reply_all_ok(&container->oom_waits);
	}
}

static void first_process_ended(struct container *container, struct process *process)
{
	const struct err gone = { .code = ESRCH, .text = "container not running" };
	enum life_state before = container->state;
	const char *refusal;

	if (life_next(before, LIFE_EXIT, &container->state, &refusal) && before == LIFE_CREATING)
		container->is_doomed = true;
	/* In a PID namespace of its own the kernel has done that, but who knows whether it has one. */
	if (cgroup_kill(&container->cgroup) < 0)
		log_warn("killing the processes of container %s: %s", container->id, strerror(errno));
	reply_all_error(&container->freezes, &gone);
	reply_all_error(&container->suspends, &gone);
	tell_oom(container); /* its end may be seen before what it died of */
	reply_all_error(&container->oom_waits, &gone);
	/* A failed START is answered now, a failed CREATE when nothing of it is left. */
	if (process->failure && !container->is_doomed) {
		reply_error(process->reply, process->failure);
		process->reply = NULL;
	}
}

void container_process_ended(struct process *process)
{
	struct container *container = process->container;

	if (!process->exec[0]) {
		first_process_ended(container, process);
	} else if (process->failure) {
		reply_error(process->reply, process->failure);
		process->reply = NULL;
		forget_process(process);
	} else if (process_is_forgettable(process)) {
		forget_process(process);
	}
	container_settle(container);
}

void container_reaped(struct agent *agent, int pid, int status)
{
	for (struct container *container = agent->containers; container; container = container->next) {
		for (struct process *process = container->processes; process; process = process->next) {
			if (process->pid == pid && process->stage != PROCESS_ENDED) {
				process_reaped(process, status);
				return;
			}
		}
	}
}

/* ---- The end of a container ---- */

static bool all_ended(const struct container *container)
{
	for (const struct process *process = container->processes; process; process = process->next) {
		if (process->stage != PROCESS_ENDED)
			return false;
	}
	return true;
}

/* Answers those who asked for its removal, and forgets it. */
static void finish(struct container *container)
{
	struct process *first = container_first_process(container);
	struct err err = ERR_INIT;

	if (cgroup_remove(&container->cgroup) < 0) {
		errtext_set(&err, "removing the cgroup of container %s", container->id);
		log_warn("%s", err.text);
	}
	if (container->is_doomed && first && first->reply) {
		const struct err no_memory = { .code = ENOMEM, .text = "out of memory" };

		reply_error(first->reply, first->failure ? first->failure : &no_memory);
		first->reply = NULL;
	}
	look_for_shares(container);
	if (err.code)
		reply_all_error(&container->deletes, &err);
	else
		reply_all_ok(&container->deletes);
	destroy(container);
}

/* Something has happened: is what somebody waits for done? May free the container. */
void container_settle(struct container *container)
{
	struct cgroup_events events;

	if (cgroup_read_events(&container->cgroup, &events) < 0)
		return;
	if (container->freezes && events.frozen == (container->state == LIFE_PAUSED))
		reply_all_ok(&container->freezes);
	if (events.frozen && container->state == LIFE_SUSPENDED)
		suspend_settled(container);
	if ((container->is_doomed || container->state == LIFE_DELETING) && !events.populated && all_ended(container))
		finish(container);
}

void container_delete(struct agent *agent, const char *id, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);

	if (!container || !container_advance(container, LIFE_DELETE, reply))
		return;
	reply_push(&container->deletes, reply);
	if (cgroup_kill(&container->cgroup) < 0)
		log_warn("killing the processes of container %s: %s", id, strerror(errno));
	container_settle(container);
}

void container_kill_everything(struct agent *agent)
{
	for (struct container *container = agent->containers; container; container = container->next)
		cgroup_kill(&container->cgroup);
}

/* ---- Requests about one that is there ---- */

void container_start(struct agent *agent, const char *id, int64_t realtime_ns, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);
	bool is_adopted = container && container->state == LIFE_ADOPTED;

	if (!container || !container_advance(container, LIFE_START, reply))
		return;
	if (is_adopted)
		suspend_start(container, realtime_ns, reply);
	else
		process_start(container_first_process(container), reply);
}

/* The cgroup the container's first process is in now, if that is not the container's own but below it. */
static int open_current_cgroup(const struct container *container)
{
	char path[64], text[4096], prefix[CGROUP_NAME_MAX + 8];
	auto_fd int fd = -1;

	snprintf(path, sizeof path, "/proc/%d/cgroup", container_first_process(container)->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n < 0)
		return -1;
	text[n] = '\0';
	snprintf(prefix, sizeof prefix, "/%s/", container->cgroup.name);
	char *below = strstr(text, prefix);
	if (!below) {
		errno = ENOENT;
		return -1;
	}
	below += strlen(prefix);
	below[strcspn(below, "\n")] = '\0';
	return cgroup_open_sub(&container->cgroup, below, false);
}

/* In runc's words; the path is the container's view. */
static int refuse_cgroup(const char *sub, int code, struct err *err)
{
	errno = code;
	return errtext_set(err, "error adding pid of the process to cgroups: /sys/fs/cgroup/%.200s/cgroup.procs",
			   sub + strspn(sub, "/"));
}

static int spawn_exec(struct container *container, struct process *process, const agent_ExecRequest *request,
		      struct err *err)
{
	struct process *first = container_first_process(container);
	const char *sub = message_text(request->cgroup);
	auto_fd int cgroup_fd = cgroup_open_sub(&container->cgroup, sub, request->make_cgroup);
	struct launch launch = {
		.id = container->id,
		.run_dir = container->agent->run_dir,
		.process = process->description,
		.in_user_namespace = !request->debug && container->namespaces & CLONE_NEWUSER,
		.debug = request->debug,
	};
	struct namespace_plan plan = {
		.joins = { { .pid = first->pid,
			     .pidfd = first->pidfd,
			     .flags = request->debug ? CLONE_NEWNS : container->namespaces } },
		.join_count = 1,
		.cgroup_fd = launch.in_user_namespace ? -1 : cgroup_fd,
	};

	if (cgroup_fd < 0)
		return refuse_cgroup(sub, errno, err);
	uint32_t uid =
		namespaces_map_id(container->uid_mappings, container->uid_mapping_count, process->description->uid);
	uint32_t gid =
		namespaces_map_id(container->gid_mappings, container->gid_mapping_count, process->description->gid);
	if (process_spawn(process, &plan, &launch, uid, gid, err) < 0) {
		/* A container that manages cgroups of its own has no room for processes in its topmost one. */
		if (err->code != EBUSY || process->pid)
			return -1;
		if (sub[0])
			return refuse_cgroup(sub, err->code, err);
		close_fd(&cgroup_fd);
		plan.cgroup_fd = cgroup_fd = open_current_cgroup(container);
		if (cgroup_fd < 0 || process_spawn(process, &plan, &launch, uid, gid, err) < 0)
			return -1;
	}
	if (move_into_cgroup(container, &plan, process->pid, err) < 0)
		return -1;
	return process_go(process, err);
}

void container_exec(struct agent *agent, agent_ExecRequest *request, struct reply *reply)
{
	struct container *container = container_find(agent, request->container, reply);
	struct err err = ERR_INIT;

	if (!container || !container_advance(container, LIFE_EXEC, reply)) {
		message_free(agent_ExecRequest_fields, request);
		return;
	}
	for (struct process *other = container->processes; other; other = other->next) {
		if (strcmp(other->exec, request->exec) == 0) {
			err_set(&err, EEXIST, "exec %.256s exists already in the container", request->exec);
			message_free(agent_ExecRequest_fields, request);
			reply_error(reply, &err);
			return;
		}
	}
	struct process *process =
		process_create(container, request->exec, agent_ExecRequest_fields, request, &request->process);
	if (!process) {
		err_set(&err, ENOMEM, "out of memory");
		reply_error(reply, &err);
		return;
	}
	process->next = container->processes;
	container->processes = process;
	process->reply = reply;
	process->owner = reply->conn;
	if (spawn_exec(container, process, request, &err) < 0) {
		process_fail(process, &err);
		if (!process->pid) {
			reply_error(process->reply, &err);
			process->reply = NULL;
			forget_process(process);
		}
	}
}

struct signal_all {
	int signal_number;
	unsigned count;
};

static void signal_one(void *arg, pid_t pid)
{
	struct signal_all *all = arg;

	if (kill(pid, all->signal_number) == 0)
		all->count++;
}

/* All processes of the cgroup. For SIGKILL the kernel does it, and no fork can slip through. */
static int signal_all(const struct container *container, int signal_number)
{
	struct signal_all all = { .signal_number = signal_number };

	if (signal_number == SIGKILL)
		return cgroup_kill(&container->cgroup);
	if (cgroup_processes(&container->cgroup, signal_one, &all) < 0 && all.count == 0)
		return -1;
	return 0;
}

void container_kill(struct agent *agent, const agent_KillRequest *request, struct reply *reply)
{
	const char *exec = message_text(request->exec);
	struct process *process = container_find_process(agent, request->container, exec, reply);
	struct err err = ERR_INIT;
	int ret;

	if (!process)
		return;
	/* What a container without a PID namespace left behind may be killed after its first process has gone. */
	if (!request->all && !exec[0] && !container_advance(process->container, LIFE_KILL, reply))
		return;
	if (request->all)
		ret = signal_all(process->container, (int)request->signal);
	else
		ret = process_signal(process, (int)request->signal);
	if (ret < 0) {
		if (errno == ESRCH)
			err_set(&err, ESRCH, "process already finished");
		else
			errtext_set(&err, "sending signal %u", request->signal);
		reply_error(reply, &err);
		return;
	}
	reply_ok(reply);
}

void container_freeze(struct agent *agent, const char *id, bool frozen, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);
	struct err err = ERR_INIT;

	if (!container)
		return;
	enum life_state before = container->state;
	if (!container_advance(container, frozen ? LIFE_FREEZE : LIFE_THAW, reply))
		return;
	if (cgroup_freeze(&container->cgroup, frozen) < 0) {
		container->state = before;
		errtext_set(&err, "%s the container", frozen ? "freezing" : "thawing");
		reply_error(reply, &err);
		return;
	}
	/* Whoever waits for the opposite waits in vain. */
	const struct err overtaken = { .code = ECANCELED, .text = "overtaken by a later pause or resume" };
	reply_all_error(&container->freezes, &overtaken);
	reply_push(&container->freezes, reply);
	container_settle(container);
}

void container_update(struct agent *agent, const agent_UpdateRequest *request, struct reply *reply)
{
	struct container *container = container_find(agent, request->container, reply);
	struct err err = ERR_INIT;

	if (!container)
		return;
	if (set_huge_pages(container, request->files, request->files_count, &err) < 0 ||
	    cgroup_write_files(&container->cgroup, request->files, request->files_count, &err) < 0)
		reply_error(reply, &err);
	else
		reply_ok(reply);
}

/* ---- Out of memory ---- */

static void oom_changed(void *arg, uint32_t events)
{
	struct container *container = arg;
	char text[512];

	(void)events;
	/* Reading the watched descriptor itself is what quiets it. */
	if (pread(container->oom_fd, text, sizeof text, 0) < 0) {
		loop_remove(container->agent->loop, container->oom_watch);
		container->oom_watch = NULL;
	}
	tell_oom(container);
}

void container_wait_oom(struct agent *agent, const char *id, struct reply *reply)
{
	struct container *container = container_find(agent, id, reply);
	struct err err = ERR_INIT;

	if (!container)
		return;
	if (container->oom_fd < 0) {
		container->oom_fd = openat(container->cgroup.dir_fd, "memory.events", O_RDONLY | O_CLOEXEC);
		if (container->oom_fd >= 0)
			container->oom_watch =
				loop_add_fd(agent->loop, container->oom_fd, EPOLLPRI, oom_changed, container);
	}
	if (!container->oom_watch) {
		errtext_set(&err, "watching memory.events");
		reply_error(reply, &err);
		return;
	}
	reply_push(&container->oom_waits, reply);
	tell_oom(container);
}

/* ---- Connections ---- */

static void drop_from_process(struct process *process, const struct conn *conn)
{
	reply_drop(&process->waits, conn);
	if (process->reply && process->reply->conn == conn) {
		free(process->reply);
		process->reply = NULL;
	}
	if (process->owner == conn) {
		process->owner = NULL;
		/* It belongs to the proxy that stands in for it on the host: killing that one kills this one. */
		process_signal(process, SIGKILL);
	}
}

void container_connection_closed(struct agent *agent, const struct conn *conn)
{
	suspend_connection_closed(agent, conn);
	for (struct container *container = agent->containers; container; container = container->next) {
		reply_drop(&container->freezes, conn);
		reply_drop(&container->suspends, conn);
		reply_drop(&container->deletes, conn);
		reply_drop(&container->oom_waits, conn);
		for (struct process *process = container->processes, *next; process; process = next) {
			next = process->next;
			drop_from_process(process, conn);
			if (process_is_forgettable(process))
				forget_process(process);
		}
	}
}
