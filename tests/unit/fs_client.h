/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_client.h - the guest's side of the FUSE server, for tests: requests on plain buffers, over a temporary tree.
 *
 * client_start makes `base`/share, given to the server as share "s", and `base`/outside, which nothing may reach.
 * The calling thread becomes the server's worker: its working directory and umask change. A call returns 0 or the
 * errno value of the reply; everything about the reply's form is asserted here.
 */
#ifndef BULKHEAD_TESTS_FS_CLIENT_H
#define BULKHEAD_TESTS_FS_CLIENT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "common/err.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct client {
	struct fs_server *server;
	struct fs_worker worker;
	char base[64], share[80], outside[80];
	uint64_t top; /* node id of the share's root */
	uint64_t unique;
	uint32_t uid, gid;
	/* The last reply. */
	size_t length; /* behind the header */
	uint8_t reply[FS_WRITE_MAX + 4096];
};

static inline char *client_path(struct client *c, const char *format, ...)
{
	static char path[4096];
	va_list ap;

	int used = snprintf(path, sizeof path, "%s/", c->share);
	va_start(ap, format);
	vsnprintf(path + used, sizeof path - (size_t)used, format, ap);
	va_end(ap);
	return path;
}

/* The request as it is, `in_length` bytes in two segments; the reply's room is `out_length`, in three. */
static inline uint32_t client_raw(struct client *c, void *in, size_t in_length, size_t out_length)
{
	size_t head = in_length < 40 ? in_length / 2 : 40;
	struct iovec from[2] = { { in, head }, { (uint8_t *)in + head, in_length - head } };
	size_t a = out_length < 16 ? out_length : 16, b = (out_length - a) / 3;
	struct iovec to[3] = { { c->reply, a }, { c->reply + a, b }, { c->reply + a + b, out_length - a - b } };

	memset(c->reply, 0xee, out_length < 8192 ? out_length : 8192);
	return fs_worker_handle(&c->worker, (struct fs_segments){ from, 2, in_length },
				(struct fs_segments){ to, 3, out_length });
}

struct client_part {
	const void *data;
	size_t length;
};

/* A request of up to three parts behind the header; `room` bytes for the reply behind its header. */
static inline int client_call_parts(struct client *c, uint32_t opcode, uint64_t node, const struct client_part *parts,
				    unsigned count, size_t room)
{
	static uint8_t in[FS_WRITE_MAX + 8192];
	struct fuse_in_header header = {
		.opcode = opcode, .unique = ++c->unique, .nodeid = node, .uid = c->uid, .gid = c->gid, .pid = 1
	};
	size_t length = sizeof header;

	for (unsigned i = 0; i < count; i++) {
		assert_true(length + parts[i].length <= sizeof in);
		if (parts[i].length)
			memcpy(in + length, parts[i].data, parts[i].length);
		length += parts[i].length;
	}
	header.len = (uint32_t)length;
	memcpy(in, &header, sizeof header);

	uint32_t written = client_raw(c, in, length, room + sizeof(struct fuse_out_header));
	struct fuse_out_header reply;

	memcpy(&reply, c->reply, sizeof reply);
	assert_int_equal(reply.len, written);
	assert_true(written >= sizeof reply && written <= room + sizeof reply);
	assert_int_equal(reply.unique, header.unique);
	assert_true(reply.error <= 0 && reply.error > -512);
	if (reply.error)
		assert_int_equal(written, sizeof reply);
	c->length = written - sizeof reply;
	memmove(c->reply, c->reply + sizeof reply, c->length);
	return -reply.error;
}

static inline int client_call(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t length)
{
	return client_call_parts(c, opcode, node, &(struct client_part){ args, length }, 1, 8192);
}

/* --- single operations ------------------------------------------------------------------------------------------- */

static inline int client_init_with(struct client *c, uint32_t flags)
{
	struct fuse_init_in in = { .major = 7, .minor = 41, .max_readahead = 131072, .flags = flags, .flags2 = ~0u };

	return client_call(c, FUSE_INIT, 0, &in, sizeof in);
}

/* As a driver that opens every file (FUSE_NO_OPEN_SUPPORT, bit 17, is not offered). */
static inline int client_init(struct client *c)
{
	return client_init_with(c, ~0u & ~(1u << 31 | 1u << 17));
}

/* A look-up of a name that may not exist: *entry.nodeid is 0 then, with result 0, or ENOENT. */
static inline int client_lookup(struct client *c, uint64_t parent, const char *name, struct fuse_entry_out *entry)
{
	int error = client_call(c, FUSE_LOOKUP, parent, name, strlen(name) + 1);

	memset(entry, 0, sizeof *entry);
	if (!error) {
		assert_int_equal(c->length, sizeof *entry);
		memcpy(entry, c->reply, sizeof *entry);
	}
	return error;
}

static inline uint64_t client_find(struct client *c, uint64_t parent, const char *name)
{
	struct fuse_entry_out entry;

	assert_int_equal(client_lookup(c, parent, name, &entry), 0);
	assert_int_not_equal(entry.nodeid, 0);
	return entry.nodeid;
}

static inline void client_forget(struct client *c, uint64_t node, uint64_t count)
{
	struct {
		struct fuse_in_header header;
		struct fuse_forget_in in;
	} request = { { .len = sizeof request, .opcode = FUSE_FORGET, .nodeid = node }, { count } };

	assert_int_equal(client_raw(c, &request, sizeof request, 0), 0);
}

static inline int client_getattr(struct client *c, uint64_t node, struct fuse_attr *attr)
{
	struct fuse_getattr_in in = { 0 };
	int error = client_call(c, FUSE_GETATTR, node, &in, sizeof in);

	if (!error) {
		assert_int_equal(c->length, sizeof(struct fuse_attr_out));
		*attr = ((struct fuse_attr_out *)(void *)c->reply)->attr;
	}
	return error;
}

