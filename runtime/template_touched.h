/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_touched.h - notes which pages of its memory a template's first VM wrote while its container was created, for
 * the VMs that begin with the template later (vmm/touched.h).
 *
 * It is done from outside, by what the host's kernel says of the monitor's pages, before anything of the container's
 * own has run. The list is a file, `touched`, beside the template's memory.
 */
#ifndef BULKHEAD_RUNTIME_TEMPLATE_TOUCHED_H
#define BULKHEAD_RUNTIME_TEMPLATE_TOUCHED_H

#include <sys/types.h>

struct err;

/*
 * `entry_fd`: the template's directory, `memory_fd`: its memory, which process `monitor` has mapped privately. Two that
 * do this at once do no harm.
 */
int template_touched_note(int entry_fd, int memory_fd, pid_t monitor, struct err *err);

#endif
