/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/describe_mounts.h"

#include "oci/alloc.h"
#include "oci/config.h"
#include "oci/describe_devices.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static struct oci_share *add_share(const struct oci_describe_context *context, struct oci_shares *shares,
				   const char *name, struct err *err)
{
	shares->items = oci_grow(shares->items, shares->count, sizeof *shares->items);
	struct oci_share *share = &shares->items[shares->count++];

	int n = snprintf(share->name, sizeof share->name, "%s%s", context->share_prefix ? context->share_prefix : "",
			 name);
	if (n < 0 || (size_t)n >= sizeof share->name) {
		err_set(err, ENAMETOOLONG, "share prefix %s: too long", context->share_prefix);
		return NULL;
	}
	return share;
}

static char *absolute(const struct oci_config *config, const char *path)
{
	return path[0] == '/' ? oci_strdup(path) : oci_format("%s/%s", config->bundle, path);
}

static int describe_root(const struct oci_config *config, const struct oci_describe_context *context,
			 agent_Container *out, struct oci_shares *shares, struct err *err)
{
	struct oci_share *share = add_share(context, shares, "rootfs", err);
	struct stat st;

	if (!share)
		return -1;
	share->path = absolute(config, config->root_path);
	if (stat(share->path, &st) < 0)
		return err_set_errno(err, "root.path: %s", share->path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "root.path: %s: is not a directory", share->path);
	share->recursive = true;
	share->readonly = config->root_readonly || context->root_overlay;
	share->readonly_recursive = context->root_overlay;
	out->root_share = oci_strdup(share->name);
	out->root_readonly = config->root_readonly;
	out->root_overlay = context->root_overlay;
	out->root_propagation = config->rootfs_propagation;
	return 0;
}

/*
 * Binds that bring a view of the host's kernel into a container. The guest has a kernel of its own, and its view of
 * itself is what the container's programs need: the same file system, mounted afresh.
 */
static const struct {
	const char *source, *destination;
	const char *type, *data;
} guest_views[] = {
	{ "/proc", "/proc", "proc", NULL },
	{ "/sys", "/sys", "sysfs", NULL },
	{ "/dev", "/dev", "tmpfs", "mode=755" },
	{ "/dev/mqueue", "/dev/mqueue", "mqueue", NULL },
};

static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Component by component: "/dev//shm/" is "/dev/shm". */
static bool is_same_path(const char *a, const char *b)
{
	for (;;) {
		a += strspn(a, "/");
		b += strspn(b, "/");
		size_t length = strcspn(a, "/");
		if (length != strcspn(b, "/") || memcmp(a, b, length) != 0)
			return false;
		if (length == 0)
			return true;
		a += length;
		b += length;
	}
}

static void fill_plain(const struct oci_mount *mount, const char *type, const char *source, const char *data,
		       agent_Mount *out)
{
	out->type = oci_strdup(type);
	out->source = oci_strdup(source);
	out->data = oci_strdup(data);
	out->flags = mount->flags & ~(uint64_t)(MS_BIND | MS_REC);
	out->flags_clear = mount->flags_clear;
	out->propagation = mount->propagation;
	out->attr_set = mount->attr_set;
	out->attr_clear = mount->attr_clear;
	out->copy_up = mount->copy_up;
}

/*
 * Memory shared through a file cannot be shared between two kernels. A tmpfs of the same size serves those who share
 * inside the container, which is nearly everyone; in a pod, those who share inside the pod: its containers mount one
 * folder of the host.
 */
