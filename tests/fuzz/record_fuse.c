/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_fuse OUTPUT COMMAND ARGUMENT...: mounts the file server over /dev/fuse, runs the command in an empty share of
 * it, and writes what the kernel asked meanwhile as an input of fuzz_fuse.c. So the fuzzer starts from what real
 * programs do. Needs root and /dev/fuse, no VM. See tests/fuzz/record-seeds-fuse.
 * FILE_CACHE=none, auto or always in the environment: with that caching.
 */
#include "common/err.h"
#include "common/log.h"
#include "tests/fuzz/fuse_seen.h"
#include "vmm/fs_abi.h"
#include "vmm/fs_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 255, FIX_HANDLE = 1, FIX_NODE = 2 };

static unsigned records;
static uint8_t in[FS_WRITE_MAX + 8192], out[FS_WRITE_MAX + 8192];
static FILE *record_file;

static void die(const char *what)
{
	fprintf(stderr, "record_fuse: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int find(const uint64_t *ids, unsigned count, uint64_t id)
{
	for (unsigned i = 0; i < count; i++)
		if (ids[i] == id)
			return (int)i;
	return -1;
}

/* What the first eight bytes of the arguments are. */
static unsigned fix_of(uint32_t opcode, uint64_t first)
{
	int index;

	switch (opcode) {
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		index = find(nodes, NODES, first);
		return index < 0 ? 0 : FIX_NODE | (unsigned)index << 4;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_COPY_FILE_RANGE:
		index = first ? find(handles, HANDLES, first) : -1;
		return index < 0 ? 0 : FIX_HANDLE | (unsigned)index << 4;
	default:
		return 0;
	}
}

static void record(const struct fuse_in_header *header, const uint8_t *args, size_t length, size_t reply)
{
	static uint8_t copy[ARGS_MAX];
	int node = find(nodes, NODES, header->nodeid);
	uint64_t first = 0;

	if (records == RECORDS_MAX || header->opcode >= 0x80 || header->opcode == FUSE_INIT || node < 0)
		return;
	if (length > ARGS_MAX && header->opcode != FUSE_WRITE)
		return;
	length = length < ARGS_MAX ? length : ARGS_MAX;
	memcpy(copy, args, length);
	if (header->opcode == FUSE_WRITE) {
		uint32_t size = (uint32_t)(length - sizeof(struct fuse_write_in));

		memcpy(copy + offsetof(struct fuse_write_in, size), &size, sizeof size);
	}
	if (length >= 8)
		memcpy(&first, copy, 8);

	size_t steps = (reply + 63) / 64;
	const uint8_t head[5] = {
		header->opcode == FUSE_FORGET ? 255 : (uint8_t)header->opcode,
		(uint8_t)node,
		steps < 8    ? 8
		: steps > 80 ? 80
			     : (uint8_t)steps,
		(uint8_t)fix_of(header->opcode, first),
		(uint8_t)length,
	};

	fwrite(head, sizeof head, 1, record_file);
	fwrite(copy, length, 1, record_file);
	records++;
}

static void answer(struct fs_worker *worker, int fuse, size_t length)
{
	struct fuse_in_header *header = (void *)in;
	struct iovec request = { in, length }, reply = { out, sizeof out };
	uint32_t written = fs_worker_handle(worker, (struct fs_segments){ &request, 1, length },
					    (struct fs_segments){ &reply, 1, sizeof out });
	struct fuse_out_header *head = (void *)out;

	record(header, in + sizeof *header, length - sizeof *header, written);
	if (!written)
		return;
	if (!head->error)
		note_reply(header->opcode, out + sizeof *head);
	if (write(fuse, out, written) < 0 && errno != ENOENT)
		die("answer");
}

static void serve_until_ended(struct fs_worker *worker, int fuse, pid_t command)
{
	struct pollfd poll_fd = { .fd = fuse, .events = POLLIN };
	int status = 0;

	while (!waitpid(command, &status, WNOHANG)) {
		if (poll(&poll_fd, 1, 50) != 1)
			continue;
		ssize_t got = read(fuse, in, sizeof in);
		if (got > 0)
			answer(worker, fuse, (size_t)got);
	}
	if (status)
		fprintf(stderr, "record_fuse: the command ended with wait status %d\n", status);
}

int main(int argc, char **argv)
{
	char share[] = "/tmp/record-share-XXXXXX", where[] = "/tmp/record-mount-XXXXXX", options[128], place[64];
	struct fs_worker worker;
	struct err err = ERR_INIT;
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc < 3 || !(record_file = fopen(argv[1], "we")) || fuse < 0 || !mkdtemp(share) || !mkdtemp(where))
		die("usage: record_fuse OUTPUT COMMAND...");
	log_setup("record", STDERR_FILENO, LOG_TEXT, LOG_WARN);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		 fuse);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("record", where, "fuse", 0, options))
		die("mount");

	struct fs_server *server = fs_server_create((struct fs_limits){ .nodes = 4096, .handles = 1024 }, -1, &err);

	if (!server || fs_shares_add(&server->shares, "s", open(share, O_PATH | O_CLOEXEC), false, &err)) {
		fprintf(stderr, "record_fuse: %s\n", err.text);
		return 1;
	}
	if (getenv("FILE_CACHE"))
		server->caching = *fs_caching_find(getenv("FILE_CACHE"));
	nodes[nodes_found++] = FS_ROOT_ID;
	nodes_found += 2; /* the two shares, which fuzz_fuse.c looks up first */
	snprintf(place, sizeof place, "%s/s", where);

	pid_t command = fork();

	if (command == 0) {
		if (chdir(place))
			die(place);
		execvp(argv[2], argv + 2);
		die(argv[2]);
	}
	if (fs_worker_init(&worker, server, &err)) {
		fprintf(stderr, "record_fuse: %s\n", err.text);
		return 1;
	}
	serve_until_ended(&worker, fuse, command);
	close(fuse);
	umount2(where, MNT_DETACH);
	rmdir(where);
	fs_worker_fini(&worker);
	fs_server_destroy(server);
	/* An even size, for a guest that does without OPEN as this one did. */
	if (ftell(record_file) % 2)
		fputc(0, record_file);
	fclose(record_file);
	printf("%u requests\n", records);
	fflush(stdout);
	return execlp("rm", "rm", "-rf", share, NULL);
}
