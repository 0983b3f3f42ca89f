/* SPDX-License-Identifier: Apache-2.0 */
/* Which 2 MiB pages of a kernel count as written: its data and its code, from headers that may be wrong. */
#include "vmm/kernel_pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ull << 20)

enum { CODE_SEGMENT, DATA_SEGMENT };

struct fixture {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	Elf64_Shdr sections[2];
	struct kernel_pages pages;
	int fd;
};

/* 8 MiB of read-only segment at 16 MiB, of which 3 MiB are code; 3 MiB of data behind it. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->header = (Elf64_Ehdr){ .e_phnum = 2, .e_shnum = 2, .e_shentsize = sizeof(Elf64_Shdr), .e_shoff = 64 };
	f->segments[CODE_SEGMENT] = (Elf64_Phdr){ .p_type = PT_LOAD,
						  .p_flags = PF_R | PF_X,
						  .p_offset = 2 * MIB,
						  .p_paddr = 16 * MIB,
						  .p_filesz = 8 * MIB,
						  .p_memsz = 8 * MIB };
	f->segments[DATA_SEGMENT] = (Elf64_Phdr){ .p_type = PT_LOAD,
						  .p_flags = PF_R | PF_W,
						  .p_offset = 10 * MIB,
						  .p_paddr = 24 * MIB,
						  .p_filesz = MIB,
						  .p_memsz = 3 * MIB };
	f->sections[0] = (Elf64_Shdr){
		.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR, .sh_offset = 2 * MIB, .sh_size = 3 * MIB
	};
	f->sections[1] = (Elf64_Shdr){
		.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_offset = 5 * MIB, .sh_size = 5 * MIB
	};
	f->fd = memfd_create("kernel", MFD_CLOEXEC);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->fd);
	free(f);
	return 0;
}

static void find(struct fixture *f)
{
	assert_int_equal(pwrite(f->fd, f->sections, sizeof f->sections, 64), sizeof f->sections);
	kernel_pages_find(f->fd, &f->header, f->segments, &f->pages);
}

/* One character for each 2 MiB from 14 MiB on. */
static void assert_pages(struct fixture *f, const char *expected)
{
	char seen[9] = "";

	find(f);
	for (unsigned i = 0; i < 8; i++)
		seen[i] = kernel_pages_is_written(&f->pages, (14 + 2 * i) * MIB + 4096) ? 'w' : '.';
	assert_string_equal(seen, expected);
}

static void test_kernel_pages_code_and_data_are_written(void **state)
{
	assert_pages(*state, ".ww..ww.");
}

static void test_kernel_pages_less_than_half_does_not_count(void **state)
{
	struct fixture *f = *state;

	f->sections[0].sh_size = 3 * MIB - 1;
	f->segments[DATA_SEGMENT].p_memsz = 3 * MIB - 1;
	assert_pages(f, ".w...w..");
}

static void test_kernel_pages_without_sections_only_data_counts(void **state)
{
	struct fixture *f = *state;

	f->header.e_shnum = 0;
	assert_pages(f, ".....ww.");
	f->header.e_shnum = 129;
	assert_pages(f, ".....ww.");
	f->header.e_shnum = 2;
	f->header.e_shoff = UINT64_MAX;
	assert_pages(f, ".....ww.");
	f->header.e_shoff = 100; /* the second section is cut off */
	assert_pages(f, ".....ww.");
}

static void test_kernel_pages_absurd_sizes_stay_inside(void **state)
{
	struct fixture *f = *state;

	f->sections[0].sh_size = UINT64_MAX;
	f->segments[DATA_SEGMENT].p_memsz = UINT64_MAX;
	assert_pages(f, ".wwwwwww");
	assert_true(kernel_pages_is_written(&f->pages, 128 * MIB - 1));
	assert_false(kernel_pages_is_written(&f->pages, 128 * MIB));
	assert_false(kernel_pages_is_written(&f->pages, UINT64_MAX));
	f->segments[DATA_SEGMENT].p_paddr = UINT64_MAX - 10;
	f->sections[0].sh_offset = UINT64_MAX;
	assert_pages(f, "........");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kernel_pages_code_and_data_are_written),
		TEST(test_kernel_pages_less_than_half_does_not_count),
		TEST(test_kernel_pages_without_sections_only_data_counts),
		TEST(test_kernel_pages_absurd_sizes_stay_inside),
	};

	return cmocka_run_group_tests_name("kernel_pages", tests, NULL, NULL);
}
