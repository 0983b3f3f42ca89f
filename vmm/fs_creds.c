/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/fs_creds.h"

#include "common/err.h"

#include <errno.h>
#include <linux/securebits.h>
#include <sched.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libc's wrappers of capget, capset do not exist, and its set*id functions act on all threads: setfsuid does not. */
static int set_capabilities(struct fs_creds *creds)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memcpy(data, creds->capabilities, sizeof data);
	if (creds->fsetid_dropped)
		data[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
	return syscall(SYS_capset, &header, data) ? errno : 0;
}

int fs_creds_init(struct fs_creds *creds, int directory, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	*creds = (struct fs_creds){ .uid = geteuid(), .gid = getegid() };
	if (unshare(CLONE_FS))
		return err_set_errno(err, "cannot give a file thread its own umask (unshare CLONE_FS)");
	if (fchdir(directory))
		return err_set_errno(err, "cannot enter /proc/self/fd");
	umask(0);
	if (syscall(SYS_capget, &header, creds->capabilities))
		return err_set_errno(err, "cannot read capabilities");
	creds->can_fsetid = creds->capabilities[CAP_TO_INDEX(CAP_FSETID)].effective & CAP_TO_MASK(CAP_FSETID);

	int bits = prctl(PR_GET_SECUREBITS);

	/* Per thread, like all credentials. Without CAP_SETPCAP it fails, and then the long way works as well. */
	if (bits < 0 || (!(bits & SECBIT_NO_SETUID_FIXUP) && prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP)))
		creds->uid_change_clears = true;
	return 0;
}

/* setfsuid and setfsgid report no failure: asking for an impossible id tells the present one. */
static bool take_gid(gid_t gid)
{
	setfsgid(gid);
	return (gid_t)setfsgid((gid_t)-1) == gid;
}

static bool take_uid(uid_t uid)
{
	setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid;
}

static int change_ids(struct fs_creds *creds, uid_t uid, gid_t gid)
{
	if (gid != creds->gid) {
		if (!take_gid(gid))
			return EPERM;
		creds->gid = gid;
	}
	if (uid != creds->uid) {
		if (!take_uid(uid))
			return EPERM;
		creds->uid = uid;
		if (creds->uid_change_clears)
			return set_capabilities(creds);
	}
	return 0;
}

int fs_creds_become(struct fs_creds *creds, uid_t uid, gid_t gid, mode_t mask)
{
	mask &= 0777;
	if (mask != creds->umask) {
		umask(mask);
		creds->umask = mask;
	}
	if (uid == creds->uid && gid == creds->gid)
		return 0;
	return change_ids(creds, uid, gid);
}

int fs_creds_keep_setid(struct fs_creds *creds, bool keep)
{
	if (!creds->can_fsetid || creds->fsetid_dropped == !keep)
		return 0;
	creds->fsetid_dropped = !keep;
	return set_capabilities(creds);
}
