/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mount options as mount(8) names them. Three kinds: flags of mount(2), set or cleared; the recursive ones of
 * mount_setattr(2), whose names begin with r; and propagation. What is none of these belongs to the file system.
 */
#include "oci/mounts.h"

#include "oci/alloc.h"
#include "oci/json.h"
#include "oci/strings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* Not in every libc's sys/mount.h; the kernel's numbers (mount_setattr(2)). */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum option_kind { SET, CLEAR, ATTR_SET, ATTR_CLEAR, PROPAGATION, COPY_UP, IDMAP, IDMAP_RECURSIVE };

/* Sorted by name: found by bisection, and listed by `features` as it stands. */
static const struct option {
	const char *name;
	enum option_kind kind;
	uint64_t bits;
} options[] = {
	{ "acl", SET, MS_POSIXACL },
	{ "async", CLEAR, MS_SYNCHRONOUS },
	{ "atime", CLEAR, MS_NOATIME },
	{ "bind", SET, MS_BIND },
	{ "defaults", SET, 0 },
	{ "dev", CLEAR, MS_NODEV },
	{ "diratime", CLEAR, MS_NODIRATIME },
	{ "dirsync", SET, MS_DIRSYNC },
	{ "exec", CLEAR, MS_NOEXEC },
	{ "idmap", IDMAP, 0 },
	{ "iversion", SET, MS_I_VERSION },
	{ "lazytime", SET, MS_LAZYTIME },
	{ "loud", CLEAR, MS_SILENT },
	{ "mand", SET, MS_MANDLOCK },
	{ "noacl", CLEAR, MS_POSIXACL },
	{ "noatime", SET, MS_NOATIME },
	{ "nodev", SET, MS_NODEV },
	{ "nodiratime", SET, MS_NODIRATIME },
	{ "noexec", SET, MS_NOEXEC },
	{ "noiversion", CLEAR, MS_I_VERSION },
	{ "nolazytime", CLEAR, MS_LAZYTIME },
	{ "nomand", CLEAR, MS_MANDLOCK },
	{ "norelatime", CLEAR, MS_RELATIME },
	{ "nostrictatime", CLEAR, MS_STRICTATIME },
	{ "nosuid", SET, MS_NOSUID },
	{ "nosymfollow", SET, MS_NOSYMFOLLOW },
	{ "private", PROPAGATION, MS_PRIVATE },
	{ "ratime", ATTR_CLEAR, MOUNT_ATTR_NOATIME },
	{ "rbind", SET, MS_BIND | MS_REC },
	{ "rdev", ATTR_CLEAR, MOUNT_ATTR_NODEV },
	{ "rdiratime", ATTR_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "relatime", SET, MS_RELATIME },
	{ "remount", SET, MS_REMOUNT },
	{ "rexec", ATTR_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "ridmap", IDMAP_RECURSIVE, 0 },
	{ "rnoatime", ATTR_SET, MOUNT_ATTR_NOATIME },
	{ "rnodev", ATTR_SET, MOUNT_ATTR_NODEV },
	{ "rnodiratime", ATTR_SET, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", ATTR_SET, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", ATTR_CLEAR, MOUNT_ATTR_RELATIME },
	{ "rnostrictatime", ATTR_CLEAR, MOUNT_ATTR_STRICTATIME },
	{ "rnosuid", ATTR_SET, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", ATTR_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", SET, MS_RDONLY },
	{ "rprivate", PROPAGATION, MS_PRIVATE | MS_REC },
	{ "rrelatime", ATTR_SET, MOUNT_ATTR_RELATIME },
	{ "rro", ATTR_SET, MOUNT_ATTR_RDONLY },
	{ "rrw", ATTR_CLEAR, MOUNT_ATTR_RDONLY },
	{ "rshared", PROPAGATION, MS_SHARED | MS_REC },
	{ "rslave", PROPAGATION, MS_SLAVE | MS_REC },
	{ "rstrictatime", ATTR_SET, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", ATTR_CLEAR, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", ATTR_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "rw", CLEAR, MS_RDONLY },
	{ "shared", PROPAGATION, MS_SHARED },
	{ "silent", SET, MS_SILENT },
	{ "slave", PROPAGATION, MS_SLAVE },
	{ "strictatime", SET, MS_STRICTATIME },
	{ "suid", CLEAR, MS_NOSUID },
	{ "symfollow", CLEAR, MS_NOSYMFOLLOW },
	{ "sync", SET, MS_SYNCHRONOUS },
	{ "tmpcopyup", COPY_UP, 0 },
	{ "unbindable", PROPAGATION, MS_UNBINDABLE },
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

static int compare_name(const void *name, const void *option)
{
	return strcmp(name, ((const struct option *)option)->name);
}

static const struct option *find_option(const char *name)
{
	return bsearch(name, options, OPTION_COUNT, sizeof *options, compare_name);
}

const char *const *oci_mount_option_names(void)
{
	static const char *names[OPTION_COUNT + 1];

	for (int i = 0; i < OPTION_COUNT; i++)
		names[i] = options[i].name;
	return names;
}

uint64_t oci_mount_propagation(const char *text)
{
	const struct option *option = find_option(text);

	return option && option->kind == PROPAGATION ? option->bits : 0;
}

static void append_data(struct oci_mount *mount, const char *option)
{
	char *joined = mount->data ? oci_format("%s,%s", mount->data, option) : oci_strdup(option);

	free(mount->data);
	mount->data = joined;
}

/*
 * The access-time bits of mount_setattr are one field with three values (relatime 0, noatime, strictatime), so setting
 * any of them means clearing the whole field first.
 */
static void set_attr(struct oci_mount *mount, uint64_t bits, bool set)
{
	bool is_atime = (bits & MOUNT_ATTR__ATIME) || bits == MOUNT_ATTR_RELATIME;
	uint64_t field = is_atime ? MOUNT_ATTR__ATIME : bits;

	mount->attr_set &= ~field;
	if (is_atime)
		mount->attr_clear |= field;
	else if (set)
		mount->attr_clear &= ~field;
	else
		mount->attr_clear |= field;
	if (set)
		mount->attr_set |= bits;
}

void oci_mount_option(struct oci_mount *mount, const char *name)
{
	const struct option *option = find_option(name);

	if (!option) {
		if (name[0])
			append_data(mount, name);
		return;
	}
	switch (option->kind) {
	case SET:
		mount->flags |= option->bits;
		mount->flags_clear &= ~option->bits;
		break;
	case CLEAR:
		mount->flags &= ~option->bits;
		mount->flags_clear |= option->bits;
		break;
	case ATTR_SET:
	case ATTR_CLEAR:
		set_attr(mount, option->bits, option->kind == ATTR_SET);
		break;
	case PROPAGATION:
		mount->propagation = option->bits;
		break;
	case COPY_UP:
		mount->copy_up = true;
		break;
	case IDMAP_RECURSIVE:
		mount->idmap_recursive = true;
		mount->idmap = true;
		break;
	case IDMAP:
		mount->idmap = true;
		break;
	}
}

/* Relative destinations were allowed before 1.0, and are still written: they are relative to the root. */
static void make_absolute(char **path)
{
	if ((*path)[0] != '/') {
		char *absolute = oci_format("/%s", *path);

		free(*path);
		*path = absolute;
	}
}

int oci_mount_parse(const struct oci_json *at, struct oci_mount *out, struct err *err)
{
	static const char *const known[] = { "destination", "type",        "source", "options",
					     "uidMappings", "gidMappings", NULL };
	struct oci_strings words = { 0 };

	if (oci_json_need_string(at, "destination", &out->destination, err) < 0 ||
	    oci_json_string(at, "type", &out->type, err) < 0 || oci_json_string(at, "source", &out->source, err) < 0 ||
	    oci_id_mappings_parse(at, "uidMappings", &out->uid_mappings, err) < 0 ||
	    oci_id_mappings_parse(at, "gidMappings", &out->gid_mappings, err) < 0)
		return -1;
	if (!out->destination[0])
		return oci_json_refuse(at, err, "has an empty destination");
	make_absolute(&out->destination);
	int result = oci_json_strings(at, "options", &words, err);
	for (size_t i = 0; i < words.count; i++)
		oci_mount_option(out, words.items[i]);
	oci_strings_destroy(&words);
	if (result < 0)
		return -1;

	/* The type of a bind is a dummy, often "none"; some write it as the type and forget the option. */
	if (!(out->flags & MS_BIND) && out->type && strcmp(out->type, "bind") == 0)
		out->flags |= MS_BIND;
	if (!(out->flags & MS_BIND) && out->type && strcmp(out->type, "rbind") == 0)
		out->flags |= MS_BIND | MS_REC;
	out->bind = out->flags & MS_BIND;
	if (out->bind) {
		free(out->type);
		out->type = oci_strdup("bind");
		if (!out->source || !out->source[0])
			return oci_json_refuse(at, err, "a bind mount without a source");
	} else if (!out->type || !out->type[0]) {
		return oci_json_refuse(at, err, "has no type, and is no bind mount");
	}
	if ((out->idmap || out->uid_mappings.count || out->gid_mappings.count) && !out->bind)
		return oci_json_refuse(at, err, "id mappings are for bind mounts, this is a %s", out->type);
	if (!out->uid_mappings.count != !out->gid_mappings.count)
		return oci_json_refuse(at, err, "needs both uidMappings and gidMappings");
	oci_json_note_unknown(at, known);
	return 0;
}

void oci_mount_fini(struct oci_mount *mount)
{
	free(mount->destination);
	free(mount->type);
	free(mount->source);
	free(mount->data);
	oci_id_mappings_destroy(&mount->uid_mappings);
	oci_id_mappings_destroy(&mount->gid_mappings);
	*mount = (struct oci_mount){ 0 };
}
