/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/disks.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "vmm/bus.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_fs.h"
#include "vmm/vmm_api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void disks_init(struct disks *disks, struct bus *bus)
{
	*disks = (struct disks){ .bus = bus };
}

static int index_of(const struct disks *disks, const char *id)
{
	for (size_t i = 0; i < disks->count; i++)
		if (disks->items[i].is_plugged && !strcmp(disks->items[i].id, id))
			return (int)i;
	return -1;
}

static struct vmm_place place_of(const struct disks *disks, size_t i)
{
	unsigned number = disks->items[i].number;

	return (struct vmm_place){ .address = bus_address(number), .irq = bus_pin(disks->bus, number) };
}

static int no_such(const char *id, struct err *err)
{
	return err_set(err, ENOENT, "disk %s: the machine has none of that name", id);
}

/* On a file thread. A disk without threads answers nothing; the guest's driver waits, and the log says why. */
static void start_threads(void *arg)
{
	struct err err = ERR_INIT;

	if (virtio_blk_start(arg, &err))
		log_error("%s", err.text);
}

static bool replug(struct disks *disks, const struct virtio_blk_backend *backend, size_t *at)
{
	for (size_t i = 0; i < disks->count; i++) {
		if (disks->items[i].is_plugged || !virtio_blk_replug(disks->items[i].device, backend))
			continue;
		*at = i;
		return true;
	}
	return false;
}

static int add_device(struct disks *disks, const struct virtio_blk_backend *backend, struct err *err)
{
	size_t at = disks->count;
	struct virtio_device *device = virtio_blk_create(backend, err);
	int number = bus_add(disks->bus, device, err);

	if (number < 0)
		return -1;
	disks->items[at].device = device;
	disks->items[at].number = (unsigned)number;
	disks->count++;
	return virtio_fs_call(disks->fs, start_threads, device, err);
}

int disks_add(struct disks *disks, const struct virtio_blk_backend *backend, struct vmm_place *place, struct err *err)
{
	auto_fd int fd = backend->fd;
	size_t at = disks->count;

	if (index_of(disks, backend->id) >= 0)
		return err_set(err, EEXIST, "disk %s is there already", backend->id);
	if (replug(disks, backend, &at)) {
		take_fd(&fd);
	} else {
		if (at == DISKS_MAX)
			return err_set(err, ENOSPC, "disk %s: the machine has room for %d disks", backend->id,
				       DISKS_MAX);
		take_fd(&fd);
		if (add_device(disks, backend, err))
			return -1;
	}
	snprintf(disks->items[at].id, sizeof disks->items[at].id, "%s", backend->id);
	disks->items[at].is_plugged = true;
	*place = place_of(disks, at);
	return 0;
}

int disks_find(const struct disks *disks, const char *id, struct vmm_place *place, struct err *err)
{
	int i = index_of(disks, id);

	if (i < 0)
		return no_such(id, err);
	*place = place_of(disks, (size_t)i);
	return 0;
}

int disks_remove(struct disks *disks, const char *id, struct err *err)
{
	int i = index_of(disks, id);

	if (i < 0)
		return no_such(id, err);
	virtio_blk_unplug(disks->items[i].device);
	disks->items[i].is_plugged = false;
	return 0;
}
