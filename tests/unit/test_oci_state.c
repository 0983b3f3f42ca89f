/* SPDX-License-Identifier: Apache-2.0 */
/* The state document, the private state file, and the documents of `spec` and `features`. */
#include "oci/config.h"
#include "oci/features.h"
#include "oci/spec.h"
#include "oci/state.h"
#include "oci/store.h"

#include "common/auto.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void time_is_written_as_go_does(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ 1, "1970-01-01T00:00:00.000000001Z" },
		{ 1715000000123456789, "2024-05-06T12:53:20.123456789Z" },
		{ 1715000000120000000, "2024-05-06T12:53:20.12Z" },
		{ 1715000000000000000, "2024-05-06T12:53:20Z" },
		{ -1, "1969-12-31T23:59:59.999999999Z" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[40];

		oci_time_text(cases[i].ns, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void state_document_has_all_members(void **state)
{
	struct oci_pair pairs[] = { { (char *)"a/b", (char *)"c\"d" } };
	const struct oci_map annotations = { pairs, 1 };
	struct oci_state s = {
		.id = "box",
		.status = OCI_STATUS_RUNNING,
		.pid = 42,
		.bundle = "/b",
		.rootfs = "/b/rootfs",
		.created_ns = 1715000000120000000,
		.owner = "root",
		.annotations = &annotations,
	};

	(void)state;
	auto_free char *text = oci_state_text(&s, false);
	assert_string_equal(text,
			    "{\"ociVersion\":\"" OCI_VERSION_MAX "\",\"id\":\"box\",\"pid\":42,\"status\":\"running\","
			    "\"bundle\":\"/b\",\"rootfs\":\"/b/rootfs\",\"created\":\"2024-05-06T12:53:20.12Z\","
			    "\"annotations\":{\"a/b\":\"c\\\"d\"},\"owner\":\"root\"}");
	auto_free char *guest = oci_state_guest_text(&s);
	assert_non_null(strstr(guest, "\"pid\":%PID%,"));

	s.status = OCI_STATUS_STOPPED;
	s.rootfs = s.owner = NULL;
	s.annotations = NULL;
	s.created_ns = 0;
	auto_free char *stopped = oci_state_text(&s, false);
	assert_string_equal(stopped, "{\"ociVersion\":\"" OCI_VERSION_MAX "\",\"id\":\"box\",\"pid\":0,"
				     "\"status\":\"stopped\",\"bundle\":\"/b\"}");
	auto_free char *list = oci_state_list_text(&s, 1);
	assert_int_equal(list[0], '[');
	auto_free char *nothing = oci_state_list_text(NULL, 0);
	assert_string_equal(nothing, "[]");
	auto_free char *indented = oci_state_text(&s, true);
	assert_non_null(strstr(indented, "\n  \"id\": \"box\",\n"));
}

static void status_has_the_specifications_names(void **state)
{
	static const char *const names[] = { "creating", "created", "running", "paused", "stopped" };

	(void)state;
	for (int i = 0; i < OCI_STATUS_COUNT; i++)
		assert_string_equal(oci_status_name((enum oci_status)i), names[i]);
}

static void id_is_checked(void **state)
{
	static const char *const good[] = { "a", "0", "A-b_c.d+e", "-x" };
	static const struct {
		const char *id, *error;
	} bad[] = {
		{ "", "container ID: is empty" },
		{ ".", "container ID \".\": invalid: is no name of a directory" },
		{ ".x", "container ID \".x\": invalid: begins with a dot" },
		{ "..", "container ID \"..\": invalid: is no name of a directory" },
		{ "a/b",
		  "container ID: invalid character `/` in the ID: only letters, digits and _ . + - are possible" },
		{ "a b",
		  "container ID: invalid character `\\x20` in the ID: only letters, digits and _ . + - are possible" },
		{ "\xc3\xa9",
		  "container ID: invalid character `\\xc3` in the ID: only letters, digits and _ . + - are possible" },
	};
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(oci_id_check(good[i], &err), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(oci_id_check(bad[i].id, &err), -1);
		assert_string_equal(err.text, bad[i].error);
	}
}

static char directory[] = "/tmp/test_oci_state.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command) == 0 ? 0 : -1;
}

static void store_written_is_read_back(void **state)
{
	struct oci_pair annotations[] = { { (char *)"k", (char *)"v" } };
	struct oci_pair extra[] = { { (char *)"netns", (char *)"/run/netns/x" } };
	char *args[] = { (char *)"h", (char *)"-x" };
	struct oci_hook hook = { .path = (char *)"/h", .args = { args, 2 }, .timeout = 5 };
	const struct oci_store store = {
		.id = (char *)"box",
		.bundle = (char *)"/b",
		.rootfs = (char *)"/b/rootfs",
		.owner = (char *)"root",
		.created_ns = 1715000000123456789,
		.pid = 42,
		.vmm_pid = 43,
		.pid_start = UINT64_MAX,
		.vmm_pid_start = 7,
		.is_created = true,
		.is_paused = true,
		.cgroup_path = (char *)"/x/y",
		.sandbox = (char *)"pause",
		.shares = (char *)"c1-0,v2-3-4",
		.annotations = { annotations, 1 },
		.poststop = { &hook, 1 },
		.extra = { extra, 1 },
	};
	struct oci_store *back = NULL;
	struct err err = ERR_INIT;
	struct stat st;

	(void)state;
	auto_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(oci_store_write(fd, "state.json", &store, &err), 0);
	assert_int_equal(oci_store_write(fd, "state.json", &store, &err), 0);
	assert_int_equal(fstatat(fd, "state.json", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(oci_store_read(fd, "state.json", &back, &err), 0);
	assert_string_equal(back->id, "box");
	assert_string_equal(back->bundle, "/b");
	assert_string_equal(back->rootfs, "/b/rootfs");
	assert_string_equal(back->owner, "root");
	assert_true(back->created_ns == store.created_ns);
	assert_int_equal(back->pid, 42);
	assert_int_equal(back->vmm_pid, 43);
	assert_true(back->pid_start == UINT64_MAX);
	assert_int_equal(back->vmm_pid_start, 7);
	assert_true(back->is_created && back->is_paused);
	assert_false(back->is_started);
	assert_string_equal(back->cgroup_path, "/x/y");
	assert_string_equal(back->sandbox, "pause");
	assert_string_equal(back->shares, "c1-0,v2-3-4");
	assert_string_equal(oci_map_get(&back->annotations, "k"), "v");
	assert_string_equal(oci_map_get(&back->extra, "netns"), "/run/netns/x");
	assert_string_equal(back->poststop.items[0].args.items[1], "-x");
	assert_int_equal(back->poststop.items[0].timeout, 5);
	struct oci_state shown = oci_store_state(back, true);
	assert_string_equal(shown.id, "box");
	assert_int_equal(shown.status, OCI_STATUS_PAUSED);
	oci_store_destroy(back);
	/* Nothing is left beside it. */
	assert_int_equal(unlinkat(fd, "state.json", 0), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
}

static void store_file_absent_or_unwritable_is_named(void **state)
{
	struct oci_store store = { .id = (char *)"x", .bundle = (char *)"/b" };
	struct oci_store *back;
	struct err err = ERR_INIT;

	(void)state;
	auto_fd int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(oci_store_read(fd, "none.json", &back, &err), -1);
	assert_string_equal(err.text, "state file none.json: No such file or directory");
	assert_int_equal(err.code, ENOENT);
	assert_int_equal(oci_store_write(fd, "no/such.json", &store, &err), -1);
	assert_string_equal(err.text, "state file no/such.json: No such file or directory");
}

static void store_file_damaged_is_refused_by_name(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "state file: s.json: empty, should be a JSON object" },
		{ "{\"version\":1,\"id\":\"a\",\"bun", "state file: s.json: line 1, column 27: unexpected end" },
		{ "{}", "state file s.json: version: missing" },
		{ "{\"version\":0}",
		  "state file s.json: written in version 0, this bulkhead understands up to 1: use the "
		  "newer one" },
		{ "{\"version\":2,\"id\":5}",
		  "state file s.json: written in version 2, this bulkhead understands up to 1: "
		  "use the newer one" },
		{ "{\"version\":1}", "state file s.json: id: missing" },
		{ "{\"version\":1,\"id\":\"../x\"}",
		  "state file s.json: container ID: invalid character `/` in the ID: only letters, digits and _ . + - "
		  "are possible" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"b\"}",
		  "state file s.json: bundle: must be an absolute path, not \"b\"" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"pid\":-1}",
		  "state file s.json: pid: must be from 0 to 2147483647, not -1" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"paused\":1}",
		  "state file s.json: paused: must be true or false" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"sandbox\":\"../x\"}",
		  "state file s.json: container ID: invalid character `/` in the ID: only letters, digits and _ . + - "
		  "are possible" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"poststop\":[{}]}",
		  "state file s.json: poststop[0].path: missing" },
		{ "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"extra\":{\"a\":{}}}",
		  "state file s.json: extra.a: must be a string" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oci_store *store = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(oci_store_parse("s.json", cases[i].text, strlen(cases[i].text), &store, &err), -1);
		assert_string_equal(err.text, cases[i].error);
	}
}

static void store_of_a_later_minor_writer_is_read(void **state)
{
	static const char text[] = "{\"version\":1,\"id\":\"a\",\"bundle\":\"/b\",\"newMember\":{\"x\":1}}";
	struct oci_store *store;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(oci_store_parse("s", text, sizeof text - 1, &store, &err), 0);
	assert_int_equal(store->pid, 0);
	oci_store_destroy(store);
}

static void store_status_in_every_case(void **state)
{
	static const struct {
		pid_t pid;
		bool created, started, paused, alive;
		enum oci_status status;
	} cases[] = {
		{ 0, false, false, false, false, OCI_STATUS_CREATING },
		{ 5, false, false, false, true, OCI_STATUS_CREATING },
		{ 5, false, false, false, false, OCI_STATUS_STOPPED },
		{ 5, true, false, false, true, OCI_STATUS_CREATED },
		{ 5, true, false, false, false, OCI_STATUS_STOPPED },
		{ 5, true, true, false, true, OCI_STATUS_RUNNING },
		{ 5, true, true, true, true, OCI_STATUS_PAUSED },
		{ 5, true, false, true, true, OCI_STATUS_PAUSED },
		{ 5, true, true, true, false, OCI_STATUS_STOPPED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct oci_store store = {
			.pid = cases[i].pid,
			.is_created = cases[i].created,
			.is_started = cases[i].started,
			.is_paused = cases[i].paused,
		};

		assert_int_equal(oci_store_status(&store, cases[i].alive), cases[i].status);
	}
}

static void pid_start_is_field_22(void **state)
{
	char line[1024], *field;
	int status;

	(void)state;
	auto_file FILE *f = fopen("/proc/self/stat", "re");
	assert_non_null(fgets(line, sizeof line, f));
	field = strrchr(line, ')');
	for (int i = 2; i < 22; i++)
		field = strchr(field + 1, ' ');
	assert_true(oci_pid_start(getpid()) == strtoull(field, NULL, 10));
	assert_true(oci_pid_start(getpid()) != 0);
	assert_int_equal(oci_pid_start(0), 0);
	assert_int_equal(oci_pid_start(-1), 0);
	assert_int_equal(oci_pid_start(0x7ffffffe), 0);
	/* A zombie is no longer what it was. */
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(oci_pid_start(pid), 0);
	waitpid(pid, &status, 0);
}

static void spec_is_a_configuration_we_read(void **state)
{
	(void)state;
	for (int rootless = 0; rootless <= 1; rootless++) {
		auto_free char *text = oci_spec_text(rootless);
		struct oci_config *config;
		struct err err = ERR_INIT;

		if (oci_config_parse("/b", text, strlen(text), &config, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(config->process.terminal);
		assert_string_equal(config->process.args.items[0], "sh");
		oci_config_destroy(config);
	}
}

/* The members where ours is meant to differ, taken out of both. */
static void drop_differences(struct json_object *spec, bool rootless)
{
	struct json_object *section, *namespaces;

	json_object_object_del(spec, "ociVersion");
	json_object_object_del(spec, "hostname");
	json_object_object_get_ex(spec, "linux", &section);
	json_object_object_get_ex(section, "namespaces", &namespaces);
	/* The guest always has cgroup v2, where runc adds this one too; the host's network is nothing a VM can have. */
	for (size_t i = json_object_array_length(namespaces); i-- > 0;) {
		struct json_object *type;

		json_object_object_get_ex(json_object_array_get_idx(namespaces, i), "type", &type);
		const char *name = json_object_get_string(type);
		if (strcmp(name, "cgroup") == 0 || (rootless && strcmp(name, "network") == 0))
			json_object_array_del_idx(namespaces, i, 1);
	}
}

static void compare_with_runc(bool rootless)
{
	char command[256], path[128];

	snprintf(path, sizeof path, "%s/config.json", directory);
	snprintf(command, sizeof command, "PATH=$PATH:/usr/sbin; cd %s && rm -f config.json && runc spec%s 2>/dev/null",
		 directory, rootless ? " --rootless" : "");
	if (system(command) != 0)
		skip();
	struct json_object *theirs = json_object_from_file(path);
	auto_free char *text = oci_spec_text(rootless);
	struct json_object *ours = json_tokener_parse(text);
	assert_non_null(theirs);
	assert_non_null(ours);
	drop_differences(theirs, rootless);
	drop_differences(ours, rootless);
	if (!json_object_equal(ours, theirs))
		fail_msg("ours: %s\ntheirs: %s", json_object_to_json_string(ours), json_object_to_json_string(theirs));
	json_object_put(ours);
	json_object_put(theirs);
}

static void spec_says_what_runc_spec_says(void **state)
{
	(void)state;
	compare_with_runc(false);
}

static void spec_rootless_says_what_runc_spec_says(void **state)
{
	(void)state;
	compare_with_runc(true);
}

static void features_are_what_the_reader_knows(void **state)
{
	auto_free char *text = oci_features_text("1.2.3");
	struct json_object *features = json_tokener_parse(text), *value, *section;

	(void)state;
	assert_non_null(features);
	assert_true(json_object_object_get_ex(features, "ociVersionMin", &value));
	assert_string_equal(json_object_get_string(value), "1.0.0");
	assert_true(json_object_object_get_ex(features, "ociVersionMax", &value));
	assert_string_equal(json_object_get_string(value), OCI_VERSION_MAX);
	assert_true(json_object_object_get_ex(features, "hooks", &value));
	assert_int_equal(json_object_array_length(value), OCI_HOOK_COUNT);
	assert_true(json_object_object_get_ex(features, "mountOptions", &value));
	assert_true(json_object_array_length(value) > 60);
	assert_true(json_object_object_get_ex(features, "linux", &section));
	assert_true(json_object_object_get_ex(section, "capabilities", &value));
	assert_int_equal(json_object_array_length(value), OCI_CAPABILITY_COUNT);
	assert_true(json_object_object_get_ex(section, "seccomp", &section));
	assert_true(json_object_object_get_ex(section, "actions", &value));
	for (size_t i = 0; i < json_object_array_length(value); i++)
		assert_string_not_equal(json_object_get_string(json_object_array_get_idx(value, i)), "SCMP_ACT_NOTIFY");
	assert_true(json_object_object_get_ex(features, "annotations", &section));
	assert_true(json_object_object_get_ex(section, "io.bulkhead.version", &value));
	assert_string_equal(json_object_get_string(value), "1.2.3");
	json_object_put(features);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_is_written_as_go_does),
		cmocka_unit_test(state_document_has_all_members),
		cmocka_unit_test(status_has_the_specifications_names),
		cmocka_unit_test(id_is_checked),
		cmocka_unit_test(store_written_is_read_back),
		cmocka_unit_test(store_file_absent_or_unwritable_is_named),
		cmocka_unit_test(store_file_damaged_is_refused_by_name),
		cmocka_unit_test(store_of_a_later_minor_writer_is_read),
		cmocka_unit_test(store_status_in_every_case),
		cmocka_unit_test(pid_start_is_field_22),
		cmocka_unit_test(spec_is_a_configuration_we_read),
		cmocka_unit_test(spec_says_what_runc_spec_says),
		cmocka_unit_test(spec_rootless_says_what_runc_spec_says),
		cmocka_unit_test(features_are_what_the_reader_knows),
	};

	return cmocka_run_group_tests_name("oci/state", tests, make_directory, remove_directory);
}
