/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initramfs files of every wrong shape get one clear line; good ones lie where they should. */
#include "common/err.h"
#include "vmm/boot_params.h"
#include "vmm/guest_memory.h"
#include "vmm/loader.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMORY (32ull << 20)
#define TEXT_ADDRESS 0x1000000ull

/* A small kernel: headers, one page-aligned segment of two and a half pages, one unaligned one. */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	uint8_t padding[4096 - sizeof(Elf64_Ehdr) - 2 * sizeof(Elf64_Phdr)];
	uint8_t text[10240];
	uint8_t data[5000];
};

enum { TEXT, DATA };

struct fixture {
	struct guest_memory memory;
	struct image image;
	int fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct image *image = &f->image;
	struct err err = ERR_INIT;

	assert_int_equal(guest_memory_create(&f->memory, MEMORY, &err), 0);
	f->fd = memfd_create("kernel", MFD_CLOEXEC);
	memcpy(image->header.e_ident, ELFMAG, SELFMAG);
	image->header.e_ident[EI_CLASS] = ELFCLASS64;
	image->header.e_ident[EI_DATA] = ELFDATA2LSB;
	image->header.e_type = ET_EXEC;
	image->header.e_machine = EM_X86_64;
	image->header.e_phentsize = sizeof(Elf64_Phdr);
	image->header.e_phnum = 2;
	image->header.e_entry = TEXT_ADDRESS + 16;
	image->header.e_phoff = offsetof(struct image, segments);
	image->segments[TEXT] = (Elf64_Phdr){ .p_type = PT_LOAD,
					      .p_offset = offsetof(struct image, text),
					      .p_filesz = sizeof image->text,
					      .p_memsz = sizeof image->text,
					      .p_paddr = TEXT_ADDRESS };
	image->segments[DATA] = (Elf64_Phdr){ .p_type = PT_LOAD,
					      .p_offset = offsetof(struct image, data),
					      .p_filesz = sizeof image->data,
					      .p_memsz = 100000,
					      .p_paddr = TEXT_ADDRESS + 0x10008 };
	for (size_t i = 0; i < sizeof image->text; i++)
		image->text[i] = (uint8_t)(i * 7 + 1);
	for (size_t i = 0; i < sizeof image->data; i++)
		image->data[i] = (uint8_t)(i * 5 + 3);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_memory_destroy(&f->memory);
	close(f->fd);
	free(f);
	return 0;
}

static void write_image(struct fixture *f, size_t length)
{
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(pwrite(f->fd, &f->image, length, 0), (ssize_t)length);
}

static int load(struct fixture *f, struct loaded_image *out, struct err *err)
{
	write_image(f, sizeof f->image);
	return loader_load_kernel(&f->memory, f->fd, out, err);
}

static void refused(struct fixture *f, const char *why)
{
	struct loaded_image out;
	struct err err = ERR_INIT;

	assert_int_equal(load(f, &out, &err), -1);
	assert_non_null(strstr(err.text, why));
	assert_int_not_equal(err.code, 0);
}

static void test_loader_good_kernel_lies_in_place(void **state)
{
	struct fixture *f = *state;
	struct loaded_image out;
	struct err err = ERR_INIT;
	uint8_t *memory = f->memory.ranges[0].host;

	assert_int_equal(load(f, &out, &err), 0);
	assert_int_equal(out.entry, TEXT_ADDRESS + 16);
	assert_int_equal(out.start, TEXT_ADDRESS);
	assert_int_equal(out.end, TEXT_ADDRESS + 0x10008 + 100000);
	assert_memory_equal(memory + TEXT_ADDRESS, f->image.text, sizeof f->image.text);
	assert_memory_equal(memory + TEXT_ADDRESS + 0x10008, f->image.data, sizeof f->image.data);
	assert_int_equal(memory[TEXT_ADDRESS + 0x10008 + sizeof f->image.data], 0);
	/* The mapping is private: what the guest writes does not reach the file. */
	memory[TEXT_ADDRESS] ^= 0xff;
	uint8_t first;
	assert_int_equal(pread(f->fd, &first, 1, offsetof(struct image, text)), 1);
	assert_int_equal(first, f->image.text[0]);
}

