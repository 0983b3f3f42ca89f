/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_policy.h - linux.memoryPolicy (specification 1.3), checked as runc checks it.
 *
 * It has no effect: the guest has one memory node, of which every policy makes the same. What no kernel would take is
 * refused all the same, so that a mistake is seen here and not on the first host with several nodes.
 */
#ifndef BULKHEAD_OCI_MEMORY_POLICY_H
#define BULKHEAD_OCI_MEMORY_POLICY_H

struct err;
struct oci_json;

int oci_memory_policy_check(const struct oci_json *linux_object, struct err *err);

#endif
