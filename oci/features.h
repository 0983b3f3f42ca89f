/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.h - the features document of the runtime specification: what this runtime knows, whatever the host has.
 */
#ifndef BULKHEAD_OCI_FEATURES_H
#define BULKHEAD_OCI_FEATURES_H

#define OCI_VERSION_MIN "1.0.0"
#define OCI_VERSION_MAX "1.2.1" /* what `--version` and the state say too */

/* Indented JSON, malloc'ed. `version` is bulkhead's own. */
char *oci_features_text(const char *version);

#endif
