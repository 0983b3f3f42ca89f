/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - puts an uncompressed kernel (ELF, entered in 64-bit mode) and an initramfs into guest memory.
 *
 * Whole pages are mapped privately from the files, so that VMs share them until the guest writes; what is not whole
 * pages, and what the guest will write to anyway (kernel_pages.h), is copied. The files come from the operator, but
 * every number in them is checked against the file and the memory before it is used. Until the VM ends the files must
 * not shrink.
 */
#ifndef BULKHEAD_LOADER_H
#define BULKHEAD_LOADER_H

#include <stdint.h>

struct err;
struct guest_memory;

#define LOADER_KERNEL_MIN \
	0x100000ull /* nothing is loaded below: what it finds at its start is there (boot_params.h, mptable.h) */

struct loaded_image {
	uint64_t start, end; /* guest physical, end exclusive */
	uint64_t entry;      /* of a kernel */
};

int loader_load_kernel(const struct guest_memory *memory, int fd, struct loaded_image *out, struct err *err);

/* At the top of low memory, page-aligned; never over `kernel`. */
int loader_load_initrd(const struct guest_memory *memory, int fd, const struct loaded_image *kernel,
		       struct loaded_image *out, struct err *err);

/* Refuses what could only end in a guest panic: too little memory beside the images for a kernel to start. */
int loader_check_room(const struct guest_memory *memory, const struct loaded_image *kernel,
		      const struct loaded_image *initrd, struct err *err);

#endif
