/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/version.h"

#ifndef VERSION
#define VERSION "unknown"
#endif
#ifndef COMMIT
#define COMMIT "unknown"
#endif

const char version_text[] = VERSION;
const char version_commit[] = COMMIT;
