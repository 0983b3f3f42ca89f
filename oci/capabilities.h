/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capabilities.h - names and numbers of Linux capabilities (capabilities(7)).
 */
#ifndef BULKHEAD_OCI_CAPABILITIES_H
#define BULKHEAD_OCI_CAPABILITIES_H

#include <stdint.h>

enum { OCI_CAPABILITY_COUNT = 41 }; /* up to CAP_CHECKPOINT_RESTORE, the last of the guest kernel */

struct oci_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* "CAP_CHOWN", of whatever case, with or without "CAP_", gives 0; -1 if there is none of that name. */
int oci_capability_number(const char *name);

/* "CAP_CHOWN" for 0; NULL from OCI_CAPABILITY_COUNT on. */
const char *oci_capability_name(unsigned number);

#endif