static void use_guest_memory(const struct oci_mount *mount, const char *type, const char *data, const struct stat *st,
			     bool is_pods, agent_Mount *out)
{
	auto_free char *name = oci_format("%s-%jx-%jx", type, (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);

	fill_plain(mount, type, is_pods ? name : type, data, out);
	if (is_pods) {
		out->flags |= MS_BIND;
		out->common = true;
	}
}

/* The memory behind a path, if it is memory that the guest has to have itself: /dev/shm, and huge pages anywhere. */
static bool use_memory(const struct oci_mount *mount, const char *path, bool is_pods, agent_Mount *out)
{
	auto_free char *data = NULL;
	const char *type;
	struct statfs fs;
	struct stat st;

	if (statfs(path, &fs) < 0 || stat(path, &st) < 0)
		return false;
	if (fs.f_type == TMPFS_MAGIC && is_same_path(mount->destination, "/dev/shm")) {
		type = "tmpfs";
		data = oci_format("mode=1777,size=%llu",
				  (unsigned long long)fs.f_blocks * (unsigned long long)fs.f_bsize);
	} else if (fs.f_type == HUGETLBFS_MAGIC && S_ISDIR(st.st_mode)) {
		type = "hugetlbfs";
		data = oci_format("mode=%o,uid=%u,gid=%u", st.st_mode & 07777, st.st_uid, st.st_gid);
	} else {
		return false;
	}
	use_guest_memory(mount, type, data, &st, is_pods, out);
	return true;
}

/* True if the guest mounts something of its own in place of the host's tree. */
static bool use_guest_view(const struct oci_mount *mount, const char *path, bool is_pods, agent_Mount *out)
{
	for (size_t i = 0; i < sizeof guest_views / sizeof *guest_views; i++) {
		if (is_same_path(path, guest_views[i].source) &&
		    is_same_path(mount->destination, guest_views[i].destination)) {
			fill_plain(mount, guest_views[i].type, guest_views[i].type, guest_views[i].data, out);
			return true;
		}
	}
	/* Whatever part of the host's hierarchy is meant: the container's own, in the guest, is the one that counts. */
	if (is_below(path, "/sys/fs/cgroup")) {
		fill_plain(mount, "cgroup2", "cgroup", NULL, out);
		return true;
	}
	return use_memory(mount, path, is_pods, out);
}

static void fill_share(const struct oci_config *config, const struct oci_mount *mount, struct oci_share *share)
{
	share->recursive = mount->flags & MS_REC;
	share->readonly = mount->flags & MS_RDONLY;
	share->noexec = mount->flags & MS_NOEXEC;
	share->noatime = mount->flags & MS_NOATIME;
	share->readonly_recursive = mount->attr_set & MOUNT_ATTR_RDONLY;
	share->readonly |= share->readonly_recursive;
	share->idmap_recursive = mount->idmap_recursive;
	if (mount->uid_mappings.count) {
		oci_id_mappings_copy(&share->uid_mappings, &mount->uid_mappings);
		oci_id_mappings_copy(&share->gid_mappings, &mount->gid_mappings);
	} else if (mount->idmap) {
		oci_id_mappings_copy(&share->uid_mappings, &config->uid_mappings);
		oci_id_mappings_copy(&share->gid_mappings, &config->gid_mappings);
	}
}

static void fill_bind(const struct oci_mount *mount, const struct oci_share *share, agent_Mount *out)
{
	fill_plain(mount, "bind", share->name, NULL, out);
	out->flags |= MS_BIND | (mount->flags & MS_REC);
	out->share = true;
	out->source_is_file = share->is_file;
}

/*
 * A bind without any flag of its own keeps those of the mount that it is of, as with mount(8) and runc: what the host's
 * administrator made noexec stays so. With one, the list is taken to be complete. That the share cannot be written to
 * where the host's mount is read-only holds in any case.
 */
static uint64_t inherited_flags(const struct oci_mount *mount, const char *path)
{
	static const struct {
		unsigned long of_host;
		uint64_t flag;
	} flags[] = {
		{ ST_RDONLY, MS_RDONLY },
		{ ST_NOSUID, MS_NOSUID },
		{ ST_NODEV, MS_NODEV },
		{ ST_NOEXEC, MS_NOEXEC },
	};
	uint64_t inherited = 0;
	struct statvfs fs;

	if (mount->flags & ~(uint64_t)(MS_BIND | MS_REC) || mount->flags_clear || statvfs(path, &fs) < 0)
		return 0;
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		if (fs.f_flag & flags[i].of_host)
			inherited |= flags[i].flag;
	}
	return inherited;
}

/* Of what programs look for in the host's /dev, the devices that the guest has too. */
static int describe_guest_devices(const struct oci_config *config, const struct oci_describe_context *context,
				  agent_Container *out, struct err *err)
{
	static const struct oci_device devices[] = {
		{ .path = (char *)"/dev/fuse", .type = 'c', .major = 10, .minor = 229, .mode = 0666 },
		{ .path = (char *)"/dev/net/tun", .type = 'c', .major = 10, .minor = 200, .mode = 0666 },
	};

	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		if (access(devices[i].path, F_OK) == 0 &&
		    oci_describe_device(config, context->sysfs ? context->sysfs : "/sys", &devices[i], "/dev", out,
					err) < 0)
			return -1;
	}
	return 0;
}

