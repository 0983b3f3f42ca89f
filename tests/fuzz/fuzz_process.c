/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the process.json of exec: read, copied, described and freed.
 *
 * Covers: oci/process.c oci/describe_process.c
 */
#include "oci/config.h"
#include "oci/describe.h"
#include "oci/json.h"

#include "tests/fuzz/json_mutator.h"

#include "common/err.h"
#include "common/log.h"

#include <assert.h>
#include <json-c/json.h>
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct oci_config config = { 0 };
	struct json_object *object = NULL;
	struct oci_process process = { 0 };
	struct err err = ERR_INIT;

	log_setup("fuzz", -1, LOG_TEXT, LOG_ERROR);
	if (oci_json_parse("process.json", (const char *)data, size, &object, &err) < 0)
		return 0;
	struct oci_json document = oci_json_document(object);
	if (oci_process_parse(&document, &process, &err) == 0) {
		struct oci_process *copy = oci_process_copy(&process);
		agent_Process message;
		size_t length;

		assert(copy->args.count >= 1 && copy->cwd[0] == '/');
		assert(oci_describe_process(&config, copy, &message, &err) == 0);
		assert(pb_get_encoded_size(&length, agent_Process_fields, &message));
		pb_release(agent_Process_fields, &message);
		oci_process_destroy(copy);
	} else {
		assert(err.code && err.text[0] && !strchr(err.text, '\n'));
	}
	oci_process_fini(&process);
	json_object_put(object);
	return 0;
}