static void test_loader_truncated_kernel_is_refused_at_every_length(void **state)
{
	struct fixture *f = *state;

	for (size_t length = 0; length < sizeof f->image; length += length < 512 ? 1 : 509) {
		struct loaded_image out;
		struct err err = ERR_INIT;

		write_image(f, length);
		assert_int_equal(loader_load_kernel(&f->memory, f->fd, &out, &err), -1);
		assert_string_equal(err.text, "the kernel is truncated");
	}
}

static void test_loader_wrong_kinds_of_file_are_refused(void **state)
{
	struct fixture *f = *state;
	struct image good = f->image;

	f->image.header.e_ident[0] = 'X';
	refused(f, "the kernel is not an ELF file");
	memcpy(&f->image, "MZ", 2);
	refused(f, "bzImage");
	f->image = good;
	f->image.header.e_machine = EM_AARCH64;
	refused(f, "not for x86-64");
	f->image = good;
	f->image.header.e_ident[EI_CLASS] = ELFCLASS32;
	refused(f, "not for x86-64");
	f->image = good;
	f->image.header.e_type = ET_REL;
	refused(f, "not an executable");
	f->image = good;
	f->image.header.e_phnum = 0;
	refused(f, "program header table");
	f->image.header.e_phnum = 65535;
	refused(f, "program header table");
	f->image = good;
	f->image.header.e_phentsize = 8;
	refused(f, "program header table");
	f->image = good;
	f->image.header.e_phoff = UINT64_MAX - 8;
	refused(f, "truncated");

	struct loaded_image out;
	struct err err = ERR_INIT;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(loader_load_kernel(&f->memory, pipes[0], &out, &err), -1);
	assert_string_equal(err.text, "the kernel is not a regular file");
	close(pipes[0]);
	close(pipes[1]);
}

static void test_loader_segments_out_of_place_are_refused(void **state)
{
	struct fixture *f = *state;
	struct image good = f->image;
	static const struct {
		uint64_t offset, filesz, memsz, paddr;
		const char *why;
	} wrong[] = {
		{ 0, 100, 99, TEXT_ADDRESS, "larger in the file" },
		{ UINT64_MAX, 2, 2, TEXT_ADDRESS, "truncated" },
		{ 4096, UINT64_MAX, UINT64_MAX, TEXT_ADDRESS, "truncated" },
		{ 4096, 100, 100, 0, "below 1 MiB" },
		{ 4096, 100, 100, 0xfffff, "below 1 MiB" },
		{ 4096, 100, 100, MEMORY - 99, "does not fit in the VM's memory of 32 MiB" },
		{ 4096, 100, UINT64_MAX, TEXT_ADDRESS, "does not fit" },
		{ 4096, 100, 100, UINT64_MAX - 50, "does not fit" },
		{ 4096, 100, 100, GUEST_HOLE_END, "does not fit" },
	};

	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		Elf64_Phdr *segment = &f->image.segments[DATA];

		f->image = good;
		segment->p_offset = wrong[i].offset;
		segment->p_filesz = wrong[i].filesz;
		segment->p_memsz = wrong[i].memsz;
		segment->p_paddr = wrong[i].paddr;
		refused(f, wrong[i].why);
	}
}

static void test_loader_entry_outside_is_refused(void **state)
{
	struct fixture *f = *state;

	f->image.header.e_entry = 0x1000;
	refused(f, "outside of what is loaded");
	f->image.header.e_entry = TEXT_ADDRESS + sizeof f->image.text;
	refused(f, "outside of what is loaded");
	f->image.header.e_entry = UINT64_MAX;
	refused(f, "outside of what is loaded");
}

