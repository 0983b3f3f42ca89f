/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe_mounts.h - each mount of config.json as a share of the host, a file system of the guest, or a device node.
 */
#ifndef BULKHEAD_OCI_DESCRIBE_MOUNTS_H
#define BULKHEAD_OCI_DESCRIBE_MOUNTS_H

#include "oci/describe.h"

struct err;
struct oci_config;

/* Adds the root's share and those of binds; fills mounts, devices and the root's members of `out`. */
int oci_describe_mounts(const struct oci_config *config, const struct oci_describe_context *context,
			agent_Container *out, struct oci_shares *shares, struct err *err);

#endif
