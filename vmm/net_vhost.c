/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/net_vhost.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/guest_memory.h"
#include "vmm/net_header.h"
#include "vmm/virtio_device.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

enum { RINGS = 2 };

/* Of the transport, and merged buffers: packets of 64 KiB need them. */
#define FEATURES_NEEDED (1ull << 28 | 1ull << 29 | 1ull << 32 | NET_F_MRG_RXBUF)

struct net_vhost {
	int fd;
	uint64_t features; /* that it knows */
};

struct net_vhost *net_vhost_create(int fd, struct err *err)
{
	struct net_vhost *vhost = calloc(1, sizeof *vhost);
	__u64 features;

	if (!vhost) {
		close(fd);
		err_set(err, ENOMEM, "vhost-net: out of memory");
		return NULL;
	}
	vhost->fd = fd;
	if (ioctl(fd, VHOST_SET_OWNER) || ioctl(fd, VHOST_GET_FEATURES, &features)) {
		err_set_errno(err, "vhost-net");
	} else if ((features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		err_set(err, ENOTSUP, "vhost-net: this kernel's misses features (it has %#llx)", features);
	} else {
		vhost->features = features;
		return vhost;
	}
	net_vhost_destroy(vhost);
	return NULL;
}

void net_vhost_destroy(struct net_vhost *vhost)
{
	if (!vhost)
		return;
	close_fd(&vhost->fd);
	free(vhost);
}

static struct vhost_memory_region region_of(const struct guest_range *range, uint64_t size)
{
	return (struct vhost_memory_region){
		.guest_phys_addr = range->start,
		.memory_size = size,
		.userspace_addr = (uintptr_t)range->host,
	};
}

bool net_vhost_set_memory(const struct net_vhost *vhost, const struct virtio_device *device)
{
	_Alignas(8) uint8_t space[sizeof(struct vhost_memory) + 4 * sizeof(struct vhost_memory_region)];
	struct vhost_memory *table = (struct vhost_memory *)(void *)space;
	const struct guest_memory *memory = device->queues[0].memory;
	uint64_t granted = atomic_load_explicit(&memory->granted, memory_order_acquire);

	*table = (struct vhost_memory){ .nregions = memory->count + (granted != 0) };
	for (unsigned i = 0; i < memory->count; i++)
		table->regions[i] = region_of(&memory->ranges[i], memory->ranges[i].size);
	if (granted)
		table->regions[memory->count] = region_of(&memory->growth, granted);
	/* Data to be sent may lie in the window of the file system. What does not belong there, fails with EFAULT. */
	if (memory->window.size)
		table->regions[table->nregions++] = region_of(&memory->window, memory->window.size);
	return !ioctl(vhost->fd, VHOST_SET_MEM_TABLE, table);
}

static bool set_ring(const struct net_vhost *vhost, struct virtio_device *device, unsigned index, int tap_fd)
{
	const struct virtqueue *queue = &device->queues[index];
	struct vhost_vring_state size = { .index = index, .num = queue->size };
	struct vhost_vring_state base = { .index = index, .num = queue->next_avail };
	struct vhost_vring_addr address = {
		.index = index,
		.desc_user_addr = (uintptr_t)queue->desc,
		.avail_user_addr = (uintptr_t)queue->avail,
		.used_user_addr = (uintptr_t)queue->used,
	};
	struct vhost_vring_file kick = { .index = index, .fd = device->kick_fds[index] };
	struct vhost_vring_file call = { .index = index, .fd = device->call_fd };
	struct vhost_vring_file backend = { .index = index, .fd = tap_fd };

	return !ioctl(vhost->fd, VHOST_SET_VRING_NUM, &size) && !ioctl(vhost->fd, VHOST_SET_VRING_BASE, &base) &&
	       !ioctl(vhost->fd, VHOST_SET_VRING_ADDR, &address) && !ioctl(vhost->fd, VHOST_SET_VRING_KICK, &kick) &&
	       !ioctl(vhost->fd, VHOST_SET_VRING_CALL, &call) && !ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &backend);
}

bool net_vhost_start(struct net_vhost *vhost, struct virtio_device *device, int tap_fd)
{
	__u64 features = device->driver_features & vhost->features;

	if (ioctl(vhost->fd, VHOST_SET_FEATURES, &features) || !net_vhost_set_memory(vhost, device))
		return false;
	for (unsigned i = 0; i < RINGS; i++) {
		if (device->queues[i].ready && !set_ring(vhost, device, i, tap_fd)) {
			net_vhost_stop(vhost);
			return false;
		}
	}
	return true;
}

void net_vhost_stop(struct net_vhost *vhost)
{
	for (unsigned i = 0; i < RINGS; i++) {
		struct vhost_vring_file none = { .index = i, .fd = -1 };

		ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &none);
	}
}

bool net_vhost_go_on(struct net_vhost *vhost, const struct virtio_device *device, int tap_fd)
{
	for (unsigned i = 0; i < RINGS; i++) {
		struct vhost_vring_file backend = { .index = i, .fd = tap_fd };

		if (device->queues[i].ready && ioctl(vhost->fd, VHOST_NET_SET_BACKEND, &backend))
			return false;
	}
	return true;
}
