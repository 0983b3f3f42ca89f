/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_check.c - can this host run containers in VMs? One line for each finding, with the remedy.
 *
 * Exit status 0 only if they can run. With --kvm-only nothing is printed and only KVM is looked at, for scripts.
 */
#include "runtime/command.h"
#include "runtime/host_cgroup.h"
#include "runtime/launch.h"
#include "runtime/paths.h"

#include "common/auto.h"
#include "common/err.h"

#include "oci/host_config.h"

#include "vmm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

struct check_options {
	bool kvm_only;
};

static const struct option options[] = {
	{ "kvm-only", 0, OPTION_FLAG, offsetof(struct check_options, kvm_only), NULL,
	  "print nothing; exit status 0 if KVM works" },
	OPTION_END,
};

/* What the monitor can't do without. */
static const struct {
	int number;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

enum finding { GOOD, NOTE, BAD };

struct report {
	bool quiet;
	bool bad;
};

static void say(struct report *report, enum finding finding, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void say(struct report *report, enum finding finding, const char *format, ...)
{
	static const char *const words[] = { [GOOD] = "ok", [NOTE] = "note", [BAD] = "FAIL" };
	va_list args;

	if (finding == BAD)
		report->bad = true;
	if (report->quiet)
		return;
	printf("%-5s ", words[finding]);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void check_machine(struct report *report)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) < 0)
		return;
	if (strcmp(name.machine, "x86_64") == 0)
		say(report, GOOD, "architecture: x86_64");
	else
		say(report, BAD, "architecture: %s; bulkhead runs on x86_64 only", name.machine);
	if (sscanf(name.release, "%d.%d", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 12)))
		say(report, GOOD, "kernel: %s", name.release);
	else
		say(report, BAD, "kernel: %s; 5.12 or later is needed (mount_setattr)", name.release);
}

static void check_capabilities(struct report *report, int kvm_fd)
{
	bool complete = true;

	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].number) > 0)
			continue;
		complete = false;
		say(report, BAD, "KVM: no %s; a newer host kernel is needed", needed[i].name);
	}
	if (complete)
		say(report, GOOD, "KVM: has what the monitor needs");
}

static void check_probe(struct report *report, int kvm_fd)
{
	struct probe_result result;
	struct err err = ERR_INIT;

	if (probe_kvm(kvm_fd, &result, &err) < 0) {
		say(report, BAD, "KVM: cannot make a VM: %s", err.text);
		return;
	}
	switch (result.verdict) {
	case PROBE_GOOD:
		say(report, GOOD, "KVM: runs a guest's kernel mode (%" PRIu64 " million instructions a second)",
		    result.instructions_per_second / 1000000);
		break;
	case PROBE_EMULATED:
		say(report, BAD,
		    "KVM: emulates a guest's kernel mode (%" PRIu64
		    " thousand instructions a second): too slow to boot; "
		    "use a machine with virtualization of its own, or true nesting",
		    result.instructions_per_second / 1000);
		break;
	default:
		say(report, BAD,
		    "KVM: only looks like one: a guest's kernel mode fails at %s; use a machine with virtualization of "
		    "its "
		    "own, or true nesting",
		    result.failed_at ? result.failed_at : "an instruction every kernel uses");
	}
}

static void check_kvm(struct report *report)
{
	struct err err = ERR_INIT;
	auto_fd int kvm_fd = launch_open_kvm(&err);

	if (kvm_fd < 0) {
		say(report, BAD, "%s", err.text);
		return;
	}
	say(report, GOOD, "KVM: /dev/kvm opens, API version %d", KVM_API_VERSION);
	check_capabilities(report, kvm_fd);
	check_probe(report, kvm_fd);
}

static void check_cgroup(struct report *report)
{
	switch (host_cgroup_version()) {
	case HOST_CGROUP_V2:
		say(report, GOOD, "cgroup: version 2");
		break;
	case HOST_CGROUP_V1:
		say(report, NOTE,
		    "cgroup: version 1; containers run, without limits on the host's side (kernel parameter "
		    "systemd.unified_cgroup_hierarchy=1 gives version 2)");
		break;
	case HOST_CGROUP_NONE:
		say(report, NOTE, "cgroup: none at /sys/fs/cgroup; containers run, without limits on the host's side");
		break;
	}
}

static void check_rights(struct report *report)
{
	if (geteuid() == 0)
		say(report, GOOD, "user: root");
	else
		say(report, NOTE, "user: not root; containers run without host limits and network namespaces");
}

static void check_file(struct report *report, const char *what, const char *path, int mode, const char *remedy)
{
	if (access(path, mode) == 0)
		say(report, GOOD, "%s: %s", what, path);
	else
		say(report, BAD, "%s: %s: %s; %s", what, path, strerror(errno), remedy);
}

static void check_files(struct report *report)
{
	struct oci_host_config *host = NULL;
	struct err err = ERR_INIT;
	struct paths paths;

	if (paths_find(&paths, &err) < 0 || oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, &err) < 0) {
		say(report, BAD, "%s", err.text);
		return;
	}
	check_file(report, "proxy", paths.proxy, X_OK, "run `make`, or reinstall bulkhead");
	check_file(report, "monitor", paths.monitor, X_OK, "run `make`, or reinstall bulkhead");
	check_file(report, "guest kernel", host->kernel ? host->kernel : paths.kernel, R_OK,
		   host->kernel ? "see " OCI_HOST_CONFIG_FILE : "run `make rootfs`, or reinstall bulkhead");
	check_file(report, "guest initramfs", host->initrd ? host->initrd : paths.initrd, R_OK,
		   host->initrd ? "see " OCI_HOST_CONFIG_FILE : "run `make rootfs`, or reinstall bulkhead");
	check_file(report, "kernel parameters", paths.cmdline, R_OK, "run `make`, or reinstall bulkhead");
	oci_host_config_destroy(host);
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct check_options *given = invocation->options;
	struct report report = { .quiet = given->kvm_only };

	(void)err;
	check_kvm(&report);
	if (!given->kvm_only) {
		check_machine(&report);
		check_cgroup(&report);
		check_rights(&report);
		check_files(&report);
		printf("\n%s\n", report.bad ? "Containers cannot run here." : "Containers can run here.");
	}
	return report.bad ? 1 : 0;
}

const struct command cmd_check = {
	.name = "check",
	.operands = "",
	.summary = "say whether this host can run containers, and what is missing",
	.run = run,
	.stateless = true,
	.options = options,
	.options_size = sizeof(struct check_options),
};
