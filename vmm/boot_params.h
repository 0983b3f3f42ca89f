/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_params.h - what a Linux kernel finds when it is entered in 64-bit mode without firmware: the "zero page" with
 * memory map, initramfs and command line; page tables that map the first GiB onto itself; segment descriptors.
 *
 * Linux's x86 boot protocol, section "64-bit boot protocol". Unlike PVH it costs the kernel no search for Xen, which
 * is 256 exits.
 */
#ifndef BULKHEAD_BOOT_PARAMS_H
#define BULKHEAD_BOOT_PARAMS_H

#include <stdint.h>

struct err;
struct guest_memory;
struct loaded_image;

/* Guest physical, all below LOADER_KERNEL_MIN. */
enum {
	BOOT_GDT = 0x5000,
	BOOT_PARAMS = 0x6000,
	BOOT_CMDLINE = 0x7000,
	BOOT_PML4 = 0x8000, /* and the two levels below it in the next two pages */
};

enum { BOOT_CMDLINE_MAX = 2047 }; /* what the kernel keeps of it on x86 */
enum { BOOT_CODE_SELECTOR = 0x10, BOOT_DATA_SELECTOR = 0x18, BOOT_GDT_SIZE = 32 };

#define BOOT_MAPPED (1ull << 30) /* the kernel has to lie below */

/* `initrd` may be NULL. Fails if the command line is too long or the memory has less than the first MiB. */
int boot_params_write(const struct guest_memory *memory, const struct loaded_image *initrd, const char *cmdline,
		      struct err *err);

#endif
