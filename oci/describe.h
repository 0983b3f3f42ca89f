/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.h - from a checked configuration to what the agent is told and what the host must share.
 *
 * The description (common/agent.proto) names shares; the caller makes each a detached mount and gives it to the
 * monitor under that name. What a VM can't do is refused here by name, before anything exists. The order of mounts is
 * kept. Network namespaces are the host's side and don't appear in the description.
 */
#ifndef BULKHEAD_OCI_DESCRIBE_H
#define BULKHEAD_OCI_DESCRIBE_H

#include "oci/idmap.h"

#include "agent.pb.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct oci_config;
struct oci_process;

enum { OCI_SHARE_NAME_MAX = 63 };

/* A tree (or one file) of the host that the guest sees. */
struct oci_share {
	char name[OCI_SHARE_NAME_MAX + 1];
	char *path; /* absolute, on the host; NULL with `fs_type` */
	bool is_file;
	bool recursive;                 /* with the mounts below it */
	bool readonly, noexec, noatime; /* of the whole share: the guest cannot talk its way around */
	bool readonly_recursive;        /* also of the mounts below it; the others hold for the top mount alone */
	/* Id mapping of the detached mount (mount_setattr); both empty: none. */
	struct oci_id_mappings uid_mappings, gid_mappings;
	bool idmap_recursive; /* also of the mounts below it */
	/* A file system to mount on the host instead of a path: "overlay" and its options, comma separated. */
	char *fs_type, *fs_options;
};

struct oci_shares {
	struct oci_share *items; /* the first is the root */
	size_t count;
};

struct oci_describe_context {
	const char *id;           /* of the container */
	const char *share_prefix; /* put before every share's name (more than one container in a VM); NULL: none */
	bool root_overlay;        /* `bulkhead do`: writes to the root are thrown away */
	bool is_pods;             /* the container is, or will be, one of several in its VM */
	/* The state document for startContainer hooks (see common/agent.proto); NULL: none. */
	const char *hook_state;
	/*
	 * The id of the container, in the same VM, whose namespace of that kind `path` is; NULL: it is none of ours.
	 * The callback may be NULL: then nothing can be joined.
	 */
	const char *(*container_of_namespace)(void *arg, uint32_t clone_flag, const char *path);
	void *arg;
	const char *sysfs; /* where the host's sysfs is; NULL: /sys */
};

/* Release `out` with pb_release(agent_CreateRequest_fields, out) and destroy `shares`, also after a failure. */
int oci_describe(const struct oci_config *config, const struct oci_describe_context *context, agent_CreateRequest *out,
		 struct oci_shares *shares, struct err *err);

/*
 * One process of `config`'s container: its own, or one of exec. seccomp and personality are the container's.
 * Release with pb_release(agent_Process_fields, out), also after a failure.
 */
int oci_describe_process(const struct oci_config *config, const struct oci_process *process, agent_Process *out,
			 struct err *err);

void oci_shares_destroy(struct oci_shares *shares);

#endif
