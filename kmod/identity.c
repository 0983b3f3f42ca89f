// SPDX-License-Identifier: GPL-2.0
/*
 * identity.c - the page in which the monitor says that this guest is a new one.
 *
 * A page of its own: the monitor writes there while no CPU of the guest runs, and whoever saves or copies this memory
 * finds at most the entropy that was taken already, which is none.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "bulkhead_uapi.h"
#include "generation.h"
#include "identity.h"
#include "sandbox.h"
#include "sandbox_regs.h"

static_assert(sizeof(((struct bulkhead_identity *)0)->entropy) == SANDBOX_ENTROPY_SIZE);

static DEFINE_MUTEX(lock);
static u8 *page;

void identity_take(struct bulkhead_identity *out)
{
	mutex_lock(&lock);
	/* Written by the monitor: what the compiler knows of this memory is out of date. */
	barrier();
	out->generation = get_unaligned_le64(page + SANDBOX_IDENTITY_GENERATION);
	out->realtime_ns = get_unaligned_le64(page + SANDBOX_IDENTITY_REALTIME);
	memcpy(out->entropy, page + SANDBOX_IDENTITY_ENTROPY, SANDBOX_ENTROPY_SIZE);
	memzero_explicit(page + SANDBOX_IDENTITY_ENTROPY, SANDBOX_ENTROPY_SIZE);
	mutex_unlock(&lock);
	if (out->generation)
		add_device_randomness(out, sizeof(*out));
	generation_set(out->generation);
}

int identity_init(void)
{
	page = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	sandbox_show_identity(virt_to_phys(page));
	return 0;
}

/* The page stays: the monitor knows it, and has no way to forget. */
void identity_exit(void)
{
}
