/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - a tree of the host as a detached mount: the only way host files get into a VM.
 *
 * The clone is private to us and carries read-only, nosuid, nodev, noexec and the id mapping itself, so that the host's
 * kernel enforces them whatever the guest talks the file server into. Without the right to make one (an unprivileged
 * user) the plain directory is opened instead; read-only is then enforced by the monitor alone.
 */
#ifndef BULKHEAD_RUNTIME_SHARE_H
#define BULKHEAD_RUNTIME_SHARE_H

struct err;
struct oci_share;

/* Returns an fd that can be a dirfd (or the file itself, for a share that is one). */
int share_open(const struct oci_share *share, struct err *err);

/* The same for one with a path, but always a detached mount: where no mount may be cloned, that is an error. */
int share_clone(const struct oci_share *share, struct err *err);

#endif
