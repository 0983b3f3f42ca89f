/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole sequences of FUSE requests, over a small tree that is made anew for each input. Whatever is sent: each request
 * gets at most one reply of the right form, no descriptor is left open, and the directory beside the share stays as
 * it was.
 *
 * Input: records of
 *     opcode (1; 255: FORGET of the node; bit 7 otherwise: a raw request, header and all, is what follows)
 *     node (1): bits 0..3 which of the last nodes found; 15: a wild number
 *     reply (1): room for the reply, in steps of 64 bytes
 *     fix (1): bit 0: put a handle into the first 8 bytes of the arguments; bit 1: put a node id there;
 *              bit 2: the length in the header is wrong; bits 4..7: which handle or node
 *     length (1), then that many bytes of arguments
 * Nodes 0 to 2 are the root and the shares "s" and "ro"; 13 and 14 the share "map" and a file in it, which may be
 * mapped into the DAX window. An input of even size has a guest whose driver does without OPEN where it can.
 *
 * Covers: vmm/fs_*.c
 */
#include "common/err.h"
#include "common/log.h"
#include "tests/fuzz/fuse_seen.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fs_server *server;
static struct fs_worker worker;
enum { PIECES = 4 };

static struct fs_window window;
static int base_fd = -1, share_fd = -1, null_fd = -1;
static char base[64];
static struct stat secret;

static void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

/* Removes what is in the directory behind `fd`, which is taken. */
static void empty(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		abort();
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(fd, entry->d_name, 0))
			continue;
		fchmodat(fd, entry->d_name, 0700, 0);
		int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			empty(child);
		unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

static void remove_base(void)
{
	empty(dup(base_fd));
	rmdir(base);
}

