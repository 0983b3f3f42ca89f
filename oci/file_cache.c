/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/file_cache.h"

#include "common/err.h"
#include "oci/config.h"

#include <errno.h>
#include <string.h>

int oci_file_cache(const struct oci_config *config, const char **out, struct err *err)
{
	static const char *const modes[] = { "auto", "none", "always" };
	const char *text = oci_map_get(&config->annotations, OCI_ANNOTATION_FILE_CACHE);

	*out = modes[0];
	if (!text)
		return 0;
	for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(text, modes[i]) == 0) {
			*out = modes[i];
			return 0;
		}
	}
	return err_set(err, EINVAL, "annotation %s: must be none, auto or always, not \"%s\"",
		       OCI_ANNOTATION_FILE_CACHE, text);
}
