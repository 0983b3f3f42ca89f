/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - how the parts of a VM come together, and how it ends.
 *
 * Guest physical memory:
 *
 *     0x00005000 ...       start information, page tables (boot_params.h)
 *     0x0009fc00           processors and interrupts (mptable.h)
 *     0x00100000 ...       the kernel, where its headers want it; the initramfs at the end of low memory (loader.h)
 *     0xd0000000 + n * 4K  registers of virtio device n, interrupt 6 + n (bus.h)
 *     0xd1000000           registers of the sandbox device, interrupt 5
 *     0xfec00000 ...       interrupt controllers, in the kernel
 *     4 GiB ...            the memory beyond 3 GiB
 *     behind all of it     what comes when the VM grows (growth.h)
 *     256 GiB ...          the window for files, if there is one: beyond all memory
 */
#include "vmm/machine.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "vmm/boot_params.h"
#include "vmm/bus.h"
#include "vmm/control.h"
#include "vmm/cpuid.h"
#include "vmm/disks.h"
#include "vmm/event.h"
#include "vmm/fs_window.h"
#include "vmm/growth.h"
#include "vmm/guest_memory.h"
#include "vmm/guest_text.h"
#include "vmm/jail.h"
#include "vmm/kvm.h"
#include "vmm/loader.h"
#include "vmm/nets.h"
#include "vmm/sandbox.h"
#include "vmm/serial.h"
#include "vmm/template.h"
#include "vmm/touched.h"
#include "vmm/vcpu.h"
#include "vmm/virtio_balloon.h"
#include "vmm/virtio_blk.h"
#include "vmm/virtio_fs.h"
#include "vmm/virtio_rng.h"
#include "vmm/virtio_vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#define GUEST_CID 3u
#define TIMER_PIN 0u /* there is no timer chip, but kernels look for its pin */

enum { FILE_WORKERS = 4 };
enum { KEYBOARD_CONTROLLER = 0x64, RESET_COMMAND = 0xfe };
enum { STATUS_UNKNOWN = 255, STATUS_KILLED = 128 + SIGKILL, STATUS_TERMINATED = 128 + SIGTERM };

struct machine {
	struct loop *loop;
	struct guest_memory memory;
	struct kvm kvm;
	struct vcpus *vcpus;
	struct control *control;

	struct bus bus;
	struct virtio_device *fs, *vsock; /* the bus's */
	struct nets nets;
	struct growth growth;
	struct disks disks;
	struct fs_window window; /* the file system's; may not be there */
	struct touched touched;  /* none unless the VM begins with a template */
	struct sandbox sandbox;
	struct serial serial;
	char cmdline[BOOT_CMDLINE_MAX + 1];

	struct template_saver *saver;
	int save_memory_fd, save_state_fd; /* -1: no template is being made */
	bool is_continued;                 /* from a template or a checkpoint: it does not boot */
	bool is_checkpoint;

	int event_fd;  /* not owned */
	int notice_fd; /* eventfd: a vCPU thread has something for the loop */
	int signal_fd;
	uint64_t created_ns, template_ns, restored_ns, loaded_ns, entered_ns;
	bool told[SANDBOX_STAMP_COUNT];

	/* How a vCPU came to its end, the first one that did; written by its thread. */
	pthread_mutex_t end_lock;
	bool has_ended, guest_ended_it;
	char end_text[256];

	struct err failure; /* why machine_run fails */
};

/* --- register accesses, on vCPU threads -------------------------------------------------------------------- */

static bool mmio_accessed(void *arg, uint64_t address, void *data, unsigned length, bool is_write)
{
	struct machine *machine = arg;

	if (bus_access(&machine->bus, address, data, length, is_write))
		return true;
	if (address >= SANDBOX_MMIO_BASE && address - SANDBOX_MMIO_BASE < SANDBOX_MMIO_SIZE) {
		if (is_write) {
			bool goes_on =
				sandbox_write(&machine->sandbox, (uint32_t)(address - SANDBOX_MMIO_BASE), data, length);

			/* A template's vCPU stops here, so that it goes on from here. */
			if (machine->save_memory_fd >= 0 && sandbox_stamp(&machine->sandbox, SANDBOX_STAMP_AGENT_READY))
				vcpus_hold(machine->vcpus);
			return goes_on;
		}
		sandbox_read(&machine->sandbox, (uint32_t)(address - SANDBOX_MMIO_BASE), data, length);
		return true;
	}
	/* Nobody there: as on a bus, writes go nowhere and reads give all ones. */
	if (!is_write)
		memset(data, 0xff, length);
	return true;
}

static void vcpu_ended(void *arg, bool guest_did_it, const char *why)
{
	struct machine *machine = arg;

	pthread_mutex_lock(&machine->end_lock);
	if (!machine->has_ended) {
		machine->has_ended = true;
		machine->guest_ended_it = guest_did_it;
		snprintf(machine->end_text, sizeof machine->end_text, "%s", why);
	}
	pthread_mutex_unlock(&machine->end_lock);
	eventfd_write(machine->notice_fd, 1);
}

static bool port_accessed(void *arg, uint16_t port, void *data, unsigned length, bool is_write)
{
	struct machine *machine = arg;
	uint8_t *first = data;

	if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS) {
		if (is_write) {
			serial_write(&machine->serial, port - SERIAL_PORT, *first);
			return true;
		}
		memset(data, 0, length);
		*first = serial_read(&machine->serial, port - SERIAL_PORT);
		return true;
	}
	if (port == KEYBOARD_CONTROLLER) {
		/* An idle controller, or a kernel that restarts through it waits long for one that is busy. */
		if (!is_write)
			memset(data, 0, length);
		if (!is_write || *first != RESET_COMMAND)
			return true;
		vcpu_ended(machine, true, "the guest restarted itself");
		return false;
	}
	if (!is_write)
		memset(data, 0xff, length);
	return true;
}

static bool page_missing(void *arg)
{
	struct machine *machine = arg;

	return machine->window.host && fs_window_mend(&machine->window);
}

/* Memory takes as long to be given back as the VM to be closed, which mostly waits: both at once. */
static void all_ended(void *arg)
{
	struct machine *machine = arg;

	bus_reset(&machine->bus);
	guest_memory_drop(&machine->memory);
}

static const struct vcpu_callbacks vcpu_callbacks = {
	.all_ended = all_ended,
	.page_missing = page_missing,
	.mmio_accessed = mmio_accessed,
	.port_accessed = port_accessed,
	.vcpu_ended = vcpu_ended,
};

/* --- how it ends, on the loop ------------------------------------------------------------------------------ */

static void end(struct machine *machine, uint8_t status, enum sandbox_off_reason reason)
{
	event_off(machine->event_fd, (uint32_t)(status | reason << 8));
	loop_stop(machine->loop, 0);
}

/* The reason in the guest's words if it gave any, else ours. */
static void report_panic(struct machine *machine, const char *ours)
{
	char raw[SERIAL_TAIL_SIZE > SANDBOX_PANIC_MAX ? SERIAL_TAIL_SIZE : SANDBOX_PANIC_MAX];
	char text[VMM_EVENT_TEXT_MAX];
	size_t length = sandbox_panic(&machine->sandbox, raw), start = 0;

	if (!length) {
		/* It died before our module was there, but perhaps not in silence. */
		length = serial_tail(&machine->serial, raw);
		start = guest_text_find_panic(raw, length);
	}
	if (start < length)
		guest_text_escape(raw + start, length - start, text, sizeof text);
	else
		snprintf(text, sizeof text, "%s", ours);
	log_info("the guest failed: %s", text);
	event_panic(machine->event_fd, text);
}

static void look_for_end(struct machine *machine)
{
	uint8_t status, reason;
	bool has_ended;

	if (sandbox_is_off(&machine->sandbox, &status, &reason)) {
		if (reason != SANDBOX_OFF_CLEAN)
			report_panic(machine, "the guest gave no reason");
		end(machine, status, reason);
		return;
	}
	pthread_mutex_lock(&machine->end_lock); /* once has_ended is set, the rest does not change any more */
	has_ended = machine->has_ended;
	pthread_mutex_unlock(&machine->end_lock);
	if (has_ended && machine->guest_ended_it) {
		report_panic(machine, machine->end_text);
		end(machine, STATUS_UNKNOWN, SANDBOX_OFF_PANIC);
	} else if (has_ended) {
		err_set(&machine->failure, EIO, "%s", machine->end_text);
		loop_stop(machine->loop, -1);
	}
}

static void tell_stamps(struct machine *machine)
{
	for (enum sandbox_stamp stamp = SANDBOX_STAMP_MODULE; stamp < SANDBOX_STAMP_COUNT; stamp++) {
		uint64_t ns = machine->told[stamp] ? 0 : sandbox_stamp(&machine->sandbox, stamp);

		if (!ns)
			continue;
		machine->told[stamp] = true;
		event_stamp(machine->event_fd, VMM_STAMP_MODULE + (stamp - SANDBOX_STAMP_MODULE), ns);
		if (stamp == SANDBOX_STAMP_AGENT_READY && machine->vsock)
			virtio_vsock_set_ready(machine->vsock);
	}
}

static struct template_parts parts_of(struct machine *machine)
{
	return (struct template_parts){
		.memory = &machine->memory,
		.kvm = &machine->kvm,
		.vcpus = machine->vcpus,
		.bus = &machine->bus,
		.fs = machine->fs,
		.vsock = machine->vsock,
		.nets = &machine->nets,
		.sandbox = &machine->sandbox,
	};
}

/* The agent is ready, and so is the template. */
static void save_template(struct machine *machine)
{
	struct err err = ERR_INIT;

	if (!sandbox_stamp(&machine->sandbox, SANDBOX_STAMP_AGENT_READY))
		return;
	if (vcpus_pause(machine->vcpus, &err) ||
	    template_saver_run(machine->saver, machine->save_memory_fd, machine->save_state_fd, false, &err)) {
		machine->failure = err;
		loop_stop(machine->loop, -1);
		return;
	}
	loop_stop(machine->loop, 0);
}

static void vcpu_noticed(void *arg, uint32_t events)
{
	struct machine *machine = arg;
	eventfd_t count;

	(void)events;
	eventfd_read(machine->notice_fd, &count);
	tell_stamps(machine);
	look_for_end(machine);
	if (machine->save_memory_fd >= 0)
		save_template(machine);
}

/* The proxy has lost its patience: whoever looks for the cause finds here where the guest hangs. */
static void describe_failed_start(struct machine *machine)
{
	char raw[SERIAL_TAIL_SIZE], text[512];
	size_t used = vcpus_describe(machine->vcpus, text, sizeof text - 2);

	if (used < sizeof text - 2) {
		used += (size_t)snprintf(text + used, sizeof text - used, "; ");
		bus_describe(&machine->bus, text + used, sizeof text - used);
	}
	log_guest(LOG_INFO, "last console output", raw, serial_tail(&machine->serial, raw));
	event_error(machine->event_fd, ETIMEDOUT, text);
}

static void signal_came(void *arg, uint32_t events)
{
	struct machine *machine = arg;
	struct signalfd_siginfo info;

	(void)events;
	if (read(machine->signal_fd, &info, sizeof info) != sizeof info)
		return;
	if (!machine->told[SANDBOX_STAMP_AGENT_READY])
		describe_failed_start(machine);
	end(machine, STATUS_TERMINATED, SANDBOX_OFF_CLEAN);
}

/* A VM without its proxy is a leak. The death signal says the same; this also sees a proxy that died before we asked.
 */
static void proxy_went(void *arg, uint32_t events)
{
	struct machine *machine = arg;

	(void)events;
	log_debug("the proxy is gone");
	loop_stop(machine->loop, 0);
}

/* --- control socket, on the loop --------------------------------------------------------------------------- */

static int control_pause(void *arg, struct err *err)
{
	struct machine *machine = arg;

	return vcpus_pause(machine->vcpus, err);
}

static int control_resume(void *arg, struct err *err)
{
	struct machine *machine = arg;

	(void)err;
	vcpus_resume(machine->vcpus);
	return 0;
}

static void control_stats(void *arg, struct vmm_stats *out, struct vmm_details *details)
{
	struct machine *machine = arg;
	struct vmm_growth growth;

	growth_describe(&machine->growth, &growth);
	*out = (struct vmm_stats){
		.memory_size = growth.plugged,
		.vcpus = vcpus_count(machine->vcpus),
		.paused = vcpus_are_paused(machine->vcpus),
		.exits = vcpus_exits(machine->vcpus),
	};
	bus_stats(&machine->bus, details->devices);
	for (unsigned i = 0; i < VMM_DEVICE_KINDS_MAX; i++) {
		out->requests += details->devices[i].requests;
		out->refused += details->devices[i].refused;
	}
	details->stamps[VMM_STAMP_START] = machine->created_ns;
	details->stamps[VMM_STAMP_LOADED] = machine->loaded_ns;
	details->stamps[VMM_STAMP_FIRST_ENTRY] = machine->entered_ns;
	details->stamps[VMM_STAMP_TEMPLATE] = machine->template_ns;
	details->stamps[VMM_STAMP_RESTORED] = machine->restored_ns;
	/* One that is continued has been through them in another life. */
	for (enum sandbox_stamp stamp = SANDBOX_STAMP_MODULE; !machine->is_continued && stamp < SANDBOX_STAMP_COUNT;
	     stamp++)
		details->stamps[VMM_STAMP_MODULE + (stamp - SANDBOX_STAMP_MODULE)] =
			sandbox_stamp(&machine->sandbox, stamp);
}

