/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of a template were written, as the host's kernel tells, that those and no others are copied, and that
 * memory beside them is of huge pages.
 */
#include "common/auto.h"
#include "common/err.h"
#include "runtime/template.h"
#include "runtime/template_touched.h"
#include "vmm/guest_memory.h"
#include "vmm/touched.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGES = 1024, SIZE = PAGES * 4096 };

struct fixture {
	struct guest_memory memory;
	char directory[32];
	int directory_fd, memory_fd;
};

static void map(struct fixture *f)
{
	assert_ptr_equal(
		mmap(f->memory.ranges[0].host, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, f->memory_fd, 0),
		f->memory.ranges[0].host);
}

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = ERR_INIT;
	struct utsname host;
	int major_number, minor_number;

	/* MADV_POPULATE_WRITE */
	if (uname(&host) || sscanf(host.release, "%d.%d", &major_number, &minor_number) != 2 ||
	    major_number * 100 + minor_number < 514)
		skip();
	snprintf(f.directory, sizeof f.directory, "/tmp/touched-XXXXXX");
	assert_non_null(mkdtemp(f.directory));
	f.directory_fd = open(f.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.memory_fd = openat(f.directory_fd, "memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(f.memory_fd, SIZE), 0);
	assert_int_equal(guest_memory_create_plain(&f.memory, SIZE, &err), 0);
	map(&f);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(&f->memory);
	unlinkat(f->directory_fd, TEMPLATE_TOUCHED, 0);
	unlinkat(f->directory_fd, "memory", 0);
	assert_int_equal(rmdir(f->directory), 0); /* there was nothing else in it */
	close(f->directory_fd);
	close(f->memory_fd);
	return 0;
}

static bool is_copied(const struct fixture *f, unsigned page)
{
	auto_fd int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	uintptr_t number = (uintptr_t)f->memory.ranges[0].host / 4096 + page;

	assert_int_equal(pread(fd, &entry, sizeof entry, (off_t)(number * sizeof entry)), sizeof entry);
	return entry >> 62 && !(entry >> 61 & 1);
}

static void copy(const struct fixture *f, const struct touched_run *runs, size_t count)
{
	auto_fd int fd = memfd_create("list", MFD_CLOEXEC);
	struct touched touched;

	assert_int_equal(write(fd, runs, count * sizeof *runs), count * sizeof *runs);
	touched_read(&touched, fd);
	touched_copy(&touched, &f->memory);
	assert_null(touched.runs);
}

static void test_touched_pages_are_noted_and_copied(void **state)
{
	static const unsigned written[] = { 0, 1, 2, 17, 500, 501, PAGES - 1 };
	static const struct touched_run expected[] = { { 0, 3 }, { 17, 1 }, { 500, 2 }, { PAGES - 1, 1 } };
	struct fixture *f = *state;
	struct touched_run runs[8];
	struct err err = ERR_INIT;
	unsigned copied = 0;

	for (unsigned i = 0; i < sizeof written / sizeof *written; i++)
		f->memory.ranges[0].host[written[i] * 4096 + 5] = 1;
	(void)*(volatile uint8_t *)(f->memory.ranges[0].host + 300 * 4096); /* read only */
	assert_int_equal(template_touched_note(f->directory_fd, f->memory_fd, getpid(), &err), 0);

	auto_fd int list = openat(f->directory_fd, TEMPLATE_TOUCHED, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(list, runs, sizeof runs), sizeof expected);
	assert_memory_equal(runs, expected, sizeof expected);

	map(f); /* another VM */
	copy(f, expected, sizeof expected / sizeof *expected);
	for (unsigned page = 0; page < PAGES; page++)
		copied += is_copied(f, page);
	assert_int_equal(copied, sizeof written / sizeof *written);
	for (unsigned i = 0; i < sizeof written / sizeof *written; i++)
		assert_true(is_copied(f, written[i]));
}

/* The middle of what is the template's file here is anonymous instead, and one page of that is written. */
static void test_touched_pages_of_anonymous_memory_are_noted(void **state)
{
	static const struct touched_run expected[] = { { 3, 1 }, { 300, 1 }, { 600, 1 }, { 1020, 1 } };
	struct fixture *f = *state;
	uint8_t *host = f->memory.ranges[0].host;
	struct touched_run runs[8];
	struct err err = ERR_INIT;

	for (unsigned start = 0; start < PAGES; start += 500)
		assert_ptr_equal(mmap(host + start * 4096, start < PAGES - 100 ? 100 * 4096 : (PAGES - start) * 4096,
				      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE,
				      -1, 0),
				 host + start * 4096);
	for (unsigned i = 0; i < 4; i++)
		host[expected[i].first * 4096] = 1;
	assert_int_equal(template_touched_note(f->directory_fd, f->memory_fd, getpid(), &err), 0);

	auto_fd int list = openat(f->directory_fd, TEMPLATE_TOUCHED, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(list, runs, sizeof runs), sizeof expected);
	assert_memory_equal(runs, expected, sizeof expected);
}

/* Whether the host may put a huge page there, as it says. */
static bool is_for_huge_pages(const uint8_t *at)
{
	auto_file FILE *maps = fopen("/proc/self/smaps", "re");
	bool is_here = false;
	char line[512];

	while (fgets(line, sizeof line, maps)) {
		uintptr_t start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_here = (uintptr_t)at >= start && (uintptr_t)at < end;
		else if (is_here && strncmp(line, "VmFlags:", 8) == 0)
			return strstr(line, " hg");
	}
	return false;
}

static void test_touched_memory_that_nobody_used_is_of_huge_pages(void **state)
{
	/* Of the blocks of 512 pages: the first is the file's, the third and the fifth are touched. */
	static const struct touched_run runs[] = {
		{ 5, 1 }, { 1100, 1 }, { 2559, 2 }, { 4096, 1 }, { UINT32_MAX, UINT32_MAX }
	};
	static const bool expected[] = { false, true, false, true, false, false, true, true };
	struct guest_memory memory;
	struct touched touched = { .runs = (struct touched_run *)(uintptr_t)runs, .count = 4 };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(guest_memory_create_plain(&memory, 8 * GUEST_HUGE_PAGE, &err), 0);
	guest_memory_note_file(&memory, memory.ranges[0].host + 100 * 4096, 8192);
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		skip();
	touched_choose_pages(&(struct touched){ 0 }, &memory);
	assert_false(is_for_huge_pages(memory.ranges[0].host + GUEST_HUGE_PAGE));
	touched_choose_pages(&(struct touched){ .runs = touched.runs, .count = 5 },
			     &memory); /* more pages than a list has */
	assert_false(is_for_huge_pages(memory.ranges[0].host + GUEST_HUGE_PAGE));
	touched_choose_pages(&touched, &memory);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(is_for_huge_pages(memory.ranges[0].host + i * GUEST_HUGE_PAGE), expected[i]);
	guest_memory_destroy(&memory);
}

static void test_touched_lists_that_make_no_sense_do_no_harm(void **state)
{
	static const struct touched_run bad[] = {
		{ PAGES, 1 }, { PAGES - 1, 2 }, { UINT32_MAX, UINT32_MAX }, { 0, 0 }, { 9, 1 },
	};
	static const struct touched_run huge[] = { { 20, 1 }, { 0, TOUCHED_PAGES_MAX }, { 30, 1 } };
	struct fixture *f = *state;

	copy(f, bad, 2);
	copy(f, bad + 3, 2);
	assert_true(is_copied(f, 9));
	assert_false(is_copied(f, PAGES - 1));
	copy(f, bad + 2, 3);
	copy(f, huge, 3);
	assert_true(is_copied(f, 20));
	assert_false(is_copied(f, 30));
	copy(f, NULL, 0);
}

static void test_touched_lists_are_bounded(void **state)
{
	struct fixture *f = *state;
	static struct touched_run runs[TOUCHED_RUNS_MAX + 8];
	struct err err = ERR_INIT;
	struct stat status;

	/* Every second page: as many runs as pages. */
	for (unsigned page = 0; page < PAGES; page += 2)
		f->memory.ranges[0].host[page * 4096] = 1;
	assert_int_equal(template_touched_note(f->directory_fd, f->memory_fd, getpid(), &err), 0);
	assert_int_equal(fstatat(f->directory_fd, TEMPLATE_TOUCHED, &status, 0), 0);
	assert_int_equal(status.st_size, PAGES / 2 * sizeof runs[0]);
	/* More than there may be: those beyond are not read. */
	for (unsigned i = 0; i < TOUCHED_RUNS_MAX + 8; i++)
		runs[i] = (struct touched_run){ i < TOUCHED_RUNS_MAX ? 1 : 3, 1 };
	map(f);
	copy(f, runs, TOUCHED_RUNS_MAX + 8);
	assert_true(is_copied(f, 1));
	assert_false(is_copied(f, 3));
	/* A process without such a mapping, and one that is not there. */
	assert_int_equal(template_touched_note(f->directory_fd, f->directory_fd, getpid(), &err), 0);
	assert_int_equal(template_touched_note(f->directory_fd, f->memory_fd, -1, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_touched_pages_are_noted_and_copied, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_touched_pages_of_anonymous_memory_are_noted, set_up, tear_down),
		cmocka_unit_test(test_touched_memory_that_nobody_used_is_of_huge_pages),
		cmocka_unit_test_setup_teardown(test_touched_lists_that_make_no_sense_do_no_harm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_touched_lists_are_bounded, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("touched", tests, NULL, NULL);
}
