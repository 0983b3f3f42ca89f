/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kernel_pages.h"

#include "vmm/guest_memory.h"

#include <unistd.h>

enum { SECTIONS_MAX = 128 };

static void mark(struct kernel_pages *pages, uint64_t start, uint64_t length)
{
	uint64_t limit = KERNEL_PAGES_COUNT * GUEST_HUGE_PAGE;
	uint64_t end = start >= limit ? start : length > limit - start ? limit : start + length;

	while (start < end) {
		uint64_t next = (start / GUEST_HUGE_PAGE + 1) * GUEST_HUGE_PAGE;
		uint32_t *written = &pages->written[start / GUEST_HUGE_PAGE];
		uint64_t sum = *written + ((next < end ? next : end) - start);

		/* Sections of a broken file may overlap. */
		*written = (uint32_t)(sum < GUEST_HUGE_PAGE ? sum : GUEST_HUGE_PAGE);
		start = next;
	}
}

/* Code in a segment that is writable as well has been marked with it. */
static void mark_code(struct kernel_pages *pages, const Elf64_Shdr *section, const Elf64_Phdr *segments, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const Elf64_Phdr *segment = &segments[i];

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) &&
		    section->sh_offset >= segment->p_offset &&
		    section->sh_offset - segment->p_offset < segment->p_filesz)
			mark(pages, segment->p_paddr + (section->sh_offset - segment->p_offset), section->sh_size);
	}
}

void kernel_pages_find(int fd, const Elf64_Ehdr *header, const Elf64_Phdr *segments, struct kernel_pages *out)
{
	Elf64_Shdr sections[SECTIONS_MAX];
	size_t size = header->e_shnum * sizeof *sections;

	*out = (struct kernel_pages){ 0 };
	for (unsigned i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_W)
			mark(out, segments[i].p_paddr, segments[i].p_memsz);
	if (header->e_shentsize != sizeof *sections || header->e_shnum > SECTIONS_MAX || header->e_shoff > INT64_MAX ||
	    pread(fd, sections, size, (off_t)header->e_shoff) != (ssize_t)size)
		return;
	for (unsigned i = 0; i < header->e_shnum; i++)
		if (sections[i].sh_type == SHT_PROGBITS && sections[i].sh_flags & SHF_EXECINSTR)
			mark_code(out, &sections[i], segments, header->e_phnum);
}

bool kernel_pages_is_written(const struct kernel_pages *pages, uint64_t address)
{
	uint64_t index = address / GUEST_HUGE_PAGE;

	return index < KERNEL_PAGES_COUNT && pages->written[index] >= GUEST_HUGE_PAGE / 2;
}
