/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/host_config.h"

#include "oci/alloc.h"
#include "oci/file_cache.h"
#include "oci/json.h"
#include "oci/names.h"
#include "oci/vm_size.h"

#include "common/err.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { MEMORY_DEFAULT_MIB = 512, VCPUS_DEFAULT = 1, RESERVE_DEFAULT_MIB = 64 };

static const struct oci_name levels[] = {
	{ "error", LOG_ERROR }, { "warn", LOG_WARN }, { "info", LOG_INFO }, { "debug", LOG_DEBUG }, { NULL, 0 },
};

static struct oci_host_config *make_defaults(void)
{
	struct oci_host_config *config = oci_alloc(1, sizeof *config);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sysinfo info;

	config->default_memory_mib = MEMORY_DEFAULT_MIB;
	config->reserve_memory_mib = RESERVE_DEFAULT_MIB;
	config->default_vcpus = VCPUS_DEFAULT;
	config->max_vcpus = cpus < 1 ? 1 : cpus > OCI_VM_VCPUS_MAX ? OCI_VM_VCPUS_MAX : (uint32_t)cpus;
	config->max_memory_mib = UINT32_MAX;
	config->vhost_net = true;
	config->log_level = LOG_INFO;
	config->templates = true;
	if (sysinfo(&info) == 0 && (uint64_t)info.totalram * info.mem_unit >> 20 < UINT32_MAX)
		config->max_memory_mib = (uint32_t)((uint64_t)info.totalram * info.mem_unit >> 20);
	return config;
}

/* A mistyped member would silently leave the host with its defaults. */
static int refuse_unknown(const struct oci_json *document, struct err *err)
{
	static const char *const known[] = {
		"kernel",          "initrd",
		"cmdline",         "default_memory_mib",
		"max_memory_mib",  "reserve_memory_mib",
		"default_vcpus",   "max_vcpus",
		"default_dax_mib", "allowed_annotations",
		"log_level",       "vhost_net",
		"templates",       "allow_debug",
		"selinux",         NULL,
	};

	json_object_object_foreach(document->value, name, value)
	{
		const char *const *k = known;
		struct oci_json at = { .value = value, .parent = document, .key = name };

		while (*k && strcmp(*k, name) != 0)
			k++;
		if (!*k)
			return oci_json_refuse(&at, err, "is no setting of bulkhead");
	}
	return 0;
}

static int parse_file(const struct oci_json *document, const char *key, char **out, struct err *err)
{
	struct oci_json at = oci_json_member(document, key);

	return at.value ? oci_json_need_path(document, key, out, err) : 0;
}

static int parse_number(const struct oci_json *document, const char *key, uint32_t min, uint32_t max, uint32_t *out,
			struct err *err)
{
	int64_t value = *out;
	int found = oci_json_int(document, key, min, max, &value, err);

	*out = (uint32_t)value;
	return found;
}

static int parse_annotations(const struct oci_json *document, struct oci_host_config *out, struct err *err)
{
	struct oci_json at = oci_json_member(document, "allowed_annotations");

	if (!at.value) {
		oci_strings_add(&out->allowed_annotations, OCI_ANNOTATION_MEMORY);
		oci_strings_add(&out->allowed_annotations, OCI_ANNOTATION_VCPUS);
		oci_strings_add(&out->allowed_annotations, OCI_ANNOTATION_FILE_CACHE);
		oci_strings_add(&out->allowed_annotations, OCI_ANNOTATION_HUGE_PAGES);
		oci_strings_add(&out->allowed_annotations, OCI_ANNOTATION_DAX);
		return 0;
	}
	if (oci_json_strings(document, "allowed_annotations", &out->allowed_annotations, err) < 0)
		return -1;
	for (size_t i = 0; i < out->allowed_annotations.count; i++)
		if (!oci_annotation_is_known(out->allowed_annotations.items[i]))
			return oci_json_refuse(&at, err, "\"%s\" is no annotation of bulkhead",
					       out->allowed_annotations.items[i]);
	return 0;
}

static int parse_document(const struct oci_json *document, struct oci_host_config *out, struct err *err)
{
	uint64_t level = out->log_level;

	if (refuse_unknown(document, err) < 0 || parse_file(document, "kernel", &out->kernel, err) < 0 ||
	    parse_file(document, "initrd", &out->initrd, err) < 0 ||
	    oci_json_string(document, "cmdline", &out->cmdline, err) < 0 ||
	    parse_number(document, "max_memory_mib", OCI_VM_MEMORY_MIN_MIB, UINT32_MAX, &out->max_memory_mib, err) <
		    0 ||
	    parse_number(document, "default_memory_mib", OCI_VM_MEMORY_MIN_MIB, UINT32_MAX, &out->default_memory_mib,
			 err) < 0 ||
	    parse_number(document, "reserve_memory_mib", 0, UINT32_MAX / 2, &out->reserve_memory_mib, err) < 0 ||
	    parse_number(document, "max_vcpus", 1, OCI_VM_VCPUS_MAX, &out->max_vcpus, err) < 0 ||
	    parse_number(document, "default_vcpus", 1, OCI_VM_VCPUS_MAX, &out->default_vcpus, err) < 0 ||
	    parse_number(document, "default_dax_mib", 0, OCI_VM_DAX_MAX_MIB, &out->default_dax_mib, err) < 0 ||
	    parse_annotations(document, out, err) < 0 ||
	    oci_json_bool(document, "vhost_net", &out->vhost_net, err) < 0 ||
	    oci_json_bool(document, "templates", &out->templates, err) < 0 ||
	    oci_json_bool(document, "allow_debug", &out->allow_debug, err) < 0 ||
	    oci_json_bool(document, "selinux", &out->selinux, err) < 0)
		return -1;
	int found = oci_name_parse(document, "log_level", levels, &level, err);
	out->log_level = (enum log_level)level;
	if (out->default_memory_mib > out->max_memory_mib || out->default_vcpus > out->max_vcpus)
		return oci_json_refuse(document, err, "a default is above its maximum");
	return found < 0 ? -1 : 0;
}

int oci_host_config_load(const char *file, struct oci_host_config **out, struct err *err)
{
	struct json_object *object = NULL;

	if (access(file, F_OK) == 0) {
		if (oci_json_read(file, false, &object, err) < 0)
			return -1;
	} else if (errno == ENOENT) {
		object = json_object_new_object();
	} else {
		return err_set_errno(err, "%s", file);
	}
	struct oci_host_config *config = make_defaults();
	struct oci_json document = oci_json_document(object);
	int result = parse_document(&document, config, err);
	json_object_put(object);
	if (result < 0) {
		oci_host_config_destroy(config);
		return err_wrap(err, "%s", file);
	}
	*out = config;
	return 0;
}

void oci_host_config_destroy(struct oci_host_config *config)
{
	if (!config)
		return;
	free(config->kernel);
	free(config->initrd);
	free(config->cmdline);
	oci_strings_destroy(&config->allowed_annotations);
	free(config);
}