static int describe_bind_device(const struct oci_config *config, const struct oci_describe_context *context,
				const struct oci_mount *mount, const struct stat *st, size_t index,
				agent_Container *out, struct err *err)
{
	auto_free char *what = oci_format("mounts[%zu]", index);
	const struct oci_device device = {
		.path = mount->destination,
		.type = S_ISBLK(st->st_mode) ? 'b' : 'c',
		.major = major(st->st_rdev),
		.minor = minor(st->st_rdev),
		.mode = st->st_mode & 0777,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};

	return oci_describe_device(config, context->sysfs ? context->sysfs : "/sys", &device, what, out, err);
}

static int describe_bind(const struct oci_config *config, const struct oci_describe_context *context, size_t index,
			 agent_Mount *out_mount, agent_Container *out, struct oci_shares *shares, struct err *err)
{
	const struct oci_mount *mount = &config->mounts[index];
	auto_free char *path = absolute(config, mount->source);
	char name[32];
	struct stat st;

	if (use_guest_view(mount, path, context->is_pods, out_mount)) {
		log_debug("mounts[%zu]: %s: the guest's own %s is mounted instead of the host's %s", index,
			  mount->destination, out_mount->type, path);
		return is_same_path(path, "/dev") && is_same_path(mount->destination, "/dev")
			       ? describe_guest_devices(config, context, out, err)
			       : 0;
	}
	if (stat(path, &st) < 0)
		return err_set_errno(err, "mounts[%zu]: source %s", index, path);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return describe_bind_device(config, context, mount, &st, index, out, err);
	if (S_ISSOCK(st.st_mode))
		log_debug("mounts[%zu]: %s is a socket of the host: visible in the guest, but nobody answers", index,
			  path);
	snprintf(name, sizeof name, "mount%zu", index);
	struct oci_share *share = add_share(context, shares, name, err);
	if (!share)
		return -1;
	share->path = take_ptr(&path);
	share->is_file = !S_ISDIR(st.st_mode);
	fill_share(config, mount, share);
	fill_bind(mount, share, out_mount);
	out_mount->flags |= inherited_flags(mount, share->path);
	return 0;
}

/* An overlay's directories are the host's: it is mounted there, and shared. */
static int describe_overlay(const struct oci_config *config, const struct oci_describe_context *context, size_t index,
			    agent_Mount *out_mount, struct oci_shares *shares, struct err *err)
{
	const struct oci_mount *mount = &config->mounts[index];
	char name[32];

	snprintf(name, sizeof name, "mount%zu", index);
	struct oci_share *share = add_share(context, shares, name, err);
	if (!share)
		return -1;
	share->fs_type = oci_strdup(mount->type);
	share->fs_options = oci_strdup(mount->data ? mount->data : "");
	fill_share(config, mount, share);
	fill_bind(mount, share, out_mount);
	return 0;
}

static int describe_file_system(const struct oci_mount *mount, size_t index, agent_Mount *out, struct err *err)
{
	/* v1's hierarchies and their options don't exist in the guest. */
	if (strcmp(mount->type, "cgroup") == 0 || strcmp(mount->type, "cgroup2") == 0) {
		fill_plain(mount, "cgroup2", "cgroup", NULL, out);
		return 0;
	}
	if (mount->source && is_below(mount->source, "/dev"))
		return err_set(err, ENOTSUP,
			       "mounts[%zu]: %s: file system %s on %s, a device of the host, cannot be mounted in a "
			       "virtual machine; mount it on the host and bind it",
			       index, mount->destination, mount->type, mount->source);
	fill_plain(mount, mount->type, mount->source ? mount->source : mount->type, mount->data, out);
	return 0;
}

int oci_describe_mounts(const struct oci_config *config, const struct oci_describe_context *context,
			agent_Container *out, struct oci_shares *shares, struct err *err)
{
	if (describe_root(config, context, out, shares, err) < 0)
		return -1;
	if (config->mount_count == 0)
		return 0;
	out->mounts = oci_alloc(config->mount_count, sizeof *out->mounts);
	for (size_t i = 0; i < config->mount_count; i++) {
		const struct oci_mount *mount = &config->mounts[i];
		agent_Mount *item = &out->mounts[out->mounts_count];
		int result;

		if (mount->bind)
			result = describe_bind(config, context, i, item, out, shares, err);
		else if (strcmp(mount->type, "overlay") == 0)
			result = describe_overlay(config, context, i, item, shares, err);
		else
			result = describe_file_system(mount, i, item, err);
		if (result < 0)
			return -1;
		/* A bind of a device node became a node, and no mount. */
		if (item->type) {
			item->destination = oci_strdup(mount->destination);
			out->mounts_count++;
		}
	}
	return 0;
}
