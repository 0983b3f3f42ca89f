/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/cgroup.h"

#include "common/auto.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"
#include "guest-agent/kernel.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 32, SMALL_FILE = 1024, PIDS_FILE_MAX = 4 << 20 };

int cgroup_enable_controllers(int root_fd, struct err *err)
{
	char names[SMALL_FILE], *rest, *name;

	if (file_read_at(root_fd, "cgroup.controllers", names, sizeof names) < 0)
		return errtext_set(err, "reading the cgroup controllers");
	/* One by one: a controller that cannot be enabled must not take the others with it. */
	for (name = strtok_r(names, " \n", &rest); name; name = strtok_r(NULL, " \n", &rest)) {
		char word[64];

		snprintf(word, sizeof word, "+%s", name);
		if (file_write_at(root_fd, "cgroup.subtree_control", word) < 0)
			return errtext_set(err, "enabling cgroup controller %s", name);
	}
	return 0;
}

int cgroup_create(struct cgroup *cgroup, int root_fd, const char *container, struct err *err)
{
	*cgroup = (struct cgroup)CGROUP_EMPTY;
	/* The prefix keeps an id such as "cgroup.procs" from being one of the tree's own names. */
	int n = snprintf(cgroup->name, sizeof cgroup->name, "container-%s", container);
	if (n < 0 || (size_t)n >= sizeof cgroup->name)
		return err_set(err, ENAMETOOLONG, "the name of container %.64s... is too long", container);
	cgroup->parent_fd = root_fd;
	if (mkdirat(root_fd, cgroup->name, 0755) < 0)
		return errtext_set(err, "creating cgroup %s", cgroup->name);
	cgroup->dir_fd = openat(root_fd, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->dir_fd >= 0)
		cgroup->events_fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (cgroup->events_fd < 0) {
		errtext_set(err, "opening cgroup %s", cgroup->name);
		unlinkat(root_fd, cgroup->name, AT_REMOVEDIR);
		cgroup_destroy(cgroup);
		return -1;
	}
	return 0;
}

void cgroup_destroy(struct cgroup *cgroup)
{
	close_fd(&cgroup->dir_fd);
	close_fd(&cgroup->events_fd);
}

/* Calls `visit` for each sub-directory of dir_fd. The tree was shaped by the container, so the depth is bounded. */
typedef int visit_directory(int parent_fd, const char *name, int dir_fd, unsigned depth, void *arg);

static int each_directory(int dir_fd, unsigned depth, visit_directory *visit, void *arg)
{
	int scan_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *dir = scan_fd < 0 ? NULL : fdopendir(scan_fd);
	struct dirent *entry;
	int ret = 0;

	if (!dir || depth > DEPTH_MAX) {
		if (!dir)
			close_fd(&scan_fd);
		return -1;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		auto_fd int sub = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0 || visit(dir_fd, entry->d_name, sub, depth + 1, arg) < 0)
			ret = -1;
	}
	return ret;
}

static int remove_directory(int parent_fd, const char *name, int dir_fd, unsigned depth, void *arg)
{
	each_directory(dir_fd, depth, remove_directory, arg);
	return unlinkat(parent_fd, name, AT_REMOVEDIR);
}

int cgroup_remove(struct cgroup *cgroup)
{
	if (cgroup->dir_fd < 0)
		return 0;
	if (remove_directory(cgroup->parent_fd, cgroup->name, cgroup->dir_fd, 0, NULL) < 0)
		return -1;
	cgroup_destroy(cgroup);
	return 0;
}

int cgroup_delegate(const struct cgroup *cgroup, unsigned uid, unsigned gid, struct err *err)
{
	static const char *const files[] = { ".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control",
					     "memory.oom.group" };

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		if (fchownat(cgroup->dir_fd, files[i], uid, gid, 0) < 0 && errno != ENOENT)
			return errtext_set(err, "giving cgroup file %s to %u:%u", files[i], uid, gid);
	}
	return 0;
}

/* A limit of huge pages of a size that this kernel does not have is kept by itself. */
static bool needs_no_file(const agent_FileValue *file)
{
	return errno == ENOENT && strncmp(file->name, "hugetlb.", 8) == 0;
}

int cgroup_write_files(const struct cgroup *cgroup, const agent_FileValue *files, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (file_write_at(cgroup->dir_fd, files[i].name, message_text(files[i].value)) < 0 &&
		    !needs_no_file(&files[i]))
			return errtext_set(err, "setting cgroup file %s to \"%.200s\"", files[i].name,
					   message_text(files[i].value));
	}
	return 0;
}

int cgroup_add(const struct cgroup *cgroup, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof text, "%d", pid);
	return file_write_at(cgroup->dir_fd, "cgroup.procs", text);
}

int cgroup_freeze(const struct cgroup *cgroup, bool frozen)
{
	return file_write_at(cgroup->dir_fd, "cgroup.freeze", frozen ? "1" : "0");
}

