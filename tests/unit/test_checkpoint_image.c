/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a checkpoint: what is refused, and in which words. */
#include "tests/unit/oci_patch.h"

#include "runtime/checkpoint_image.h"

#include "runtime/template.h"
#include "runtime/version.h"

#include "common/err.h"

#include "vmm/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A manifest with its checksum, in which the first `from` is `to`. */
static char *manifest(const char *from, const char *to)
{
	static char text[4096], out[4096];
	int length = snprintf(text, sizeof text,
			      "bulkhead-checkpoint 1\nversion %s\nformat %u\nprocessor %016llx\nhost 6.1\ncontainer c\n"
			      "memory-mib 128\nvcpus 2\nfile-cache auto\nterminal yes\nstreams 1\nnotify yes\n"
			      "memory memory-0123456789abcdef\nmemory-size 134217728\n"
			      "state state-0123456789abcdef\nstate-size 4096\nshare rootfs /\nshare m0 /data\n",
			      version_text, SNAPSHOT_VERSION, (unsigned long long)template_processor());
	const char *at = from ? strstr(text, from) : NULL;

	(void)length;
	if (at)
		length = snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	else
		length = snprintf(out, sizeof out, "%s", text);
	snprintf(out + length, sizeof out - (size_t)length, "checksum %016llx\n",
		 (unsigned long long)snapshot_hash(SNAPSHOT_HASH_INIT, out, (size_t)length));
	return out;
}

static int parse(const char *text, struct checkpoint *checkpoint, struct err *err)
{
	struct checkpoint_image image = { .dirfd = -1 };

	checkpoint_init(checkpoint);
	*err = (struct err)ERR_INIT;
	return checkpoint_image_parse(text, checkpoint, &image, err);
}

static void test_checkpoint_image_a_good_manifest_is_read(void **state)
{
	struct checkpoint checkpoint;
	struct err err;

	(void)state;
	assert_int_equal(parse(manifest(NULL, NULL), &checkpoint, &err), 0);
	assert_int_equal(checkpoint.memory_mib, 128);
	assert_int_equal(checkpoint.vcpus, 2);
	assert_int_equal(checkpoint.streams, 1);
	assert_true(checkpoint.terminal);
	assert_true(checkpoint.has_notify);
	assert_string_equal(checkpoint.file_cache, "auto");
	assert_string_equal(checkpoint.shares, "rootfs /\nm0 /data\n");
	checkpoint_close(&checkpoint);
}

static void test_checkpoint_image_others_are_refused_by_name(void **state)
{
	static const struct {
		const char *from, *to, *words;
	} cases[] = {
		{ "bulkhead-checkpoint 1", "bulkhead-checkpoint 9", "it has version 9, this program knows version 1" },
		{ "bulkhead-checkpoint", "criu-image", "no checkpoint of bulkhead's" },
		{ "version 0", "version 7", "it was made by version 7" },
		{ "format ", "format 9", "it was made by version" },
		{ "processor ", "processor 1", "damaged" },
		{ "memory-mib 128", "memory-mib -128", "damaged" },
		{ "memory-mib 128", "memory-mib 99999999", "damaged" },
		{ "vcpus 2", "vcpus 0", "damaged" },
		{ "file-cache auto", "file-cache --kvm-fd", "damaged" },
		{ "memory memory-0123456789abcdef", "memory ../../../etc/passwd", "damaged" },
		{ "state state-0123456789abcdef", "state memory-0123456789abcdef", "damaged" },
		{ "share rootfs /\n", "chare rootfs /\n", "damaged" },
	};
	struct checkpoint checkpoint;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(parse(manifest(cases[i].from, cases[i].to), &checkpoint, &err), -1);
		if (!strstr(err.text, cases[i].words))
			fail_msg("%s -> %s: \"%s\"", cases[i].from, cases[i].to, err.text);
		checkpoint_close(&checkpoint);
	}
}

static void test_checkpoint_image_another_processor_is_refused(void **state)
{
	struct checkpoint checkpoint;
	struct err err;
	char from[64], to[64];

	(void)state;
	snprintf(from, sizeof from, "processor %016llx", (unsigned long long)template_processor());
	snprintf(to, sizeof to, "processor %016llx", (unsigned long long)template_processor() ^ 1);
	assert_int_equal(parse(manifest(from, to), &checkpoint, &err), -1);
	assert_non_null(strstr(err.text, "a processor of another kind"));
	checkpoint_close(&checkpoint);
}

static void test_checkpoint_image_every_damaged_byte_is_seen(void **state)
{
	char text[4096];
	struct checkpoint checkpoint;
	struct err err;

	(void)state;
	snprintf(text, sizeof text, "%s", manifest(NULL, NULL));
	for (size_t i = 0; text[i]; i++) {
		char was = text[i];

		text[i] = (char)(was ^ 1);
		assert_int_equal(parse(text, &checkpoint, &err), -1);
		checkpoint_close(&checkpoint);
		text[i] = '\0'; /* truncated */
		assert_int_equal(parse(text, &checkpoint, &err), -1);
		checkpoint_close(&checkpoint);
		text[i] = was;
	}
}

static void test_checkpoint_shares_have_to_be_the_same(void **state)
{
	struct checkpoint checkpoint = { .shares = (char *)(size_t) "rootfs /\nm0 /data\n" };
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(checkpoint_shares_fit(&checkpoint, "rootfs /\nm0 /data\n", &err), 0);
	assert_int_equal(checkpoint_shares_fit(&checkpoint, "rootfs /\nm0 /logs\n", &err), -1);
	assert_non_null(strstr(err.text, "\"m0 /data\""));
	assert_int_equal(checkpoint_shares_fit(&checkpoint, "rootfs /\n", &err), -1);
	assert_int_equal(checkpoint_shares_fit(&checkpoint, "rootfs /\nm0 /data\nm1 /more\n", &err), -1);
	assert_non_null(strstr(err.text, "\"m1 /more\""));
}

static void test_checkpoint_mounts_are_put_where_they_were(void **state)
{
	struct oci_config *config = NULL;
	struct err err = ERR_INIT;

	(void)state;
	/* Another order, one with a blank, and the checkpoint's last place taken by what is no share. */
	if (patch_load("/b",
		       "{'mounts': [{'destination': '/proc', 'type': 'proc', 'source': 'proc'},"
		       " {'destination': '/b c', 'type': 'bind', 'source': '/'},"
		       " {'destination': '/a', 'type': 'bind', 'source': '/'},"
		       " {'destination': '/sys', 'type': 'sysfs', 'source': 'sysfs'}]}",
		       &config, &err) < 0)
		fail_msg("%s", err.text);
	checkpoint_order_mounts("rootfs /\nmount1 /a\nmount2 /gone\nmount3 /b%20c\nmount9 /proc\n", config);
	assert_string_equal(config->mounts[1].destination, "/a");
	assert_string_equal(config->mounts[3].destination, "/b c");
	assert_int_equal(config->mount_count, 4);
	oci_config_destroy(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint_image_a_good_manifest_is_read),
		cmocka_unit_test(test_checkpoint_image_others_are_refused_by_name),
		cmocka_unit_test(test_checkpoint_image_another_processor_is_refused),
		cmocka_unit_test(test_checkpoint_image_every_damaged_byte_is_seen),
		cmocka_unit_test(test_checkpoint_shares_have_to_be_the_same),
		cmocka_unit_test(test_checkpoint_mounts_are_put_where_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