static inline int client_setattr(struct client *c, uint64_t node, struct fuse_setattr_in in)
{
	return client_call(c, FUSE_SETATTR, node, &in, sizeof in);
}

static inline int client_open(struct client *c, uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = { .flags = flags };
	int error = client_call(c, FUSE_OPEN, node, &in, sizeof in);

	if (!error) {
		assert_int_equal(c->length, sizeof(struct fuse_open_out));
		*fh = ((struct fuse_open_out *)(void *)c->reply)->fh;
	}
	return error;
}

static inline int client_create(struct client *c, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
				uint32_t mask, struct fuse_entry_out *entry, uint64_t *fh)
{
	struct fuse_create_in in = { .flags = flags, .mode = mode, .umask = mask };
	struct client_part parts[] = { { &in, sizeof in }, { name, strlen(name) + 1 } };
	int error = client_call_parts(c, FUSE_CREATE, parent, parts, 2, 8192);

	if (!error) {
		assert_int_equal(c->length, sizeof *entry + sizeof(struct fuse_open_out));
		memcpy(entry, c->reply, sizeof *entry);
		*fh = ((struct fuse_open_out *)(void *)(c->reply + sizeof *entry))->fh;
	}
	return error;
}

static inline int client_release(struct client *c, uint64_t node, uint64_t fh, bool directory)
{
	struct fuse_release_in in = { .fh = fh };

	return client_call(c, directory ? FUSE_RELEASEDIR : FUSE_RELEASE, node, &in, sizeof in);
}

/* What was read is in c->reply, c->length. */
static inline int client_read(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size };

	return client_call_parts(c, FUSE_READ, node, &(struct client_part){ &in, sizeof in }, 1, size);
}

static inline int client_write_flags(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, const void *data,
				     size_t size, uint32_t flags, uint32_t write_flags)
{
	struct fuse_write_in in = {
		.fh = fh, .offset = offset, .size = (uint32_t)size, .flags = flags, .write_flags = write_flags
	};
	struct client_part parts[] = { { &in, sizeof in }, { data, size } };
	int error = client_call_parts(c, FUSE_WRITE, node, parts, 2, sizeof(struct fuse_write_out));

	if (!error)
		assert_int_equal(((struct fuse_write_out *)(void *)c->reply)->size, size);
	return error;
}

static inline int client_write(struct client *c, uint64_t node, uint64_t fh, uint64_t offset, const char *text)
{
	return client_write_flags(c, node, fh, offset, text, strlen(text), 0, 0);
}

/* An operation of a struct, then names: MKDIR, MKNOD, LINK, RENAME, RENAME2; UNLINK, RMDIR and SYMLINK without. */
static inline int client_names(struct client *c, uint32_t opcode, uint64_t node, const void *args, size_t length,
			       const char *name, const char *second)
{
	struct client_part parts[] = { { args, length },
				       { name, strlen(name) + 1 },
				       { second, second ? strlen(second) + 1 : 0 } };

	return client_call_parts(c, opcode, node, parts, 3, sizeof(struct fuse_entry_out));
}

static inline int client_mkdir(struct client *c, uint64_t parent, const char *name, uint32_t mode, uint32_t mask)
{
	struct fuse_mkdir_in in = { .mode = mode, .umask = mask };

	return client_names(c, FUSE_MKDIR, parent, &in, sizeof in, name, NULL);
}

/* The entry in the last reply. */
static inline const struct fuse_entry_out *client_entry(struct client *c)
{
	assert_int_equal(c->length, sizeof(struct fuse_entry_out));
	return (const void *)c->reply;
}

/* --- the tree ---------------------------------------------------------------------------------------------------- */

static inline void client_put_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static inline const char *client_get_file(const char *path)
{
	static char text[4096];
	FILE *file = fopen(path, "re");

	if (!file)
		return NULL;
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	fclose(file);
	return text;
}

static inline int client_remove_one_(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void client_add_share(struct client *c, const char *name, const char *path, bool read_only)
{
	struct err err = ERR_INIT;
	int fd = open(path, O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	if (fs_shares_add(&c->server->shares, name, fd, read_only, &err))
		fail_msg("%s", err.text);
}

static inline void client_start_limited(struct client *c, struct fs_limits limits)
{
	struct err err = ERR_INIT;

	memset(c, 0, offsetof(struct client, reply));
	c->uid = geteuid();
	c->gid = getegid();
	snprintf(c->base, sizeof c->base, "/tmp/bulkhead-fs-XXXXXX");
	assert_non_null(mkdtemp(c->base));
	snprintf(c->share, sizeof c->share, "%s/share", c->base);
	snprintf(c->outside, sizeof c->outside, "%s/outside", c->base);
	assert_int_equal(mkdir(c->share, 0755), 0);
	assert_int_equal(mkdir(c->outside, 0755), 0);
	c->server = fs_server_create(limits, -1, &err);
	if (!c->server || fs_worker_init(&c->worker, c->server, &err))
		fail_msg("%s", err.text);
	client_add_share(c, "s", c->share, false);
	assert_int_equal(client_init(c), 0);
	c->top = client_find(c, FS_ROOT_ID, "s");
}

static inline void client_start(struct client *c)
{
	client_start_limited(c, (struct fs_limits){ .nodes = 512, .handles = 128 });
}

static inline void client_stop(struct client *c)
{
	fs_worker_fini(&c->worker);
	fs_server_destroy(c->server);
	assert_int_equal(chdir("/"), 0);
	umask(022);
	nftw(c->base, client_remove_one_, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* How many descriptors this process has open: what a test opened must be closed again. */
static inline unsigned client_open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif
