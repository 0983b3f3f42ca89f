/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch.h"

#include "runtime/checkpoint.h"
#include "runtime/paths.h"
#include "runtime/share.h"
#include "runtime/statedir.h"
#include "runtime/template.h"
#include "runtime/vm_socket.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include "oci/config.h"
#include "oci/describe.h"
#include "oci/host_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CMDLINE_MAX = 2048, FIXED_FDS = 9 };

void launch_init(struct launch *launch)
{
	*launch = (struct launch){
		.kvm_fd = -1,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.vsock_fd = -1,
		.control_fd = -1,
		.log_fd = -1,
		.template = TEMPLATE_FILES_NONE,
		.checkpoint_memory_fd = -1,
		.checkpoint_state_fd = -1,
	};
}

void launch_close(struct launch *launch)
{
	close_fd(&launch->kvm_fd);
	close_fd(&launch->kernel_fd);
	close_fd(&launch->initrd_fd);
	close_fd(&launch->vsock_fd);
	close_fd(&launch->control_fd);
	close_fd(&launch->log_fd);
	template_close_files(&launch->template);
	close_fd(&launch->checkpoint_memory_fd);
	close_fd(&launch->checkpoint_state_fd);
	for (size_t i = 0; i < launch->share_count; i++) {
		close_fd(&launch->shares[i].fd);
		free(launch->shares[i].argument);
	}
	for (size_t i = 0; i < launch->disk_count; i++)
		close_fd(&launch->disks[i].fd);
	free(launch->shares);
	free(launch->cmdline);
	free(launch->kernel_path);
	free(launch->initrd_path);
	free(launch->arguments);
	launch_init(launch);
}

int launch_open_kvm(struct err *err)
{
	auto_fd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		if (ioctl(fd, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
			return take_fd(&fd);
		return err_set(err, ENODEV, "/dev/kvm: not KVM, or not of API version %d", KVM_API_VERSION);
	}
	switch (errno) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return err_set(err, errno,
			       "/dev/kvm: there is none; load kvm_intel or kvm_amd, and enable virtualization in the "
			       "firmware or, inside a VM, nesting");
	case EACCES:
	case EPERM:
		return err_set(err, errno,
			       "/dev/kvm: permission denied; run as root or join the group that owns it (kvm)");
	default:
		return err_set_errno(err, "/dev/kvm");
	}
}

static int open_guest_file(const char *path, const char *what, const char *remedy, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err_set(err, errno, "%s %s: %s; %s", what, path, strerror(errno), remedy);
	return fd;
}

/* One line of kernel parameters: newlines and comment lines of the file, then what host and bundle add. */
static int read_cmdline(FILE *file, char out[CMDLINE_MAX], struct err *err, const char *path)
{
	char line[CMDLINE_MAX];
	size_t used = 0;

	out[0] = '\0';
	while (fgets(line, sizeof line, file)) {
		char *start = line;

		while (isspace((unsigned char)*start))
			start++;
		size_t length = strlen(start);
		while (length > 0 && isspace((unsigned char)start[length - 1]))
			start[--length] = '\0';
		if (length == 0 || *start == '#')
			continue;
		int n = snprintf(out + used, CMDLINE_MAX - used, "%s%s", used ? " " : "", start);
		if ((size_t)n >= CMDLINE_MAX - used)
			return err_set(err, E2BIG, "%s: kernel parameters of more than %d bytes", path,
				       CMDLINE_MAX - 1);
		used += (size_t)n;
	}
	return 0;
}

static int add_parameter(char out[CMDLINE_MAX], const char *parameter, struct err *err)
{
	size_t used = strlen(out);
	int n = snprintf(out + used, CMDLINE_MAX - used, "%s%s", used ? " " : "", parameter);

	if ((size_t)n >= CMDLINE_MAX - used)
		return err_set(err, E2BIG, "kernel parameters of more than %d bytes", CMDLINE_MAX - 1);
	return 0;
}

