/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_template.c - bulkhead template build|list|remove: what containers' VMs begin with, looked after by hand. */
#include "runtime/command.h"
#include "runtime/interrupt.h"
#include "runtime/launch.h"
#include "runtime/paths.h"
#include "runtime/template.h"

#include "common/auto.h"
#include "common/err.h"
#include "common/utc.h"

#include "oci/host_config.h"
#include "oci/vm_size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct template_options {
	struct option_number memory_mib, vcpus, dax_mib;
	const char *file_cache;
	bool all;
};

static const struct option options[] = {
	{ "memory", 'm', OPTION_NUMBER, offsetof(struct template_options, memory_mib), "MIB",
	  "build: for VMs of this size (default: the host's default)" },
	{ "vcpus", 0, OPTION_NUMBER, offsetof(struct template_options, vcpus), "N",
	  "build: for VMs with so many vCPUs" },
	{ "file-cache", 0, OPTION_TEXT, offsetof(struct template_options, file_cache), "none|auto|always",
	  "build: for this io.bulkhead.file-cache (default: auto)" },
	{ "dax-mib", 0, OPTION_NUMBER, offsetof(struct template_options, dax_mib), "MIB",
	  "build: for this io.bulkhead.dax-mib (default: 0, no window for files)" },
	{ "all", 'a', OPTION_FLAG, offsetof(struct template_options, all), NULL, "remove: every one" },
	OPTION_END,
};

static int number_of(const struct option_number *number, const char *name, uint32_t otherwise, uint32_t min,
		     uint32_t max, uint32_t *out, struct err *err)
{
	*out = otherwise;
	if (!number->given)
		return 0;
	if (number->value < min || number->value > max)
		return err_set(err, EINVAL, "--%s: must be from %u to %u", name, min, max);
	*out = (uint32_t)number->value;
	return 0;
}

static int choose(const struct template_options *chosen, const struct oci_host_config *host, struct launch *launch,
		  struct err *err)
{
	static const char *const modes[] = { "auto", "none", "always" };

	launch->file_cache = NULL;
	for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(chosen->file_cache ? chosen->file_cache : modes[0], modes[i]))
			launch->file_cache = modes[i];
	if (!launch->file_cache)
		return err_set(err, EINVAL, "--file-cache: must be none, auto or always, not \"%s\"",
			       chosen->file_cache);
	if (number_of(&chosen->memory_mib, "memory", host->default_memory_mib, OCI_VM_MEMORY_MIN_MIB,
		      host->max_memory_mib, &launch->memory_mib, err) < 0)
		return -1;
	launch->memory_mib &= ~1u; /* as oci_vm_size has it */
	if (number_of(&chosen->dax_mib, "dax-mib", 0, 0, OCI_VM_DAX_MAX_MIB, &launch->dax_mib, err) < 0)
		return -1;
	launch->dax_mib += launch->dax_mib & 1;
	return number_of(&chosen->vcpus, "vcpus", host->default_vcpus, 1, host->max_vcpus, &launch->vcpus, err);
}

static int build(const struct template_options *chosen, struct err *err)
{
	struct oci_host_config *host = NULL;
	struct launch launch;
	struct paths paths;
	int result = -1;

	launch_init(&launch);
	if (interrupt_catch(err) == 0 && paths_find(&paths, err) == 0 &&
	    oci_host_config_load(OCI_HOST_CONFIG_FILE, &host, err) == 0 && choose(chosen, host, &launch, err) == 0 &&
	    launch_open_guest(&launch, &paths, host, NULL, err) == 0) {
		const struct template_inputs inputs = {
			.monitor = paths.monitor,
			.kvm_fd = launch.kvm_fd,
			.kernel_fd = launch.kernel_fd,
			.initrd_fd = launch.initrd_fd,
			.memory_mib = launch.memory_mib,
			.vcpus = launch.vcpus,
			.dax_mib = launch.dax_mib,
			.file_cache = launch.file_cache,
			.cmdline = launch.cmdline,
		};

		result = template_build(&inputs, false, err);
	}
	launch_close(&launch);
	oci_host_config_destroy(host);
	return result;
}

/* The value of a line of the key; "" if there is none. */
static void key_value(const char *key, const char *name, char *out, size_t size)
{
	size_t length = strlen(name);

	*out = '\0';
	for (const char *line = key; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && line[length] == ' ') {
			snprintf(out, size, "%.*s", (int)strcspn(line + length + 1, "\n"), line + length + 1);
			return;
		}
		if (!*line)
			return;
	}
}

static int print_entry(const struct template_entry *entry, void *arg)
{
	char memory[32], vcpus[32], dax[32], cache[32], when[UTC_TEXT_SIZE];

	(void)arg;
	key_value(entry->key, "memory-mib", memory, sizeof memory);
	key_value(entry->key, "vcpus", vcpus, sizeof vcpus);
	key_value(entry->key, "dax-mib", dax, sizeof dax);
	key_value(entry->key, "file-cache", cache, sizeof cache);
	utc_text(entry->built_ns / 1000000000, when);
	printf("%-17s %-10s %-6s %-11s %-7s %-9llu %sZ\n", entry->name, memory, vcpus, cache, dax,
	       (unsigned long long)((entry->bytes + (1 << 20) - 1) >> 20), when);
	return 0;
}

static int list(struct err *err)
{
	int result;

	printf("%-17s %-10s %-6s %-11s %-7s %-9s %s\n", "NAME", "MEMORY-MIB", "VCPUS", "FILE-CACHE", "DAX-MIB",
	       "DISK-MIB", "BUILT");
	result = template_each(print_entry, NULL, err);
	return result < 0 && err->code == ENOENT ? 0 : result; /* there never was one */
}

struct names {
	char (*items)[TEMPLATE_NAME_SIZE];
	size_t count;
};

static int note_name(const struct template_entry *entry, void *arg)
{
	struct names *names = arg;
	char(*grown)[TEMPLATE_NAME_SIZE] = reallocarray(names->items, names->count + 1, sizeof *grown);

	if (!grown)
		return -1;
	names->items = grown;
	memcpy(names->items[names->count++], entry->name, sizeof entry->name);
	return 0;
}

static int remove_all(struct err *err)
{
	struct names names = { 0 };
	int result = template_each(note_name, &names, err);

	if (result < 0 && err->code == ENOENT)
		result = 0;
	for (size_t i = 0; i < names.count && result == 0; i++)
		result = template_remove(names.items[i], err);
	free(names.items);
	return result;
}

static int run(const struct invocation *invocation, struct err *err)
{
	const struct template_options *chosen = invocation->options;
	const char *what = invocation->operands[0];
	int names = invocation->operand_count - 1;

	if (!strcmp(what, "build") && names == 0)
		return build(chosen, err);
	if (!strcmp(what, "list") && names == 0)
		return list(err);
	if (!strcmp(what, "remove") && chosen->all && names == 0)
		return remove_all(err);
	if (!strcmp(what, "remove") && names > 0) {
		for (int i = 1; i <= names; i++)
			if (template_remove(invocation->operands[i], err) < 0)
				return -1;
		return 0;
	}
	return err_set(err, EINVAL, "usage: bulkhead template build [OPTIONS], list, or remove NAME...|--all");
}

const struct command cmd_template = {
	.name = "template",
	.operands = "build|list|remove [NAME...]",
	.summary = "look after the templates that VMs begin with",
	.run = run,
	.options = options,
	.options_size = sizeof(struct template_options),
	.operands_min = 1,
	.operands_max = -1,
	.stateless = true,
};
