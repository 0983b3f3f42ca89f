/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio_mmio.h"

#include "common/auto.h"
#include "vmm/guest_memory.h"
#include "vmm/virtio_device.h"

#include <string.h>
#include <sys/eventfd.h>

enum {
	MAGIC = 0x74726976, /* "virt" */
	VERSION = 2,
	VENDOR = 0x4b484c42, /* "BLHK" */
	CONFIG_SPACE = 0x100,
};

/* 2.1 */
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
	STATUS_FAILED = 128,
};

/* 6 */
#define FEATURE_INDIRECT_DESC (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)

enum { INTERRUPT_QUEUE = 1, INTERRUPT_CONFIG = 2 };

static uint64_t offered_features(const struct virtio_mmio *mmio)
{
	return mmio->device->ops->features | FEATURE_INDIRECT_DESC | FEATURE_EVENT_IDX | FEATURE_VERSION_1;
}

/* The queue the driver has selected, NULL if there is none. */
static struct virtqueue *selected_queue(struct virtio_mmio *mmio)
{
	return mmio->queue_select < mmio->device->queue_count ? &mmio->device->queues[mmio->queue_select] : NULL;
}

/* Only a queue that is not in use takes new values. */
static struct virtqueue *settable_queue(struct virtio_mmio *mmio)
{
	struct virtqueue *queue = selected_queue(mmio);

	return queue && !queue->ready ? queue : NULL;
}

/* --- what the device tells the driver ---------------------------------------------------------------------- */

static uint32_t read_interrupt_status(struct virtio_mmio *mmio)
{
	return atomic_load(&mmio->interrupt_status) | (mmio->device->own_calls ? INTERRUPT_QUEUE : 0);
}

static uint32_t read_status(struct virtio_mmio *mmio)
{
	return atomic_load(&mmio->status);
}

static uint32_t read_generation(struct virtio_mmio *mmio)
{
	return atomic_load(&mmio->generation);
}

static void show_register(struct virtio_mmio *mmio, uint32_t offset, uint32_t value)
{
	/* The guest reads it as a whole, whenever it likes. */
	__atomic_store_n((uint32_t *)(void *)(mmio->page + offset), value, __ATOMIC_RELEASE);
}

/* What changes without the driver's doing, on any thread. */
static void show_events(struct virtio_mmio *mmio)
{
	if (!mmio->page)
		return;
	show_register(mmio, 0x060, read_interrupt_status(mmio));
	show_register(mmio, 0x070, read_status(mmio));
	show_register(mmio, 0x0fc, read_generation(mmio));
}

static void interrupt(struct virtio_mmio *mmio, unsigned reason)
{
	atomic_fetch_or(&mmio->interrupt_status, reason);
	if (reason != INTERRUPT_QUEUE || !mmio->device->own_calls)
		show_events(mmio);
	if (mmio->raiser.raise)
		mmio->raiser.raise(mmio->raiser.kvm, mmio->raiser.pin);
	else if (mmio->interrupt_fd >= 0)
		eventfd_write(mmio->interrupt_fd, 1);
}

static void signal_queue(struct virtio_device *device, unsigned index)
{
	(void)index; /* one interrupt for all queues */
	interrupt(device->transport, INTERRUPT_QUEUE);
}

/* Word by word, as the guest may be reading it. */
static void show_config(struct virtio_device *device)
{
	struct virtio_mmio *mmio = device->transport;
	size_t size = device->ops->config_size;

	if (!mmio->page || !device->ops->config_read)
		return;
	for (size_t offset = 0; offset < size; offset += sizeof(uint32_t)) {
		uint32_t word = 0;

		device->ops->config_read(device, offset, &word,
					 size - offset < sizeof word ? size - offset : sizeof word);
		show_register(mmio, (uint32_t)(CONFIG_SPACE + offset), word);
	}
}

