/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandbox.h"

#include "common/err.h"
#include "vmm/guest_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>

void sandbox_init(struct sandbox *sandbox, const struct guest_memory *memory)
{
	*sandbox = (struct sandbox){ .memory = memory, .notice_fd = -1 };
	pthread_mutex_init(&sandbox->lock, NULL);
}

void sandbox_destroy(struct sandbox *sandbox)
{
	pthread_mutex_destroy(&sandbox->lock);
}

static void notify(struct sandbox *sandbox)
{
	if (sandbox->notice_fd >= 0)
		eventfd_write(sandbox->notice_fd, 1);
}

/* True: noted, the loop is to look. */
static bool stamp(struct sandbox *sandbox, uint32_t number)
{
	struct timespec now;

	if (number == SANDBOX_STAMP_NONE || number >= SANDBOX_STAMP_COUNT || sandbox->stamps[number]) {
		sandbox->refused++;
		return false;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	sandbox->stamps[number] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return true;
}

static void take_panic(struct sandbox *sandbox, uint32_t length)
{
	size_t bounded = length < sizeof sandbox->panic_text ? length : sizeof sandbox->panic_text;

	if (guest_memory_read(sandbox->memory, sandbox->panic_address, sandbox->panic_text, bounded))
		sandbox->panic_length = bounded;
	else
		sandbox->refused++;
}

/* Bytes that end where they begin: in one page, in memory. */
static bool is_place_for_identity(const struct sandbox *sandbox, uint64_t address)
{
	return address && address % GUEST_PAGE <= GUEST_PAGE - SANDBOX_IDENTITY_SIZE &&
	       guest_memory_at(sandbox->memory, address, SANDBOX_IDENTITY_SIZE);
}

static void take_identity(struct sandbox *sandbox, uint32_t high)
{
	uint64_t address = (uint64_t)high << 32 | sandbox->identity_low;

	if (is_place_for_identity(sandbox, address))
		sandbox->identity_address = address;
	else
		sandbox->refused++;
}

static void power_off(struct sandbox *sandbox, uint32_t value)
{
	uint8_t reason = (uint8_t)(value >> 8);

	sandbox->is_off = true;
	sandbox->off_status = (uint8_t)value;
	sandbox->off_reason = reason < SANDBOX_OFF_REASON_COUNT ? reason : SANDBOX_OFF_AGENT;
}

void sandbox_read(struct sandbox *sandbox, uint32_t offset, void *data, unsigned length)
{
	uint32_t value = 0;

	memset(data, 0, length);
	if (length != sizeof value)
		offset = UINT32_MAX;
	switch (offset) {
	case SANDBOX_REG_MAGIC:
		value = SANDBOX_MAGIC_VALUE;
		break;
	case SANDBOX_REG_VERSION:
		value = SANDBOX_VERSION_VALUE;
		break;
	case SANDBOX_REG_FEATURES:
		break;
	default:
		pthread_mutex_lock(&sandbox->lock);
		sandbox->refused++;
		pthread_mutex_unlock(&sandbox->lock);
		return;
	}
	memcpy(data, &value, sizeof value);
}

bool sandbox_write(struct sandbox *sandbox, uint32_t offset, const void *data, unsigned length)
{
	bool tell = false, off;
	uint32_t value;

	pthread_mutex_lock(&sandbox->lock);
	if (length == sizeof value)
		memcpy(&value, data, sizeof value);
	else
		offset = UINT32_MAX;
	switch (offset) {
	case SANDBOX_REG_STAMP:
		tell = stamp(sandbox, value);
		break;
	case SANDBOX_REG_POWER_OFF:
		/* The first one counts: another vCPU may still be on its way here. */
		if (!sandbox->is_off)
			power_off(sandbox, value);
		tell = true;
		break;
	case SANDBOX_REG_PANIC_ADDR_LOW:
		sandbox->panic_address = (sandbox->panic_address >> 32 << 32) | value;
		break;
	case SANDBOX_REG_PANIC_ADDR_HIGH:
		sandbox->panic_address = (uint64_t)value << 32 | (uint32_t)sandbox->panic_address;
		break;
	case SANDBOX_REG_PANIC_LENGTH:
		take_panic(sandbox, value);
		break;
	case SANDBOX_REG_IDENTITY_LOW:
		sandbox->identity_low = value;
		break;
	case SANDBOX_REG_IDENTITY_HIGH:
		take_identity(sandbox, value);
		break;
	default:
		sandbox->refused++;
		break;
	}
	off = sandbox->is_off;
	pthread_mutex_unlock(&sandbox->lock);
	if (tell)
		notify(sandbox);
	return !off;
}

uint64_t sandbox_stamp(struct sandbox *sandbox, enum sandbox_stamp number)
{
	uint64_t ns;

	pthread_mutex_lock(&sandbox->lock);
	ns = sandbox->stamps[number];
	pthread_mutex_unlock(&sandbox->lock);
	return ns;
}

size_t sandbox_panic(struct sandbox *sandbox, char out[SANDBOX_PANIC_MAX])
{
	size_t length;

	pthread_mutex_lock(&sandbox->lock);
	length = sandbox->panic_length;
	memcpy(out, sandbox->panic_text, length);
	pthread_mutex_unlock(&sandbox->lock);
	return length;
}

bool sandbox_is_off(struct sandbox *sandbox, uint8_t *status, uint8_t *reason)
{
	bool off;

	pthread_mutex_lock(&sandbox->lock);
	off = sandbox->is_off;
	*status = sandbox->off_status;
	*reason = sandbox->off_reason;
	pthread_mutex_unlock(&sandbox->lock);
	return off;
}

/* --- another life ------------------------------------------------------------------------------------------ */

void sandbox_save(struct sandbox *sandbox, struct sandbox_saved *out)
{
	pthread_mutex_lock(&sandbox->lock);
	*out = (struct sandbox_saved){ .identity_address = sandbox->identity_address };
	pthread_mutex_unlock(&sandbox->lock);
}

int sandbox_restore(struct sandbox *sandbox, const struct sandbox_saved *saved, struct err *err)
{
	if (!is_place_for_identity(sandbox, saved->identity_address))
		return err_set(err, EBADMSG, "the saved guest has no place for a new identity");
	pthread_mutex_lock(&sandbox->lock);
	sandbox->identity_address = saved->identity_address;
	pthread_mutex_unlock(&sandbox->lock);
	return 0;
}

int sandbox_renew(struct sandbox *sandbox, struct err *err)
{
	uint8_t identity[SANDBOX_IDENTITY_SIZE];
	uint64_t generation, realtime;
	struct timespec now;
	bool written;

	if (getrandom(identity, sizeof identity, 0) != (ssize_t)sizeof identity)
		return err_set_errno(err, "there is no entropy for the guest");
	memcpy(&generation, identity, sizeof generation);
	generation |= 1; /* never 0 */
	clock_gettime(CLOCK_REALTIME, &now);
	realtime = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	memcpy(identity + SANDBOX_IDENTITY_GENERATION, &generation, sizeof generation);
	memcpy(identity + SANDBOX_IDENTITY_REALTIME, &realtime, sizeof realtime);
	pthread_mutex_lock(&sandbox->lock);
	written = guest_memory_write(sandbox->memory, sandbox->identity_address, identity, sizeof identity);
	pthread_mutex_unlock(&sandbox->lock);
	explicit_bzero(identity, sizeof identity);
	return written ? 0 : err_set(err, EIO, "the guest has no place for a new identity");
}