int cgroup_kill(const struct cgroup *cgroup)
{
	return file_write_at(cgroup->dir_fd, "cgroup.kill", "1");
}

/* The number after "name " at the beginning of a line. */
static uint64_t value_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; *line;) {
		if (strncmp(line, name, length) == 0 && line[length] == ' ')
			return strtoull(line + length + 1, NULL, 10);
		line = strchrnul(line, '\n');
		if (*line)
			line++;
	}
	return 0;
}

int cgroup_read_events(const struct cgroup *cgroup, struct cgroup_events *events)
{
	char text[SMALL_FILE];
	ssize_t n = pread(cgroup->events_fd, text, sizeof text - 1, 0);

	if (n < 0)
		return -1;
	text[n] = '\0';
	events->populated = value_of(text, "populated") != 0;
	events->frozen = value_of(text, "frozen") != 0;
	return 0;
}

struct process_visit {
	cgroup_process *callback;
	void *arg;
};

static int visit_processes(int parent_fd, const char *name, int dir_fd, unsigned depth, void *arg)
{
	struct process_visit *visit = arg;
	auto_fd int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	/* A threaded sub-cgroup cannot be read: EOPNOTSUPP. Its processes are listed further up. */
	auto_free char *text = fd < 0 ? NULL : file_read_all(fd, PIDS_FILE_MAX, NULL);
	char *rest;

	(void)parent_fd;
	(void)name;
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		long pid = strtol(line, NULL, 10);

		if (pid > 0)
			visit->callback(visit->arg, (pid_t)pid);
	}
	return each_directory(dir_fd, depth, visit_processes, arg);
}

int cgroup_processes(const struct cgroup *cgroup, cgroup_process *callback, void *arg)
{
	struct process_visit visit = { callback, arg };

	return visit_processes(cgroup->parent_fd, cgroup->name, cgroup->dir_fd, 0, &visit);
}

int cgroup_open_sub(const struct cgroup *cgroup, const char *path, bool make)
{
	const struct kernel_open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = KERNEL_RESOLVE_BENEATH | KERNEL_RESOLVE_NO_SYMLINKS,
	};

	while (*path == '/')
		path++;
	if (!*path)
		path = ".";
	int fd = kernel_openat2(cgroup->dir_fd, path, &how);
	if (fd < 0 && errno == ENOENT && make && !strchr(path, '/') && mkdirat(cgroup->dir_fd, path, 0755) == 0)
		fd = kernel_openat2(cgroup->dir_fd, path, &how);
	return fd;
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	char text[SMALL_FILE];

	if (file_read_at(cgroup->dir_fd, "memory.events", text, sizeof text) < 0)
		return 0;
	return value_of(text, "oom_kill");
}

/* A file that is one number, or "max". */
static uint64_t read_number(const struct cgroup *cgroup, const char *file)
{
	char text[64];

	if (file_read_at(cgroup->dir_fd, file, text, sizeof text) < 0)
		return 0;
	return strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
}

/* memory.stat as it is: "name value" lines. */
static void read_memory_stat(const struct cgroup *cgroup, agent_StatsReply *stats)
{
	enum { LINES_MAX = 128 };
	char text[8 * SMALL_FILE], *rest;

	if (file_read_at(cgroup->dir_fd, "memory.stat", text, sizeof text) < 0)
		return;
	stats->memory_stat = calloc(LINES_MAX, sizeof *stats->memory_stat);
	if (!stats->memory_stat)
		return;
	for (char *line = strtok_r(text, "\n", &rest); line && stats->memory_stat_count < LINES_MAX;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *space = strchr(line, ' ');
		agent_FileValue *item = &stats->memory_stat[stats->memory_stat_count];

		if (!space)
			continue;
		*space = '\0';
		item->name = strdup(line);
		item->value = strdup(space + 1);
		stats->memory_stat_count++;
	}
}

void cgroup_read_stats(const struct cgroup *cgroup, agent_StatsReply *stats)
{
	char text[SMALL_FILE];

	if (file_read_at(cgroup->dir_fd, "cpu.stat", text, sizeof text) >= 0) {
		stats->cpu_usage_us = value_of(text, "usage_usec");
		stats->cpu_user_us = value_of(text, "user_usec");
		stats->cpu_system_us = value_of(text, "system_usec");
		stats->cpu_periods = value_of(text, "nr_periods");
		stats->cpu_throttled_periods = value_of(text, "nr_throttled");
		stats->cpu_throttled_us = value_of(text, "throttled_usec");
	}
	stats->memory_current = read_number(cgroup, "memory.current");
	stats->memory_peak = read_number(cgroup, "memory.peak");
	stats->memory_max = read_number(cgroup, "memory.max");
	stats->memory_swap_current = read_number(cgroup, "memory.swap.current");
	stats->oom_kills = cgroup_oom_kills(cgroup);
	stats->pids_current = read_number(cgroup, "pids.current");
	stats->pids_max = read_number(cgroup, "pids.max");
	read_memory_stat(cgroup, stats);
}