static void signal_config(struct virtio_device *device)
{
	struct virtio_mmio *mmio = device->transport;

	/* A driver that reads half of a number between the two is interrupted next, and reads it again. */
	show_config(device);
	atomic_fetch_add(&mmio->generation, 1);
	interrupt(mmio, INTERRUPT_CONFIG);
}

static void complain(struct virtio_mmio *mmio, const char *what)
{
	struct virtio_device *device = mmio->device;

	atomic_fetch_add_explicit(&device->refused, 1, memory_order_relaxed);
	pthread_mutex_lock(&mmio->complaint_lock);
	if (log_limit_allows(&device->complaints, 1))
		log_info("%s: the guest's driver broke the rules: %s", device->ops->name, what);
	pthread_mutex_unlock(&mmio->complaint_lock);
}

static void fail(struct virtio_device *device, const char *why)
{
	struct virtio_mmio *mmio = device->transport;

	/* Once is enough: until the driver resets the device, nothing it does is listened to. */
	if (atomic_fetch_or(&mmio->status, STATUS_NEEDS_RESET) & STATUS_NEEDS_RESET)
		return;
	complain(mmio, why);
	interrupt(mmio, INTERRUPT_CONFIG); /* 2.1.2: only a driver that said DRIVER_OK is told; others ignore it */
}

/* --- status ------------------------------------------------------------------------------------------------ */

/* An empty cell, which is RESET, means: refuse. Going back to RESET is no event, it is always possible. */
static const enum virtio_state next_states[VIRTIO_STATE_COUNT][VIRTIO_EVENT_COUNT] = {
	[VIRTIO_STATE_RESET][VIRTIO_EVENT_ACKNOWLEDGE] = VIRTIO_STATE_ACKNOWLEDGED,
	[VIRTIO_STATE_ACKNOWLEDGED][VIRTIO_EVENT_DRIVER] = VIRTIO_STATE_DRIVER,
	[VIRTIO_STATE_DRIVER][VIRTIO_EVENT_FEATURES_OK] = VIRTIO_STATE_NEGOTIATED,
	[VIRTIO_STATE_NEGOTIATED][VIRTIO_EVENT_DRIVER_OK] = VIRTIO_STATE_ACTIVE,
	[VIRTIO_STATE_ACKNOWLEDGED][VIRTIO_EVENT_FAILED] = VIRTIO_STATE_FAILED,
	[VIRTIO_STATE_DRIVER][VIRTIO_EVENT_FAILED] = VIRTIO_STATE_FAILED,
	[VIRTIO_STATE_NEGOTIATED][VIRTIO_EVENT_FAILED] = VIRTIO_STATE_FAILED,
	[VIRTIO_STATE_ACTIVE][VIRTIO_EVENT_FAILED] = VIRTIO_STATE_FAILED,
};

static const uint32_t event_bits[VIRTIO_EVENT_COUNT] = {
	/* clang-format off */
	[VIRTIO_EVENT_ACKNOWLEDGE] = STATUS_ACKNOWLEDGE,
	[VIRTIO_EVENT_DRIVER] = STATUS_DRIVER,
	[VIRTIO_EVENT_FEATURES_OK] = STATUS_FEATURES_OK,
	[VIRTIO_EVENT_DRIVER_OK] = STATUS_DRIVER_OK,
	[VIRTIO_EVENT_FAILED] = STATUS_FAILED,
	/* clang-format on */
};

enum virtio_state virtio_mmio_next_state(enum virtio_state state, enum virtio_event event)
{
	enum virtio_state next = next_states[state][event];

	return next == VIRTIO_STATE_RESET ? VIRTIO_STATE_COUNT : next;
}

uint32_t virtio_mmio_status(enum virtio_state state)
{
	static const uint32_t bits[VIRTIO_STATE_COUNT] = {
		[VIRTIO_STATE_ACKNOWLEDGED] = STATUS_ACKNOWLEDGE,
		[VIRTIO_STATE_DRIVER] = STATUS_ACKNOWLEDGE | STATUS_DRIVER,
		[VIRTIO_STATE_NEGOTIATED] = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK,
		[VIRTIO_STATE_ACTIVE] = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK,
		[VIRTIO_STATE_FAILED] = STATUS_FAILED,
	};

	return bits[state];
}

