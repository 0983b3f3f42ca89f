/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/template.h"

#include "common/bulkhead_uapi.h"
#include "common/err.h"
#include "guest-agent/agent.h"
#include "guest-agent/boot.h"
#include "guest-agent/cgroup.h"
#include "guest-agent/device_filter.h"
#include "guest-agent/identity.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/ioctl.h>

bool template_is_wanted(void)
{
	return getenv("bulkhead_template") != NULL;
}

/* The kernel's first program for a cgroup costs as much as the rest of a container, the next ones hardly anything. */
static int warm_device_filter(const struct agent *agent, struct err *err)
{
	static const struct bpf_insn allow[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct cgroup cgroup = CGROUP_EMPTY;
	int result = cgroup_create(&cgroup, agent->cgroup_fd, "template", err);

	if (result == 0)
		result = device_filter_attach(cgroup.dir_fd, allow, sizeof allow, err);
	if (result == 0 && cgroup_remove(&cgroup) < 0)
		result = err_set_errno(err, "removing a cgroup");
	cgroup_destroy(&cgroup);
	return result;
}

/* Memory that is not used goes back to the host. The kernel's parameter bulkhead_balloon has the place: ADDRESS:IRQ. */
static int add_balloon(const struct agent *agent, struct err *err)
{
	const char *text = getenv("bulkhead_balloon");
	struct bulkhead_device_place place = { 0 };
	char *end;

	if (!text)
		return 0;
	place.address = strtoull(text, &end, 0);
	if (*end == ':')
		place.irq = (uint32_t)strtoul(end + 1, NULL, 10);
	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_ADD_DEVICE, &place) < 0)
		return err_set_errno(err, "adding the balloon at %s", text);
	return 0;
}

int template_prepare(struct agent *agent, struct err *err)
{
	if (add_balloon(agent, err) < 0)
		return -1;
	if (boot_finish(agent, 0, err) < 0 || warm_device_filter(agent, err) < 0)
		return -1;
	/* Last: what follows uses little more. */
	if (ioctl(agent->sandbox_fd, BULKHEAD_IOC_MARK_FREE) < 0)
		return err_set_errno(err, "marking free memory");
	return 0;
}

int template_begin_again(struct agent *agent, struct err *err)
{
	/* If saving failed, this is still the one that booted. */
	return identity_renew(agent, err) < 0 ? -1 : 0;
}
