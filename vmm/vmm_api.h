/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_api.h - what passes between the monitor and the host programs that started it (runtime, proxy).
 *
 * Both sides are compiled from this file and run on one machine, so the messages are plain structs, one per packet of
 * an AF_UNIX SOCK_SEQPACKET socket. A packet of another length is refused. The receiver treats every string as
 * possibly unterminated and every number as possibly wrong: after a breach the monitor speaks for the guest.
 */
#ifndef BULKHEAD_VMM_API_H
#define BULKHEAD_VMM_API_H

#include <stddef.h>
#include <stdint.h>

#define VMM_EVENT_TEXT_MAX 2048
#define VMM_NAME_MAX 64

/* Monitor to proxy, over --event-fd. */
enum vmm_event_kind {
	VMM_EVENT_STAMP = 1, /* code: enum vmm_stamp; ns: CLOCK_MONOTONIC */
	VMM_EVENT_PANIC = 2, /* text: the guest's words, escaped, at most VMM_EVENT_TEXT_MAX - 1 bytes */
	VMM_EVENT_OFF = 3,   /* the VM has ended; code: status | enum sandbox_off_reason << 8; the monitor exits next */
	VMM_EVENT_ERROR =
		4, /* the VM could not be made or go on; code: errno; text: one line; the monitor exits next */
};

enum vmm_stamp {
	VMM_STAMP_START = 1,       /* main of the monitor */
	VMM_STAMP_LOADED = 2,      /* kernel and initramfs in place, devices made */
	VMM_STAMP_FIRST_ENTRY = 3, /* before the first KVM_RUN */
	VMM_STAMP_MODULE = 4,      /* the guest's stamps, enum sandbox_stamp, on the host's clock */
	VMM_STAMP_AGENT_START = 5,
	VMM_STAMP_AGENT_READY = 6,
	VMM_STAMP_TEMPLATE = 7, /* before a template is read */
	VMM_STAMP_RESTORED = 8, /* memory mapped, vCPUs' state set; devices come between this and VMM_STAMP_LOADED */
	VMM_STAMP_COUNT
};

struct vmm_event {
	uint32_t kind;
	uint32_t code;
	uint64_t ns;
	char text[VMM_EVENT_TEXT_MAX];
};

/* Anyone who may connect to the control socket; each request gets one reply. */
enum vmm_control_op {
	VMM_CONTROL_PAUSE = 1, /* every vCPU is out of the guest when the reply comes */
	VMM_CONTROL_RESUME = 2,
	VMM_CONTROL_STATS = 3,
	VMM_CONTROL_ADD_SHARE = 4,    /* name; one fd by SCM_RIGHTS; arg: bit 0 set: read-only */
	VMM_CONTROL_REMOVE_SHARE = 5, /* name: no new look-ups; open files go on */
	VMM_CONTROL_KILL = 6,         /* end the VM at once */
	/*
	 * A network interface: name (for messages), mac, arg: a number that means this interface from now on; the fd
	 * of a tap, and perhaps one of /dev/vhost-net. The reply has the place where the guest finds it.
	 */
	VMM_CONTROL_ADD_NET = 7,
	VMM_CONTROL_FIND_NET = 8,   /* arg: the interface; the reply has its place; ENOENT: not one of this VM's */
	VMM_CONTROL_REMOVE_NET = 9, /* arg: the interface, which the guest has let go of */
	/* The fds of two empty files, for memory and state: both are complete when the reply comes, and the VM goes on.
	 */
	VMM_CONTROL_CHECKPOINT = 10,
	/*
	 * Memory: arg: bytes that the VM should have in all. The reply has the place of the device that the guest is to
	 * know of (address 0: none is needed yet) and `growth`; the guest's driver follows in its own time. With arg 0
	 * nothing is asked for, and the reply has `growth`.
	 */
	VMM_CONTROL_RESIZE = 16,
	/*
	 * A block device: name: what it is called, at most VMM_DISK_ID_MAX bytes; the guest reads it as the disk's
	 * serial number; arg: struct vmm_disk, packed; one fd. The reply has the place where the guest finds it.
	 * EEXIST: there is one of that name.
	 */
	VMM_CONTROL_ADD_DISK = 17,
	VMM_CONTROL_FIND_DISK = 18,   /* name; the reply has its place */
	VMM_CONTROL_REMOVE_DISK = 19, /* name: of one which the guest has let go of */
};

#define VMM_DISK_ID_MAX 20

struct vmm_disk {
	uint64_t sectors;   /* of 512 bytes */
	unsigned block_log; /* log2 of its logical block size, 9 to 16 */
	unsigned read_only;
};

static inline uint64_t vmm_disk_pack(struct vmm_disk disk)
{
	return disk.sectors << 8 | (uint64_t)(disk.block_log & 0x7f) << 1 | (disk.read_only & 1);
}

static inline struct vmm_disk vmm_disk_unpack(uint64_t packed)
{
	return (struct vmm_disk){ packed >> 8, (unsigned)(packed >> 1) & 0x7f, (unsigned)packed & 1 };
}

struct vmm_control_request {
	uint32_t op;
	uint32_t reserved;
	uint64_t arg;
	char name[VMM_NAME_MAX];
	uint8_t mac[6];
	uint8_t reserved2[2];
};

struct vmm_place {
	uint64_t address; /* guest physical, of the virtio-mmio registers */
	uint32_t irq;
	uint32_t reserved;
};

struct vmm_stats {
	uint64_t memory_size;
	uint64_t vcpus;
	uint64_t paused;
	uint64_t exits;    /* returns from KVM_RUN to this process */
	uint64_t requests; /* of all devices */
	uint64_t refused;
};

#define VMM_STAMPS_MAX 16
#define VMM_DEVICE_KINDS_MAX 8

_Static_assert((int)VMM_STAMP_COUNT <= VMM_STAMPS_MAX, "a place for each stamp");

/* What STATS has besides: when the VM's stages were reached, and what was asked of each kind of device. */
struct vmm_details {
	uint64_t stamps[VMM_STAMPS_MAX]; /* CLOCK_MONOTONIC, nanoseconds, by enum vmm_stamp; 0: not reached */
	struct vmm_device_stats {
		uint32_t device_id; /* virtio 1.2 section 5; 0 is the end of the list */
		uint32_t count;
		uint64_t requests, refused;
	} devices[VMM_DEVICE_KINDS_MAX];
};

/* Of memory, in bytes. What a monitor that does not know it sends is zero: a limit of 0 means that nothing can grow. */
struct vmm_growth {
	uint64_t begun;              /* what the VM was made with */
	uint64_t limit;              /* what it may have at most */
	uint64_t requested, plugged; /* what it should have, what it has */
};

/*
 * It may grow at its end, and has: a VM outlives an upgrade of the programs, so that commands meet monitors that are
 * older or newer. What an older one does not send is taken for zeros; what a newer one sends more is cut off by the
 * socket.
 */
struct vmm_control_reply {
	uint32_t code; /* 0 or errno */
	uint32_t reserved;
	char text[512]; /* with a code: one line */
	struct vmm_stats stats;
	struct vmm_place place;
	struct vmm_details details;
	struct vmm_growth growth;
};

#define VMM_CONTROL_REPLY_MIN offsetof(struct vmm_control_reply, details)

#endif
