/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/proxy_confine.h"

#include "runtime/proxy_rules.h"

#include "common/err.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Taps, their addresses and the rules on them take CAP_NET_ADMIN. What else the proxy does is done to what belongs to
 * it or is open by now: the state directory's sockets, the monitor, streams, the cgroup's files.
 */
static int drop_rights(bool needs_network)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	const uint64_t kept_rights = needs_network ? 1ull << CAP_NET_ADMIN : 0;

	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t kept = (uint32_t)(kept_rights >> 32 * i);

		data[i].permitted &= kept;
		data[i].effective &= kept;
		data[i].inheritable = 0;
	}
	return (int)syscall(SYS_capset, &header, data);
}

int proxy_confine(bool needs_network, struct err *err)
{
	struct sock_filter filter[CALL_FILTER_MAX];
	const struct sock_fprog program = { .len = (unsigned short)proxy_filter(getpid(), filter), .filter = filter };

	if (drop_rights(needs_network) < 0)
		return err_set_errno(err, "cannot give up the proxy's rights");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return err_set_errno(err, "cannot filter the proxy's system calls");
	return 0;
}
