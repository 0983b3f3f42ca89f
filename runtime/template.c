/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/template.h"

#include "runtime/version.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"

#include "vmm/snapshot.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

/* --- the key ----------------------------------------------------------------------------------------------- */

struct text {
	char *out;
	size_t used;
	bool too_long;
};

static void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text->out + text->used, TEMPLATE_KEY_MAX - text->used, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= TEMPLATE_KEY_MAX - text->used)
		text->too_long = true;
	else
		text->used += (size_t)n;
}

/* A file that was replaced or written to is another one. */
static void add_file(struct text *text, const char *what, const struct stat *status)
{
	add(text, "%s %lx:%lx %lld %lld.%09ld\n", what, (unsigned long)status->st_dev, (unsigned long)status->st_ino,
	    (long long)status->st_size, (long long)status->st_ctim.tv_sec, status->st_ctim.tv_nsec);
}

/* What the host's processor says it is and can. The monitor compares what KVM makes of it, too. */
uint64_t template_processor(void)
{
	static const unsigned leaves[] = { 0, 1, 7, 0xd, 0x80000001, 0x80000002, 0x80000003, 0x80000004, 0x80000008 };
	uint64_t hash = SNAPSHOT_HASH_INIT;

	for (unsigned i = 0; i < sizeof leaves / sizeof *leaves; i++) {
		unsigned registers[4] = { 0 };

		__get_cpuid_count(leaves[i], 0, &registers[0], &registers[1], &registers[2], &registers[3]);
		if (leaves[i] == 1)
			registers[1] = 0; /* which processor of the host this is */
		if (leaves[i] == 0xd)
			registers[1] = 0; /* the size of what is switched on just now */
		hash = snapshot_hash(hash, registers, sizeof registers);
	}
	return hash;
}

int template_key(const struct template_inputs *inputs, char key[TEMPLATE_KEY_MAX], char name[TEMPLATE_NAME_SIZE],
		 struct err *err)
{
	struct text text = { .out = key };
	struct stat monitor, kernel, initrd;
	struct utsname host;

	if (stat(inputs->monitor, &monitor) || fd_stat(inputs->kernel_fd, &kernel) ||
	    fd_stat(inputs->initrd_fd, &initrd) || uname(&host))
		return err_set_errno(err, "cannot tell what a template would be made of");
	add(&text, "memory-mib %u\nvcpus %u\ndax-mib %u\nfile-cache %s\n", inputs->memory_mib, inputs->vcpus,
	    inputs->dax_mib, inputs->file_cache);
	add(&text, "format %u\nversion %s\n", SNAPSHOT_VERSION, version_text);
	add_file(&text, "monitor", &monitor);
	add_file(&text, "kernel", &kernel);
	add_file(&text, "initrd", &initrd);
	add(&text, "host %s %s\nprocessor %016llx\ncmdline %s\n", host.release, host.version,
	    (unsigned long long)template_processor(), inputs->cmdline);
	if (text.too_long)
		return err_set(err, E2BIG, "the guest's parameters are too long for a template");
	snprintf(name, TEMPLATE_NAME_SIZE, "%016llx",
		 (unsigned long long)snapshot_hash(SNAPSHOT_HASH_INIT, key, text.used));
	return 0;
}

/* --- the store --------------------------------------------------------------------------------------------- */

static int make_store(struct err *err)
{
	static const char *const parents[] = { "/var/lib", "/var/lib/bulkhead" };

	for (unsigned i = 0; i < sizeof parents / sizeof *parents; i++)
		if (mkdir(parents[i], 0755) && errno != EEXIST)
			return err_set_errno(err, "%s", parents[i]);
	if (mkdir(TEMPLATE_DIR, 0700) && errno != EEXIST)
		return err_set_errno(err, "%s", TEMPLATE_DIR);
	return 0;
}

/* Who can write there can have any container begin with a guest of theirs; who can read there knows how they begin. */
int template_open_store(bool make, struct err *err)
{
	struct stat status;

	if (make && make_store(err) < 0)
		return -1;
	auto_fd int fd = open(TEMPLATE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fd_stat(fd, &status))
		return err_set_errno(err, "%s", TEMPLATE_DIR);
	if (status.st_uid != geteuid() || status.st_mode & 077)
		return err_set(err, EPERM, "%s: must belong to the user who starts containers, with mode 0700",
			       TEMPLATE_DIR);
	return take_fd(&fd);
}

