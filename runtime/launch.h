/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - everything the monitor needs, opened: it gets descriptors, never a path.
 *
 * Filled in steps by launch_open and launch_add_share; launch_close accepts it half filled.
 */
#ifndef BULKHEAD_RUNTIME_LAUNCH_H
#define BULKHEAD_RUNTIME_LAUNCH_H

#include "common/log.h"
#include "runtime/disk.h"
#include "runtime/template.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checkpoint;
struct err;
struct oci_config;
struct oci_host_config;
struct oci_shares;
struct paths;

enum { LAUNCH_DISKS_MAX = 10 };

struct launch {
	int kvm_fd, kernel_fd, initrd_fd;
	char *kernel_path, *initrd_path; /* for messages */
	int vsock_fd, control_fd;        /* listening, in the state directory */
	int log_fd;
	struct template_files template;                /* none: the VM boots */
	int checkpoint_memory_fd, checkpoint_state_fd; /* -1: it does not continue from one */
	const char *checkpoint_mode;
	uint32_t memory_mib, vcpus;
	uint32_t max_memory_mib; /* what it may grow to; 0: it cannot */
	bool huge_pages;
	uint32_t dax_mib;         /* 0: no window for files */
	const char *file_cache;   /* oci/file_cache.h; NULL: the monitor's default */
	enum log_level log_level; /* of the monitor, as the host's configuration says */
	char *cmdline;
	struct launch_share {
		char *argument; /* NAME=FD[,ro] */
		int fd;
	} * shares;
	size_t share_count;
	struct disk disks[LAUNCH_DISKS_MAX];
	size_t disk_count;
	char **arguments; /* from launch_arguments, which also holds their text */
};

/* -1 everywhere: what launch_close may be given. */
void launch_init(struct launch *launch);
void launch_close(struct launch *launch);

/*
 * KVM, kernel, initrd, command line. `config` may choose a kernel of its own (the vm section); NULL: the host's
 * choice. Nothing is made that would have to be removed.
 */
int launch_open_guest(struct launch *launch, const struct paths *paths, const struct oci_host_config *host,
		      const struct oci_config *config, struct err *err);

/*
 * The template that a VM of this size begins with, built first if there is none and `host` does not forbid it. Only
 * what nobody but the user can mean fails (an interrupt): without a template the VM boots. After launch_open_guest.
 */
int launch_open_template(struct launch *launch, const struct paths *paths, const struct oci_host_config *host,
			 const struct oci_config *config, struct err *err);

/* Instead: the VM is one that was saved. */
int launch_open_checkpoint(struct launch *launch, const struct checkpoint *checkpoint, struct err *err);

/* /dev/kvm, with the remedy in the error. */
int launch_open_kvm(struct err *err);

/* The VM's sockets and log file, in the state directory. */
int launch_open_state(struct launch *launch, int dirfd, struct err *err);

/* The log file alone. */
int launch_open_log(struct launch *launch, int dirfd, struct err *err);

/* The disks among the container's devices, each once. `container` has to outlive `launch`. */
int launch_open_disks(struct launch *launch, const agent_Container *container, struct err *err);

int launch_open_shares(struct launch *launch, const struct oci_shares *shares, struct err *err);

/* Sets `arguments`: the monitor's command line, NULL-terminated, `program` first, still without the event fd. */
int launch_arguments(struct launch *launch, const char *program, bool debug, struct err *err);

/* The descriptors those arguments name; free the list. */
int launch_fds(const struct launch *launch, int **fds, size_t *count, struct err *err);

#endif
