/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify_socket.h"

#include "common/auto.h"
#include "common/log.h"

#include "oci/alloc.h"
#include "oci/config.h"

#include "agent.pb.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define VARIABLE "NOTIFY_SOCKET"
#define RUNTIMES_DIRECTORY "/run/notify" /* runc's choice */
#define RUNTIMES_PATH RUNTIMES_DIRECTORY "/notify.sock"

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (length == 0 || length >= sizeof address.sun_path) {
		log_debug(VARIABLE ": \"%s\" is no address of a socket", path);
		return -1;
	}
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = '\0';
	if (fd < 0 || connect(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path != '@'))) < 0) {
		log_debug(VARIABLE ": %s: %s", path, strerror(errno));
		return -1;
	}
	return take_fd(&fd);
}

/*
 * What lies in a mount is the container's, and the variable may be its image's: no way up and no link, or it would be
 * any socket of the host's that this process of root's connects to.
 */
static int connect_beneath(const char *source, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	char link[32];

	if (!*path)
		return connect_to(source);
	auto_fd int directory = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fd = directory < 0 ? -1 : (int)syscall(SYS_openat2, directory, path + 1, &how, sizeof how);
	if (fd < 0) {
		log_debug(VARIABLE ": %s%s: %s", source, path, strerror(errno));
		return -1;
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return connect_to(link);
}

/* The last one counts. */
static const char *find_variable(const struct oci_strings *env)
{
	for (size_t i = env->count; i-- > 0;)
		if (strncmp(env->items[i], VARIABLE "=", sizeof VARIABLE) == 0)
			return env->items[i] + sizeof VARIABLE;
	return NULL;
}

/* The mount that brings what the container sees at `path` from the host; the last one that does. */
static const struct oci_mount *find_mount(const struct oci_config *config, const char *path)
{
	for (size_t i = config->mount_count; i-- > 0;) {
		const struct oci_mount *mount = &config->mounts[i];
		size_t length = strlen(mount->destination);

		if (mount->bind && mount->source && mount->source[0] == '/' && length >= 2 &&
		    strncmp(path, mount->destination, length) == 0 && strchr("/", path[length]))
			return mount;
	}
	return NULL;
}

void notify_socket_find(struct notify_socket *notify, struct oci_config *config)
{
	const char *inside = find_variable(&config->process.env), *ours = getenv(VARIABLE);
	const struct oci_mount *mount = inside && *inside == '/' ? find_mount(config, inside) : NULL;

	*notify = (struct notify_socket){ .fd = -1 };
	if (mount) {
		notify->fd = connect_beneath(mount->source, inside + strlen(mount->destination));
		notify->inside = inside;
	} else if (!inside && ours) {
		notify->fd = connect_to(ours);
		notify->inside = RUNTIMES_PATH;
		notify->is_runtimes = true;
		if (notify->fd >= 0)
			oci_strings_add(&config->process.env, VARIABLE "=" RUNTIMES_PATH);
	}
}

static agent_Mount *add_mount(agent_Container *container, const char *type, const char *destination)
{
	/* The description's array has exactly the size of its mounts: it was not made to grow. */
	agent_Mount *mounts = oci_alloc(container->mounts_count + 1u, sizeof *mounts);
	agent_Mount *mount = &mounts[container->mounts_count];

	if (container->mounts_count)
		memcpy(mounts, container->mounts, container->mounts_count * sizeof *mounts);
	free(container->mounts);
	container->mounts = mounts;
	container->mounts_count++;
	mount->type = oci_strdup(type);
	mount->destination = oci_strdup(destination);
	return mount;
}

void notify_socket_describe(const struct notify_socket *notify, agent_Container *container)
{
	struct timespec now;

	if (notify->fd < 0)
		return;
	if (notify->is_runtimes) {
		agent_Mount *directory = add_mount(container, "tmpfs", RUNTIMES_DIRECTORY);

		directory->source = oci_strdup("tmpfs");
		directory->flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
		directory->data = oci_strdup("mode=755,size=64k");
	}
	agent_Mount *mount = add_mount(container, "notify", notify->inside);
	/* One of several in a VM: no other has this name. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	mount->source = oci_format("notify-%d-%lld-%ld", (int)getpid(), (long long)now.tv_sec, now.tv_nsec);
	mount->flags = MS_BIND;
	mount->common = true;
	mount->source_is_file = true;
}

void notify_socket_tell_main(const struct notify_socket *notify, pid_t pid)
{
	char text[32];
	int length = snprintf(text, sizeof text, "MAINPID=%d", (int)pid);

	if (notify->fd >= 0 && notify->is_runtimes && send(notify->fd, text, (size_t)length, MSG_NOSIGNAL) < 0)
		log_debug(VARIABLE ": %s", strerror(errno));
}
