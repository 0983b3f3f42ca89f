/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe_devices.h - which device nodes a container in a VM can have.
 *
 * Numbers mean the guest's devices. So a node for a pseudo device is what it says, and a node nobody has a driver for
 * is harmless. A block device of this host becomes a disk of the VM, as far as the container's rules allow its use; one
 * that they do not is a node nobody can open. Other hardware of this host would be a lie: it is refused, unless the
 * container is privileged. Then the engine lists every node of the host's /dev, wanted or not: no disk is made of
 * those, and the ones the guest has no driver for fail when opened.
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

/* The rules, and what they allow of the disks among the devices, as the guest is to have it: see PROTO_DISK_MAJOR. */
int oci_describe_device_filter(const struct oci_config *config, agent_Container *out, struct err *err);

#endif
