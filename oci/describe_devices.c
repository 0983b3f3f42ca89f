/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/describe_devices.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/messages.h"

#include "common/err.h"
#include "common/proto.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MINOR_ANY = -1 };

/* Character devices that are software, and that the guest's kernel has too. */
static const struct {
	uint32_t major;
	int64_t minor;
} pseudo[] = {
	{ 1, 3 },           /* null */
	{ 1, 5 },           /* zero */
	{ 1, 7 },           /* full */
	{ 1, 8 },           /* random */
	{ 1, 9 },           /* urandom */
	{ 1, 11 },          /* kmsg */
	{ 5, 0 },           /* tty */
	{ 5, 1 },           /* console */
	{ 5, 2 },           /* ptmx */
	{ 136, MINOR_ANY }, /* pts */
	{ 10, 183 },        /* hwrng */
	{ 10, 200 },        /* net/tun */
	{ 10, 229 },        /* fuse */
};

static bool is_pseudo(const struct oci_device *device)
{
	if (device->type == 'p')
		return true;
	for (size_t i = 0; device->type == 'c' && i < sizeof pseudo / sizeof *pseudo; i++)
		if (pseudo[i].major == device->major &&
		    (pseudo[i].minor == MINOR_ANY || pseudo[i].minor == (int64_t)device->minor))
			return true;
	return false;
}

static bool is_of_host(const char *sysfs, const struct oci_device *device)
{
	char path[256];

	snprintf(path, sizeof path, "%s/dev/%s/%u:%u", sysfs, device->type == 'b' ? "block" : "char", device->major,
		 device->minor);
	return access(path, F_OK) == 0;
}

static unsigned access_of(const struct oci_config *config, uint32_t major, uint32_t minor)
{
	return oci_device_rules_access(&config->resources.device_rules, 'b', major, minor);
}

/*
 * By the host's number, so that containers of a pod that have the same one share a disk; one that may only be read is
 * read-only for the guest as a whole. NULL: the container may not even read it.
 */
static char *disk_name(const struct oci_config *config, const struct oci_device *device)
{
	unsigned access = access_of(config, device->major, device->minor);

	if (!(access & (OCI_DEVICE_READ | OCI_DEVICE_WRITE)))
		return NULL;
	return oci_format("b%u-%u%s", device->major, device->minor, access & OCI_DEVICE_WRITE ? "" : "-ro");
}

int oci_describe_device(const struct oci_config *config, const char *sysfs, const struct oci_device *device,
			const char *what, agent_Container *out, struct err *err)
{
	/* Privileged containers list it; but a terminal is of a container's own devpts, or of none. */
	if (strcmp(device->path, "/dev/ptmx") == 0)
		return 0;
	bool is_real = !is_pseudo(device) && is_of_host(sysfs, device) &&
		       !oci_device_rules_allow_all(&config->resources.device_rules);

	if (is_real && device->type != 'b')
		return err_set(err, ENOTSUP,
			       "%s: %s (%c %u:%u) is a device of the host, which cannot be given to a virtual machine",
			       what, device->path, device->type, device->major, device->minor);
	if (out->devices_count == PB_SIZE_MAX)
		return err_set(err, E2BIG, "%s: more than %d device nodes", what, PB_SIZE_MAX);
	out->devices = oci_grow(out->devices, out->devices_count, sizeof *out->devices);
	out->devices[out->devices_count++] = (agent_Device){
		.path = oci_strdup(device->path),
		.mode = device->mode | (device->type == 'b'   ? S_IFBLK
					: device->type == 'p' ? S_IFIFO
							      : S_IFCHR),
		.major = device->major,
		.minor = device->minor,
		.uid = device->uid,
		.gid = device->gid,
		.disk = is_real ? disk_name(config, device) : NULL,
	};
	return 0;
}

int oci_describe_device_filter(const struct oci_config *config, agent_Container *out, struct err *err)
{
	const struct oci_device_rules *rules = &config->resources.device_rules;
	struct oci_device_rules all = { .items = oci_alloc(rules->count + out->devices_count, sizeof *all.items) };
	struct bpf_insn *filter;
	size_t count;

	for (size_t i = 0; i < rules->count; i++)
		all.items[all.count++] = rules->items[i];
	/* Last, so that they decide: of these numbers nothing else speaks. */
	for (size_t i = 0; i < out->devices_count; i++) {
		const agent_Device *device = &out->devices[i];

		if (device->disk)
			all.items[all.count++] = (struct oci_device_rule){
				.allow = true,
				.type = 'b',
				.major = PROTO_DISK_MAJOR,
				.minor = (int64_t)i,
				.access = access_of(config, device->major, device->minor),
			};
	}
	int result = oci_device_filter(&all, &filter, &count, err);
	free(all.items);
	if (result < 0)
		return -1;
	out->device_filter = oci_message_bytes(filter, count * sizeof *filter);
	free(filter);
	return 0;
}
