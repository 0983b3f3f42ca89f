/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/checkpoint_image.h"

#include "runtime/template.h"
#include "runtime/version.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/fd_stat.h"

#include "oci/file_cache.h"
#include "oci/vm_size.h"

#include "vmm/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MANIFEST_VERSION = 1, MANIFEST_MAX = 1 << 20 };

#define MANIFEST "manifest"
#define MANIFEST_NEW ".manifest.new"
/* CRIU's table of contents. Podman lets a container go on only if there is a file of that name beside the others. */
#define INVENTORY "inventory.img"

/* --- writing ------------------------------------------------------------------------------------------------- */

static int make_directories(const char *path, struct err *err)
{
	char text[PATH_MAX];
	int n = snprintf(text, sizeof text, "%s", path);

	if (n <= 0 || (size_t)n >= sizeof text)
		return err_set(err, ENAMETOOLONG, "--image-path: \"%s\" is no path", path);
	for (char *slash = text + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(text, 0755) < 0 && errno != EEXIST)
			return err_set_errno(err, "--image-path: %s", text);
		*slash = '/';
	}
	if (mkdir(text, 0700) < 0 && errno != EEXIST)
		return err_set_errno(err, "--image-path: %s", text);
	return 0;
}

static int make_file(struct checkpoint_image *image, const char *name, struct err *err)
{
	int fd = image->has_names ? -1 : openat(image->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	image->has_names = true;
	fd = openat(image->dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : err_set_errno(err, "%s/%s", image->path, name);
}

int checkpoint_image_create(struct checkpoint_image *image, const char *path, struct checkpoint *checkpoint,
			    struct err *err)
{
	uint64_t number;

	*image = (struct checkpoint_image){ .path = path, .dirfd = -1 };
	if (make_directories(path, err) < 0)
		return -1;
	image->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (image->dirfd < 0 || getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
		return err_set_errno(err, "--image-path: %s", path);
	snprintf(image->memory, sizeof image->memory, "memory-%016llx", (unsigned long long)number);
	snprintf(image->state, sizeof image->state, "state-%016llx", (unsigned long long)number);
	checkpoint->memory_fd = make_file(image, image->memory, err);
	if (checkpoint->memory_fd < 0)
		return -1;
	checkpoint->state_fd = make_file(image, image->state, err);
	return checkpoint->state_fd < 0 ? -1 : 0;
}

/* After this a failure removes the name again. */
static int give_name(struct checkpoint_image *image, int fd, const char *name, struct err *err)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fsync(fd) < 0 || (!image->has_names && linkat(AT_FDCWD, path, image->dirfd, name, AT_SYMLINK_FOLLOW) < 0))
		return err_set_errno(err, "%s/%s", image->path, name);
	return 0;
}

static off_t size_of(int fd)
{
	struct stat status;

	return fd_stat(fd, &status) < 0 ? 0 : status.st_size;
}

static char *manifest_text(const struct checkpoint_image *image, const struct checkpoint *checkpoint,
			   const struct container *container)
{
	char *text = NULL;
	size_t length;
	struct utsname host;
	auto_free char *shares = strdup(checkpoint->shares);
	FILE *out = open_memstream(&text, &length);

	if (!out || !shares)
		return NULL;
	uname(&host);
	fprintf(out, "bulkhead-checkpoint %d\nversion %s\nformat %u\nprocessor %016llx\nhost %s\ncontainer %s\n",
		MANIFEST_VERSION, version_text, SNAPSHOT_VERSION, (unsigned long long)template_processor(),
		host.release, container->id);
	fprintf(out, "memory-mib %u\nvcpus %u\nfile-cache %s\nterminal %s\nstreams %u\nnotify %s\n",
		checkpoint->memory_mib, checkpoint->vcpus, checkpoint->file_cache, checkpoint->terminal ? "yes" : "no",
		checkpoint->streams, checkpoint->has_notify ? "yes" : "no");
	fprintf(out, "memory %s\nmemory-size %lld\nstate %s\nstate-size %lld\n", image->memory,
		(long long)size_of(checkpoint->memory_fd), image->state, (long long)size_of(checkpoint->state_fd));
	for (char *rest = shares, *line; (line = strtok_r(rest, "\n", &rest));)
		fprintf(out, "share %s\n", line);
	fflush(out);
	fprintf(out, "checksum %016llx\n", (unsigned long long)snapshot_hash(SNAPSHOT_HASH_INIT, text, length));
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_manifest(const struct checkpoint_image *image, const char *text, struct err *err)
{
	size_t length = strlen(text);

	unlinkat(image->dirfd, MANIFEST_NEW, 0);
	auto_fd int fd = openat(image->dirfd, MANIFEST_NEW, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, length) != (ssize_t)length || fsync(fd) < 0 ||
	    renameat(image->dirfd, MANIFEST_NEW, image->dirfd, MANIFEST) < 0 || fsync(image->dirfd) < 0)
		return err_set_errno(err, "%s/" MANIFEST, image->path);
	return 0;
}

static int write_inventory(const struct checkpoint_image *image, struct err *err)
{
	static const char text[] = "No image of CRIU's: see " MANIFEST ".\n";
	auto_fd int fd = openat(image->dirfd, INVENTORY, O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)sizeof text - 1)
		return err_set_errno(err, "%s/" INVENTORY, image->path);
	return 0;
}

