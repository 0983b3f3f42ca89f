/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auto.h - values that clean up after themselves when their scope ends.
 *
 *     auto_fd int fd = open(...);
 *     ...
 *     return take_fd(&fd);
 *
 * -1 is the only empty fd and NULL the only empty pointer. Cleaning up never changes errno.
 */
#ifndef BULKHEAD_AUTO_H
#define BULKHEAD_AUTO_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void auto_close_(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
		*fd = -1;
	}
}

static inline void auto_free_(void *p)
{
	int saved = errno;
	free(*(void **)p);
	errno = saved;
}

static inline void auto_fclose_(FILE **f)
{
	if (*f) {
		int saved = errno;
		fclose(*f);
		errno = saved;
	}
}

static inline void auto_closedir_(DIR **d)
{
	if (*d) {
		int saved = errno;
		closedir(*d);
		errno = saved;
	}
}

#define auto_fd __attribute__((cleanup(auto_close_)))
#define auto_free __attribute__((cleanup(auto_free_)))
#define auto_file __attribute__((cleanup(auto_fclose_)))
#define auto_dir __attribute__((cleanup(auto_closedir_)))

/* Gives the fd to the caller; the variable is empty afterwards. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Closes the fd now, if there is one; the variable is empty afterwards. */
static inline void close_fd(int *fd)
{
	auto_close_(fd);
}

/* Gives the allocation to the caller; the variable is NULL afterwards. */
static inline void *take_ptr_(void *p)
{
	void **pp = p;
	void *taken = *pp;
	*pp = NULL;
	return taken;
}
#define take_ptr(p) ((__typeof__(*(p)))take_ptr_(p))

#endif