static void reset(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	/* The device lets go of guest memory before its queues are wiped. */
	if (device->active) {
		device->active = false;
		if (device->ops->reset)
			device->ops->reset(device);
	}
	for (unsigned i = 0; i < device->queue_count; i++) {
		virtqueue_reset(&device->queues[i]);
		device->queues[i].memory = mmio->memory;
	}
	device->driver_features = 0;
	mmio->driver_features = 0;
	mmio->device_features_select = mmio->driver_features_select = mmio->queue_select = 0;
	mmio->shared_select = 0;
	mmio->state = VIRTIO_STATE_RESET;
	atomic_store(&mmio->status, 0);
	atomic_store(&mmio->interrupt_status, 0);
}

bool virtio_mmio_features_are_acceptable(const struct virtio_mmio *mmio)
{
	return !(mmio->driver_features & ~offered_features(mmio)) && mmio->driver_features & FEATURE_VERSION_1;
}

static void activate(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	device->active = true;
	if (device->ops->activate)
		device->ops->activate(device);
}

static void add_status(struct virtio_mmio *mmio, enum virtio_event event)
{
	enum virtio_state next = virtio_mmio_next_state(mmio->state, event);

	if (next == VIRTIO_STATE_COUNT) {
		complain(mmio, "a status bit out of turn");
		return;
	}
	/* 2.2.2: the bit stays clear for features we cannot take; the driver reads it back and knows. */
	if (next == VIRTIO_STATE_NEGOTIATED && !virtio_mmio_features_are_acceptable(mmio)) {
		complain(mmio, "features that were not offered");
		return;
	}
	mmio->state = next;
	atomic_fetch_or(&mmio->status, event_bits[event]);
	if (next == VIRTIO_STATE_NEGOTIATED)
		mmio->device->driver_features = mmio->driver_features;
	if (next == VIRTIO_STATE_ACTIVE)
		activate(mmio);
}

static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	uint32_t old = atomic_load(&mmio->status);

	if (!value) {
		reset(mmio);
		return;
	}
	/* Bits are only ever added; NEEDS_RESET is ours, and a driver that writes back what it read may include it. */
	if (old & ~value & ~STATUS_NEEDS_RESET) {
		complain(mmio, "a status bit taken back");
		return;
	}
	for (unsigned event = 0; event < VIRTIO_EVENT_COUNT; event++)
		if (value & ~old & event_bits[event])
			add_status(mmio, event);
}

/* --- the other registers ----------------------------------------------------------------------------------- */

static uint32_t read_magic(struct virtio_mmio *mmio)
{
	(void)mmio;
	return MAGIC;
}

static uint32_t read_version(struct virtio_mmio *mmio)
{
	(void)mmio;
	return VERSION;
}

static uint32_t read_device_id(struct virtio_mmio *mmio)
{
	return mmio->device->ops->device_id;
}

static uint32_t read_vendor(struct virtio_mmio *mmio)
{
	(void)mmio;
	return VENDOR;
}

static uint32_t read_device_features(struct virtio_mmio *mmio)
{
	return mmio->device_features_select < 2
		       ? (uint32_t)(offered_features(mmio) >> 32 * mmio->device_features_select)
		       : 0;
}

