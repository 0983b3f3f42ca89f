/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader.h"

#include "common/err.h"
#include "common/fd_stat.h"
#include "vmm/boot_params.h"
#include "vmm/guest_memory.h"
#include "vmm/kernel_pages.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 32, COPY_STEP = 1024 };

/*
 * What a kernel was seen to need beside its image and the initramfs (twice: once packed, once unpacked) to reach its
 * first process: page tables, per-CPU areas, caches. The array of struct page takes 1/64 of memory.
 */
#define BOOT_RESERVE (12ull << 20)

static uint64_t page_down(uint64_t value)
{
	return value & ~(GUEST_PAGE - 1);
}

static uint64_t page_up(uint64_t value)
{
	return page_down(value + GUEST_PAGE - 1);
}

/* All `length` bytes at `offset`, or an error: a short file is a truncated one. */
static int read_all(int fd, void *out, uint64_t length, uint64_t offset, const char *what, struct err *err)
{
	for (uint64_t done = 0; done < length;) {
		ssize_t n = pread(fd, (uint8_t *)out + done, length - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, "cannot read %s", what);
		if (n == 0)
			return err_set(err, ENOEXEC, "%s is truncated", what);
		done += (uint64_t)n;
	}
	return 0;
}

static int file_size(int fd, const char *what, uint64_t *size, struct err *err)
{
	struct stat st;

	if (fd_stat(fd, &st))
		return err_set_errno(err, "cannot examine %s", what);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s is not a regular file", what);
	*size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Puts `length` bytes of the file at `offset` to guest address `address`; the caller has checked that the file has them
 * and the memory takes them. Pages that a mapping can give are mapped, the ends are copied.
 */
static int place(const struct guest_memory *memory, int fd, uint64_t offset, uint64_t address, uint64_t length,
		 const char *what, struct err *err)
{
	uint64_t end = address + length, map_start = page_up(address), map_end = page_down(end);
	uint8_t *host = guest_memory_at(memory, address, length);

	if (!length)
		return 0;
	if (address % GUEST_PAGE != offset % GUEST_PAGE || map_start >= map_end)
		return read_all(fd, host, length, offset, what, err);
	guest_memory_note_file(memory, host + (map_start - address), map_end - map_start);
	if (mmap(host + (map_start - address), map_end - map_start, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 (off_t)(offset + (map_start - address))) == MAP_FAILED)
		return err_set_errno(err, "cannot map %s", what);
	/* All in one go: each page's first access by the guest is then a shorter exit. Hosts before Linux 5.14 can't.
	 */
	madvise(host + (map_start - address), map_end - map_start, MADV_POPULATE_READ);
	if (read_all(fd, host, map_start - address, offset, what, err))
		return -1;
	return read_all(fd, host + (map_end - address), end - map_end, offset + (map_end - address), what, err);
}

/*
 * Copies `length` bytes of the file at `offset` to `host`. From a mapping, in small steps: a read would have the host's
 * kernel copy them byte by byte on some processors, and so would memcpy if it were told how much there is.
 */
static int copy_in(int fd, uint64_t offset, uint8_t *host, uint64_t length, const char *what, struct err *err)
{
	uint64_t before = offset % GUEST_PAGE;
	const uint8_t *from =
		mmap(NULL, before + length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, (off_t)(offset - before));

	if (from == MAP_FAILED)
		return err_set_errno(err, "cannot map %s", what);
	for (uint64_t done = 0; done < length; done += COPY_STEP)
		memcpy(host + done, from + before + done, length - done < COPY_STEP ? length - done : COPY_STEP);
	munmap((void *)from, before + length);
	return 0;
}

/* The part of a segment that comes from the file, each 2 MiB as kernel_pages.h says. */
static int place_segment(const struct guest_memory *memory, int fd, const Elf64_Phdr *segment,
			 const struct kernel_pages *pages, struct err *err)
{
	uint64_t step;

	for (uint64_t done = 0; done < segment->p_filesz; done += step) {
		uint64_t address = segment->p_paddr + done, left = segment->p_filesz - done;
		int failed;

		step = GUEST_HUGE_PAGE - address % GUEST_HUGE_PAGE;
		if (step > left)
			step = left;
		failed = kernel_pages_is_written(pages, address)
				 ? copy_in(fd, segment->p_offset + done, guest_memory_at(memory, address, step), step,
					   "the kernel", err)
				 : place(memory, fd, segment->p_offset + done, address, step, "the kernel", err);
		if (failed)
			return -1;
	}
	return 0;
}

/* Before anything is placed: a mapping of a file has no huge pages. */
static void ask_for_huge_pages(const struct guest_memory *memory, const struct kernel_pages *pages)
{
	for (uint64_t address = 0; address < KERNEL_PAGES_COUNT * GUEST_HUGE_PAGE; address += GUEST_HUGE_PAGE) {
		void *host = guest_memory_at(memory, address, GUEST_HUGE_PAGE);

		if (host && kernel_pages_is_written(pages, address))
			madvise(host, GUEST_HUGE_PAGE, MADV_HUGEPAGE);
	}
}

/* --- the kernel -------------------------------------------------------------------------------------------- */

static int check_header(const Elf64_Ehdr *header, uint64_t file, struct err *err)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG)) {
		if (!memcmp(header->e_ident, "MZ", 2))
			return err_set(err, ENOEXEC,
				       "the kernel is a compressed bzImage; Bulkhead starts the uncompressed vmlinux");
		return err_set(err, ENOEXEC, "the kernel is not an ELF file");
	}
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return err_set(err, ENOEXEC, "the kernel is not for x86-64");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return err_set(err, ENOEXEC, "the kernel is not an executable ELF file");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || !header->e_phnum || header->e_phnum > SEGMENTS_MAX)
		return err_set(err, ENOEXEC, "the kernel has a program header table of the wrong size");
	if (header->e_phoff > file || header->e_phnum * sizeof(Elf64_Phdr) > file - header->e_phoff)
		return err_set(err, ENOEXEC, "the kernel is truncated");
	return 0;
}