static void test_loader_initrd_lies_at_the_top(void **state)
{
	struct fixture *f = *state;
	struct loaded_image kernel = { .start = TEXT_ADDRESS, .end = TEXT_ADDRESS + 100000 }, out;
	struct err err = ERR_INIT;

	write_image(f, sizeof f->image);
	assert_int_equal(loader_load_initrd(&f->memory, f->fd, &kernel, &out, &err), 0);
	assert_int_equal(out.start % 4096, 0);
	assert_int_equal(out.end - out.start, sizeof f->image);
	assert_true(out.end <= MEMORY && out.start > MEMORY - sizeof f->image - 4096);
	assert_memory_equal(f->memory.ranges[0].host + out.start, &f->image, sizeof f->image);

	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(loader_load_initrd(&f->memory, f->fd, &kernel, &out, &err), -1);
	assert_string_equal(err.text, "the initramfs is empty");
	assert_int_equal(ftruncate(f->fd, (off_t)(MEMORY - TEXT_ADDRESS - 102400 + 1)), 0);
	assert_int_equal(loader_load_initrd(&f->memory, f->fd, &kernel, &out, &err), -1);
	assert_non_null(strstr(err.text, "do not fit"));
	assert_int_equal(ftruncate(f->fd, (off_t)MEMORY + 1), 0);
	assert_int_equal(loader_load_initrd(&f->memory, f->fd, &kernel, &out, &err), -1);
}

static void test_loader_too_little_memory_is_said_before_the_start(void **state)
{
	struct fixture *f = *state;
	struct loaded_image kernel = { .start = TEXT_ADDRESS, .end = TEXT_ADDRESS + (4 << 20) }, initrd = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(loader_check_room(&f->memory, &kernel, &initrd, &err), 0);
	kernel.end = TEXT_ADDRESS + (20 << 20);
	assert_int_equal(loader_check_room(&f->memory, &kernel, &initrd, &err), -1);
	assert_non_null(strstr(err.text, "32 MiB of memory are too little to boot"));
}

static void test_boot_params_lead_a_kernel_to_everything(void **state)
{
	struct fixture *f = *state;
	struct loaded_image initrd = { .start = 0x1800000, .end = 0x1800000 + 12345 };
	const uint8_t *memory = f->memory.ranges[0].host;
	struct err err = ERR_INIT;
	struct boot_params params;
	uint64_t table;
	char cmdline[BOOT_CMDLINE_MAX + 2];

	memset(cmdline, 'x', sizeof cmdline);
	cmdline[sizeof cmdline - 1] = '\0';
	assert_int_equal(boot_params_write(&f->memory, &initrd, cmdline, &err), -1);
	cmdline[BOOT_CMDLINE_MAX] = '\0';
	assert_int_equal(boot_params_write(&f->memory, &initrd, cmdline, &err), 0);
	memcpy(&params, memory + BOOT_PARAMS, sizeof params);
	assert_int_equal(params.hdr.boot_flag, 0xaa55);
	assert_memory_equal(&params.hdr.header, "HdrS", 4);
	assert_int_equal(params.hdr.ramdisk_image, initrd.start);
	assert_int_equal(params.hdr.ramdisk_size, 12345);
	assert_string_equal((const char *)memory + params.hdr.cmd_line_ptr, cmdline);
	assert_int_equal(params.e820_entries, 2);
	assert_int_equal(params.e820_table[1].addr, 0x100000);
	assert_int_equal(params.e820_table[1].addr + params.e820_table[1].size, MEMORY);
	assert_int_equal(params.e820_table[1].type, 1);
	/* A processor's way to an address near the end of the first GiB. */
	memcpy(&table, memory + BOOT_PML4, 8);
	memcpy(&table, memory + (table & ~0xfffull), 8);
	memcpy(&table, memory + (table & ~0xfffull) + 511 * 8, 8);
	assert_int_equal(table, (511ull << 21) | 0x83);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_loader_good_kernel_lies_in_place),
		TEST(test_loader_truncated_kernel_is_refused_at_every_length),
		TEST(test_loader_wrong_kinds_of_file_are_refused),
		TEST(test_loader_segments_out_of_place_are_refused),
		TEST(test_loader_entry_outside_is_refused),
		TEST(test_loader_initrd_lies_at_the_top),
		TEST(test_loader_too_little_memory_is_said_before_the_start),
		TEST(test_boot_params_lead_a_kernel_to_everything),
	};

	return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}
