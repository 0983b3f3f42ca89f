/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_size.h - how large a VM a container needs.
 *
 * Memory, by precedence: annotation io.bulkhead.memory-mib, vm.hwConfig.memory, the memory limit plus a reserve for
 * the guest's kernel and agent, rounded up to one of a few sizes that have templates, the host's default. vCPUs:
 * annotation io.bulkhead.vcpus, vm.hwConfig.vcpus, quota divided by period, rounded up, the host's default. Nothing
 * exceeds the host's maximum: an explicit wish beyond it is refused, a limit beyond it is cut, since a limit asks for
 * no more than there is.
 *
 * The window through which files of read-only shares are read without a copy (docs/files.md): annotation
 * io.bulkhead.dax-mib, else the host's default if the root is read-only and on a file system that allows it, and the
 * container is not in a pod; else none. The guest keeps 1/64 of its size in page structures, which count to the
 * reserve.
 *
 * Of the sandbox container of a pod the limits are those of the pod, which its annotations tell (oci/pod.h).
 */
#ifndef BULKHEAD_OCI_VM_SIZE_H
#define BULKHEAD_OCI_VM_SIZE_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct oci_config;
struct oci_host_config;
struct oci_resources;

#define OCI_ANNOTATION_PREFIX "io.bulkhead."
#define OCI_ANNOTATION_MEMORY "io.bulkhead.memory-mib"
#define OCI_ANNOTATION_VCPUS "io.bulkhead.vcpus"
#define OCI_ANNOTATION_HUGE_PAGES "io.bulkhead.huge-pages"
#define OCI_ANNOTATION_DAX "io.bulkhead.dax-mib"

bool oci_annotation_is_known(const char *name);

enum { OCI_VM_MEMORY_MIN_MIB = 64, OCI_VM_VCPUS_MAX = 255, OCI_VM_DAX_MAX_MIB = 16384 };

struct oci_vm_size {
	uint32_t memory_mib; /* even: guest memory comes in pages of 2 MiB */
	uint32_t vcpus;
	bool huge_pages; /* of the host, for the VM's memory, wherever the host has them: faster, and less is given back
			  */
	uint32_t dax_mib; /* even; 0: no window for files */
};

/* Also refuses annotations with our prefix that the host's configuration does not allow. */
int oci_vm_size(const struct oci_config *config, const struct oci_host_config *host, struct oci_vm_size *out,
		struct err *err);

/* What a VM has for a memory limit of `limit` bytes, in MiB: its reserve included, no more than the host's maximum. */
uint32_t oci_vm_memory_for(const struct oci_host_config *host, uint64_t limit);

/* What a container may use, in bytes, without huge pages; 0: no limit. */
uint64_t oci_memory_limit(const struct oci_resources *resources);

/* The huge pages of 2 MiB that it may have, in bytes: memory beside that of the limit. */
uint64_t oci_huge_pages(const struct oci_resources *resources);

/*
 * What the guest has beside its memory limit, in bytes: huge pages, those of an update if it names any, and the page
 * structures of its window for files.
 */
uint64_t oci_vm_beside(const struct oci_config *config, const struct oci_host_config *host,
		       const struct oci_resources *update);

/* What the VM takes beyond a memory limit of `limit` bytes: kernel, agent, page structures. In bytes. */
uint64_t oci_vm_reserve(const struct oci_host_config *host, uint64_t limit);

#endif