static int control_add_share(void *arg, const char *name, int fd, bool read_only, struct err *err)
{
	struct machine *machine = arg;

	return virtio_fs_add_share(machine->fs, name, fd, read_only, err);
}

static int control_remove_share(void *arg, const char *name, struct err *err)
{
	struct machine *machine = arg;

	return virtio_fs_remove_share(machine->fs, name, err);
}

static int control_kill(void *arg, struct err *err)
{
	(void)err;
	end(arg, STATUS_KILLED, SANDBOX_OFF_CLEAN);
	return 0;
}

static int control_add_net(void *arg, const char *name, uint64_t key, const uint8_t mac[6], int *tap_fd, int *vhost_fd,
			   struct vmm_place *place, struct err *err)
{
	struct machine *machine = arg;

	if (nets_add(&machine->nets, key, mac, take_fd(tap_fd), take_fd(vhost_fd), place, err) < 0)
		return err_wrap(err, "interface %s", name);
	return 0;
}

static int control_find_net(void *arg, uint64_t key, struct vmm_place *place, struct err *err)
{
	struct machine *machine = arg;

	return nets_find(&machine->nets, key, place, err);
}

static int control_remove_net(void *arg, uint64_t key, struct err *err)
{
	struct machine *machine = arg;

	return nets_remove(&machine->nets, key, err);
}

static int add_disk(struct machine *machine, const char *id, struct vmm_disk disk, int fd, struct vmm_place *place,
		    struct err *err)
{
	struct virtio_blk_backend backend = {
		.fd = fd, .sectors = disk.sectors, .block_log = disk.block_log, .read_only = disk.read_only
	};

	snprintf(backend.id, sizeof backend.id, "%s", id);
	return disks_add(&machine->disks, &backend, place, err);
}

static int control_add_disk(void *arg, const char *id, const struct vmm_disk *disk, int fd, struct vmm_place *place,
			    struct err *err)
{
	return add_disk(arg, id, *disk, fd, place, err);
}

static int control_find_disk(void *arg, const char *id, struct vmm_place *place, struct err *err)
{
	struct machine *machine = arg;

	return disks_find(&machine->disks, id, place, err);
}

static int control_remove_disk(void *arg, const char *id, struct err *err)
{
	struct machine *machine = arg;

	return disks_remove(&machine->disks, id, err);
}

static int control_resize(void *arg, uint64_t bytes, struct vmm_place *place, struct vmm_growth *growth,
			  struct err *err)
{
	struct machine *machine = arg;

	if (bytes && growth_request(&machine->growth, bytes, place, err))
		return -1;
	growth_describe(&machine->growth, growth);
	return 0;
}

/*
 * The loop waits, and with it every device that it serves; vCPUs and vhost-net are held, file threads come to rest. So
 * nothing changes while it is saved, and everything goes on afterwards, whether that worked or not.
 */
static int control_checkpoint(void *arg, int memory_fd, int state_fd, struct err *err)
{
	struct machine *machine = arg;
	bool was_paused = vcpus_are_paused(machine->vcpus);
	int result;

	if (!machine->saver || !machine->told[SANDBOX_STAMP_AGENT_READY])
		return err_set(err, EAGAIN, "the guest is not ready yet");
	result = vcpus_pause(machine->vcpus, err);
	if (!result) {
		nets_hold(&machine->nets, true);
		result = template_saver_run(machine->saver, memory_fd, state_fd, true, err);
		nets_hold(&machine->nets, false);
		if (!was_paused)
			vcpus_resume(machine->vcpus);
	}
	return result;
}

static const struct control_ops control_ops = {
	.checkpoint = control_checkpoint,
	.pause = control_pause,
	.resume = control_resume,
	.stats = control_stats,
	.add_share = control_add_share,
	.remove_share = control_remove_share,
	.add_net = control_add_net,
	.find_net = control_find_net,
	.remove_net = control_remove_net,
	.add_disk = control_add_disk,
	.find_disk = control_find_disk,
	.remove_disk = control_remove_disk,
	.resize = control_resize,
	.kill = control_kill,
};

/* --- making ------------------------------------------------------------------------------------------------ */

static int watch(struct machine *machine, int fd, uint32_t events, loop_callback *callback, struct err *err)
{
	if (!loop_add_fd(machine->loop, fd, events, callback, machine))
		return err_set_errno(err, "cannot watch a descriptor");
	return 0;
}

static int create_loop(struct machine *machine, struct err *err)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before there are threads: they inherit it */
	machine->loop = loop_create(err);
	if (!machine->loop)
		return -1;
	machine->notice_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	machine->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (machine->notice_fd < 0 || machine->signal_fd < 0)
		return err_set_errno(err, "cannot make an eventfd or a signalfd");
	machine->sandbox.notice_fd = machine->notice_fd;
	if (watch(machine, machine->notice_fd, EPOLLIN, vcpu_noticed, err) ||
	    watch(machine, machine->signal_fd, EPOLLIN, signal_came, err))
		return -1;
	return machine->event_fd >= 0 ? watch(machine, machine->event_fd, 0, proxy_went, err) : 0;
}

/* Beyond all memory, and below where the smallest processors that we know end. */
static uint64_t window_address(const struct machine_config *config)
{
	const uint64_t least = 256ull << 30;
	unsigned most = config->max_memory_mib > config->memory_mib ? config->max_memory_mib : config->memory_mib;
	/* What is added later begins at a round place. */
	uint64_t end = ((uint64_t)most << 20) + GUEST_HOLE_END + (4ull << 30);

	return end <= least ? least : (end + FS_WINDOW_MAX - 1) / FS_WINDOW_MAX * FS_WINDOW_MAX;
}

/* What file pages the guest has mapped is read-only to it by its slot, and to this process by its mapping. */
static int add_window(struct machine *machine, const struct machine_config *config, uint64_t size, struct err *err)
{
	uint64_t address = window_address(config);

	if (!size)
		return 0;
	if ((address + size - 1) >> cpuid_address_bits())
		return err_set(err, ENOTSUP, "this host's processor has no address space for a window for files");
	if (fs_window_create(&machine->window, size, err) || fs_window_catch_faults(&machine->window, err))
		return -1;
	if (!kvm_show_pages(&machine->kvm, KVM_SHOWN_FILES, address, machine->window.host, size))
		return err_set(err, ENOTSUP, "this host's KVM has no read-only memory, which a window for files needs");
	virtio_fs_set_window(machine->fs, &machine->window, address);
	return 0;
}

/* One line a device; the order is that of their addresses. */
static int add_devices(struct machine *machine, const struct machine_config *config, uint64_t window_size,
		       struct err *err)
{
	struct bus *bus = &machine->bus;
	struct vmm_place place;

	bus_init(bus, &machine->kvm, machine->loop, &machine->memory);
	nets_init(&machine->nets, bus);
	disks_init(&machine->disks, bus);
	growth_init(&machine->growth, &machine->kvm, bus, &machine->nets, &machine->memory,
		    (uint64_t)config->max_memory_mib << 20);
	machine->fs = virtio_fs_create("bulkhead", FILE_WORKERS, config->file_cache, config->proc_fd, err);
	if (machine->fs && add_window(machine, config, window_size, err)) {
		machine->fs->ops->destroy(machine->fs);
		return -1;
	}
	if (bus_add(bus, machine->fs, err) < 0)
		return -1;
	machine->vsock = virtio_vsock_create(machine->loop, GUEST_CID, config->vsock_fd, err);
	if (bus_add(bus, machine->vsock, err) < 0)
		return -1;
	if (bus_add(bus, virtio_rng_create(err), err) < 0)
		return -1;
	machine->disks.fs = machine->fs;
	for (unsigned i = 0; i < config->disk_count; i++)
		if (add_disk(machine, config->disks[i].id, vmm_disk_unpack(config->disks[i].packed),
			     config->disks[i].fd, &place, err))
			return -1;
	return bus_tell_guest(bus, machine->cmdline, sizeof machine->cmdline, err);
}

/*
 * A device that costs a VM's boot too much to be there: a template's agent has the time to add it, and the VMs that
 * begin there have it for nothing.
 */
static int add_balloon(struct machine *machine, struct err *err)
{
	size_t used = strlen(machine->cmdline);
	int number = bus_add(&machine->bus, virtio_balloon_create(err), err);

	if (number < 0)
		return -1;
	used += (size_t)snprintf(machine->cmdline + used, sizeof machine->cmdline - used, " bulkhead_balloon=0x%llx:%u",
				 (unsigned long long)bus_address((unsigned)number),
				 bus_pin(&machine->bus, (unsigned)number));
	if (used >= sizeof machine->cmdline)
		return err_set(err, E2BIG, "the kernel command line is too long");
	return 0;
}