static int make_cmdline(struct launch *launch, const char *path, const struct oci_host_config *host,
			const struct oci_config *config, struct err *err)
{
	char text[CMDLINE_MAX];
	auto_file FILE *file = fopen(path, "re");

	if (!file)
		return err_set(err, errno, "kernel parameters %s: %s; reinstall bulkhead, or run `make`", path,
			       strerror(errno));
	if (read_cmdline(file, text, err, path) < 0)
		return -1;
	if (host->cmdline && add_parameter(text, host->cmdline, err) < 0)
		return -1;
	for (size_t i = 0; config && i < config->vm.parameters.count; i++) {
		if (add_parameter(text, config->vm.parameters.items[i], err) < 0)
			return -1;
	}
	launch->cmdline = strdup(text);
	return launch->cmdline ? 0 : err_set(err, ENOMEM, "out of memory");
}

int launch_open_guest(struct launch *launch, const struct paths *paths, const struct oci_host_config *host,
		      const struct oci_config *config, struct err *err)
{
	const char *kernel = host->kernel ? host->kernel : paths->kernel;
	const char *initrd = host->initrd ? host->initrd : paths->initrd;
	const char *remedy = host->kernel ? "see " OCI_HOST_CONFIG_FILE : "run `make rootfs`, or reinstall bulkhead";

	if (config && config->vm.kernel) {
		kernel = config->vm.kernel;
		remedy = "see vm.kernel.path in config.json";
	}
	if (config && config->vm.initrd)
		initrd = config->vm.initrd;
	launch->log_level = host->log_level;
	launch->kvm_fd = launch_open_kvm(err);
	if (launch->kvm_fd < 0)
		return -1;
	launch->kernel_fd = open_guest_file(kernel, "guest kernel", remedy, err);
	if (launch->kernel_fd < 0)
		return -1;
	launch->initrd_fd = open_guest_file(initrd, "guest initramfs", "run `make rootfs`, or reinstall bulkhead", err);
	if (launch->initrd_fd < 0)
		return -1;
	launch->kernel_path = strdup(kernel);
	launch->initrd_path = strdup(initrd);
	if (!launch->kernel_path || !launch->initrd_path)
		return err_set(err, ENOMEM, "out of memory");
	return make_cmdline(launch, paths->cmdline, host, config, err);
}

int launch_open_template(struct launch *launch, const struct paths *paths, const struct oci_host_config *host,
			 const struct oci_config *config, struct err *err)
{
	const struct template_inputs inputs = {
		.monitor = paths->monitor,
		.kvm_fd = launch->kvm_fd,
		.kernel_fd = launch->kernel_fd,
		.initrd_fd = launch->initrd_fd,
		.memory_mib = launch->memory_mib,
		.vcpus = launch->vcpus,
		.dax_mib = launch->dax_mib,
		.file_cache = launch->file_cache,
		.cmdline = launch->cmdline,
	};
	struct err why = ERR_INIT;

	/*
	 * The store is root's. A bundle's own kernel is not worth a place in it, no template has disks, and its memory
	 * is not all of huge pages.
	 */
	if (launch->disk_count || launch->huge_pages || !host->templates || geteuid() != 0 || config->vm.kernel ||
	    config->vm.initrd || config->vm.parameters.count)
		return 0;
	if (template_open_files(&inputs, &launch->template, &why) == 0)
		return 0;
	if (why.code != ENOENT && why.code != ESTALE) {
		log_warn("starting without a template: %s", why.text);
		return 0;
	}
	if (template_build(&inputs, true, &why) == 0 && template_open_files(&inputs, &launch->template, &why) == 0)
		return 0;
	if (why.code == EINTR)
		return err_set(err, EINTR, "%s", why.text);
	/* Said when it happens; that it happened before, or that one is on its way, is no news. */
	if (why.code == ENOTSUP || why.code == EAGAIN)
		log_debug("starting without a template: %s", why.text);
	else
		log_warn("starting without a template: %s", why.text);
	return 0;
}

