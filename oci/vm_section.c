/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/vm_section.h"

#include "oci/alloc.h"
#include "oci/json.h"

#include "common/auto.h"

#include <json-c/json.h>
#include <string.h>

static int refuse_member(const struct oci_json *object, const char *key, const char *why, struct err *err)
{
	struct oci_json member = oci_json_member(object, key);

	return member.value ? oci_json_refuse(&member, err, "%s", why) : 0;
}

/* An array in the specification's schema; a string with spaces in older texts of it. */
static int parse_parameters(const struct oci_json *kernel, struct oci_strings *out, struct err *err)
{
	struct oci_json member = oci_json_member(kernel, "parameters");
	auto_free char *text = NULL;
	char *rest = NULL;

	if (!json_object_is_type(member.value, json_type_string))
		return oci_json_strings(kernel, "parameters", out, err);
	if (oci_json_string(kernel, "parameters", &text, err) < 0)
		return -1;
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		oci_strings_add(out, word);
	return 1;
}

static int parse_kernel(const struct oci_json *vm, struct oci_vm *out, struct err *err)
{
	struct oci_json kernel;
	int found = oci_json_object(vm, "kernel", &kernel, err);

	if (found <= 0)
		return found;
	if (oci_json_need_path(&kernel, "path", &out->kernel, err) < 0 ||
	    oci_json_string(&kernel, "initrd", &out->initrd, err) < 0 ||
	    parse_parameters(&kernel, &out->parameters, err) < 0)
		return -1;
	if (out->initrd && out->initrd[0] != '/') {
		struct oci_json member = oci_json_member(&kernel, "initrd");
		return oci_json_refuse(&member, err, "must be an absolute path, not \"%s\"", out->initrd);
	}
	return 1;
}

static int parse_hardware(const struct oci_json *vm, struct oci_vm *out, struct err *err)
{
	static const char *const refused[] = { "deviceTree", "dtdevs", "iomems", "irqs", NULL };
	struct oci_json hardware;
	int found = oci_json_object(vm, "hwConfig", &hardware, err);

	if (found <= 0)
		return found;
	for (const char *const *key = refused; *key; key++)
		if (refuse_member(&hardware, *key, "not supported: this machine has no device tree and no passthrough",
				  err) < 0)
			return -1;
	if (oci_json_uint32(&hardware, "vcpus", &out->vcpus, err) < 0 ||
	    oci_json_uint(&hardware, "memory", UINT64_MAX, &out->memory, err) < 0)
		return -1;
	return 1;
}

int oci_vm_parse(const struct oci_json *document, struct oci_vm *out, struct err *err)
{
	struct oci_json vm;
	int found = oci_json_object(document, "vm", &vm, err);

	if (found <= 0)
		return found;
	/* A path to a program that a bundle may have run as root: never. */
	if (refuse_member(&vm, "hypervisor", "not supported: bulkhead runs its own monitor and no other", err) < 0 ||
	    refuse_member(&vm, "image", "not supported: the guest starts from an initramfs (vm.kernel.initrd)", err) <
		    0)
		return -1;
	return parse_kernel(&vm, out, err) < 0 || parse_hardware(&vm, out, err) < 0 ? -1 : 1;
}

void oci_vm_fini(struct oci_vm *vm)
{
	free(vm->kernel);
	free(vm->initrd);
	oci_strings_destroy(&vm->parameters);
	*vm = (struct oci_vm){ 0 };
}