static int add_shares(struct machine *machine, const struct machine_config *config, struct err *err)
{
	for (unsigned i = 0; i < config->share_count; i++) {
		const struct machine_share *share = &config->shares[i];

		if (virtio_fs_add_share(machine->fs, share->name, share->fd, share->read_only, err))
			return -1;
	}
	return 0;
}

/* Kernel and initramfs into memory; devices must be on the command line by now. */
static int load(struct machine *machine, const struct machine_config *config, struct loaded_image *kernel,
		struct err *err)
{
	struct loaded_image initrd = { 0 };
	bool has_initrd = config->initrd_fd >= 0;

	if (loader_load_kernel(&machine->memory, config->kernel_fd, kernel, err))
		return -1;
	if (has_initrd && loader_load_initrd(&machine->memory, config->initrd_fd, kernel, &initrd, err))
		return -1;
	if (loader_check_room(&machine->memory, kernel, &initrd, err))
		return -1;
	mptable_write(&machine->memory, config->vcpus, bus_pins(&machine->bus) | 1u << TIMER_PIN | 1u << SANDBOX_IRQ);
	return boot_params_write(&machine->memory, has_initrd ? &initrd : NULL, machine->cmdline, err);
}

/* A VM that boots; devices must be there. */
static int build_cold(struct machine *machine, const struct machine_config *config, struct err *err)
{
	struct loaded_image kernel;

	if (guest_memory_create(&machine->memory, (uint64_t)config->memory_mib << 20, err))
		return -1;
	if (config->huge_pages)
		guest_memory_use_huge_pages(&machine->memory);
	if (load(machine, config, &kernel, err))
		return -1;
	if (kvm_set_memory(&machine->kvm, &machine->memory, err))
		return -1;
	machine->vcpus = vcpus_create(&machine->kvm, config->vcpus, kernel.entry, &vcpu_callbacks, machine, err);
	if (!machine->vcpus)
		return -1;
	machine->save_memory_fd = config->save_memory_fd;
	machine->save_state_fd = config->save_state_fd;
	return vcpus_plan_save(machine->vcpus, err);
}

/* Memory and processors as they were saved, in a VM that is new. */
static int build_from_saved(struct machine *machine, const struct machine_config *config, const struct template *saved,
			    int memory_fd, bool checked, struct err *err)
{
	if (saved->machine->window_size && saved->machine->window_address != window_address(config))
		return err_set(err, EBADMSG, "the saved machine has its window for files elsewhere");
	if (template_restore_memory(saved, &machine->memory, (uint64_t)config->memory_mib << 20, memory_fd, checked,
				    err) ||
	    kvm_set_memory(&machine->kvm, &machine->memory, err))
		return -1;
	machine->vcpus = vcpus_create(&machine->kvm, config->vcpus, 0, &vcpu_callbacks, machine, err);
	if (!machine->vcpus || vcpus_plan_save(machine->vcpus, err))
		return -1;
	return template_restore_processors(saved, &machine->kvm, machine->vcpus, err);
}

/* There is nothing else to begin with: what is wrong with a checkpoint is the user's to know. */
static int open_checkpoint(struct machine *machine, const struct machine_config *config, struct template *saved,
			   struct err *err)
{
	machine->template_ns = event_now();
	if (template_open(saved, config->checkpoint_state_fd, err))
		return -1;
	if (!template_is_checkpoint(saved))
		return err_set(err, EBADMSG, "this is a template, and no checkpoint");
	if (build_from_saved(machine, config, saved, config->checkpoint_memory_fd, !config->checkpoint_is_trusted, err))
		return -1;
	machine->is_continued = machine->is_checkpoint = true;
	machine->restored_ns = event_now();
	return 0;
}

/*
 * True: the machine is as far as its template, but for devices. Else it is as it was before. Nothing that is wrong with
 * a template keeps a container from starting, only from starting fast.
 */
static bool try_template(struct machine *machine, const struct machine_config *config, struct template *saved)
{
	struct err why = ERR_INIT;

	if (config->template_state_fd < 0)
		return false;
	machine->template_ns = event_now();
	if (!template_open(saved, config->template_state_fd, &why)) {
		if (!build_from_saved(machine, config, saved, config->template_memory_fd, false, &why)) {
			machine->restored_ns = event_now();
			if (config->template_touched_fd >= 0) {
				touched_read(&machine->touched, config->template_touched_fd);
				touched_choose_pages(&machine->touched, &machine->memory);
			}
			return true;
		}
		template_close(saved);
	}
	log_warn("the template is of no use, the VM boots instead: %s", why.text);
	vcpus_destroy(machine->vcpus);
	machine->vcpus = NULL;
	kvm_destroy(&machine->kvm);
	guest_memory_destroy(&machine->memory);
	return false;
}

