/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/vm_memory.h"

#include "runtime/control_client.h"
#include "runtime/vm_device.h"

#include "common/err.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

/* A guest that moves pages out of the way needs its time; one that has not moved for so long does not any more. */
enum { POLL_MS = 5, POLL_MAX_MS = 100, STILL_MS = 3000 };

int vm_memory_get(int dirfd, struct vmm_growth *growth, struct err *err)
{
	struct vmm_place place;

	*growth = (struct vmm_growth){ 0 };
	if (control_resize(dirfd, 0, &place, growth, err) == 0)
		return 0;
	if (err->code != ENOTSUP)
		return -1;
	*err = (struct err)ERR_INIT;
	return 0;
}

/* As long as there is progress. */
static int await(int dirfd, struct vmm_growth *growth, struct err *err)
{
	unsigned pause_ms = POLL_MS, still_ms = 0;
	uint64_t before = growth->plugged;
	struct vmm_place place;

	while (growth->plugged != growth->requested && still_ms < STILL_MS) {
		const struct timespec pause = { .tv_nsec = pause_ms * 1000000L };

		nanosleep(&pause, NULL);
		still_ms += pause_ms;
		pause_ms = pause_ms * 2 < POLL_MAX_MS ? pause_ms * 2 : POLL_MAX_MS;
		if (control_resize(dirfd, 0, &place, growth, err) < 0)
			return -1;
		if (growth->plugged != before)
			still_ms = 0;
		before = growth->plugged;
	}
	return 0;
}

int vm_memory_set(int dirfd, uint64_t bytes, bool wait, struct err *err)
{
	struct vmm_growth growth;
	struct vmm_place place;

	if (control_resize(dirfd, bytes, &place, &growth, err) < 0)
		return -1;
	if (place.address && vm_device_add(dirfd, &place, true, err) < 0)
		return -1;
	if (!wait)
		return 0;
	if (await(dirfd, &growth, err) < 0)
		return -1;
	if (growth.plugged < growth.requested)
		return err_set(err, ENOMEM,
			       "the guest has taken %" PRIu64 " MiB of the %" PRIu64
			       " MiB of memory that it is to have; it may be too short of memory to use more",
			       growth.plugged >> 20, growth.requested >> 20);
	if (growth.plugged > growth.requested)
		log_warn("the guest keeps %" PRIu64 " MiB of memory, of which it was to give back %" PRIu64
			 ": the rest is in use, and goes back as it becomes free",
			 growth.plugged >> 20, (growth.plugged - growth.requested) >> 20);
	return 0;
}
