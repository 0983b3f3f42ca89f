/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/devices.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include "common/auto.h"

#include <stdlib.h>
#include <string.h>

/* A dev_t of the kernel: 12 bits of major number, 20 of minor. */
enum { MAJOR_MAX = 0xfff, MINOR_MAX = 0xfffff };

static int parse_device(const struct oci_json *at, struct oci_device *out, struct err *err)
{
	auto_free char *type = NULL;
	uint64_t major = 0, minor = 0;
	uint32_t mode = 0666;

	if (oci_json_need_path(at, "path", &out->path, err) < 0 || oci_json_need_string(at, "type", &type, err) < 0)
		return -1;
	if (strlen(type) != 1 || !strchr("cubp", type[0]))
		return oci_json_refuse(at, err, "type must be c, u, b or p, not \"%s\"", type);
	out->type = type[0] == 'u' ? 'c' : type[0];
	if (out->type != 'p' && (oci_json_need_uint(at, "major", MAJOR_MAX, &major, err) < 0 ||
				 oci_json_need_uint(at, "minor", MINOR_MAX, &minor, err) < 0))
		return -1;
	if (oci_json_uint32(at, "fileMode", &mode, err) < 0 || oci_json_uint32(at, "uid", &out->uid, err) < 0 ||
	    oci_json_uint32(at, "gid", &out->gid, err) < 0)
		return -1;
	out->major = (uint32_t)major;
	out->minor = (uint32_t)minor;
	/* Engines pass what stat gave them, type bits and all. */
	out->mode = mode & 0777;
	return 0;
}

int oci_devices_parse(const struct oci_json *linux_object, struct oci_devices *out, struct err *err)
{
	struct oci_json array, at;
	int found = oci_json_array(linux_object, "devices", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		if (oci_json_element(&array, i, &at, err) < 0 || parse_device(&at, &out->items[out->count++], err) < 0)
			return -1;
	}
	return found < 0 ? -1 : 0;
}

void oci_devices_destroy(struct oci_devices *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		free(devices->items[i].path);
	free(devices->items);
	*devices = (struct oci_devices){ 0 };
}

/* An "a" says nothing here, but is written by those who think of the type (runc takes any letter). */
static int parse_access(const struct oci_json *at, const char *text, unsigned *out, struct err *err)
{
	static const struct {
		char letter;
		unsigned access;
	} letters[] = { { 'r', OCI_DEVICE_READ }, { 'w', OCI_DEVICE_WRITE }, { 'm', OCI_DEVICE_MKNOD } };

	*out = 0;
	for (const char *c = text; *c; c++) {
		size_t i = 0;

		if (*c == 'a')
			continue;
		while (i < 3 && letters[i].letter != *c)
			i++;
		if (i == 3)
			return oci_json_refuse(at, err, "access must be made of r, w and m, not \"%s\"", text);
		*out |= letters[i].access;
	}
	return 0;
}

static int parse_rule(const struct oci_json *at, struct oci_device_rule *out, struct err *err)
{
	auto_free char *type = NULL, *access = NULL;

	*out = (struct oci_device_rule){ .type = 'a', .major = -1, .minor = -1 };
	if (oci_json_bool(at, "allow", &out->allow, err) < 0 || oci_json_string(at, "type", &type, err) < 0 ||
	    oci_json_int(at, "major", -1, INT32_MAX, &out->major, err) < 0 ||
	    oci_json_int(at, "minor", -1, INT32_MAX, &out->minor, err) < 0 ||
	    oci_json_string(at, "access", &access, err) < 0)
		return -1;
	if (type && type[0]) {
		if (strlen(type) != 1 || !strchr("acb", type[0]))
			return oci_json_refuse(at, err, "type must be a, c or b, not \"%s\"", type);
		out->type = type[0];
	}
	out->access = OCI_DEVICE_READ | OCI_DEVICE_WRITE | OCI_DEVICE_MKNOD;
	if (access && access[0] && parse_access(at, access, &out->access, err) < 0)
		return -1;
	/* As for the v1 controller's file: "a" speaks of everything, whatever stands beside it. */
	if (out->type == 'a') {
		out->major = out->minor = -1;
		out->access = OCI_DEVICE_READ | OCI_DEVICE_WRITE | OCI_DEVICE_MKNOD;
	}
	return 0;
}

int oci_device_rules_parse(const struct oci_json *resources, struct oci_device_rules *out, struct err *err)
{
	struct oci_json array, at;
	int found = oci_json_array(resources, "devices", &array, err);

	for (size_t i = 0; found > 0 && i < oci_json_length(&array); i++) {
		out->items = oci_grow(out->items, out->count, sizeof *out->items);
		if (oci_json_element(&array, i, &at, err) < 0 || parse_rule(&at, &out->items[out->count++], err) < 0)
			return -1;
	}
	return found < 0 ? -1 : 0;
}

void oci_device_rules_destroy(struct oci_device_rules *rules)
{
	free(rules->items);
	*rules = (struct oci_device_rules){ 0 };
}

bool oci_device_rules_allow_all(const struct oci_device_rules *rules)
{
	for (size_t i = rules->count; i-- > 0;) {
		if (!rules->items[i].allow)
			return false;
		if (rules->items[i].type == 'a')
			return true;
	}
	return false;
}

unsigned oci_device_rules_access(const struct oci_device_rules *rules, char type, uint32_t major, uint32_t minor)
{
	unsigned undecided = OCI_DEVICE_READ | OCI_DEVICE_WRITE | OCI_DEVICE_MKNOD, allowed = 0;

	for (size_t i = rules->count; i-- > 0 && undecided;) {
		const struct oci_device_rule *rule = &rules->items[i];

		if ((rule->type != 'a' && rule->type != type) || (rule->major >= 0 && rule->major != (int64_t)major) ||
		    (rule->minor >= 0 && rule->minor != (int64_t)minor))
			continue;
		if (rule->allow)
			allowed |= undecided & rule->access;
		undecided &= ~rule->access;
	}
	return allowed;
}
