/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any file as a kernel and as an initramfs. What is accepted must lie inside the memory and not over each other.
 *
 * Covers: vmm/loader.c
 */
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/loader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest_memory memory;
	struct loaded_image kernel, initrd;
	struct err err = ERR_INIT;
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	if (fd < 0 || guest_memory_create(&memory, 8 << 20, &err) || write(fd, data, size) != (ssize_t)size)
		abort();
	if (!loader_load_kernel(&memory, fd, &kernel, &err)) {
		assert(kernel.start >= LOADER_KERNEL_MIN && kernel.start < kernel.end && kernel.end <= memory.size);
		assert(kernel.entry >= kernel.start && kernel.entry < kernel.end);
		if (!loader_load_initrd(&memory, fd, &kernel, &initrd, &err)) {
			assert(initrd.start >= kernel.end && initrd.end - initrd.start == size &&
			       initrd.end <= memory.size);
			assert(!memcmp(memory.ranges[0].host + initrd.start, data, size));
			loader_check_room(&memory, &kernel, &initrd, &err);
		}
	} else {
		assert(err.code && err.text[0] && !strchr(err.text, '\n'));
	}
	guest_memory_destroy(&memory);
	close(fd);
	return 0;
}
