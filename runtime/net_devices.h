/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_devices.h - linux.netDevices: devices of the host's moved into the container's network namespace, before anybody
 * looks what is there. From then on they are interfaces like those an engine makes (runtime/network.h).
 *
 * A device keeps its MAC, its MTU and its permanent addresses of global scope, may get another name, and is up. Nobody
 * moves it back: with the namespace the kernel gives back hardware and removes what is virtual.
 */
#ifndef BULKHEAD_RUNTIME_NET_DEVICES_H
#define BULKHEAD_RUNTIME_NET_DEVICES_H

#include <sys/types.h>

struct err;
struct oci_map;

/* Into the namespace that process `pid` is in. Single-threaded callers only: it enters that for a while. */
int net_devices_move(const struct oci_map *devices, pid_t pid, struct err *err);

#endif
