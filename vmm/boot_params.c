/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot_params.h"

#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/loader.h"
#include "vmm/mptable.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

enum { MEMORY_RAM = 1 };
enum { PRESENT = 1, WRITABLE = 2, LARGE = 0x80, ENTRIES = 512 };
enum { BOOT_PDPT = BOOT_PML4 + 0x1000, BOOT_PD = BOOT_PML4 + 0x2000, BOOT_END = BOOT_PML4 + 0x3000 };

/* Flat, as the selectors of boot_params.h say: 64-bit code, data (Intel SDM volume 3, 3.4.5). */
static const uint64_t descriptors[BOOT_GDT_SIZE / 8] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

/* Low memory from `address` on; the caller has checked that it is there. */
static void *at(const struct guest_memory *memory, uint64_t address)
{
	return memory->ranges[0].host + address;
}

static void map_first_gib(const struct guest_memory *memory)
{
	uint64_t *directory = at(memory, BOOT_PD);

	*(uint64_t *)at(memory, BOOT_PML4) = BOOT_PDPT | PRESENT | WRITABLE;
	*(uint64_t *)at(memory, BOOT_PDPT) = BOOT_PD | PRESENT | WRITABLE;
	for (unsigned i = 0; i < ENTRIES; i++)
		directory[i] = i * GUEST_HUGE_PAGE | PRESENT | WRITABLE | LARGE;
}

static void add_memory(struct boot_params *params, uint64_t start, uint64_t size)
{
	params->e820_table[params->e820_entries++] = (struct boot_e820_entry){ start, size, MEMORY_RAM };
}

int boot_params_write(const struct guest_memory *memory, const struct loaded_image *initrd, const char *cmdline,
		      struct err *err)
{
	struct boot_params *params = at(memory, BOOT_PARAMS);
	size_t length = strlen(cmdline);

	if (length > BOOT_CMDLINE_MAX)
		return err_set(err, E2BIG, "the kernel command line has %zu bytes, %d are possible", length,
			       BOOT_CMDLINE_MAX);
	if (memory->ranges[0].size < LOADER_KERNEL_MIN)
		return err_set(err, ENOMEM, "the VM has no low memory");

	memset(params, 0, sizeof *params);
	params->hdr.boot_flag = 0xaa55;
	params->hdr.header = 0x53726448; /* "HdrS" */
	params->hdr.version = 0x20f;
	params->hdr.type_of_loader = 0xff; /* none that has a number */
	params->hdr.loadflags = LOADED_HIGH;
	params->hdr.cmd_line_ptr = BOOT_CMDLINE;
	params->hdr.cmdline_size = BOOT_CMDLINE_MAX;
	/*
	 * Below 640 KiB up to the MP table, then what begins at 1 MiB; between them old adapters would be. What is not
	 * listed is not used; a list of as few entries as possible, for the kernel walks it thousands of times.
	 */
	add_memory(params, 0, MPTABLE_ADDRESS);
	add_memory(params, LOADER_KERNEL_MIN, memory->ranges[0].size - LOADER_KERNEL_MIN);
	if (memory->count > 1)
		add_memory(params, memory->ranges[1].start, memory->ranges[1].size);
	if (initrd) {
		/* Low memory ends below 4 GiB, so 32 bits hold both. */
		params->hdr.ramdisk_image = (uint32_t)initrd->start;
		params->hdr.ramdisk_size = (uint32_t)(initrd->end - initrd->start);
	}
	memcpy(at(memory, BOOT_CMDLINE), cmdline, length + 1);
	memcpy(at(memory, BOOT_GDT), descriptors, sizeof descriptors);
	map_first_gib(memory);
	return 0;
}

_Static_assert(sizeof(struct boot_params) == BOOT_CMDLINE - BOOT_PARAMS, "one page");
_Static_assert(BOOT_CMDLINE + BOOT_CMDLINE_MAX < BOOT_PML4 && BOOT_END <= MPTABLE_ADDRESS, "nothing overlaps");
