/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a template: whatever shapes a VM is in it, and so leads to another template. */
#include "runtime/template.h"

#include "common/err.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char monitor[64], kernel[64], initrd[64];
	struct template_inputs inputs;
};

static int make_file(char path[64])
{
	int fd;

	strcpy(path, "/tmp/test_template.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, path, strlen(path)) > 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	f->inputs = (struct template_inputs){
		.monitor = f->monitor,
		.kvm_fd = -1,
		.memory_mib = 512,
		.vcpus = 1,
		.file_cache = "auto",
		.cmdline = "quiet",
	};
	close(make_file(f->monitor));
	f->inputs.kernel_fd = make_file(f->kernel);
	f->inputs.initrd_fd = make_file(f->initrd);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->inputs.kernel_fd);
	close(f->inputs.initrd_fd);
	unlink(f->monitor);
	unlink(f->kernel);
	unlink(f->initrd);
	free(f);
	return 0;
}

struct key {
	char text[TEMPLATE_KEY_MAX], name[TEMPLATE_NAME_SIZE];
};

static struct key key_of(const struct fixture *f)
{
	struct key key;
	struct err err = ERR_INIT;

	assert_int_equal(template_key(&f->inputs, key.text, key.name, &err), 0);
	assert_int_equal(strspn(key.name, "0123456789abcdef"), TEMPLATE_NAME_SIZE - 1);
	return key;
}

static void assert_differs(const struct fixture *f, const struct key *before)
{
	struct key now = key_of(f);

	assert_string_not_equal(now.text, before->text);
	assert_string_not_equal(now.name, before->name);
}

static void test_template_key_is_the_same_for_the_same(void **state)
{
	struct key one = key_of(*state), two = key_of(*state);

	assert_string_equal(one.text, two.text);
	assert_string_equal(one.name, two.name);
}

static void test_template_key_has_every_input(void **state)
{
	struct fixture *f = *state;
	const struct template_inputs original = f->inputs;
	const struct key before = key_of(f);

	f->inputs.memory_mib = 514;
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.vcpus = 2;
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.dax_mib = 64;
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.file_cache = "always";
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.cmdline = "quiet debug";
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.kernel_fd = original.initrd_fd;
	f->inputs.initrd_fd = original.kernel_fd;
	assert_differs(f, &before);
	f->inputs = original;
	f->inputs.monitor = f->kernel;
	assert_differs(f, &before);
}

static void test_template_key_sees_files_that_are_written_or_replaced(void **state)
{
	struct fixture *f = *state;
	struct key before = key_of(f);

	assert_int_equal(write(f->inputs.kernel_fd, "x", 1), 1);
	assert_differs(f, &before);
	before = key_of(f);
	assert_int_equal(rename(f->initrd, f->monitor), 0);
	assert_differs(f, &before);
}

static void test_template_key_of_long_parameters_is_refused(void **state)
{
	struct fixture *f = *state;
	char *parameters = calloc(1, TEMPLATE_KEY_MAX + 1);
	struct key key;
	struct err err = ERR_INIT;

	memset(parameters, 'x', TEMPLATE_KEY_MAX);
	f->inputs.cmdline = parameters;
	assert_int_equal(template_key(&f->inputs, key.text, key.name, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	free(parameters);
}

static void test_template_names_that_are_none_are_refused(void **state)
{
	static const char *const names[] = {
		"",      ".",   "..", "../../../../etc", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef0",
		".lock", ".new"
	};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct err err = ERR_INIT;

		assert_int_equal(template_remove(names[i], &err), -1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_template_key_is_the_same_for_the_same),
		TEST(test_template_key_has_every_input),
		TEST(test_template_key_sees_files_that_are_written_or_replaced),
		TEST(test_template_key_of_long_parameters_is_refused),
		TEST(test_template_names_that_are_none_are_refused),
	};

	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
