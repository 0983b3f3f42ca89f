/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh.h - the start information that a kernel entered by PVH finds through EBX: memory map, initramfs, command line.
 *
 * Layout: Xen's public header arch-x86/hvm/start_info.h, version 1. It fills one page and a half of low memory.
 */
#ifndef BULKHEAD_PVH_H
#define BULKHEAD_PVH_H

#include <stdint.h>

struct err;
struct guest_memory;
struct loaded_image;

#define PVH_START_INFO 0x6000u /* guest physical */
#define PVH_CMDLINE_MAX 2047u  /* what the kernel keeps of it on x86 */

/* `initrd` may be NULL. */
int pvh_write(const struct guest_memory *memory, const struct loaded_image *initrd, const char *cmdline,
	      struct err *err);

#endif
