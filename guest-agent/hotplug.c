/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/hotplug.h"

#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "guest-agent/agent.h"
#include "guest-agent/errtext.h"
#include "guest-agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

/*
 * What the kernel keeps for itself cannot be moved, and so not be given back: in memory that comes later there are only
 * pages of processes and files.
 */
#define ONLINE_FILE "/sys/devices/system/memory/auto_online_blocks"

int hotplug_add(struct agent *agent, const agent_DeviceAddRequest *request, struct err *err)
{
	struct bulkhead_device_place place = { .address = request->address, .irq = request->irq };

	if (request->memory && file_write_at(AT_FDCWD, ONLINE_FILE, "online_movable") < 0)
		return errtext_set(err, "more memory: " ONLINE_FILE);
	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_ADD_DEVICE, &place) < 0 && errno != EEXIST)
		return errtext_set(err, "a new device: telling the kernel of it");
	return 0;
}

int hotplug_remove(struct agent *agent, const agent_DeviceRemoveRequest *request, struct err *err)
{
	struct bulkhead_device_place place = { .address = request->address };

	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_REMOVE_DEVICE, &place) < 0 && errno != ENOENT)
		return errtext_set(err, "removing a device");
	return 0;
}
