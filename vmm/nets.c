/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/nets.h"

#include "common/auto.h"
#include "common/err.h"
#include "vmm/bus.h"
#include "vmm/snapshot.h"
#include "vmm/virtio_net.h"
#include "vmm/vmm_api.h"

#include <errno.h>
#include <string.h>

void nets_init(struct nets *nets, struct bus *bus)
{
	*nets = (struct nets){ .bus = bus };
}

static int index_of(const struct nets *nets, uint64_t key)
{
	for (size_t i = 0; i < nets->count; i++)
		if (nets->items[i].is_plugged && nets->items[i].key == key)
			return (int)i;
	return -1;
}

static struct vmm_place place_of(const struct nets *nets, size_t i)
{
	unsigned number = nets->items[i].number;

	return (struct vmm_place){ .address = bus_address(number), .irq = bus_pin(nets->bus, number) };
}

static int no_such(struct err *err)
{
	return err_set(err, ENOENT, "there is no such network interface");
}

/* A device without a wire that the guest does not use; its doorbells suit one kind of backend. */
static bool replug(struct nets *nets, uint64_t key, const uint8_t mac[6], int *tap_fd, int *vhost_fd, size_t *at)
{
	bool with_vhost = *vhost_fd >= 0;

	for (size_t i = 0; i < nets->count; i++) {
		if (nets->items[i].is_plugged || nets->items[i].has_vhost != with_vhost ||
		    !virtio_net_replug(nets->items[i].device, mac, tap_fd, vhost_fd))
			continue;
		nets->items[i].is_plugged = true;
		nets->items[i].key = key;
		*at = i;
		return true;
	}
	return false;
}

int nets_add(struct nets *nets, uint64_t key, const uint8_t mac[6], int tap_fd, int vhost_fd, struct vmm_place *place,
	     struct err *err)
{
	auto_fd int tap = tap_fd;
	auto_fd int vhost = vhost_fd;
	bool with_vhost = vhost >= 0;
	size_t at = nets->count;

	if (index_of(nets, key) >= 0)
		return err_set(err, EEXIST, "this network interface is there already");
	if (!replug(nets, key, mac, &tap, &vhost, &at)) {
		if (at == NETS_MAX)
			return err_set(err, ENOSPC, "the machine has no room for another network interface");
		struct virtio_device *device =
			virtio_net_create(nets->bus->loop, mac, take_fd(&tap), take_fd(&vhost), err);
		int number = bus_add(nets->bus, device, err);

		if (number < 0)
			return -1;
		nets->items[at].device = device;
		nets->items[at].number = (unsigned)number;
		nets->items[at].key = key;
		nets->items[at].is_plugged = true;
		nets->items[at].has_vhost = with_vhost;
		nets->count++;
	}
	*place = place_of(nets, at);
	return 0;
}

int nets_find(const struct nets *nets, uint64_t key, struct vmm_place *place, struct err *err)
{
	int i = index_of(nets, key);

	if (i < 0)
		return no_such(err);
	*place = place_of(nets, (size_t)i);
	return 0;
}

int nets_remove(struct nets *nets, uint64_t key, struct err *err)
{
	int i = index_of(nets, key);

	if (i < 0)
		return no_such(err);
	virtio_net_unplug(nets->items[i].device);
	nets->items[i].is_plugged = false;
	return 0;
}

void nets_memory_grew(struct nets *nets)
{
	for (size_t i = 0; i < nets->count; i++)
		virtio_net_memory_grew(nets->items[i].device);
}

/* --- a checkpoint ------------------------------------------------------------------------------------------------ */

/* What the driver has seen of the device. */
struct nets_saved {
	uint8_t mac[6];
	uint8_t has_vhost, has_uso;
};

void nets_hold(struct nets *nets, bool held)
{
	for (size_t i = 0; i < nets->count; i++)
		virtio_net_hold(nets->items[i].device, held);
}

int nets_save(const struct nets *nets, struct snapshot_writer *writer, struct err *err)
{
	for (size_t i = 0; i < nets->count; i++) {
		struct nets_saved *saved = snapshot_add(writer, SNAPSHOT_NET, nets->items[i].number, sizeof *saved);

		if (!saved)
			return err_set(err, ENOMEM, "out of memory");
		saved->has_vhost = nets->items[i].has_vhost;
		saved->has_uso = virtio_net_describe(nets->items[i].device, saved->mac);
	}
	return 0;
}

int nets_restore(struct nets *nets, unsigned number, const struct snapshot *snapshot, struct err *err)
{
	const struct nets_saved *saved = snapshot_find(snapshot, SNAPSHOT_NET, number, sizeof *saved, err);
	size_t at = nets->count;

	if (!saved)
		return -1;
	if (at == NETS_MAX)
		return err_set(err, EBADMSG, "the saved machine has too many network interfaces");
	struct virtio_device *device = virtio_net_create_unplugged(nets->bus->loop, saved->mac, saved->has_vhost != 0,
								   saved->has_uso != 0, err);
	int place = bus_add(nets->bus, device, err);
	if (place < 0)
		return -1;
	nets->items[at].device = device;
	nets->items[at].number = (unsigned)place;
	nets->items[at].has_vhost = saved->has_vhost != 0;
	nets->count++;
	return 0;
}
