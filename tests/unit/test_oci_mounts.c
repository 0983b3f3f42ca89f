/* SPDX-License-Identifier: Apache-2.0 */
/* Mount options: each name's effect, the later of two deciding, and what is left for the file system. */
#include "tests/unit/oci_patch.h"

#include "oci/mounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <cmocka.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

static void option_each_has_its_effect(void **state)
{
	static const struct {
		const char *name;
		uint64_t flags, flags_clear, propagation, attr_set, attr_clear;
	} cases[] = {
		{ "defaults", 0, 0, 0, 0, 0 },
		{ "ro", MS_RDONLY, 0, 0, 0, 0 },
		{ "rw", 0, MS_RDONLY, 0, 0, 0 },
		{ "suid", 0, MS_NOSUID, 0, 0, 0 },
		{ "nosuid", MS_NOSUID, 0, 0, 0, 0 },
		{ "dev", 0, MS_NODEV, 0, 0, 0 },
		{ "nodev", MS_NODEV, 0, 0, 0, 0 },
		{ "exec", 0, MS_NOEXEC, 0, 0, 0 },
		{ "noexec", MS_NOEXEC, 0, 0, 0, 0 },
		{ "sync", MS_SYNCHRONOUS, 0, 0, 0, 0 },
		{ "async", 0, MS_SYNCHRONOUS, 0, 0, 0 },
		{ "dirsync", MS_DIRSYNC, 0, 0, 0, 0 },
		{ "remount", MS_REMOUNT, 0, 0, 0, 0 },
		{ "mand", MS_MANDLOCK, 0, 0, 0, 0 },
		{ "nomand", 0, MS_MANDLOCK, 0, 0, 0 },
		{ "atime", 0, MS_NOATIME, 0, 0, 0 },
		{ "noatime", MS_NOATIME, 0, 0, 0, 0 },
		{ "diratime", 0, MS_NODIRATIME, 0, 0, 0 },
		{ "nodiratime", MS_NODIRATIME, 0, 0, 0, 0 },
		{ "relatime", MS_RELATIME, 0, 0, 0, 0 },
		{ "norelatime", 0, MS_RELATIME, 0, 0, 0 },
		{ "strictatime", MS_STRICTATIME, 0, 0, 0, 0 },
		{ "nostrictatime", 0, MS_STRICTATIME, 0, 0, 0 },
		{ "lazytime", MS_LAZYTIME, 0, 0, 0, 0 },
		{ "nolazytime", 0, MS_LAZYTIME, 0, 0, 0 },
		{ "iversion", MS_I_VERSION, 0, 0, 0, 0 },
		{ "noiversion", 0, MS_I_VERSION, 0, 0, 0 },
		{ "silent", MS_SILENT, 0, 0, 0, 0 },
		{ "loud", 0, MS_SILENT, 0, 0, 0 },
		{ "acl", MS_POSIXACL, 0, 0, 0, 0 },
		{ "noacl", 0, MS_POSIXACL, 0, 0, 0 },
		{ "nosymfollow", 256, 0, 0, 0, 0 },
		{ "symfollow", 0, 256, 0, 0, 0 },
		{ "bind", MS_BIND, 0, 0, 0, 0 },
		{ "rbind", MS_BIND | MS_REC, 0, 0, 0, 0 },
		{ "private", 0, 0, MS_PRIVATE, 0, 0 },
		{ "rprivate", 0, 0, MS_PRIVATE | MS_REC, 0, 0 },
		{ "slave", 0, 0, MS_SLAVE, 0, 0 },
		{ "rslave", 0, 0, MS_SLAVE | MS_REC, 0, 0 },
		{ "shared", 0, 0, MS_SHARED, 0, 0 },
		{ "rshared", 0, 0, MS_SHARED | MS_REC, 0, 0 },
		{ "unbindable", 0, 0, MS_UNBINDABLE, 0, 0 },
		{ "runbindable", 0, 0, MS_UNBINDABLE | MS_REC, 0, 0 },
		{ "rro", 0, 0, 0, MOUNT_ATTR_RDONLY, 0 },
		{ "rrw", 0, 0, 0, 0, MOUNT_ATTR_RDONLY },
		{ "rnosuid", 0, 0, 0, MOUNT_ATTR_NOSUID, 0 },
		{ "rsuid", 0, 0, 0, 0, MOUNT_ATTR_NOSUID },
		{ "rnodev", 0, 0, 0, MOUNT_ATTR_NODEV, 0 },
		{ "rdev", 0, 0, 0, 0, MOUNT_ATTR_NODEV },
		{ "rnoexec", 0, 0, 0, MOUNT_ATTR_NOEXEC, 0 },
		{ "rexec", 0, 0, 0, 0, MOUNT_ATTR_NOEXEC },
		{ "rnodiratime", 0, 0, 0, MOUNT_ATTR_NODIRATIME, 0 },
		{ "rdiratime", 0, 0, 0, 0, MOUNT_ATTR_NODIRATIME },
		{ "rnosymfollow", 0, 0, 0, MOUNT_ATTR_NOSYMFOLLOW, 0 },
		{ "rsymfollow", 0, 0, 0, 0, MOUNT_ATTR_NOSYMFOLLOW },
		/* The kernel wants the whole access-time field cleared when one of its values is set. */
		{ "rnoatime", 0, 0, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
		{ "ratime", 0, 0, 0, 0, MOUNT_ATTR__ATIME },
		{ "rrelatime", 0, 0, 0, 0, MOUNT_ATTR__ATIME },
		{ "rnorelatime", 0, 0, 0, 0, MOUNT_ATTR__ATIME },
		{ "rstrictatime", 0, 0, 0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
		{ "rnostrictatime", 0, 0, 0, 0, MOUNT_ATTR__ATIME },
	};
	size_t known = 0;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_mount mount = { 0 };

		oci_mount_option(&mount, cases[i].name);
		if (mount.data || mount.flags != cases[i].flags || mount.flags_clear != cases[i].flags_clear ||
		    mount.propagation != cases[i].propagation || mount.attr_set != cases[i].attr_set ||
		    mount.attr_clear != cases[i].attr_clear)
			fail_msg("option %s", cases[i].name);
		oci_mount_fini(&mount);
	}
	/* All but the three that are no flags: tmpcopyup, idmap, ridmap. */
	for (const char *const *name = oci_mount_option_names(); *name; name++)
		known++;
	assert_int_equal(known, sizeof cases / sizeof *cases + 3);
}

static void option_names_are_sorted(void **state)
{
	const char *const *names = oci_mount_option_names();

	(void)state;
	for (size_t i = 1; names[i]; i++)
		assert_true(strcmp(names[i - 1], names[i]) < 0);
}

static void option_later_one_decides(void **state)
{
	struct oci_mount mount = { 0 };

	(void)state;
	oci_mount_option(&mount, "ro");
	oci_mount_option(&mount, "rw");
	oci_mount_option(&mount, "suid");
	oci_mount_option(&mount, "nosuid");
	oci_mount_option(&mount, "rslave");
	oci_mount_option(&mount, "private");
	oci_mount_option(&mount, "rro");
	oci_mount_option(&mount, "rrw");
	oci_mount_option(&mount, "rstrictatime");
	oci_mount_option(&mount, "rnoatime");
	assert_int_equal(mount.flags, MS_NOSUID);
	assert_int_equal(mount.flags_clear, MS_RDONLY);
	assert_int_equal(mount.propagation, MS_PRIVATE);
	assert_int_equal(mount.attr_set, MOUNT_ATTR_NOATIME);
	assert_int_equal(mount.attr_clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME);
	oci_mount_fini(&mount);
}

static void option_unknown_is_data_of_the_file_system(void **state)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(patch_load("/b",
				    "{'mounts': [{'destination': '/dev', 'type': 'tmpfs', 'source': 'tmpfs',"
				    " 'options': ['nosuid', 'mode=755', '', 'size=65536k', 'tmpcopyup']}]}",
				    &config, &err),
			 0);
	const struct oci_mount *mount = &config->mounts[0];
	assert_string_equal(mount->data, "mode=755,size=65536k");
	assert_true(mount->copy_up);
	assert_int_equal(mount->flags, MS_NOSUID);
	assert_false(mount->bind);
	oci_config_destroy(config);
}

