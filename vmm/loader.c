/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/loader.h"

#include "common/err.h"
#include "vmm/guest_memory.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 32, NOTES_MAX = 4096, NOTE_PVH_ENTRY = 18 };

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

	if (fstat(fd, &st))
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
	if (mmap(host + (map_start - address), map_end - map_start, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 (off_t)(offset + (map_start - address))) == MAP_FAILED)
		return err_set_errno(err, "cannot map %s", what);
	if (read_all(fd, host, map_start - address, offset, what, err))
		return -1;
	return read_all(fd, host + (map_end - address), end - map_end, offset + (map_end - address), what, err);
}

/*
 * A kernel writes to nearly all of its data while it boots. Copying those pages now, in one go, is cheaper than letting
 * each be mapped from the file at the first read and copied at the first write: two exits of the guest and a flush of
 * its TLB. Hosts before Linux 5.14 can't; nothing depends on it.
 */
static void copy_pages_now(const struct guest_memory *memory, uint64_t address, uint64_t length)
{
	uint64_t start = page_down(address), end = page_up(address + length);

	madvise(guest_memory_at(memory, start, end - start), end - start, MADV_POPULATE_WRITE);
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

/* Looks for the note that holds the 32-bit entry. 1: found, 0: not here, -1: error. */
static int read_entry(int fd, const Elf64_Phdr *segment, uint64_t *entry, struct err *err)
{
	_Alignas(Elf64_Nhdr) uint8_t notes[NOTES_MAX];
	uint64_t size = segment->p_filesz < sizeof notes ? segment->p_filesz : sizeof notes;

	if (read_all(fd, notes, size, segment->p_offset, "the kernel", err))
		return -1;
	for (uint64_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
		Elf64_Nhdr note;
		uint64_t name, value, next;

		memcpy(&note, notes + at, sizeof note);
		/* 32-bit sizes in 64-bit sums: nothing wraps. */
		name = at + sizeof note;
		value = name + ((note.n_namesz + 3ull) & ~3ull);
		next = value + ((note.n_descsz + 3ull) & ~3ull);
		if (next > size)
			break;
		if (note.n_type == NOTE_PVH_ENTRY && note.n_namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			*entry = 0;
			memcpy(entry, notes + value, note.n_descsz);
			return 1;
		}
		at = next;
	}
	return 0;
}

int loader_load_kernel(const struct guest_memory *memory, int fd, struct loaded_image *out, struct err *err)
{
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Ehdr header;
	uint64_t file, entry = 0;
	bool entry_is_loaded = false;
	int found = 0;

	*out = (struct loaded_image){ .start = UINT64_MAX };
	if (file_size(fd, "the kernel", &file, err) || read_all(fd, &header, sizeof header, 0, "the kernel", err) ||
	    check_header(&header, file, err) ||
	    read_all(fd, segments, header.e_phnum * sizeof *segments, header.e_phoff, "the kernel", err))
		return -1;
	/* Look at everything before anything is mapped. */
	for (unsigned i = 0; i < header.e_phnum; i++) {
		if (check_segment(memory, &segments[i], file, err))
			return -1;
		if (segments[i].p_type == PT_NOTE && !found && (found = read_entry(fd, &segments[i], &entry, err)) < 0)
			return -1;
	}
	if (!found)
		return err_set(err, ENOEXEC, "the kernel has no PVH entry; it needs CONFIG_PVH=y");
	for (unsigned i = 0; i < header.e_phnum; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type != PT_LOAD || !segment->p_memsz)
			continue;
		if (place(memory, fd, segment->p_offset, segment->p_paddr, segment->p_filesz, "the kernel", err))
			return -1;
		if (segment->p_flags & PF_W && segment->p_filesz)
			copy_pages_now(memory, segment->p_paddr, segment->p_filesz);
		if (segment->p_paddr < out->start)
			out->start = segment->p_paddr;
		if (segment->p_paddr + segment->p_memsz > out->end)
			out->end = segment->p_paddr + segment->p_memsz;
		if (entry >= segment->p_paddr && entry - segment->p_paddr < segment->p_filesz)
			entry_is_loaded = true;
	}
	if (!entry_is_loaded || entry > UINT32_MAX)
		return err_set(err, ENOEXEC, "the kernel's PVH entry lies outside of what is loaded");
	out->entry = (uint32_t)entry;
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
