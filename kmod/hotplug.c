// SPDX-License-Identifier: GPL-2.0
/*
 * hotplug.c - makes a platform device for each virtio-mmio device that was not on the kernel command line. The driver
 * for such devices binds to it by its name and reads the rest from the registers.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/ioport.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>

#include "bulkhead_uapi.h"
#include "hotplug.h"

#define PLACES ((unsigned int)((BULKHEAD_DEVICES_END - BULKHEAD_DEVICES_START) / BULKHEAD_DEVICE_SIZE))
#define PLACES_MAX 64 /* many more than there are interrupts */

static DEFINE_MUTEX(lock);
static struct platform_device *devices[PLACES_MAX];

static struct platform_device **place_of(u64 address)
{
	u64 offset = address - BULKHEAD_DEVICES_START;

	if (address < BULKHEAD_DEVICES_START || offset % BULKHEAD_DEVICE_SIZE ||
	    offset / BULKHEAD_DEVICE_SIZE >= min_t(unsigned int, PLACES, PLACES_MAX))
		return NULL;
	return &devices[offset / BULKHEAD_DEVICE_SIZE];
}

int hotplug_add(u64 address, u32 irq)
{
	const struct resource resources[] = {
		DEFINE_RES_MEM(address, BULKHEAD_DEVICE_SIZE),
		DEFINE_RES_IRQ(irq),
	};
	struct platform_device **place = place_of(address);
	struct platform_device *device;
	int ret = 0;

	if (!place)
		return -EINVAL;
	mutex_lock(&lock);
	if (*place) {
		ret = -EEXIST;
	} else {
		device = platform_device_register_resndata(NULL, "virtio-mmio", PLATFORM_DEVID_AUTO, resources,
							   ARRAY_SIZE(resources), NULL, 0);
		if (IS_ERR(device))
			ret = PTR_ERR(device);
		else
			*place = device;
	}
	mutex_unlock(&lock);
	return ret;
}

int hotplug_remove(u64 address)
{
	struct platform_device **place = place_of(address);
	int ret = 0;

	if (!place)
		return -EINVAL;
	mutex_lock(&lock);
	if (*place)
		platform_device_unregister(*place);
	else
		ret = -ENOENT;
	*place = NULL;
	mutex_unlock(&lock);
	return ret;
}

void hotplug_exit(void)
{
	unsigned int i;

	for (i = 0; i < PLACES_MAX; i++)
		if (devices[i])
			platform_device_unregister(devices[i]);
}
