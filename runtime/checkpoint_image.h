/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_image.h - a checkpoint on disk: a directory with `manifest`, which names two other files, of memory and of
 * state.
 *
 * The files are written without names. They get theirs, which no other image in the directory has, when they are whole
 * and on the disk, and the image exists from the moment when `manifest` is renamed into its place: whatever dies before
 * that leaves an older image as it was. Images hold all that the container had in memory: mode 0600.
 *
 * The manifest is lines of "NAME VALUE", the last a checksum of the others. It is the host's own, and checked like
 * anything that is read: a machine of another kind, an image of another version, a damaged or a missing file are
 * refused by name. State and memory have checksums that the monitor looks at (vmm/snapshot.h).
 */
#ifndef BULKHEAD_RUNTIME_CHECKPOINT_IMAGE_H
#define BULKHEAD_RUNTIME_CHECKPOINT_IMAGE_H

#include "runtime/checkpoint.h"

struct err;

struct checkpoint_image {
	const char *path;
	int dirfd;
	char memory[40], state[40];
	bool has_names; /* the file system knows no files without */
};

/* Makes the directory if need be, and in it the two files, whose descriptors go to `checkpoint`. */
int checkpoint_image_create(struct checkpoint_image *image, const char *path, struct checkpoint *checkpoint,
			    struct err *err);

/* Makes it the image of that directory. */
int checkpoint_image_commit(struct checkpoint_image *image, const struct checkpoint *checkpoint,
			    const struct container *container, struct err *err);

/* Also after a failure: nothing of an image that was not committed stays. */
void checkpoint_image_close(struct checkpoint_image *image);

/* An image that is there, checked as far as its manifest goes. */
int checkpoint_image_open(const char *path, struct checkpoint *checkpoint, struct err *err);

/* For tests: the manifest's text. Fills in all but the descriptors; the names of the files go to `image`. */
int checkpoint_image_parse(const char *text, struct checkpoint *checkpoint, struct checkpoint_image *image,
			   struct err *err);

#endif
