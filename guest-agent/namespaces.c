/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/namespaces.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"
#include "guest-agent/kernel.h"

#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

/* What the helper says before it ends: the child's pid, or what failed. */
struct helper_result {
	pid_t pid;
	struct err err;
};

static pid_t clone_child(const struct namespace_plan *plan, uint64_t more_flags, int cgroup_namespace_fd,
			 void (*child)(void *arg), void *arg, struct err *err)
{
	struct kernel_clone_args args = { .flags = plan->create | more_flags };

	/* With CLONE_PARENT the exit signal is the maker's own. */
	if (!(more_flags & CLONE_PARENT))
		args.exit_signal = SIGCHLD;
	if (plan->cgroup_fd >= 0) {
		args.flags |= KERNEL_CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan->cgroup_fd;
	}
	pid_t pid = kernel_clone3(&args);
	if (pid == 0) {
		if (cgroup_namespace_fd < 0 || setns(cgroup_namespace_fd, CLONE_NEWCGROUP) == 0)
			child(arg);
		_exit(1);
	}
	if (pid < 0)
		errtext_set(err, "creating the container's process (clone3, flags %#llx)",
			    (unsigned long long)args.flags);
	return pid;
}

/* "monotonic 86400 0" lines for a time namespace that nobody is in yet (time_namespaces(7)). */
static int write_time_offsets(int fd, const struct namespace_plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->time_offset_count; i++) {
		const agent_TimeOffset *offset = &plan->time_offsets[i];

		if (dprintf(fd, "%u %lld %u\n", offset->clock, (long long)offset->seconds, offset->nanoseconds) < 0)
			return errtext_set(err, "setting the offset of clock %u in the time namespace", offset->clock);
	}
	return 0;
}

/* What has to be opened while the helper still has the agent's rights and sees its /proc. */
struct helper_files {
	int time_offsets, cgroup_namespace;
};

static int open_files(const struct namespace_plan *plan, struct helper_files *files, struct err *err)
{
	*files = (struct helper_files){ -1, -1 };
	if (plan->create & CLONE_NEWTIME) {
		files->time_offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		if (files->time_offsets < 0)
			return errtext_set(err, "time namespace");
	}
	for (unsigned i = 0; i < plan->join_count; i++) {
		char path[64];

		if (!(plan->joins[i].flags & CLONE_NEWCGROUP))
			continue;
		snprintf(path, sizeof path, "/proc/%d/ns/cgroup", plan->joins[i].pid);
		files->cgroup_namespace = open(path, O_RDONLY | O_CLOEXEC);
		if (files->cgroup_namespace < 0)
			return errtext_set(err, "joining the cgroup namespace");
	}
	return 0;
}

static int enter_namespaces(const struct namespace_plan *plan, const struct helper_files *files, struct err *err)
{
	for (unsigned i = 0; i < plan->join_count; i++) {
		int flags = (int)(plan->joins[i].flags & ~(uint64_t)CLONE_NEWCGROUP);

		if (flags && setns(plan->joins[i].pidfd, flags) < 0)
			return errtext_set(err, "joining namespaces (setns, flags %#x)", (unsigned)flags);
	}
	if (plan->create & CLONE_NEWTIME) {
		if (unshare(CLONE_NEWTIME) < 0)
			return errtext_set(err, "creating the time namespace");
		if (write_time_offsets(files->time_offsets, plan, err) < 0)
			return -1;
	}
	return 0;
}

/* The helper's descriptors need no closing: it ends here, and the child closes all it does not know (launch.c). */
static void __attribute__((noreturn))
help(const struct namespace_plan *plan, int result_fd, void (*child)(void *arg), void *arg)
{
	struct helper_result result = { .pid = -1 };
	struct namespace_plan rest = *plan;
	struct helper_files files;

	rest.create &= ~(uint64_t)CLONE_NEWTIME;
	if (open_files(plan, &files, &result.err) == 0 && enter_namespaces(plan, &files, &result.err) == 0)
		result.pid = clone_child(&rest, CLONE_PARENT, files.cgroup_namespace, child, arg, &result.err);
	_exit(write(result_fd, &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
}

static pid_t spawn_with_helper(const struct namespace_plan *plan, void (*child)(void *arg), void *arg, struct err *err)
{
	const struct kernel_clone_args args = { .exit_signal = SIGCHLD };
	struct helper_result result;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errtext_set(err, "creating the container's process");
	auto_fd int result_fd = ends[0];
	auto_fd int helper_fd = ends[1];
	pid_t helper = kernel_clone3(&args);
	if (helper == 0)
		help(plan, helper_fd, child, arg);
	if (helper < 0)
		return errtext_set(err, "creating the container's process");
	close_fd(&helper_fd);
	/*
	 * The helper runs our code only, in no cgroup but ours, so it cannot be frozen or limited. The child holds the
	 * pipe too, so we read one record, not to the end of file.
	 */
	ssize_t n;
	do {
		n = read(result_fd, &result, sizeof result);
	} while (n < 0 && errno == EINTR);
	while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof result)
		return err_set(err, ECHILD, "creating the container's process: the helper ended early");
	if (result.pid < 0)
		*err = result.err;
	return result.pid;
}

pid_t namespaces_spawn(const struct namespace_plan *plan, void (*child)(void *arg), void *arg, struct err *err)
{
	if (plan->join_count || plan->create & CLONE_NEWTIME)
		return spawn_with_helper(plan, child, arg, err);
	return clone_child(plan, 0, -1, child, arg, err);
}

/* A map is written in one write(2), at most once (user_namespaces(7)). */
static int write_map(pid_t pid, const char *file, const agent_IdMapping *mappings, size_t count, struct err *err)
{
	enum { LINE = 40 };
	char path[64];
	auto_free char *text = malloc(count * LINE + 1);
	size_t used = 0;

	if (!text)
		return err_set(err, ENOMEM, "%s: out of memory", file);
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, LINE, "%u %u %u\n", mappings[i].container_id, mappings[i].host_id,
					 mappings[i].size);
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	if (used && file_write_at(AT_FDCWD, path, text) < 0)
		return errtext_set(err, "writing %s", file);
	return 0;
}

int namespaces_write_maps(pid_t pid, const agent_Container *container, struct err *err)
{
	if (write_map(pid, "uid_map", container->uid_mappings, container->uid_mappings_count, err) < 0)
		return -1;
	return write_map(pid, "gid_map", container->gid_mappings, container->gid_mappings_count, err);
}

uint32_t namespaces_map_id(const agent_IdMapping *mappings, size_t count, uint32_t id)
{
	if (count == 0)
		return id;
	for (size_t i = 0; i < count; i++) {
		if (id >= mappings[i].container_id && id - mappings[i].container_id < mappings[i].size)
			return mappings[i].host_id + (id - mappings[i].container_id);
	}
	return (uint32_t)-1;
}

int namespaces_set_names(const agent_Container *container, struct err *err)
{
	const char *host = message_text(container->hostname);
	const char *domain = message_text(container->domainname);

	if (*host && sethostname(host, strlen(host)) < 0)
		return errtext_set(err, "setting the host name to \"%.100s\"", host);
	if (*domain && setdomainname(domain, strlen(domain)) < 0)
		return errtext_set(err, "setting the domain name to \"%.100s\"", domain);
	return 0;
}

int namespaces_bring_up_loopback(void)
{
	struct ifreq request;
	auto_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memset(&request, 0, sizeof request);
	memcpy(request.ifr_name, "lo", 3);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (fd < 0)
		return -1;
	return ioctl(fd, SIOCSIFFLAGS, &request);
}
