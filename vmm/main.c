/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-vmm: one process, one VM. It is started by bulkhead-proxy with descriptors for all it needs and opens
 * nothing itself; docs/architecture.md shows its place. Exit status: 0 the VM has ended (how, the events say), 1 it
 * could not be made or go on, 2 wrong arguments.
 */
#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "vmm/event.h"
#include "vmm/fs_server.h"
#include "vmm/fs_window.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/vmm_api.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { MEMORY_MIB_MAX = 1 << 20 };

struct arguments {
	struct machine_config machine;
	int log_fd;
	enum log_level log_level;
};

static int parse_number(const char *text, int low, int high, int *out, struct err *err)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < low || value > high)
		return err_set(err, EINVAL, "'%s' is not a number from %d to %d", text, low, high);
	*out = (int)value;
	return 0;
}

static int parse_fd(const char *text, int *out, struct err *err)
{
	if (parse_number(text, 0, INT_MAX, out, err))
		return -1;
	if (fcntl(*out, F_GETFD) < 0)
		return err_set_errno(err, "descriptor %s", text);
	return 0;
}

/* NAME=FD[,ro]; the name may hold '=' itself. Cuts up its argument. */
static int parse_share(char *text, struct machine_config *config, struct err *err)
{
	struct machine_share *share = &config->shares[config->share_count];
	char *equals = strrchr(text, '='), *comma = equals ? strchr(equals, ',') : NULL;

	if (config->share_count == MACHINE_SHARES_MAX)
		return err_set(err, EINVAL, "more than %d shares", MACHINE_SHARES_MAX);
	if (!equals || (comma && strcmp(comma, ",ro")))
		return err_set(err, EINVAL, "'%s' is not NAME=FD or NAME=FD,ro", text);
	*equals = '\0';
	if (comma)
		*comma = '\0';
	share->name = text;
	share->read_only = comma;
	config->share_count++;
	return parse_fd(equals + 1, &share->fd, err);
}

/* ID=FD,NUMBER, the number as vmm_disk_pack makes it. Cuts up its argument. */
static int parse_disk(char *text, struct machine_config *config, struct err *err)
{
	struct machine_disk *disk = &config->disks[config->disk_count];
	char *equals = strrchr(text, '='), *comma = equals ? strchr(equals, ',') : NULL, *end;

	if (config->disk_count == DISKS_MAX)
		return err_set(err, EINVAL, "more than %d disks", DISKS_MAX);
	if (!comma || equals == text || equals - text > VMM_DISK_ID_MAX)
		return err_set(err, EINVAL, "'%s' is not ID=FD,NUMBER", text);
	*equals = *comma = '\0';
	disk->id = text;
	errno = 0;
	disk->packed = strtoull(comma + 1, &end, 10);
	if (errno || end == comma + 1 || *end)
		return err_set(err, EINVAL, "'%s' is not a number", comma + 1);
	config->disk_count++;
	return parse_fd(equals + 1, &disk->fd, err);
}

static int parse_option(const char *name, char *value, struct arguments *arguments, struct err *err)
{
	struct machine_config *config = &arguments->machine;
	const struct {
		const char *name;
		int *fd;
	} fds[] = {
		{ "--kvm-fd", &config->kvm_fd },
		{ "--kernel-fd", &config->kernel_fd },
		{ "--initrd-fd", &config->initrd_fd },
		{ "--vsock-fd", &config->vsock_fd },
		{ "--control-fd", &config->control_fd },
		{ "--event-fd", &config->event_fd },
		{ "--log-fd", &arguments->log_fd },
		{ "--template-memory-fd", &config->template_memory_fd },
		{ "--template-state-fd", &config->template_state_fd },
		{ "--template-touched-fd", &config->template_touched_fd },
		{ "--checkpoint-memory-fd", &config->checkpoint_memory_fd },
		{ "--checkpoint-state-fd", &config->checkpoint_state_fd },
		{ "--save-memory-fd", &config->save_memory_fd },
		{ "--save-state-fd", &config->save_state_fd },
	};
	int number;

	for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++)
		if (!strcmp(name, fds[i].name))
			return parse_fd(value, fds[i].fd, err);
	if (!strcmp(name, "--share"))
		return parse_share(value, config, err);
	if (!strcmp(name, "--disk"))
		return parse_disk(value, config, err);
	if (!strcmp(name, "--file-cache")) {
		config->file_cache = fs_caching_find(value);
		return config->file_cache ? 0 : err_set(err, EINVAL, "'%s' is not none, auto or always", value);
	}
	if (!strcmp(name, "--checkpoint-mode")) {
		if (strcmp(value, "strict") != 0 && strcmp(value, "changed") != 0 && strcmp(value, "fork") != 0)
			return err_set(err, EINVAL, "'%s' is not strict, changed or fork", value);
		/* A fork's files are shared with the original, which goes on. */
		config->checkpoint_is_trusted = !strcmp(value, "fork");
		config->file_changes_accepted = strcmp(value, "strict") != 0;
		return 0;
	}
	if (!strcmp(name, "--cmdline")) {
		config->cmdline = value;
		return 0;
	}
	if (!strcmp(name, "--log-level")) {
		return log_level_parse(value, &arguments->log_level)
			       ? 0
			       : err_set(err, EINVAL, "'%s' is not error, warn, info or debug", value);
	}
	if (!strcmp(name, "--memory-mib")) {
		if (parse_number(value, 2, MEMORY_MIB_MAX, &number, err))
			return -1;
		config->memory_mib = ((unsigned)number + 1) & ~1u; /* memory comes in pieces of 2 MiB */
		return 0;
	}
	if (!strcmp(name, "--max-memory-mib")) {
		if (parse_number(value, 2, MEMORY_MIB_MAX, &number, err))
			return -1;
		config->max_memory_mib = (unsigned)number & ~1u;
		return 0;
	}
	if (!strcmp(name, "--huge-pages")) {
		if (parse_number(value, 0, 1, &number, err))
			return -1;
		config->huge_pages = number;
		return 0;
	}
	if (!strcmp(name, "--dax-mib")) {
		if (parse_number(value, 0, (int)(FS_WINDOW_MAX >> 20), &number, err))
			return -1;
		config->dax_mib = ((unsigned)number + 1) & ~1u;
		return 0;
	}
	if (!strcmp(name, "--vcpus")) {
		if (parse_number(value, 1, VCPUS_MAX, &number, err))
			return -1;
		config->vcpus = (unsigned)number;
		return 0;
	}
	return err_set(err, EINVAL, "unknown option");
}

