/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_devices.h - the two devices that a proxy opens while its container runs, and nothing else of the host's /dev: a
 * directory there leads to every disk, and the guest speaks to the proxy.
 */
#ifndef BULKHEAD_RUNTIME_PROXY_DEVICES_H
#define BULKHEAD_RUNTIME_PROXY_DEVICES_H

struct err;

/*
 * A directory with net/tun and vhost-net, in a read-only file system of its own that is mounted nowhere. Who may not
 * make such a thing (not root on the host) gets /dev itself, in which that user can open little. -1 on failure.
 */
int proxy_devices_open(struct err *err);

#endif