int launch_open_checkpoint(struct launch *launch, const struct checkpoint *checkpoint, struct err *err)
{
	launch->checkpoint_memory_fd = fcntl(checkpoint->memory_fd, F_DUPFD_CLOEXEC, 3);
	launch->checkpoint_state_fd = fcntl(checkpoint->state_fd, F_DUPFD_CLOEXEC, 3);
	launch->checkpoint_mode = checkpoint->mode;
	launch->file_cache = checkpoint->file_cache;
	if (launch->checkpoint_memory_fd < 0 || launch->checkpoint_state_fd < 0)
		return err_set_errno(err, "the checkpoint's files");
	return 0;
}

int launch_open_state(struct launch *launch, int dirfd, struct err *err)
{
	launch->vsock_fd = vm_socket_listen(dirfd, VM_SOCKET_VSOCK, SOCK_STREAM, err);
	if (launch->vsock_fd < 0)
		return -1;
	launch->control_fd = vm_socket_listen(dirfd, VM_SOCKET_CONTROL, SOCK_SEQPACKET, err);
	if (launch->control_fd < 0)
		return -1;
	return launch_open_log(launch, dirfd, err);
}

int launch_open_log(struct launch *launch, int dirfd, struct err *err)
{
	launch->log_fd = openat(dirfd, STATEDIR_LOG, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (launch->log_fd < 0)
		return err_set_errno(err, "cannot make the container's log");
	return 0;
}

int launch_open_shares(struct launch *launch, const struct oci_shares *shares, struct err *err)
{
	launch->shares = calloc(shares->count + 1, sizeof *launch->shares);
	if (!launch->shares)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < shares->count; i++) {
		const struct oci_share *share = &shares->items[i];
		struct launch_share *opened = &launch->shares[i];

		opened->fd = share_open(share, err);
		if (opened->fd < 0)
			return i == 0 ? err_wrap(err, "root.path") : -1;
		launch->share_count = i + 1;
		if (asprintf(&opened->argument, "%s=%d%s", share->name, opened->fd,
			     share->readonly || share->readonly_recursive ? ",ro" : "") < 0) {
			opened->argument = NULL;
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	return 0;
}

static bool has_disk(const struct launch *launch, const char *id)
{
	for (size_t i = 0; i < launch->disk_count; i++)
		if (strcmp(launch->disks[i].id, id) == 0)
			return true;
	return false;
}

int launch_open_disks(struct launch *launch, const agent_Container *container, struct err *err)
{
	for (size_t i = 0; i < container->devices_count; i++) {
		const agent_Device *device = &container->devices[i];

		if (!disk_is_one(device) || has_disk(launch, device->disk))
			continue;
		if (launch->disk_count == LAUNCH_DISKS_MAX)
			return err_set(err, E2BIG, "linux.devices: more than %d block devices of the host",
				       LAUNCH_DISKS_MAX);
		if (disk_open(device, &launch->disks[launch->disk_count], err) < 0)
			return err_wrap(err, "linux.devices[%zu]", i);
		launch->disk_count++;
	}
	return 0;
}

/* Arguments and their text grow in one allocation of known size: pointers first, then bytes. */
struct arguments {
	char **pointers;
	size_t count, max;
	char *text, *end;
};

static void add(struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct arguments *a, const char *format, ...)
{
	va_list args;

	if (a->count >= a->max) {
		a->max = 0; /* seen by the caller */
		return;
	}
	va_start(args, format);
	int n = vsnprintf(a->text, (size_t)(a->end - a->text), format, args);
	va_end(args);
	if (n < 0 || n >= a->end - a->text) {
		a->max = 0; /* the same */
		return;
	}
	a->pointers[a->count++] = a->text;
	a->text += n + 1;
}

static void add_number(struct arguments *a, const char *name, int value)
{
	add(a, "%s", name);
	add(a, "%d", value);
}

int launch_arguments(struct launch *launch, const char *program, bool debug, struct err *err)
{
	size_t max = 40 + 2 * launch->share_count + 2 * launch->disk_count;
	size_t bytes = 1024 + launch->disk_count * 100 + strlen(program) + strlen(launch->cmdline);

	for (size_t i = 0; i < launch->share_count; i++)
		bytes += strlen(launch->shares[i].argument) + sizeof "--share" + 1;
	char **pointers = calloc(1, (max + 1) * sizeof *pointers + bytes);
	if (!pointers)
		return err_set(err, ENOMEM, "out of memory");
	struct arguments a = { .pointers = pointers, .max = max, .text = (char *)(pointers + max + 1) };
	a.end = a.text + bytes;
	add(&a, "%s", program);
	add_number(&a, "--kvm-fd", launch->kvm_fd);
	add_number(&a, "--kernel-fd", launch->kernel_fd);
	add_number(&a, "--initrd-fd", launch->initrd_fd);
	add_number(&a, "--memory-mib", (int)launch->memory_mib);
	if (launch->max_memory_mib > launch->memory_mib)
		add_number(&a, "--max-memory-mib", (int)launch->max_memory_mib);
	add_number(&a, "--vcpus", (int)launch->vcpus);
	if (launch->huge_pages)
		add_number(&a, "--huge-pages", 1);
	if (launch->dax_mib)
		add_number(&a, "--dax-mib", (int)launch->dax_mib);
	if (launch->file_cache) {
		add(&a, "--file-cache");
		add(&a, "%s", launch->file_cache);
	}
	if (launch->template.state_fd >= 0) {
		add_number(&a, "--template-memory-fd", launch->template.memory_fd);
		add_number(&a, "--template-state-fd", launch->template.state_fd);
	}
	if (launch->template.touched_fd >= 0)
		add_number(&a, "--template-touched-fd", launch->template.touched_fd);
	if (launch->checkpoint_state_fd >= 0) {
		add_number(&a, "--checkpoint-memory-fd", launch->checkpoint_memory_fd);
		add_number(&a, "--checkpoint-state-fd", launch->checkpoint_state_fd);
		add(&a, "--checkpoint-mode");
		add(&a, "%s", launch->checkpoint_mode);
	}
	add(&a, "--cmdline");
	add(&a, "%s", launch->cmdline);
	add_number(&a, "--vsock-fd", launch->vsock_fd);
	add_number(&a, "--control-fd", launch->control_fd);
	add_number(&a, "--log-fd", launch->log_fd);
	for (size_t i = 0; i < launch->share_count; i++) {
		add(&a, "--share");
		add(&a, "%s", launch->shares[i].argument);
	}
	for (size_t i = 0; i < launch->disk_count; i++) {
		const struct disk *disk = &launch->disks[i];

		add(&a, "--disk");
		add(&a, "%s=%d,%" PRIu64, disk->id, disk->fd, disk->packed);
	}
	add(&a, "--log-level");
	add(&a, "%s", log_level_name(debug ? LOG_DEBUG : launch->log_level));
	if (a.max == 0) {
		free(pointers);
		return err_set(err, E2BIG, "too many arguments for the monitor");
	}
	launch->arguments = pointers;
	return 0;
}

int launch_fds(const struct launch *launch, int **fds, size_t *count, struct err *err)
{
	int *list = calloc(launch->share_count + launch->disk_count + FIXED_FDS, sizeof *list);
	size_t n = 0;

	if (!list)
		return err_set(err, ENOMEM, "out of memory");
	list[n++] = launch->kvm_fd;
	list[n++] = launch->kernel_fd;
	list[n++] = launch->initrd_fd;
	list[n++] = launch->vsock_fd;
	list[n++] = launch->control_fd;
	list[n++] = launch->log_fd;
	if (launch->template.state_fd >= 0) {
		list[n++] = launch->template.memory_fd;
		list[n++] = launch->template.state_fd;
	}
	if (launch->template.touched_fd >= 0)
		list[n++] = launch->template.touched_fd;
	if (launch->checkpoint_state_fd >= 0) {
		list[n++] = launch->checkpoint_memory_fd;
		list[n++] = launch->checkpoint_state_fd;
	}
	for (size_t i = 0; i < launch->share_count; i++)
		list[n++] = launch->shares[i].fd;
	for (size_t i = 0; i < launch->disk_count; i++)
		list[n++] = launch->disks[i].fd;
	*fds = list;
	*count = n;
	return 0;
}
