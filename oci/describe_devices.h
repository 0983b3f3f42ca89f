/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe_devices.h - which device nodes a container in a VM can have.
 *
 * Numbers mean the guest's devices. So a node for a pseudo device is what it says, a node nobody has a driver for is
 * harmless, and a node that means hardware of this host would be a lie: it is refused, unless the container is
 * privileged. Then the engine lists every node of the host's /dev, wanted or not, and the ones the guest has no driver
 * for fail when opened.
 */
#ifndef BULKHEAD_OCI_DESCRIBE_DEVICES_H
#define BULKHEAD_OCI_DESCRIBE_DEVICES_H

#include "agent.pb.h"

#include <stdbool.h>

struct err;
struct oci_config;
struct oci_device;

/* Adds a node to the description; `what` names the place in config.json in the refusal. */
int oci_describe_device(const struct oci_config *config, const char *sysfs, const struct oci_device *device,
			const char *what, agent_Container *out, struct err *err);

#endif
