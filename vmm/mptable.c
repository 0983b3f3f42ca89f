/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mptable.h"

#include "vmm/guest_memory.h"
#include "vmm/vcpu.h"

#include <assert.h>
#include <string.h>

#define LOCAL_APIC 0xfee00000u
#define IO_APIC 0xfec00000u

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IO_APIC, ENTRY_IO_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum { CPU_ENABLED = 1, CPU_BOOT = 2 };
enum { KIND_INT = 0, KIND_NMI = 1, KIND_EXTINT = 3 };
enum { APIC_VERSION = 0x14, ALL_APICS = 0xff };

struct floating { /* 4.1 */
	char signature[4];
	uint32_t table;
	uint8_t length, revision, checksum, features[5];
} __attribute__((packed));

struct header { /* 4.2 */
	char signature[4];
	uint16_t length;
	uint8_t revision, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t local_apic;
	uint16_t extended_length;
	uint8_t extended_checksum, reserved;
} __attribute__((packed));

struct cpu { /* 4.3.1 */
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct bus { /* 4.3.2 */
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct io_apic { /* 4.3.3 */
	uint8_t type, id, version, flags;
	uint32_t address;
} __attribute__((packed));

struct interrupt { /* 4.3.4 and 4.3.5 */
	uint8_t type, kind;
	uint16_t flags; /* 0: polarity and trigger of the bus, which for ISA is high and edge */
	uint8_t bus, bus_irq, apic, pin;
} __attribute__((packed));

_Static_assert(sizeof(struct floating) == 16 && sizeof(struct header) == 44 && sizeof(struct cpu) == 20 &&
		       sizeof(struct bus) == 8 && sizeof(struct io_apic) == 8 && sizeof(struct interrupt) == 8,
	       "as the specification says");
_Static_assert(sizeof(struct floating) + sizeof(struct header) + VCPUS_MAX * sizeof(struct cpu) + sizeof(struct bus) +
			       sizeof(struct io_apic) + (MPTABLE_PINS + 2) * sizeof(struct interrupt) <=
		       MPTABLE_SIZE,
	       "the largest table fits in its place");

struct writer {
	uint8_t *start, *at;
	uint16_t entries;
};

static void put(struct writer *writer, const void *entry, size_t size)
{
	memcpy(writer->at, entry, size);
	writer->at += size;
	writer->entries++;
}
#define PUT(writer, ...) put(writer, &__VA_ARGS__, sizeof(__VA_ARGS__))

/* The value that makes all bytes sum up to 0. */
static uint8_t checksum(const uint8_t *bytes, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

void mptable_write(const struct guest_memory *memory, unsigned count, uint32_t pins)
{
	uint8_t *place = guest_memory_at(memory, MPTABLE_ADDRESS, MPTABLE_SIZE); /* the least memory there is has it */
	struct floating *floating = (struct floating *)place;
	struct header *header = (struct header *)(place + sizeof *floating);
	struct writer writer = { .start = (uint8_t *)header, .at = (uint8_t *)(header + 1) };
	uint8_t io_apic = (uint8_t)count; /* the first id that no processor has */

	assert(count && count <= VCPUS_MAX);
	for (unsigned i = 0; i < count; i++)
		PUT(&writer, (struct cpu){ .type = ENTRY_CPU,
					   .apic_id = (uint8_t)i,
					   .apic_version = APIC_VERSION,
					   .flags = CPU_ENABLED | (i ? 0 : CPU_BOOT) });
	PUT(&writer, (struct bus){ ENTRY_BUS, 0, { 'I', 'S', 'A', ' ', ' ', ' ' } });
	PUT(&writer, (struct io_apic){ ENTRY_IO_APIC, io_apic, APIC_VERSION, 1, IO_APIC });
	for (unsigned pin = 0; pin < MPTABLE_PINS; pin++)
		if (pins >> pin & 1)
			PUT(&writer, (struct interrupt){ ENTRY_IO_INTERRUPT, KIND_INT, 0, 0, (uint8_t)pin, io_apic,
							 (uint8_t)pin });
	PUT(&writer, (struct interrupt){ ENTRY_LOCAL_INTERRUPT, KIND_EXTINT, 0, 0, 0, ALL_APICS, 0 });
	PUT(&writer, (struct interrupt){ ENTRY_LOCAL_INTERRUPT, KIND_NMI, 0, 0, 0, ALL_APICS, 1 });

	*header = (struct header){ .length = (uint16_t)(writer.at - writer.start),
				   .revision = 4,
				   .entries = writer.entries,
				   .local_apic = LOCAL_APIC };
	memcpy(header->signature, "PCMP", 4);
	memcpy(header->oem, "BULKHEAD", 8);
	memcpy(header->product, "MICROVM     ", 12);
	header->checksum = checksum(writer.start, header->length);

	*floating = (struct floating){ .table = MPTABLE_ADDRESS + sizeof *floating, .length = 1, .revision = 4 };
	memcpy(floating->signature, "_MP_", 4);
	floating->checksum = checksum(place, sizeof *floating);
}
