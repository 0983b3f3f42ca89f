/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.h - filling nanopb's structs (common/agent.proto) with malloc'ed members, so that pb_release can free them.
 */
#ifndef BULKHEAD_OCI_MESSAGES_H
#define BULKHEAD_OCI_MESSAGES_H

#include "oci/idmap.h"
#include "oci/strings.h"

#include "agent.pb.h"

#include <stddef.h>

/* Copies of what is there; empty lists stay NULL with a count of 0. */
void oci_message_strings(pb_size_t *count, char ***out, const struct oci_strings *strings);
void oci_message_map(pb_size_t *count, agent_FileValue **out, const struct oci_map *map);
void oci_message_mappings(pb_size_t *count, agent_IdMapping **out, const struct oci_id_mappings *mappings);
void oci_message_numbers(pb_size_t *count, uint32_t **out, const uint32_t *numbers, size_t length);
pb_bytes_array_t *oci_message_bytes(const void *data, size_t length);

#endif