static int open_entry(int store_fd, const char *name)
{
	return openat(store_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int read_key(int fd, char key[TEMPLATE_KEY_MAX])
{
	auto_fd int file = openat(fd, "key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, key, TEMPLATE_KEY_MAX - 1);

	if (n < 0)
		return -1;
	key[n] = '\0';
	return 0;
}

int template_open_files(const struct template_inputs *inputs, struct template_files *files, struct err *err)
{
	char wanted[TEMPLATE_KEY_MAX], found[TEMPLATE_KEY_MAX], name[TEMPLATE_NAME_SIZE];

	if (template_key(inputs, wanted, name, err) < 0)
		return -1;
	auto_fd int store = template_open_store(false, err);
	if (store < 0)
		return -1;
	auto_fd int entry = open_entry(store, name);
	if (entry < 0)
		return err_set_errno(err, "template %s", name);
	if (read_key(entry, found) < 0 || strcmp(wanted, found) != 0)
		return err_set(err, ESTALE, "template %s: is of something else", name);
	auto_fd int memory = openat(entry, "memory", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd int state = openat(entry, "state", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (memory < 0 || state < 0)
		return err_set_errno(err, "template %s", name);
	files->touched_fd = openat(entry, TEMPLATE_TOUCHED, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	files->memory_fd = take_fd(&memory);
	files->state_fd = take_fd(&state);
	files->directory_fd = take_fd(&entry);
	return 0;
}

void template_close_files(struct template_files *files)
{
	close_fd(&files->directory_fd);
	close_fd(&files->memory_fd);
	close_fd(&files->state_fd);
	close_fd(&files->touched_fd);
}

static bool is_entry_name(const char *name)
{
	return strlen(name) == TEMPLATE_NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == TEMPLATE_NAME_SIZE - 1;
}

static bool read_entry(int store_fd, const char *name, struct template_entry *out)
{
	auto_fd int fd = open_entry(store_fd, name);
	struct stat memory, state;

	if (fd < 0 || read_key(fd, out->key) < 0 || fstatat(fd, "memory", &memory, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(fd, "state", &state, AT_SYMLINK_NOFOLLOW))
		return false;
	snprintf(out->name, sizeof out->name, "%s", name);
	out->bytes = 512 * (uint64_t)(memory.st_blocks + state.st_blocks);
	out->built_ns = (int64_t)state.st_mtim.tv_sec * 1000000000 + state.st_mtim.tv_nsec;
	return true;
}

int template_each(int (*callback)(const struct template_entry *entry, void *arg), void *arg, struct err *err)
{
	auto_fd int store = template_open_store(false, err);
	int copy = store < 0 ? -1 : fcntl(store, F_DUPFD_CLOEXEC, 3), result = 0;
	auto_dir DIR *directory = copy < 0 ? NULL : fdopendir(copy);

	if (!directory)
		return store < 0 ? -1 : err_set_errno(err, "%s", TEMPLATE_DIR);
	for (struct dirent *at; result == 0 && (at = readdir(directory));) {
		struct template_entry entry;

		/* One that goes away meanwhile is not there. */
		if (is_entry_name(at->d_name) && read_entry(store, at->d_name, &entry))
			result = callback(&entry, arg);
	}
	return result;
}

int template_remove_tree(int store_fd, const char *name)
{
	int fd = open_entry(store_fd, name);
	auto_dir DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *at; directory && (at = readdir(directory));)
		unlinkat(fd, at->d_name, 0); /* "." and ".." refuse */
	return unlinkat(store_fd, name, AT_REMOVEDIR);
}

int template_remove(const char *name, struct err *err)
{
	auto_fd int store = template_open_store(false, err);
	char gone[TEMPLATE_NAME_SIZE + 8];

	if (store < 0)
		return -1;
	if (!is_entry_name(name))
		return err_set(err, ENOENT, "template %s: is none; `bulkhead template list` shows them", name);
	/* Out of sight at once, and whoever has it open keeps it. */
	snprintf(gone, sizeof gone, ".old-%s", name);
	template_remove_tree(store, gone);
	if (renameat(store, name, store, gone))
		return err_set_errno(err, "template %s", name);
	if (template_remove_tree(store, gone))
		return err_set_errno(err, "template %s", name);
	return 0;
}