static int check_segment(const struct guest_memory *memory, const Elf64_Phdr *segment, uint64_t file, struct err *err)
{
	if (segment->p_offset > file || segment->p_filesz > file - segment->p_offset)
		return err_set(err, ENOEXEC, "the kernel is truncated");
	if (segment->p_type != PT_LOAD || !segment->p_memsz)
		return 0;
	if (segment->p_filesz > segment->p_memsz)
		return err_set(err, ENOEXEC, "the kernel has a segment that is larger in the file than in memory");
	if (segment->p_paddr < LOADER_KERNEL_MIN)
		return err_set(err, ENOEXEC, "the kernel wants to be loaded below 1 MiB");
	if (segment->p_paddr >= GUEST_HOLE_START || !guest_memory_at(memory, segment->p_paddr, segment->p_memsz))
		return err_set(err, ENOMEM, "the kernel does not fit in the VM's memory of %llu MiB",
			       (unsigned long long)(memory->size >> 20));
	return 0;
}

int loader_load_kernel(const struct guest_memory *memory, int fd, struct loaded_image *out, struct err *err)
{
	Elf64_Phdr segments[SEGMENTS_MAX];
	struct kernel_pages pages;
	Elf64_Ehdr header;
	bool entry_is_loaded = false;
	uint64_t file;

	*out = (struct loaded_image){ .start = UINT64_MAX };
	if (file_size(fd, "the kernel", &file, err) || read_all(fd, &header, sizeof header, 0, "the kernel", err) ||
	    check_header(&header, file, err) ||
	    read_all(fd, segments, header.e_phnum * sizeof *segments, header.e_phoff, "the kernel", err))
		return -1;
	/* Look at everything before anything is mapped. */
	for (unsigned i = 0; i < header.e_phnum; i++)
		if (check_segment(memory, &segments[i], file, err))
			return -1;
	kernel_pages_find(fd, &header, segments, &pages);
	ask_for_huge_pages(memory, &pages);
	for (unsigned i = 0; i < header.e_phnum; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type != PT_LOAD || !segment->p_memsz)
			continue;
		if (place_segment(memory, fd, segment, &pages, err))
			return -1;
		if (segment->p_paddr < out->start)
			out->start = segment->p_paddr;
		if (segment->p_paddr + segment->p_memsz > out->end)
			out->end = segment->p_paddr + segment->p_memsz;
		if (header.e_entry >= segment->p_paddr && header.e_entry - segment->p_paddr < segment->p_filesz)
			entry_is_loaded = true;
	}
	if (!entry_is_loaded)
		return err_set(err, ENOEXEC, "the kernel's entry lies outside of what is loaded");
	if (out->end > BOOT_MAPPED)
		return err_set(err, ENOEXEC, "the kernel wants to be loaded above 1 GiB");
	out->entry = header.e_entry;
	return 0;
}

/* --- the initramfs ----------------------------------------------------------------------------------------- */

int loader_load_initrd(const struct guest_memory *memory, int fd, const struct loaded_image *kernel,
		       struct loaded_image *out, struct err *err)
{
	const struct guest_range *low = &memory->ranges[0];
	uint64_t file, top = low->start + low->size;

	if (file_size(fd, "the initramfs", &file, err))
		return -1;
	if (!file)
		return err_set(err, ENOEXEC, "the initramfs is empty");
	if (file > low->size || page_up(file) > top - page_up(kernel->end))
		return err_set(err, ENOMEM, "kernel and initramfs do not fit in the VM's memory of %llu MiB",
			       (unsigned long long)(memory->size >> 20));
	out->start = top - page_up(file);
	out->end = out->start + file;
	out->entry = 0;
	return place(memory, fd, 0, out->start, file, "the initramfs", err);
}

int loader_check_room(const struct guest_memory *memory, const struct loaded_image *kernel,
		      const struct loaded_image *initrd, struct err *err)
{
	uint64_t need =
		(kernel->end - kernel->start) + 2 * (initrd->end - initrd->start) + memory->size / 64 + BOOT_RESERVE;

	if (need <= memory->size)
		return 0;
	return err_set(err, ENOMEM,
		       "%llu MiB of memory are too little to boot; this kernel and initramfs need %llu MiB",
		       (unsigned long long)(memory->size >> 20), (unsigned long long)((need >> 20) + 1));
}
