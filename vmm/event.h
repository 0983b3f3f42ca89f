/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event.h - what the monitor tells the proxy (vmm_api.h): one packet an event, from the loop thread only.
 *
 * Each is sent at most once in a VM's life, so their number is bounded and nobody has to wait for a slow proxy: what
 * the socket does not take is lost, and the proxy still sees the monitor end. A `fd` of -1 sends nothing.
 */
#ifndef BULKHEAD_EVENT_H
#define BULKHEAD_EVENT_H

#include "vmm/vmm_api.h"

#include <stdint.h>

uint64_t event_now(void); /* CLOCK_MONOTONIC, nanoseconds */

void event_stamp(int fd, enum vmm_stamp stamp, uint64_t ns);
void event_panic(int fd, const char *text);
void event_off(int fd, uint32_t code);
void event_error(int fd, int code, const char *text);

#endif