/* Those that had come by the time of the checkpoint, at the places where they were. */
static int add_late_devices(struct machine *machine, const struct template *saved, struct err *err)
{
	for (unsigned place = machine->bus.count; place < saved->machine->devices; place++) {
		switch (template_device(saved, place)) {
		case VIRTIO_ID_BALLOON:
			if (add_balloon(machine, err))
				return -1;
			break;
		case VIRTIO_ID_NET:
			if (nets_restore(&machine->nets, place, &saved->snapshot, err))
				return -1;
			break;
		default:
			return err_set(err, EBADMSG, "the saved machine has a device that is unknown here");
		}
	}
	return 0;
}

static int restore_devices(struct machine *machine, const struct machine_config *config, const struct template *saved,
			   struct err *err)
{
	const struct template_parts parts = parts_of(machine);

	if (!machine->is_checkpoint) {
		if (template_restore_devices(saved, &parts, err))
			return err_wrap(err, "the template does not fit (`bulkhead template remove --all` helps)");
		return 0;
	}
	return add_late_devices(machine, saved, err) || template_restore_devices(saved, &parts, err) ||
			       template_restore_files(saved, &parts, config->checkpoint_memory_fd,
						      config->file_changes_accepted, err)
		       ? -1
		       : 0;
}

static int build(struct machine *machine, const struct machine_config *config, struct err *err)
{
	struct template saved = { 0 };
	uint64_t window_size;
	int result;

	if (create_loop(machine, err))
		return -1;
	if (kvm_create(&machine->kvm, config->kvm_fd, err))
		return -1;
	if (config->checkpoint_state_fd >= 0) {
		if (open_checkpoint(machine, config, &saved, err)) {
			template_close(&saved);
			return -1;
		}
	} else {
		machine->is_continued = try_template(machine, config, &saved);
	}
	if (machine->kvm.vm_fd < 0 && kvm_create(&machine->kvm, config->kvm_fd, err))
		return -1;
	window_size = machine->is_continued ? saved.machine->window_size : (uint64_t)config->dax_mib << 20;
	if (add_devices(machine, config, window_size, err) ||
	    (((machine->is_continued && !machine->is_checkpoint) || config->save_memory_fd >= 0) &&
	     add_balloon(machine, err)) ||
	    add_shares(machine, config, err)) {
		result = -1;
	} else if (machine->is_continued) {
		result = restore_devices(machine, config, &saved, err);
	} else {
		result = build_cold(machine, config, err);
	}
	template_close(&saved);
	if (result)
		return -1;
	machine->memory.window = (struct guest_range){ .start = machine->fs->shared.address,
						       .size = machine->window.size,
						       .host = machine->window.host };
	if (config->control_fd >= 0) {
		machine->control = control_create(machine->loop, config->control_fd, &control_ops, machine, err);
		if (!machine->control)
			return -1;
	}
	return 0;
}

/*
 * What the kernel's parameters have to say of the size of memory; those that the caller gives come later, and count.
 *
 * Linux makes its hash tables of names and inodes for a machine whose memory is full of them, and clears them; each
 * page of them that a container comes upon, nearly one for each file, is one that its VM has to have copied. An eighth
 * is enough for as many files as the memory has room for, with eight to a chain.
 *
 * A kernel with memory above 4 GiB sets 64 MiB of low memory aside to bounce data in. Our devices take any address.
 */
static int write_cmdline(char *out, size_t size, const struct machine_config *config)
{
	uint64_t memory = (uint64_t)config->memory_mib << 20;

	return snprintf(out, size, "dhash_entries=%llu ihash_entries=%llu %s%s", (unsigned long long)(memory >> 16),
			(unsigned long long)(memory >> 17), config->cmdline,
			memory > GUEST_HOLE_START ? " iommu=off" : "");
}

struct machine *machine_create(const struct machine_config *config, struct err *err)
{
	struct machine *machine = calloc(1, sizeof *machine);
	int length;

