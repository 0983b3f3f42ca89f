/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/pvh.h"

#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/loader.h"
#include "vmm/mptable.h"

#include <errno.h>
#include <string.h>

#define START_MAGIC 0x336ec578u

enum { MEMORY_RAM = 1, MEMORY_RESERVED = 2 };

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp, memory_map;
	uint32_t memory_map_count, reserved;
};

struct module {
	uint64_t address, size, cmdline, reserved;
};

struct map_entry {
	uint64_t address, size;
	uint32_t type, reserved;
};

/* All of it, as it lies at PVH_START_INFO. */
struct start_page {
	struct start_info info;
	struct module initrd;
	struct map_entry map[4];
	char cmdline[PVH_CMDLINE_MAX + 1];
};

_Static_assert(sizeof(struct start_info) == 56 && sizeof(struct module) == 32 && sizeof(struct map_entry) == 24,
	       "as the interface says");

#define ADDRESS_OF(member) (PVH_START_INFO + offsetof(struct start_page, member))

int pvh_write(const struct guest_memory *memory, const struct loaded_image *initrd, const char *cmdline,
	      struct err *err)
{
	struct start_page *page = guest_memory_at(memory, PVH_START_INFO, sizeof *page);
	size_t length = strlen(cmdline);
	unsigned entries = 0;

	if (length > PVH_CMDLINE_MAX)
		return err_set(err, E2BIG, "the kernel command line has %zu bytes, %u are possible", length,
			       PVH_CMDLINE_MAX);
	if (!page)
		return err_set(err, ENOMEM, "the VM has no low memory");

	/* Below 640 KiB up to the MP table, then what begins at 1 MiB; between them old adapters would be. */
	page->map[entries++] = (struct map_entry){ 0, MPTABLE_ADDRESS, MEMORY_RAM, 0 };
	page->map[entries++] = (struct map_entry){ MPTABLE_ADDRESS, MPTABLE_SIZE, MEMORY_RESERVED, 0 };
	page->map[entries++] =
		(struct map_entry){ LOADER_KERNEL_MIN, memory->ranges[0].size - LOADER_KERNEL_MIN, MEMORY_RAM, 0 };
	if (memory->count > 1)
		page->map[entries++] =
			(struct map_entry){ memory->ranges[1].start, memory->ranges[1].size, MEMORY_RAM, 0 };
	page->info = (struct start_info){
		.magic = START_MAGIC,
		.version = 1,
		.cmdline = ADDRESS_OF(cmdline),
		.memory_map = ADDRESS_OF(map),
		.memory_map_count = entries,
	};
	if (initrd) {
		page->initrd = (struct module){ .address = initrd->start, .size = initrd->end - initrd->start };
		page->info.modules = ADDRESS_OF(initrd);
		page->info.module_count = 1;
	}
	memcpy(page->cmdline, cmdline, length + 1);
	return 0;
}
