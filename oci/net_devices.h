/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_devices.h - linux.netDevices (specification 1.3): network devices of the host's that become the container's.
 *
 * The list is a map: the device's name on the host, and its name in the container. Names are what the kernel takes; a
 * network namespace to move them to is there.
 */
#ifndef BULKHEAD_OCI_NET_DEVICES_H
#define BULKHEAD_OCI_NET_DEVICES_H

struct err;
struct oci_json;
struct oci_map;
struct oci_namespaces;

/* Returns 1 if the member is present, 0 if it is absent, -1 with the error set. */
int oci_net_devices_parse(const struct oci_json *linux_object, const struct oci_namespaces *namespaces,
			  struct oci_map *out, struct err *err);

#endif
