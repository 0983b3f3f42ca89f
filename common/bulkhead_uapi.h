/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0) */
/*
 * bulkhead_uapi.h - /dev/bulkhead: what the guest agent asks of the guest module (kmod/), which passes it to the
 * sandbox device (common/sandbox_regs.h).
 *
 * The device node has mode 0600 and is not put into containers. Every call also asks for CAP_SYS_BOOT in the initial
 * user namespace, so a node a container made for itself opens nothing.
 */
#ifndef BULKHEAD_UAPI_H
#define BULKHEAD_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BULKHEAD_DEVICE "/dev/bulkhead"

/*
 * Powers the VM off now, without syncing or stopping anything: the agent has done that, or can't. `status` is 0..255,
 * `reason` one of enum sandbox_off_reason. `text` is the address of `text_length` bytes that reach the user as the
 * reason, at most SANDBOX_PANIC_MAX of them, not necessarily ended by a zero; none for a length of 0. Does not return
 * on success.
 */
struct bulkhead_power_off {
	__u32 status;
	__u32 reason;
	__u64 text;
	__u32 text_length;
	__u32 reserved; /* zero */
};

/* The argument is a pointer to one of enum sandbox_stamp. EINVAL for a number this module does not know. */
#define BULKHEAD_IOC_STAMP _IOW('B', 1, __u32)

/*
 * The argument is a pointer to the status, 0..255, that goes with the next ordinary power-off (reboot(2) with
 * RB_POWER_OFF). Until it is set the status is 0.
 */
#define BULKHEAD_IOC_SET_STATUS _IOW('B', 2, __u32)

#define BULKHEAD_IOC_POWER_OFF _IOW('B', 3, struct bulkhead_power_off)

/*
 * There is a virtio-mmio device at `address`, with interrupt `irq`: it was not there when the kernel booted. Its driver
 * has probed it when the call returns. EINVAL for an address where no such device can be.
 */
struct bulkhead_device_place {
	__u64 address;
	__u32 irq;
	__u32 reserved; /* zero */
};

#define BULKHEAD_IOC_ADD_DEVICE _IOW('B', 4, struct bulkhead_device_place)
#define BULKHEAD_IOC_REMOVE_DEVICE _IOW('B', 5, struct bulkhead_device_place)

/*
 * Which guest this is. `generation` is 0 in one that booted, and another number each time the monitor continues it, or
 * a copy of it, from where it was saved. Then `realtime_ns` was the time, in nanoseconds since 1970, and `entropy` is
 * the caller's: it is given out once, and mixed into the kernel's pool, but whoever calls has the generator reseeded.
 */
struct bulkhead_identity {
	__u64 generation;
	__u64 realtime_ns;
	__u8 entropy[64];
};

#define BULKHEAD_IOC_IDENTITY _IOR('B', 6, struct bulkhead_identity)

/*
 * Before the guest is saved as a template: what is free now is not reported to the balloon device. A copy has been
 * given nothing for it.
 */
#define BULKHEAD_IOC_MARK_FREE _IO('B', 7)

/*
 * /dev/bulkhead-generation, which every container with a /dev of its own has (mode 0444): for programs that have to
 * know when they are copies. It becomes readable (poll, select, epoll) when the guest has become another one; read(2)
 * then gives the new generation, 8 bytes, and waits otherwise, or gives EAGAIN. What was there at open counts as seen.
 * The kernel's own random numbers are others already when it becomes readable.
 */
#define BULKHEAD_GENERATION_DEVICE "/dev/bulkhead-generation"
#define BULKHEAD_GENERATION_MAJOR 10  /* miscellaneous devices */
#define BULKHEAD_GENERATION_MINOR 243 /* of those for local use */

/* Where virtio-mmio devices are, one a page (vmm/machine.c). */
#define BULKHEAD_DEVICES_START 0xd0000000ull
#define BULKHEAD_DEVICES_END 0xd1000000ull
#define BULKHEAD_DEVICE_SIZE 0x1000u

#endif