static void write_device_features_select(struct virtio_mmio *mmio, uint32_t value)
{
	mmio->device_features_select = value;
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
	unsigned shift = 32 * (mmio->driver_features_select & 1);

	if (mmio->driver_features_select < 2)
		mmio->driver_features = (mmio->driver_features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
	else if (value)
		complain(mmio, "features that do not exist");
}

static void write_driver_features_select(struct virtio_mmio *mmio, uint32_t value)
{
	mmio->driver_features_select = value;
}

static void write_queue_select(struct virtio_mmio *mmio, uint32_t value)
{
	mmio->queue_select = value;
}

static uint32_t read_queue_size_max(struct virtio_mmio *mmio)
{
	struct virtqueue *queue = selected_queue(mmio);

	return queue ? queue->size_max : 0;
}

static void write_queue_size(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtqueue *queue = settable_queue(mmio);

	if (queue)
		queue->size = value <= queue->size_max ? (uint16_t)value : 0;
}

static uint32_t read_queue_ready(struct virtio_mmio *mmio)
{
	struct virtqueue *queue = selected_queue(mmio);

	return queue && queue->ready;
}

static void write_queue_ready(struct virtio_mmio *mmio, uint32_t value)
{
	struct virtqueue *queue = selected_queue(mmio);

	if (!queue)
		return;
	if (!value) {
		/* Before DRIVER_OK, so the device does not use it yet. */
		virtqueue_reset(queue);
		queue->memory = mmio->memory;
		return;
	}
	queue->event_idx = mmio->device->driver_features & FEATURE_EVENT_IDX;
	if (!queue->ready && !virtqueue_activate(queue))
		complain(mmio, "a queue of a wrong size or in a wrong place");
}

static void write_queue_notify(struct virtio_mmio *mmio, uint32_t value)
{
	/* KVM takes these for queues that exist. */
	if (value < mmio->device->queue_count && mmio->device->kick_fds[value] >= 0)
		eventfd_write(mmio->device->kick_fds[value], 1);
	else
		complain(mmio, "notified a queue that does not exist");
}

static void write_interrupt_ack(struct virtio_mmio *mmio, uint32_t value)
{
	atomic_fetch_and(&mmio->interrupt_status, ~value);
}

#define DEFINE_QUEUE_ADDRESS(part)                                                                       \
	static void write_##part##_low(struct virtio_mmio *mmio, uint32_t value)                         \
	{                                                                                                \
		struct virtqueue *queue = settable_queue(mmio);                                          \
		if (queue)                                                                               \
			queue->part##_address = (queue->part##_address >> 32 << 32) | value;             \
	}                                                                                                \
	static void write_##part##_high(struct virtio_mmio *mmio, uint32_t value)                        \
	{                                                                                                \
		struct virtqueue *queue = settable_queue(mmio);                                          \
		if (queue)                                                                               \
			queue->part##_address = (uint64_t)value << 32 | (uint32_t)queue->part##_address; \
	}

DEFINE_QUEUE_ADDRESS(desc)
DEFINE_QUEUE_ADDRESS(avail)
DEFINE_QUEUE_ADDRESS(used)

static void write_shared_memory_select(struct virtio_mmio *mmio, uint32_t value)
{
	mmio->shared_select = value;
}

/* 4.2.2: a region that does not exist has length and address -1. */
static uint64_t shared_value(const struct virtio_mmio *mmio, uint64_t value)
{
	return mmio->shared_select == 0 && mmio->device->shared.size ? value : UINT64_MAX;
}

static uint32_t read_shared_size_low(struct virtio_mmio *mmio)
{
	return (uint32_t)shared_value(mmio, mmio->device->shared.size);
}

static uint32_t read_shared_size_high(struct virtio_mmio *mmio)
{
	return (uint32_t)(shared_value(mmio, mmio->device->shared.size) >> 32);
}

static uint32_t read_shared_address_low(struct virtio_mmio *mmio)
{
	return (uint32_t)shared_value(mmio, mmio->device->shared.address);
}

static uint32_t read_shared_address_high(struct virtio_mmio *mmio)
{
	return (uint32_t)(shared_value(mmio, mmio->device->shared.address) >> 32);
}

#define IN(state) (1u << VIRTIO_STATE_##state)
#define ALWAYS ((1u << VIRTIO_STATE_COUNT) - 1)

/* 4.2.2, by offset / 4. */
static const struct virtio_register registers[CONFIG_SPACE / 4] = {
	[0x000 / 4] = { "MagicValue", read_magic, NULL, 0 },
	[0x004 / 4] = { "Version", read_version, NULL, 0 },
	[0x008 / 4] = { "DeviceID", read_device_id, NULL, 0 },
	[0x00c / 4] = { "VendorID", read_vendor, NULL, 0 },
	[0x010 / 4] = { "DeviceFeatures", read_device_features, NULL, 0 },
	[0x014 / 4] = { "DeviceFeaturesSel", NULL, write_device_features_select, ALWAYS },
	[0x020 / 4] = { "DriverFeatures", NULL, write_driver_features, IN(DRIVER) },
	[0x024 / 4] = { "DriverFeaturesSel", NULL, write_driver_features_select, ALWAYS },
	[0x030 / 4] = { "QueueSel", NULL, write_queue_select, ALWAYS },
	[0x034 / 4] = { "QueueNumMax", read_queue_size_max, NULL, 0 },
	[0x038 / 4] = { "QueueNum", NULL, write_queue_size, IN(NEGOTIATED) },
	[0x044 / 4] = { "QueueReady", read_queue_ready, write_queue_ready, IN(NEGOTIATED) },
	[0x050 / 4] = { "QueueNotify", NULL, write_queue_notify, IN(NEGOTIATED) | IN(ACTIVE) },
	[0x060 / 4] = { "InterruptStatus", read_interrupt_status, NULL, 0 },
	[0x064 / 4] = { "InterruptACK", NULL, write_interrupt_ack, ALWAYS },
	[0x070 / 4] = { "Status", read_status, write_status, ALWAYS },
	[0x080 / 4] = { "QueueDescLow", NULL, write_desc_low, IN(NEGOTIATED) },
	[0x084 / 4] = { "QueueDescHigh", NULL, write_desc_high, IN(NEGOTIATED) },
	[0x090 / 4] = { "QueueDriverLow", NULL, write_avail_low, IN(NEGOTIATED) },
	[0x094 / 4] = { "QueueDriverHigh", NULL, write_avail_high, IN(NEGOTIATED) },
	[0x0a0 / 4] = { "QueueDeviceLow", NULL, write_used_low, IN(NEGOTIATED) },
	[0x0a4 / 4] = { "QueueDeviceHigh", NULL, write_used_high, IN(NEGOTIATED) },
	[0x0ac / 4] = { "SHMSel", NULL, write_shared_memory_select, ALWAYS },
	[0x0b0 / 4] = { "SHMLenLow", read_shared_size_low, NULL, 0 },
	[0x0b4 / 4] = { "SHMLenHigh", read_shared_size_high, NULL, 0 },
	[0x0b8 / 4] = { "SHMBaseLow", read_shared_address_low, NULL, 0 },
	[0x0bc / 4] = { "SHMBaseHigh", read_shared_address_high, NULL, 0 },
	[0x0fc / 4] = { "ConfigGeneration", read_generation, NULL, 0 },
};

const struct virtio_register *virtio_mmio_register(uint32_t offset)
{
	return offset < CONFIG_SPACE && offset % 4 == 0 && registers[offset / 4].name ? &registers[offset / 4] : NULL;
}

/* What a read would give of each register, and of the configuration. Under device->lock, or before there are threads.
 */
static void show_all(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	if (!mmio->page)
		return;
	for (uint32_t offset = 0; offset < CONFIG_SPACE; offset += 4) {
		const struct virtio_register *reg = virtio_mmio_register(offset);

		if (reg && reg->read)
			show_register(mmio, offset, reg->read(mmio));
	}
	show_config(device);
}

void virtio_mmio_show(struct virtio_mmio *mmio, uint8_t *page)
{
	mmio->page = page;
	show_all(mmio);
}

/* --- accesses ---------------------------------------------------------------------------------------------- */

/* Driver accesses to the configuration space are 1, 2 or 4 bytes wide and aligned (4.2.2.2). */
static bool config_access_is_valid(const struct virtio_device *device, uint32_t offset, unsigned length)
{
	size_t size = device->ops->config_size;

	return (length == 1 || length == 2 || length == 4) && offset % length == 0 && offset < size &&
	       length <= size - offset;
}

void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *data, unsigned length)
{
	struct virtio_device *device = mmio->device;

	memset(data, 0, length);
	pthread_mutex_lock(&device->lock);
	if (offset >= CONFIG_SPACE) {
		offset -= CONFIG_SPACE;
		if (device->ops->config_read && config_access_is_valid(device, offset, length))
			device->ops->config_read(device, offset, data, length);
		else
			complain(mmio, "a read outside of the configuration");
	} else {
		const struct virtio_register *reg = virtio_mmio_register(offset);

		if (reg && reg->read && length == 4) {
			uint32_t value = reg->read(mmio);

			memcpy(data, &value, sizeof value);
		} else {
			complain(mmio, "a read of no register, or of a part of one");
		}
	}
	pthread_mutex_unlock(&device->lock);
}