/* Goes on after the first error, which is the one that counts: the proxy is told over --event-fd, which may come later.
 */
static int parse(char **argv, struct arguments *arguments, struct err *first)
{
	struct machine_config *config = &arguments->machine;

	for (argv++; *argv; argv++) {
		const char *name = *argv;
		struct err err = ERR_INIT;

		if (!argv[1])
			err_set(&err, EINVAL, "%s: a value is missing, or the option is unknown", name);
		else if (parse_option(name, *++argv, arguments, &err))
			err_wrap(&err, "%s", name);
		if (err.code && !first->code)
			*first = err;
	}
	if (first->code)
		return -1;
	if (config->kvm_fd < 0 || config->kernel_fd < 0 || config->vsock_fd < 0)
		return err_set(first, EINVAL, "--kvm-fd, --kernel-fd and --vsock-fd are needed");
	if ((config->template_memory_fd < 0) != (config->template_state_fd < 0) ||
	    (config->checkpoint_memory_fd < 0) != (config->checkpoint_state_fd < 0) ||
	    (config->save_memory_fd < 0) != (config->save_state_fd < 0))
		return err_set(first, EINVAL, "a saved machine is two files: of memory, and of state");
	return 0;
}

/* The VM is not to outlive the one that started it. A parent that is gone already closes its end of --event-fd. */
static int die_with_parent(int event_fd, struct err *err)
{
	struct pollfd event = { .fd = event_fd };
	pid_t parent = getppid();

	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return err_set_errno(err, "cannot tie this process to its parent");
	/* In a PID namespace of our own it has no number, but its end of --event-fd is closed. */
	if (getppid() != parent || (event_fd >= 0 && poll(&event, 1, 0) > 0 && event.revents & POLLHUP))
		return err_set(err, ESRCH, "the parent is gone");
	return 0;
}

/* They have done their part when the machine is made: the less there is in the jail, the better. */
static void close_what_is_done_with(struct machine_config *config)
{
	close_fd(&config->kvm_fd);
	close_fd(&config->kernel_fd);
	close_fd(&config->initrd_fd);
	close_fd(&config->template_memory_fd);
	close_fd(&config->template_state_fd);
	close_fd(&config->template_touched_fd);
	close_fd(&config->checkpoint_memory_fd);
	close_fd(&config->checkpoint_state_fd);
}

static int run(struct arguments *arguments, struct err *err)
{
	/* Not destroyed at the end: the kernel takes everything back at once, and faster. */
	static struct machine *machine;
	struct machine_config *config = &arguments->machine;

	if (die_with_parent(config->event_fd, err))
		return -1;
	config->proc_fd = jail_enter(err);
	if (config->proc_fd < 0)
		return -1;
	machine = machine_create(config, err);
	if (!machine)
		return -1;
	close_what_is_done_with(config);
	return machine_run(machine, err);
}

/* With a proxy, it is the one that tells the user. */
static void tell_error(int event_fd, const struct err *err)
{
	if (event_fd >= 0)
		event_error(event_fd, err->code, err->text);
	else
		log_error("%s", err->text);
}

int main(int argc, char **argv)
{
	static struct arguments arguments = {
		.machine = {
			.kvm_fd = -1, .kernel_fd = -1, .initrd_fd = -1, .vsock_fd = -1, .control_fd = -1, .event_fd = -1,
			.proc_fd = -1, .template_memory_fd = -1, .template_state_fd = -1, .template_touched_fd = -1,
			.checkpoint_memory_fd = -1, .checkpoint_state_fd = -1, .save_memory_fd = -1,
			.save_state_fd = -1,
			.memory_mib = 128, .vcpus = 1, .cmdline = "", .file_cache = &fs_caching_auto,
		},
		.log_fd = STDERR_FILENO,
		.log_level = LOG_INFO,
	};
	struct err err = ERR_INIT;

	(void)argc;
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of that write, not our end */
	if (parse(argv, &arguments, &err)) {
		log_setup("bulkhead-vmm", arguments.log_fd, LOG_TEXT, LOG_INFO);
		tell_error(arguments.machine.event_fd, &err);
		return EXIT_USAGE;
	}
	log_setup("bulkhead-vmm", arguments.log_fd, LOG_TEXT, arguments.log_level);
	if (!run(&arguments, &err))
		return EXIT_ENDED;
	tell_error(arguments.machine.event_fd, &err);
	return EXIT_FAILED;
}
