/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_creds.h - in whose name a file thread acts.
 *
 * The guest's kernel has checked permissions before it asks (virtio-fs mounts always have default_permissions), so a
 * thread keeps its capabilities and only changes what decides the owner and mode of new files: fsuid, fsgid and
 * umask, all of which Linux keeps per thread (the umask after unshare(CLONE_FS)). That way a new file has its owner
 * from the first moment, setgid directories, default ACLs and quota work as for any creator, and id-mapped mounts
 * translate as usual. Ids that this process may not take (a host without root) are refused with EPERM.
 *
 * CAP_FSETID is the one capability that must come and go: with it the host kernel leaves set-uid and set-gid bits
 * alone on a write; without it, it clears them. The guest says which it wants.
 *
 * Nothing is called when nothing changes: a thread stays as it is until a request needs it otherwise.
 *
 * One per thread, used by that thread only.
 */
#ifndef BULKHEAD_FS_CREDS_H
#define BULKHEAD_FS_CREDS_H

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/types.h>

struct err;

struct fs_creds {
	struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3]; /* those to be effective */
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool can_fsetid;        /* CAP_FSETID is permitted */
	bool fsetid_dropped;    /* and not effective now */
	bool uid_change_clears; /* no SECBIT_NO_SETUID_FIXUP: capabilities must be set again after each change */
};

/* For the calling thread: umask and working directory become its own, the latter `directory`. */
int fs_creds_init(struct fs_creds *creds, int directory, struct err *err);

/* Makes what is created next belong to (uid, gid) with that umask. 0 or an errno value. */
int fs_creds_become(struct fs_creds *creds, uid_t uid, gid_t gid, mode_t mask);

/* Whether set-uid and set-gid bits survive what is done next: with `keep` they do, as for root. 0 or an errno value. */
int fs_creds_keep_setid(struct fs_creds *creds, bool keep);

#endif
