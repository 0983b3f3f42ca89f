/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that attacks its monitor from ring 0, without any kernel in between. The monitor enters it as it would Linux.
 *
 * Command line: attack=NAME seed=N rounds=N. Whatever it does is made from the seed, so that a failure can be repeated.
 * It ends by powering off with status 42. It has no interrupts and no exception handlers: a fault of its own is a triple
 * fault, which the monitor names.
 *
 * The attacks whose names begin with race- need a second processor: while the first one attacks as usual, it rewrites
 * what the devices are reading, so that a number that is fetched twice is not the same number. Those are not repeatable.
 */
#include "common/sandbox_regs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As the monitor puts them; see vmm/boot_params.h, vmm/bus.h. */
enum { PDPT = 0x9000, CMDLINE_POINTER = 0x228, DEVICES = 5, QUEUES = 4, DONE = 42 };
#define DEVICE(n) (0xd0000000ul + (n) * 0x1000ul)

/* Where this guest keeps what it shows to devices: far from its own code, which they would overwrite if asked to. */
#define ARENA 0x2000000ul
#define ARENA_SIZE 0x1000000ul
#define MEMORY_END 0x8000000ul
#define MMIO_DIRECTORY 0x3800000ul

enum reg {
	DEVICE_ID = 0x08, FEATURES = 0x10, FEATURES_SELECT = 0x14, DRIVER_FEATURES = 0x20, DRIVER_FEATURES_SELECT = 0x24,
	QUEUE_SELECT = 0x30, QUEUE_NUM_MAX = 0x34, QUEUE_NUM = 0x38, QUEUE_READY = 0x44, NOTIFY = 0x50, INTERRUPT_STATUS = 0x60,
	INTERRUPT_ACK = 0x64, STATUS = 0x70, DESCRIPTORS = 0x80, AVAIL = 0x90, USED = 0xa0, CONFIG = 0x100,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, SIZE = 128 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct descriptor { uint64_t address; uint32_t length; uint16_t flags, next; };
struct avail { uint16_t flags, index, ring[SIZE], event; };
struct used { uint16_t flags, index; };

/* One for each processor, which it knows itself by its stack: shared, two writers could leave a 0, which stays one. */
static uint64_t random_states[2];
static uint8_t second_stack[16384];

static uint64_t random64(void)
{
	uint8_t here;
	uint64_t offset = (uint64_t)&here - (uint64_t)second_stack, *state = &random_states[offset < sizeof second_stack];

	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t below(uint64_t n) { return random64() % n; }
static bool one_in(uint64_t n) { return !below(n); }

static void store(uint64_t address, uint64_t value, unsigned width)
{
	switch (width) {
	case 1: *(volatile uint8_t *)address = (uint8_t)value; break;
	case 2: *(volatile uint16_t *)address = (uint16_t)value; break;
	case 4: *(volatile uint32_t *)address = (uint32_t)value; break;
	default: *(volatile uint64_t *)address = value; break;
	}
}

static uint64_t fetch(uint64_t address, unsigned width)
{
	switch (width) {
	case 1: return *(volatile uint8_t *)address;
	case 2: return *(volatile uint16_t *)address;
	case 4: return *(volatile uint32_t *)address;
	default: return *(volatile uint64_t *)address;
	}
}

static void set(unsigned device, enum reg reg, uint64_t value) { store(DEVICE(device) + reg, value, 4); }

static void set64(unsigned device, enum reg reg, uint64_t value)
{
	set(device, reg, value);
	set(device, reg + 4, value >> 32);
}

static void port(uint16_t number, uint32_t value, unsigned width)
{
	if (width == 1)
		__asm__ volatile("outb %b0, %1" : : "a"(value), "d"(number));
	else if (width == 2)
		__asm__ volatile("outw %w0, %1" : : "a"(value), "d"(number));
	else
		__asm__ volatile("outl %0, %1" : : "a"(value), "d"(number));
}

/* --- the parts of a virtio driver, a polite one so far ----------------------------------------------------------- */

static uint64_t queue_at(unsigned device, unsigned queue) { return ARENA + (device * QUEUES + queue) * 0x4000; }
static struct descriptor *descriptors_of(unsigned d, unsigned q) { return (void *)queue_at(d, q); }
static struct avail *avail_of(unsigned d, unsigned q) { return (void *)(queue_at(d, q) + 0x1000); }
static volatile struct used *used_of(unsigned d, unsigned q) { return (void *)(queue_at(d, q) + 0x2000); }
static uint64_t buffer(uint64_t i) { return ARENA + 0x100000 + i * 0x3000; }

static void wake(unsigned device, uint64_t features)
{
	set(device, STATUS, 0);
	set(device, STATUS, ACKNOWLEDGE);
	set(device, STATUS, ACKNOWLEDGE | DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		set(device, DRIVER_FEATURES_SELECT, half);
		set(device, DRIVER_FEATURES, features >> 32 * half);
	}
	set(device, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	for (unsigned q = 0; q < QUEUES; q++) {
		avail_of(device, q)->index = 0;
		used_of(device, q)->index = 0;
		set(device, QUEUE_SELECT, q);
		if (fetch(DEVICE(device) + QUEUE_NUM_MAX, 4) < SIZE)
			continue;
		set(device, QUEUE_NUM, SIZE);
		set64(device, DESCRIPTORS, queue_at(device, q));
		set64(device, AVAIL, queue_at(device, q) + 0x1000);
		set64(device, USED, queue_at(device, q) + 0x2000);
		set(device, QUEUE_READY, 1);
	}
	set(device, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

#define VERSION_1 (1ul << 32)
#define EVENT_INDEX (1ul << 29)
#define INDIRECT_DESCRIPTORS (1ul << 28)

static uint64_t some_features(void)
{
	return VERSION_1 | (one_in(2) ? EVENT_INDEX : 0) | (one_in(2) ? INDIRECT_DESCRIPTORS : 0);
}

static void offer(unsigned device, unsigned queue, uint16_t head)
{
	struct avail *avail = avail_of(device, queue);

	avail->ring[avail->index % SIZE] = head;
	__asm__ volatile("" : : : "memory");
	avail->index++;
	set(device, NOTIFY, queue);
}

/* Until the device has taken up what it was offered, or seems to have given up. */
static void wait_for(unsigned device, unsigned queue)
{
	for (unsigned i = 0; i < 20000 && used_of(device, queue)->index != avail_of(device, queue)->index; i++)
		__asm__ volatile("pause");
}

/* --- what to break --------------------------------------------------------------------------------------------------- */

/* Never this guest's own code, stack or page tables: then it would end, and the attack with it. */
static uint64_t bad_address(void)
{
	static const uint64_t edges[] = {
		MEMORY_END, MEMORY_END - 1, MEMORY_END - 16, MEMORY_END + 4096, 0xa0000, 0xd0000000, 0xd1000000, 0xfec00000,
		0xfee00000, 0xfffffffffffffff0, ~0ul, 0x7fffffffffffffff, 1ul << 47, 1ul << 52, 0x100000000, 0xc0000000,
	};

	switch (below(4)) {
	case 0: return edges[below(sizeof edges / sizeof *edges)];
	case 1: return random64() | 1ul << 40;
	default: return ARENA + below(ARENA_SIZE - 0x10000);
	}
}

static uint32_t bad_length(void)
{
	static const uint32_t edges[] = { 0, 1, 15, 16, 40, 4095, 4096, 4097, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0 };

	return one_in(2) ? edges[below(sizeof edges / sizeof *edges)] : (uint32_t)below(20000);
}

static void scramble(uint64_t address, uint64_t length)
{
	for (uint64_t i = 0; i < length; i += 8)
		store(address + i, random64(), 8);
}

/* Any register of any page, in any width and order. */
static void registers(uint64_t rounds)
{
	while (rounds--) {
		uint64_t page = one_in(6) ? SANDBOX_MMIO_BASE : DEVICE(below(DEVICES + 2));
		uint64_t offset = one_in(3) ? below(0x1000) : below(0x40) * 4;
		unsigned width = 1u << below(4);

		offset &= ~(uint64_t)(width - 1) | (one_in(8) ? 7 : 0);
		if (offset > 0x1000 - 8)
			offset = 0x1000 - 8;
		if (page == SANDBOX_MMIO_BASE && offset <= SANDBOX_REG_POWER_OFF + 3 && offset + width > SANDBOX_REG_POWER_OFF)
			continue;
		if (one_in(3))
			fetch(page + offset, width);
		else
			store(page + offset, one_in(2) ? below(256) : random64(), width);
	}
}

/* Every port, but the one that asks for a reset. */
static void ports(uint64_t rounds)
{
	while (rounds--) {
		uint16_t number = (uint16_t)below(one_in(2) ? 0x400 : 0x10000);

		if (number < 0x61 || number > 0x64)
			port(number, (uint32_t)random64(), 1u << below(3));
	}
}

/* Chains that cycle, overlap, leave memory; indices that jump; tables that move, also while they are in use. */
static void queues(uint64_t rounds)
{
	for (unsigned d = 0; d < DEVICES; d++)
		wake(d, some_features());
	while (rounds--) {
		unsigned d = (unsigned)below(DEVICES), q = (unsigned)below(QUEUES), n = (unsigned)below(SIZE);
		struct descriptor *table = descriptors_of(d, q);

		switch (below(10)) {
		case 0: /* reset in the middle, and up again, perhaps with fewer steps than the rules want */
			if (one_in(3))
				set(d, STATUS, below(256));
			else
				wake(d, some_features());
			break;
		case 1:
			set(d, QUEUE_SELECT, below(QUEUES + 2));
			set64(d, one_in(2) ? DESCRIPTORS : one_in(2) ? AVAIL : USED, bad_address());
			set(d, QUEUE_READY, below(3));
			break;
		case 2:
			set(d, QUEUE_SELECT, q);
			set(d, QUEUE_NUM, bad_length());
			break;
		case 3:
			avail_of(d, q)->index = (uint16_t)random64();
			set(d, NOTIFY, q);
			break;
		case 4:
			scramble(queue_at(d, q), 0x1000);
			offer(d, q, (uint16_t)random64());
			break;
		default:
			table[n] = (struct descriptor){ bad_address(), bad_length(), (uint16_t)below(8), (uint16_t)below(SIZE + 2) };
			offer(d, q, (uint16_t)n);
		}
		set(d, INTERRUPT_ACK, 3);
	}
}

/* Well-formed chains of one request and one reply; what is in the request is another matter. */
static void request(unsigned d, unsigned q, uint64_t slot, uint64_t length, uint32_t room)
{
	struct descriptor *table = descriptors_of(d, q);

	table[2 * slot] = (struct descriptor){ buffer(2 * slot), (uint32_t)length, room ? NEXT : 0, (uint16_t)(2 * slot + 1) };
	table[2 * slot + 1] = (struct descriptor){ buffer(2 * slot + 1), room, WRITE, 0 };
	offer(d, q, (uint16_t)(2 * slot));
}

enum { FUSE_HEADER = 40, FUSE_LOOKUP = 1, FUSE_INIT = 26, KNOWN = 16 };

static void fuse_header(uint64_t at, uint64_t length, uint64_t operation, uint64_t node)
{
	store(at, length, 4);
	store(at + 4, operation, 4);
	store(at + 8, random64(), 8);
	store(at + 16, node, 8);
	store(at + 24, below(3), 8); /* uid; gid 0 */
	store(at + 32, 0, 8);
}

static void put_name(uint64_t at, const char *name)
{
	do
		store(at++, (uint8_t)*name, 1);
	while (*name++);
}

/*
 * FUSE: any operation on any node and handle, with names and sizes that lie. Nodes and handles come from replies, so
 * that many requests get past the first look.
 */
static void fuse(uint64_t rounds)
{
	static const char names[][16] = { "..", ".", "a/b", "file", "link", "dir", "", "/", "../../etc", "\xff\xfe", "share", "new" };
	uint64_t known[KNOWN] = { 1 };

	wake(0, VERSION_1);
	scramble(buffer(0), 128);
	fuse_header(buffer(0), FUSE_HEADER + 64, FUSE_INIT, 0);
	store(buffer(0) + FUSE_HEADER, 7 | 38ul << 32, 8); /* the protocol's version */
	request(0, 1, 0, FUSE_HEADER + 64, 0x1000);
	wait_for(0, 1);
	for (uint64_t turn = 0; turn < rounds; turn++) {
		uint64_t slot = turn % (SIZE / 2), at = buffer(2 * slot), reply = buffer(2 * slot + 1);
		uint64_t length = FUSE_HEADER + (one_in(4) ? below(4000) : below(120));

		scramble(at, length + 64);
		for (uint64_t i = FUSE_HEADER; i < length; i += 8)
			store(at + i, one_in(3) ? known[below(KNOWN)] : one_in(2) ? below(5) : random64(), 8);
		fuse_header(at, one_in(20) ? bad_length() : length, one_in(3) ? FUSE_LOOKUP : 1 + below(53),
			    one_in(10) ? random64() : known[below(KNOWN)]);
		if (one_in(2)) /* after nothing, or what the operations have before a name */
			put_name(at + FUSE_HEADER + 8 * below(4), names[below(sizeof names / sizeof *names)]);
		store(reply, 0, 8);
		request(0, one_in(16) ? 0 : 1, slot, length, one_in(4) ? bad_length() % 0x3000 : 0x2000);
		if (one_in(4)) /* else the next ones come while this one is under way */
			wait_for(0, 1);
		if (fetch(reply, 4) > 16 && !fetch(reply + 4, 4))
			known[below(KNOWN)] = fetch(reply + 16, 8);
		if (turn % 32 == 31)
			wait_for(0, 1);
	}
}

/* vsock: every operation on connections that are not there, credit that is a lie. */
static void vsock(uint64_t rounds)
{
	wake(1, VERSION_1);
	for (unsigned i = 0; i < SIZE / 2; i++) { /* room for what comes back, some of it too small */
		descriptors_of(1, 0)[i] = (struct descriptor){ buffer(2 * i + 1), one_in(16) ? 20 : 0x2000, WRITE, 0 };
		offer(1, 0, (uint16_t)i);
	}
	for (uint64_t turn = 0; turn < rounds; turn++) {
		uint64_t slot = turn % (SIZE / 2), at = buffer(2 * slot), length = 44 + below(3000);

		scramble(at, 48);
		store(at, one_in(8) ? random64() : 3, 8); /* who */
		store(at + 8, one_in(8) ? random64() : 2, 8);
		store(at + 16, one_in(3) ? random64() : 1024 + below(3), 4);
		store(at + 20, one_in(3) ? random64() : 1024 + below(3), 4);
		store(at + 24, one_in(4) ? bad_length() : length - 44, 4);
		store(at + 28, one_in(10) ? random64() : 1, 2);
		store(at + 30, one_in(10) ? random64() : below(9), 2);
		request(1, 1, slot, length, 0);
		if (turn % 32 == 31)
			wait_for(1, 1);
		if (one_in(4)) /* what came back is read by nobody, but its room is given again */
			offer(1, 0, (uint16_t)below(SIZE / 2));
	}
}

/* Doorbells that announce nothing, interrupts acknowledged that never came. */
static void storm(uint64_t rounds)
{
	for (unsigned d = 0; d < DEVICES; d++)
		wake(d, VERSION_1);
	while (rounds--) {
		unsigned d = (unsigned)below(DEVICES);

		set(d, NOTIFY, below(QUEUES + 2));
		if (one_in(16))
			set(d, INTERRUPT_ACK, random64());
	}
}

/* --- the second processor -------------------------------------------------------------------------------------- */

enum { TRAMPOLINE = 0x20000, TRAMPOLINE_SIZE = 256, LAPIC_SPURIOUS = 0xf0, LAPIC_ICR = 0x300 };
enum { INIT_OTHERS = 0xc4500, START_OTHERS = 0xc4600 };
#define LAPIC 0xfee00000ul

static void (*volatile second_work)(void);
static volatile bool second_runs;

/* Changes it for a moment, or for good; what stands there is valid most of the time, and the rest is read beside it. */
static void flip(uint64_t address, uint64_t value, unsigned width)
{
	uint64_t before = fetch(address, width);

	store(address, value, width);
	for (uint64_t i = below(64); i; i--)
		__asm__ volatile("pause");
	if (!one_in(16))
		store(address, before, width);
}

/* Descriptors and what leads to them. */
static void rewrite_queues(void)
{
	unsigned d = (unsigned)below(DEVICES), q = (unsigned)below(QUEUES);
	uint64_t descriptor = (uint64_t)&descriptors_of(d, q)[below(SIZE)];

	switch (below(6)) {
	case 0: flip(descriptor, bad_address(), 8); break;
	case 1: flip(descriptor + 8, bad_length(), 4); break;
	case 2: flip(descriptor + 12, below(8), 2); break;
	case 3: flip(descriptor + 14, random64(), 2); break;
	case 4: flip((uint64_t)&avail_of(d, q)->ring[below(SIZE)], random64(), 2); break;
	default: flip((uint64_t)&avail_of(d, q)->index, random64(), 2); break;
	}
}

/* Headers of FUSE requests, their arguments, and names that become paths. */
static void rewrite_fuse(void)
{
	uint64_t at = buffer(2 * below(SIZE / 2));

	switch (below(6)) {
	case 0: flip(at, bad_length(), 4); break;
	case 1: flip(at + 4, 1 + below(53), 4); break;
	case 2: flip(at + 16, below(8), 8); break;
	case 3: flip(at + 40 + 8 * below(8), one_in(2) ? random64() : below(5), 8); break;
	case 4: flip(at + 40 + below(48), one_in(2) ? '/' : '.', 1); break;
	default: flip(at + 40 + below(48), 0x2e2e2f2e2e2f2e2eul, 8); break;
	}
}

/* Headers of vsock packets: lengths, operations, credit, ports. */
static void rewrite_vsock(void)
{
	static const uint8_t fields[] = { 16, 20, 24, 28, 32, 36, 40 };
	uint64_t at = buffer(2 * below(SIZE / 2));

	flip(at + fields[below(sizeof fields)], one_in(2) ? bad_length() : below(9), one_in(4) ? 2 : 4);
}

__attribute__((noreturn, used)) static void second_main(void)
{
	random_states[1] = ~random_states[0] | 1;
	second_runs = true;
	for (;;)
		second_work();
}

/*
 * Where a processor that was started begins: in real mode, from which one may go to 64-bit mode at once. The segments'
 * and the pages' tables are the first processor's.
 */
__asm__(".pushsection .rodata\n"
	".globl trampoline, trampoline_end, second_start, second_main\n"
	"trampoline:\n"
	".code16\n"
	"	cli\n"
	"	mov %cs, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl (trampoline_tables - trampoline)\n"
	"	mov $0x20, %eax\n" /* physical address extension */
	"	mov %eax, %cr4\n"
	"	mov (trampoline_pages - trampoline), %eax\n"
	"	mov %eax, %cr3\n"
	"	mov $0xc0000080, %ecx\n" /* EFER: long mode */
	"	mov $0x100, %eax\n"
	"	xor %edx, %edx\n"
	"	wrmsr\n"
	"	mov $0x80000011, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $0x10, $second_start\n"
	".balign 8\n"
	"trampoline_tables: .quad 0, 0\n"
	"trampoline_pages: .quad 0\n"
	"trampoline_end:\n"
	".code64\n"
	".popsection\n"
	"second_start:\n"
	"	mov $0x18, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	mov %eax, %ss\n"
	"	lea second_stack + 16384(%rip), %rsp\n"
	"	call second_main\n");
extern const uint8_t trampoline[], trampoline_tables[], trampoline_pages[], trampoline_end[];

static void pause_for(uint64_t turns)
{
	while (turns--)
		__asm__ volatile("pause");
}

static void start_second(void (*work)(void))
{
	uint8_t *copy = (uint8_t *)TRAMPOLINE;
	uint64_t pages;

	second_work = work;
	for (uint64_t i = 0; trampoline + i < trampoline_end; i++)
		copy[i] = trampoline[i];
	__asm__ volatile("sgdt (%0)" : : "r"(copy + (trampoline_tables - trampoline)) : "memory");
	__asm__ volatile("mov %%cr3, %0" : "=r"(pages));
	store((uint64_t)copy + (uint64_t)(trampoline_pages - trampoline), pages, 8);
	store(LAPIC + LAPIC_SPURIOUS, 0x1ff, 4);
	store(LAPIC + LAPIC_ICR, INIT_OTHERS, 4);
	pause_for(10000);
	store(LAPIC + LAPIC_ICR, START_OTHERS | TRAMPOLINE >> 12, 4);
	while (!second_runs)
		__asm__ volatile("pause");
}

static void race_queues(uint64_t rounds)
{
	start_second(rewrite_queues);
	queues(rounds);
}

static void race_fuse(uint64_t rounds)
{
	start_second(rewrite_fuse);
	fuse(rounds);
}

static void race_vsock(uint64_t rounds)
{
	start_second(rewrite_vsock);
	vsock(rounds);
}

static void triple_fault(uint64_t rounds)
{
	(void)rounds;
	__asm__ volatile("ud2");
}

/* --- the frame ----------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(uint64_t rounds);
} attacks[] = {
	{ "registers", registers }, { "ports", ports }, { "queues", queues }, { "fuse", fuse },
	{ "vsock", vsock },         { "storm", storm }, { "triple-fault", triple_fault },
	{ "race-queues", race_queues }, { "race-fuse", race_fuse }, { "race-vsock", race_vsock },
};

/* What follows NAME= on the command line. */
static const char *option(const char *cmdline, const char *name)
{
	for (; *cmdline; cmdline++) {
		unsigned i = 0;

		while (name[i] && cmdline[i] == name[i])
			i++;
		if (!name[i])
			return cmdline + i;
	}
	return "";
}

static uint64_t number(const char *text)
{
	uint64_t value = 0;

	while (*text >= '0' && *text <= '9')
		value = 10 * value + (uint64_t)(*text++ - '0');
	return value;
}

static bool is(const char *text, const char *name)
{
	while (*name && *text == *name)
		text++, name++;
	return !*name && (*text == ' ' || !*text);
}

static void map_devices(void)
{
	uint64_t *directory = (void *)MMIO_DIRECTORY;

	for (uint64_t i = 0; i < 512; i++)
		directory[i] = (0xc0000000 + (i << 21)) | 0x93; /* present, writable, uncached, 2 MiB */
	*(uint64_t *)(PDPT + 3 * 8) = MMIO_DIRECTORY | 3;
}

__attribute__((noreturn)) void hostile_main(const uint8_t *boot_params);

void hostile_main(const uint8_t *boot_params)
{
	const char *cmdline = (const char *)(uint64_t) * (const uint32_t *)(boot_params + CMDLINE_POINTER);
	uint64_t status = 1;

	map_devices();
	random_states[0] = 0x9e3779b97f4a7c15 * (number(option(cmdline, "seed=")) + 1);
	for (unsigned i = 0; i < sizeof attacks / sizeof *attacks; i++)
		if (is(option(cmdline, "attack="), attacks[i].name)) {
			attacks[i].run(number(option(cmdline, "rounds=")));
			status = DONE;
		}
	for (;;)
		store(SANDBOX_MMIO_BASE + SANDBOX_REG_POWER_OFF, status, 4);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	lea stack_end(%rip), %rsp\n"
	"	mov %rsi, %rdi\n"
	"	call hostile_main\n"
	".bss\n"
	".skip 65536\n"
	"stack_end:\n"
	".text\n");
