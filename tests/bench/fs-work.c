// SPDX-License-Identifier: Apache-2.0
/*
 * The file work that tests/bench measures, as a container's program: the same under every runtime.
 *
 *     fs-work DIR               each subject in DIR, which tests/bench/fs_figures.py has prepared
 *     fs-work --time NAME ARG.. runs a program and times it
 *
 * A line for each subject: its name, nanoseconds of the monotonic clock, how many operations that was. Files named
 * in "cold" subjects have not been touched in this container before.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FILES = 300, BIG = 16 << 20, BLOCK = 128 << 10, PAGE = 4096, RANDOM_OPS = 300 };

static char buffer[BLOCK];
static uint64_t began;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(void)
{
	began = now();
}

static void report(const char *name, unsigned count)
{
	printf("%s %llu %u\n", name, (unsigned long long)(now() - began), count);
	fflush(stdout);
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fs-work: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *path(const char *format, unsigned i)
{
	static char text[2][128];
	static unsigned turn;

	turn ^= 1;
	snprintf(text[turn], sizeof text[turn], format, i);
	return text[turn];
}

static void metadata(void)
{
	struct stat st;

	check(!mkdir("made", 0755), "mkdir");
	begin();
	for (unsigned i = 0; i < FILES; i++) {
		int fd = open(path("made/f%u", i), O_WRONLY | O_CREAT | O_EXCL, 0644);
		check(fd >= 0 && !close(fd), "create");
	}
	report("create", FILES);

	begin();
	for (unsigned i = 0; i < FILES; i++)
		check(!stat(path("made/f%u", i), &st), "stat");
	report("stat_cached", FILES);

	begin();
	for (unsigned i = 0; i < FILES; i++)
		check(!rename(path("made/f%u", i), path("made/g%u", i)), "rename");
	report("rename", FILES);

	begin();
	for (unsigned i = 0; i < FILES; i++)
		check(!unlink(path("made/g%u", i)), "unlink");
	report("unlink", FILES);

	begin();
	for (unsigned i = 0; i < FILES; i++)
		check(!stat(path("there/f%u", i), &st), "stat");
	report("stat_cold", FILES);

	begin();
	for (unsigned i = 0; i < FILES; i++) {
		int fd = open(path("small/f%u", i), O_RDONLY);
		check(fd >= 0 && read(fd, buffer, PAGE) > 0 && !close(fd), "open, read, close");
	}
	report("open_read", FILES);

	begin();
	unsigned count = 0;
	DIR *dir = opendir("listed");
	check(dir != NULL, "opendir");
	for (struct dirent *entry; (entry = readdir(dir)); count++)
		check(!fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW), "stat of an entry");
	closedir(dir);
	report("list", count);
}

static void sequential(void)
{
	int fd = open("big", O_RDONLY);

	check(fd >= 0, "open");
	for (int round = 0; round < 2; round++) {
		check(lseek(fd, 0, SEEK_SET) == 0, "seek");
		begin();
		for (unsigned i = 0; i < BIG / BLOCK; i++)
			check(read(fd, buffer, BLOCK) == BLOCK, "read");
		report(round ? "seq_read_cached" : "seq_read", BIG / BLOCK);
	}
	close(fd);

	begin();
	fd = open("written", O_WRONLY | O_CREAT | O_EXCL, 0644);
	for (unsigned i = 0; i < BIG / BLOCK; i++)
		check(write(fd, buffer, BLOCK) == BLOCK, "write");
	check(!close(fd), "close");
	report("seq_write", BIG / BLOCK);
}

static void at_random(void)
{
	int fd = open("random", O_RDWR);
	uint32_t state = 12345;

	check(fd >= 0, "open");
	begin();
	for (unsigned i = 0; i < RANDOM_OPS; i++) {
		state = state * 1103515245u + 12345u;
		check(pread(fd, buffer, PAGE, state / 16 % (BIG / PAGE) * (off_t)PAGE) == PAGE, "random read");
	}
	report("rand_read", RANDOM_OPS);
	begin();
	for (unsigned i = 0; i < RANDOM_OPS; i++) {
		state = state * 1103515245u + 12345u;
		check(pwrite(fd, buffer, PAGE, state / 16 % (BIG / PAGE) * (off_t)PAGE) == PAGE, "random write");
	}
	report("rand_write", RANDOM_OPS);
	close(fd);
}

static void time_program(const char *name, char **argv)
{
	int status;

	begin();
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	check(pid > 0 && waitpid(pid, &status, 0) == pid, argv[0]);
	report(name, 1);
	if (status) {
		fprintf(stderr, "fs-work: %s ended with wait status %d\n", argv[0], status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "--time")) {
		time_program(argv[2], argv + 3);
		return 0;
	}
	check(argc == 2 && !chdir(argv[1]), "usage: fs-work DIR");
	memset(buffer, 'x', sizeof buffer);
	metadata();
	sequential();
	at_random();
	return 0;
}
