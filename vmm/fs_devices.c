/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_devices.h"

void fs_devices_init(struct fs_devices *devices)
{
	devices->count = 0;
	pthread_mutex_init(&devices->lock, NULL);
}

void fs_devices_fini(struct fs_devices *devices)
{
	pthread_mutex_destroy(&devices->lock);
}

uint64_t fs_devices_salt(struct fs_devices *devices, uint64_t device)
{
	unsigned i;

	pthread_mutex_lock(&devices->lock);
	for (i = 0; i < devices->count && devices->seen[i] != device; i++)
		;
	/* More devices than places share the last one: numbers of theirs may meet, as they would without all this. */
	if (i == devices->count && i < FS_DEVICES_MAX - 1)
		devices->seen[devices->count++] = device;
	pthread_mutex_unlock(&devices->lock);
	return (uint64_t)i << FS_SALT_SHIFT;
}
