/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_confine.h - what the proxy gives up once its container stands, before any program of the container runs.
 *
 * From then on it reads what the guest says, and needs none of what a hole in that would be used for: no new
 * program, no mounts, no namespaces, no look into others' memory, none of the kernel's rarer interfaces, and of root's
 * rights only those for network interfaces and for signals and files of the engine's. For good: there is no way back.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_CONFINE_H
#define BULKHEAD_RUNTIME_PROXY_CONFINE_H

struct err;

int proxy_confine(struct err *err);

#endif