static void make_tree(void)
{
	fchmod(share_fd, 0755);
	empty(openat(share_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	put_file(share_fd, "a", "some text");
	mkdirat(share_fd, "d", 0755);
	put_file(share_fd, "d/b", "more");
	symlinkat("../outside/secret", share_fd, "l");
	mkfifoat(share_fd, "p", 0644);
}

static void truncate_mapped(void)
{
	char path[80];

	snprintf(path, sizeof path, "%s/mapped/m", base);
	if (truncate(path, 3 << 20))
		abort();
}

static void start(void)
{
	struct err err = ERR_INIT;
	struct rlimit files = { 4 << 20, 4 << 20 };

	/* Where nothing reaches a disk; and no file gets large. */
	snprintf(base, sizeof base, "%s/bulkhead-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(base))
		abort();
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &files);
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(base_fd, "outside", 0700);
	mkdirat(base_fd, "share", 0755);
	put_file(base_fd, "outside/secret", "the host's");
	if (fstatat(base_fd, "outside/secret", &secret, 0))
		abort();
	share_fd = openat(base_fd, "share", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(remove_base);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_setup("fuzz", null_fd, LOG_TEXT, LOG_ERROR);

	/* The worker takes the thread's working directory: libFuzzer's relative paths need the old one. */
	server = fs_server_create((struct fs_limits){ .nodes = 64, .handles = 32 }, -1, &err);
	if (fs_window_create(&window, PIECES * FS_WINDOW_PIECE, &err) || fs_window_catch_faults(&window, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	if (server)
		fs_server_set_window(server, &window);
	mkdirat(base_fd, "mapped", 0755);
	put_file(base_fd, "mapped/m", "mapped");
	truncate_mapped();
	if (!server || fs_shares_add(&server->shares, "s", openat(share_fd, ".", O_PATH | O_CLOEXEC), false, &err) ||
	    fs_shares_add(&server->shares, "ro", openat(share_fd, ".", O_PATH | O_CLOEXEC), true, &err) ||
	    fs_shares_add(&server->shares, "map", openat(base_fd, "mapped", O_PATH | O_CLOEXEC), true, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs_worker_init(&worker, server, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	if (fchdir(here))
		abort();
	close(here);
}

/* Sends; remembers the node and the handle of the reply. */
static void send(uint8_t *request, size_t length, size_t room)
{
	static uint8_t reply[64 * 256];
	uint32_t opcode = 0, written;
	uint64_t unique = 0;

	if (length >= sizeof(struct fuse_in_header)) {
		memcpy(&opcode, request + offsetof(struct fuse_in_header, opcode), sizeof opcode);
		memcpy(&unique, request + offsetof(struct fuse_in_header, unique), sizeof unique);
	}
	/* Flushes every file system of the machine. */
	if (opcode == FUSE_SYNCFS)
		return;

	size_t cut = length / 2, cut_reply = room / 3;
	struct iovec in[2] = { { request, cut }, { request + cut, length - cut } };
	struct iovec out[2] = { { reply, cut_reply }, { reply + cut_reply, room - cut_reply } };

	memset(reply, 0, room);
	/* Extended attributes are named by number in the working directory. */
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || fchdir(server->proc_fd))
		abort();
	written =
		fs_worker_handle(&worker, (struct fs_segments){ in, 2, length }, (struct fs_segments){ out, 2, room });
	if (fchdir(here))
		abort();
	close(here);

	assert(written <= room);
	if (!written)
		return;

	struct fuse_out_header header;

	assert(written >= sizeof header);
	memcpy(&header, reply, sizeof header);
	assert(header.len == written && header.unique == unique && header.error <= 0 && header.error > -512);
	if (header.error)
		return;
	note_reply(opcode, reply + sizeof header);
}

static void one_record(const uint8_t *head, const uint8_t *args, size_t length)
{
	static uint8_t request[sizeof(struct fuse_in_header) + 256];
	uint64_t node = (head[1] & 15) < NODES ? nodes[head[1] & 15] : head[1] * 0x100000001ull;
	struct fuse_in_header header = { .len = (uint32_t)(sizeof header + length),
					 .opcode = head[0],
					 .nodeid = node,
					 .unique = 77,
					 .uid = geteuid(),
					 .gid = getegid() };
	size_t room = head[2] * 64u;

	if (head[0] == 255) {
		struct fuse_forget_in one = { 1 };

		header.opcode = FUSE_FORGET;
		header.len = (uint32_t)(sizeof header + sizeof one);
		memcpy(request, &header, sizeof header);
		memcpy(request + sizeof header, &one, sizeof one);
		send(request, header.len, 0);
		return;
	}
	if (head[0] & 0x80) {
		memcpy(request, args, length);
		send(request, length, room);
		return;
	}
	if (head[3] & 4)
		header.len ^= head[3];
	memcpy(request, &header, sizeof header);
	memcpy(request + sizeof header, args, length);
	if (length >= 8 && head[3] & 3)
		memcpy(request + sizeof header, head[3] & 1 ? &handles[head[3] >> 4] : &nodes[(head[3] >> 4) % NODES],
		       8);
	send(request, sizeof header + length, room);
}

static void begin(bool openless)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in in;
	} init = { { .len = sizeof init, .opcode = FUSE_INIT },
		   { .major = 7, .minor = 41, .flags = UINT32_MAX, .flags2 = UINT32_MAX } };
	struct {
		struct fuse_in_header header;
		char name[4];
	} lookup = { { .len = sizeof lookup.header + 2, .opcode = FUSE_LOOKUP, .nodeid = FS_ROOT_ID }, "s" };

	if (!openless)
		init.in.flags &= ~(uint32_t)FUSE_NO_OPEN_SUPPORT;
	memset(nodes, 0, sizeof nodes);
	memset(handles, 0, sizeof handles);
	nodes_found = handles_found = 0;
	nodes[nodes_found++] = FS_ROOT_ID;
	send((uint8_t *)&init, sizeof init, 1024);
	send((uint8_t *)&lookup, lookup.header.len, 1024);
	strcpy(lookup.name, "ro");
	lookup.header.len++;
	send((uint8_t *)&lookup, lookup.header.len, 1024);
	strcpy(lookup.name, "map");
	lookup.header.len++;
	send((uint8_t *)&lookup, lookup.header.len, 1024);
	strcpy(lookup.name, "m");
	lookup.header.len -= 2;
	lookup.header.nodeid = nodes[3];
	send((uint8_t *)&lookup, lookup.header.len, 1024);
	/* Out of the way of what a sequence finds, which is known by its place. */
	nodes[13] = nodes[3];
	nodes[14] = nodes[4];
	nodes[3] = nodes[4] = 0;
	nodes_found = 3;
}

/* Every page of the window can be read, whatever is behind it. */
static void read_window(void)
{
	volatile uint8_t byte;

	for (uint64_t at = 0; at < window.size; at += FS_WINDOW_PIECE / 4)
		byte = window.host[at];
	(void)byte;
}

static void check_outside(void)
{
	struct stat now;

	if (fstatat(base_fd, "outside/secret", &now, AT_SYMLINK_NOFOLLOW))
		abort();
	assert(now.st_ino == secret.st_ino && now.st_size == secret.st_size && now.st_mode == secret.st_mode);
	assert(now.st_ctim.tv_sec == secret.st_ctim.tv_sec && now.st_ctim.tv_nsec == secret.st_ctim.tv_nsec);
}

static int first_free(void)
{
	int fd = dup(null_fd);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!server)
		start();

	int free_before = first_free();

	make_tree();
	begin(size % 2 == 0);
	for (unsigned i = 0; i < RECORDS_MAX && size >= 5; i++) {
		size_t length = data[4] <= size - 5 ? data[4] : size - 5;

		one_record(data, data + 5, length);
		data += 5 + length;
		size -= 5 + length;
	}
	read_window();
	fs_server_reset(server);
	for (unsigned i = 0; i < PIECES; i++)
		assert(!window.pieces[i].node);
	assert(fs_nodes_count(&server->nodes) == 1 && fs_handles_count(&server->handles) == 0);
	check_outside();
	assert(first_free() == free_before); /* nothing is left open */
	return 0;
}