static bool is_ours(const char *name, const char *kind)
{
	size_t length = strlen(kind);

	return strncmp(name, kind, length) == 0 && strlen(name + length) == 16 &&
	       strspn(name + length, "0123456789abcdef") == 16;
}

/* Of an older image, or of an attempt that was killed between giving names and the rename. */
static void remove_others(const struct checkpoint_image *image)
{
	int copy = openat(image->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *directory = copy < 0 ? NULL : fdopendir(copy);

	for (struct dirent *at; directory && (at = readdir(directory));)
		if ((is_ours(at->d_name, "memory-") && strcmp(at->d_name, image->memory) != 0) ||
		    (is_ours(at->d_name, "state-") && strcmp(at->d_name, image->state) != 0))
			unlinkat(image->dirfd, at->d_name, 0);
}

int checkpoint_image_commit(struct checkpoint_image *image, const struct checkpoint *checkpoint,
			    const struct container *container, struct err *err)
{
	auto_free char *text = manifest_text(image, checkpoint, container);

	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	if (give_name(image, checkpoint->memory_fd, image->memory, err) < 0 ||
	    give_name(image, checkpoint->state_fd, image->state, err) < 0)
		return -1;
	image->has_names = true;
	if (write_inventory(image, err) < 0 || write_manifest(image, text, err) < 0)
		return -1;
	remove_others(image);
	image->memory[0] = image->state[0] = '\0'; /* they stay */
	return 0;
}

void checkpoint_image_close(struct checkpoint_image *image)
{
	if (image->dirfd >= 0 && image->memory[0]) {
		unlinkat(image->dirfd, image->memory, 0);
		unlinkat(image->dirfd, image->state, 0);
		unlinkat(image->dirfd, MANIFEST_NEW, 0);
	}
	close_fd(&image->dirfd);
}

/* --- reading ------------------------------------------------------------------------------------------------- */

/* The value of the next line, which has to have this name. Ends it with a zero and moves on. */
static char *take(char **at, const char *name)
{
	size_t length = strlen(name);
	char *line = *at, *end = strchr(line, '\n');

	if (!end || strncmp(line, name, length) != 0 || line[length] != ' ')
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line + length + 1;
}

static bool take_number(char **at, const char *name, int base, uint64_t max, uint64_t *out)
{
	char *text = take(at, name), *end;

	if (!text)
		return false;
	errno = 0;
	*out = strtoull(text, &end, base);
	return !errno && end != text && !*end && text[0] != '-' && *out <= max;
}

static int damaged(struct err *err)
{
	return err_set(err, EBADMSG, "the manifest is damaged");
}

/* Only the checksum says that the rest is as it was written, and only then what is wrong with it is worth a word. */
static int check_sum(const char *text, struct err *err)
{
	const char *last = strstr(text, "\nchecksum ");
	char wanted[64];

	if (strncmp(text, "bulkhead-checkpoint ", 20) != 0)
		return err_set(err, EBADMSG, "this is no checkpoint of bulkhead's");
	if (!last)
		return damaged(err);
	snprintf(wanted, sizeof wanted, "checksum %016llx\n",
		 (unsigned long long)snapshot_hash(SNAPSHOT_HASH_INIT, text, (size_t)(last + 1 - text)));
	return strcmp(last + 1, wanted) == 0 ? 0 : damaged(err);
}

static int check_origin(char **at, struct err *err)
{
	uint64_t version, format, processor;
	char *by;

	if (!take_number(at, "bulkhead-checkpoint", 10, UINT32_MAX, &version))
		return damaged(err);
	if (version != MANIFEST_VERSION)
		return err_set(err, ENOTSUP, "it has version %llu, this program knows version %d",
			       (unsigned long long)version, MANIFEST_VERSION);
	by = take(at, "version");
	if (!by || !take_number(at, "format", 10, UINT32_MAX, &format) ||
	    !take_number(at, "processor", 16, UINT64_MAX, &processor))
		return damaged(err);
	if (strcmp(by, version_text) != 0 || format != SNAPSHOT_VERSION)
		return err_set(err, ENOTSUP,
			       "it was made by version %.40s (format %llu), this is version %s (format %u)", by,
			       (unsigned long long)format, version_text, SNAPSHOT_VERSION);
	if (processor != template_processor())
		return err_set(err, ENOTSUP, "it was made on a processor of another kind");
	return take(at, "host") && take(at, "container") ? 0 : damaged(err);
}

static bool is_cache(const char *name)
{
	return !strcmp(name, "none") || !strcmp(name, "auto") || !strcmp(name, "always");
}

static int take_machine(char **at, struct checkpoint *out, struct err *err)
{
	uint64_t memory, vcpus, streams;
	const char *cache, *terminal, *notify;

	if (!take_number(at, "memory-mib", 10, 1 << 20, &memory) ||
	    !take_number(at, "vcpus", 10, OCI_VM_VCPUS_MAX, &vcpus) || !(cache = take(at, "file-cache")) ||
	    !is_cache(cache) || !(terminal = take(at, "terminal")) || !take_number(at, "streams", 10, 64, &streams) ||
	    !(notify = take(at, "notify")) || memory < 2 || vcpus < 1)
		return damaged(err);
	out->memory_mib = (uint32_t)memory;
	out->vcpus = (uint32_t)vcpus;
	out->streams = (uint32_t)streams;
	out->terminal = strcmp(terminal, "yes") == 0;
	out->has_notify = strcmp(notify, "yes") == 0;
	snprintf(out->file_cache, sizeof out->file_cache, "%s", cache);
	return 0;
}

static int take_files(char **at, struct checkpoint_image *image, uint64_t sizes[2], struct err *err)
{
	const char *memory = take(at, "memory"), *state;

	if (!memory || !is_ours(memory, "memory-") || !take_number(at, "memory-size", 10, INT64_MAX, &sizes[0]) ||
	    !(state = take(at, "state")) || !is_ours(state, "state-") ||
	    !take_number(at, "state-size", 10, INT64_MAX, &sizes[1]))
		return damaged(err);
	snprintf(image->memory, sizeof image->memory, "%s", memory);
	snprintf(image->state, sizeof image->state, "%s", state);
	return 0;
}

static int take_shares(char **at, struct checkpoint *out, struct err *err)
{
	size_t used = 0;
	char *line;

	out->shares = malloc(strlen(*at) + 1);
	if (!out->shares)
		return err_set(err, ENOMEM, "out of memory");
	out->shares[0] = '\0';
	while ((line = take(at, "share")))
		used += (size_t)sprintf(out->shares + used, "%s\n", line);
	return take(at, "checksum") ? 0 : damaged(err);
}

static int parse(const char *text, struct checkpoint *out, struct checkpoint_image *image, uint64_t sizes[2],
		 struct err *err)
{
	auto_free char *copy = strdup(text);
	char *at = copy;

	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	if (check_sum(text, err) < 0 || check_origin(&at, err) < 0 || take_machine(&at, out, err) < 0 ||
	    take_files(&at, image, sizes, err) < 0)
		return -1;
	return take_shares(&at, out, err);
}

int checkpoint_image_parse(const char *text, struct checkpoint *checkpoint, struct checkpoint_image *image,
			   struct err *err)
{
	uint64_t sizes[2];

	return parse(text, checkpoint, image, sizes, err);
}

static int open_file(int dirfd, const char *name, uint64_t size, struct err *err)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fd_stat(fd, &status) < 0)
		return err_set_errno(err, "%s", name);
	if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != size)
		return err_set(err, EBADMSG, "%s has %lld bytes instead of %llu", name, (long long)status.st_size,
			       (unsigned long long)size);
	return take_fd(&fd);
}

static char *read_manifest(int dirfd, struct err *err)
{
	auto_fd int fd = openat(dirfd, MANIFEST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_free char *text = malloc(MANIFEST_MAX + 1);
	ssize_t n = fd < 0 || !text ? -1 : read(fd, text, MANIFEST_MAX);

	if (n < 0) {
		err_set_errno(err, MANIFEST);
		return NULL;
	}
	text[n] = '\0';
	return take_ptr(&text);
}

int checkpoint_image_open(const char *path, struct checkpoint *checkpoint, struct err *err)
{
	struct checkpoint_image image = { .path = path };
	auto_fd int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t sizes[2];

	if (dirfd < 0)
		return err_set_errno(err, "checkpoint %s", path);
	auto_free char *text = read_manifest(dirfd, err);
	if (!text || parse(text, checkpoint, &image, sizes, err) < 0)
		return err_wrap(err, "checkpoint %s", path);
	checkpoint->memory_fd = open_file(dirfd, image.memory, sizes[0], err);
	if (checkpoint->memory_fd >= 0)
		checkpoint->state_fd = open_file(dirfd, image.state, sizes[1], err);
	return checkpoint->state_fd < 0 ? err_wrap(err, "checkpoint %s", path) : 0;
}
