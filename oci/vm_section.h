/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_section.h - the `vm` section of config.json: which kernel, which initramfs, how large.
 */
#ifndef BULKHEAD_OCI_VM_SECTION_H
#define BULKHEAD_OCI_VM_SECTION_H

#include "oci/strings.h"

#include <stdint.h>

struct err;
struct oci_json;

struct oci_vm {
	char *kernel, *initrd;         /* host paths, absolute */
	struct oci_strings parameters; /* of the kernel */
	uint32_t vcpus;                /* 0: not set */
	uint64_t memory;               /* bytes; 0: not set */
};

/* The member `vm` of the document, if it is there. */
int oci_vm_parse(const struct oci_json *document, struct oci_vm *out, struct err *err);
void oci_vm_fini(struct oci_vm *vm);

#endif
