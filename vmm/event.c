/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/event.h"

#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

uint64_t event_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void post(int fd, enum vmm_event_kind kind, uint32_t code, uint64_t ns, const char *text)
{
	struct vmm_event event = { .kind = kind, .code = code, .ns = ns };

	if (fd < 0)
		return;
	if (text)
		snprintf(event.text, sizeof event.text, "%s", text);
	if (send(fd, &event, sizeof event, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof event)
		log_debug("event %d is lost: the proxy does not listen", (int)kind);
}

void event_stamp(int fd, enum vmm_stamp stamp, uint64_t ns)
{
	post(fd, VMM_EVENT_STAMP, stamp, ns, NULL);
}

void event_panic(int fd, const char *text)
{
	post(fd, VMM_EVENT_PANIC, 0, event_now(), text);
}

void event_off(int fd, uint32_t code)
{
	post(fd, VMM_EVENT_OFF, code, event_now(), NULL);
}

void event_error(int fd, int code, const char *text)
{
	post(fd, VMM_EVENT_ERROR, (uint32_t)code, event_now(), text);
}
