/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_config.h - /etc/bulkhead/bulkhead.json: what the administrator of this host decided.
 *
 *     { "kernel": "/path/vmlinux", "initrd": "/path/initramfs", "cmdline": "more kernel parameters",
 *       "default_memory_mib": 512, "max_memory_mib": 65536, "reserve_memory_mib": 64,
 *       "default_vcpus": 1, "max_vcpus": 8, "default_dax_mib": 0,
 *       "allowed_annotations": ["io.bulkhead.memory-mib", "io.bulkhead.vcpus"], "log_level": "info",
 *       "vhost_net": true, "templates": true, "allow_debug": false, "selinux": false }
 *
 * Every member is optional. An unknown one is refused: a spelling mistake here must not go unnoticed.
 */
#ifndef BULKHEAD_OCI_HOST_CONFIG_H
#define BULKHEAD_OCI_HOST_CONFIG_H

#include "oci/strings.h"

#include "common/log.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

#define OCI_HOST_CONFIG_FILE "/etc/bulkhead/bulkhead.json"

struct oci_host_config {
	char *kernel, *initrd, *cmdline; /* NULL: the built-in choice */
	uint32_t default_memory_mib, max_memory_mib, reserve_memory_mib;
	uint32_t default_vcpus, max_vcpus;
	uint32_t default_dax_mib; /* the window for files of containers whose root is read-only (oci/vm_size.h) */
	struct oci_strings allowed_annotations;
	bool vhost_net;   /* packets go through /dev/vhost-net where there is one */
	bool templates;   /* VMs begin with a template, which is built when there is none (runtime/template.h) */
	bool allow_debug; /* `bulkhead debug` */
	bool selinux;     /* monitors run in the context of process.selinuxLabel (runtime/selinux.h) */
	enum log_level log_level; /* of monitors */
};

/* A missing file gives the defaults; `max_` defaults are this machine's memory and CPUs. */
int oci_host_config_load(const char *file, struct oci_host_config **out, struct err *err);
void oci_host_config_destroy(struct oci_host_config *config); /* NULL is fine */

#endif