	if (!machine) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	machine->created_ns = event_now();
	machine->event_fd = config->event_fd;
	machine->notice_fd = machine->signal_fd = machine->kvm.vm_fd = -1;
	machine->save_memory_fd = machine->save_state_fd = -1;
	pthread_mutex_init(&machine->end_lock, NULL);
	serial_init(&machine->serial);
	sandbox_init(&machine->sandbox, &machine->memory);
	length = write_cmdline(machine->cmdline, sizeof machine->cmdline, config);
	if (length > BOOT_CMDLINE_MAX)
		err_set(err, E2BIG, "the kernel command line is longer than %d bytes", BOOT_CMDLINE_MAX);
	else if (!build(machine, config, err)) {
		machine->loaded_ns = event_now();
		return machine;
	}
	machine_destroy(machine);
	return NULL;
}

void machine_destroy(struct machine *machine)
{
	if (!machine)
		return;
	template_saver_destroy(machine->saver);
	vcpus_destroy(machine->vcpus);
	control_destroy(machine->control);
	bus_destroy(&machine->bus);
	loop_destroy(machine->loop);
	kvm_destroy(&machine->kvm);
	guest_memory_destroy(&machine->memory);
	fs_window_destroy(&machine->window);
	sandbox_destroy(&machine->sandbox);
	serial_destroy(&machine->serial);
	pthread_mutex_destroy(&machine->end_lock);
	close_fd(&machine->notice_fd);
	close_fd(&machine->signal_fd);
	free(machine);
}

static int confine_files(struct err *err)
{
	return jail_close_thread(JAIL_FILES, err);
}

static int confine_vcpu(struct err *err)
{
	return jail_close_thread(JAIL_VCPU, err);
}

static int confine_saver(struct err *err)
{
	return jail_close_thread(JAIL_SAVE, err);
}

/* Each thread closes the jail for its own kind; the vCPUs are held back until this one has. */
static int close_jail(struct machine *machine, struct err *err)
{
	const struct template_parts parts = parts_of(machine);

	if (jail_keep_file_rights(err) || virtio_fs_start(machine->fs, confine_files, err))
		return -1;
	/* It has a file thread's rights: a checkpoint looks at files. */
	machine->saver = template_saver_create(&parts, confine_saver, err);
	if (!machine->saver || jail_give_up_rights(err) || vcpus_start(machine->vcpus, confine_vcpu, err))
		return -1;
	return jail_close_thread(JAIL_LOOP, err);
}

int machine_run(struct machine *machine, struct err *err)
{
	uint8_t status, reason;
	int result;

	if (close_jail(machine, err))
		return -1;
	if (machine->is_continued) {
		const struct template_parts parts = parts_of(machine);

		if (template_continue(&parts, machine->is_checkpoint, err))
			return -1;
		/* A checkpoint's agent says so itself, when its old connections are behind it. */
		if (!machine->is_checkpoint)
			virtio_vsock_set_ready(machine->vsock);
	}
	machine->entered_ns = event_now();
	vcpus_resume(machine->vcpus);
	/* The guest runs; now there is time to talk. */
	event_stamp(machine->event_fd, VMM_STAMP_START, machine->created_ns);
	if (machine->is_continued) {
		event_stamp(machine->event_fd, VMM_STAMP_TEMPLATE, machine->template_ns);
		event_stamp(machine->event_fd, VMM_STAMP_RESTORED, machine->restored_ns);
	}
	event_stamp(machine->event_fd, VMM_STAMP_LOADED, machine->loaded_ns);
	event_stamp(machine->event_fd, VMM_STAMP_FIRST_ENTRY, machine->entered_ns);
	if (machine->is_continued && !machine->is_checkpoint) {
		/* It was, when it was saved. */
		machine->told[SANDBOX_STAMP_AGENT_READY] = true;
		event_stamp(machine->event_fd, VMM_STAMP_AGENT_READY, machine->entered_ns);
	}
	/* Beside the guest, which waits for the container meanwhile. */
	touched_copy(&machine->touched, &machine->memory);
	result = loop_run(machine->loop);
	/*
	 * A VM's end waits in the host's kernel, for as many milliseconds as there are others who wait there; when a
	 * process ends, its network namespace comes first and is such another. So the VM goes before; but only one
	 * whose guest has ended, so that nothing has to be waited for to get at its vCPUs.
	 */
	if (sandbox_is_off(&machine->sandbox, &status, &reason)) {
		vcpus_end(machine->vcpus);
		machine->vcpus = NULL;
		kvm_destroy(&machine->kvm);
	}
	if (result && machine->failure.code)
		*err = machine->failure;
	else if (result)
		err_set_errno(err, "the event loop failed");
	return result ? -1 : 0;
}