static void mount_bind_in_every_spelling_is_a_bind(void **state)
{
	static const struct {
		const char *patch;
		uint64_t flags;
	} cases[] = {
		{ "{'mounts': [{'destination': 'a', 'source': '/s', 'type': 'none', 'options': ['bind']}]}", MS_BIND },
		{ "{'mounts': [{'destination': '/a', 'source': '/s', 'options': ['rbind', 'ro']}]}",
		  MS_BIND | MS_REC | MS_RDONLY },
		{ "{'mounts': [{'destination': '/a', 'source': '/s', 'type': 'bind'}]}", MS_BIND },
		{ "{'mounts': [{'destination': '/a', 'source': '/s', 'type': 'rbind'}]}", MS_BIND | MS_REC },
		{ "{'mounts': [{'destination': '/a', 'source': '/s', 'type': 'bind', 'options': ['rbind']}]}",
		  MS_BIND | MS_REC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_config *config = NULL;
		struct err err = ERR_INIT;

		if (patch_load("/b", cases[i].patch, &config, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(config->mounts[0].bind);
		assert_string_equal(config->mounts[0].type, "bind");
		assert_string_equal(config->mounts[0].destination, "/a");
		assert_int_equal(config->mounts[0].flags, cases[i].flags);
		oci_config_destroy(config);
	}
}

static void mount_id_mappings_are_read(void **state)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(patch_load("/b",
				    "{'mounts': [{'destination': '/a', 'source': '/s', 'options': ['rbind', 'ridmap'],"
				    " 'uidMappings': [{'containerID': 0, 'hostID': 5, 'size': 9}],"
				    " 'gidMappings': [{'containerID': 1, 'hostID': 6, 'size': 8}]}]}",
				    &config, &err),
			 0);
	assert_true(config->mounts[0].idmap && config->mounts[0].idmap_recursive);
	assert_int_equal(config->mounts[0].uid_mappings.items[0].host_id, 5);
	assert_int_equal(config->mounts[0].gid_mappings.items[0].size, 8);
	assert_null(config->mounts[0].data);
	oci_config_destroy(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(option_each_has_its_effect),
		cmocka_unit_test(option_names_are_sorted),
		cmocka_unit_test(option_later_one_decides),
		cmocka_unit_test(option_unknown_is_data_of_the_file_system),
		cmocka_unit_test(mount_bind_in_every_spelling_is_a_bind),
		cmocka_unit_test(mount_id_mappings_are_read),
	};

	return cmocka_run_group_tests_name("oci/mounts", tests, NULL, NULL);
}