void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *data, unsigned length)
{
	struct virtio_device *device = mmio->device;

	pthread_mutex_lock(&device->lock);
	if (offset >= CONFIG_SPACE) {
		offset -= CONFIG_SPACE;
		if (device->ops->config_write && config_access_is_valid(device, offset, length))
			device->ops->config_write(device, offset, data, length);
		else
			complain(mmio, "a write outside of the configuration");
	} else {
		const struct virtio_register *reg = virtio_mmio_register(offset);
		uint32_t value;

		if (!reg || !reg->write || length != 4) {
			complain(mmio, "a write of no register, or of a part of one");
		} else if (!(reg->writable_in & 1u << mmio->state)) {
			complain(mmio, "a register written in the wrong state");
		} else {
			memcpy(&value, data, sizeof value);
			reg->write(mmio, value);
			show_all(mmio);
		}
	}
	pthread_mutex_unlock(&device->lock);
}

void virtio_mmio_kicked(struct virtio_mmio *mmio, unsigned index)
{
	struct virtio_device *device = mmio->device;

	pthread_mutex_lock(&device->lock);
	if (device->active && device->ops->queue_kicked)
		device->ops->queue_kicked(device, index);
	pthread_mutex_unlock(&device->lock);
}

/* --- making ------------------------------------------------------------------------------------------------ */

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device, const struct guest_memory *memory,
		      int interrupt_fd)
{
	*mmio = (struct virtio_mmio){ .device = device, .memory = memory, .interrupt_fd = interrupt_fd };
	pthread_mutex_init(&mmio->complaint_lock, NULL);
	for (unsigned i = 0; i < device->queue_count; i++)
		device->queues[i].memory = memory;
	device->transport = mmio;
	device->signal_queue = signal_queue;
	device->signal_config = signal_config;
	device->show_config = show_config;
	device->fail = fail;
}

void virtio_mmio_reset(struct virtio_mmio *mmio)
{
	pthread_mutex_lock(&mmio->device->lock);
	reset(mmio);
	pthread_mutex_unlock(&mmio->device->lock);
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;
	int kick_fds[VIRTIO_QUEUES_MAX];
	unsigned count;

	if (!device)
		return;
	virtio_mmio_reset(mmio);
	count = device->queue_count;
	memcpy(kick_fds, device->kick_fds, sizeof kick_fds);
	/* By their doorbells it ends threads that wait for them. */
	device->ops->destroy(device);
	for (unsigned i = 0; i < count; i++)
		close_fd(&kick_fds[i]);
	close_fd(&mmio->interrupt_fd);
	pthread_mutex_destroy(&mmio->complaint_lock);
	mmio->device = NULL;
}
