// SPDX-License-Identifier: GPL-2.0
/*
 * handover.c - end the VM and leave the monitor a reason.
 *
 * The text travels in one page allocated beforehand: a panic can't allocate, and the device wants memory that is
 * contiguous in guest physical addresses, which module data is not.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/kmsg_dump.h>
#include <linux/notifier.h>
#include <linux/panic_notifier.h>
#include <linux/ptrace.h>
#include <linux/reboot.h>
#include <linux/string.h>

#include "handover.h"
#include "sandbox.h"
#include "sandbox_regs.h"

static_assert(SANDBOX_PANIC_MAX <= PAGE_SIZE);

static char *text_page;
static u8 power_off_status;
static struct sys_off_handler *power_off_handler;

/* What the first oops was about: by the time panic() runs all it says is "Fatal exception". */
static struct {
	atomic_t taken;
	bool is_complete;
	unsigned long ip;
	long error_code;
	char what[48];
} oops;

/*
 * The first line is the reason, since a user may see no more than that. Then come as many of the last kernel messages
 * as fit, oldest first: the iterator picks whole lines from the young end, and takes no lock, so a CPU stopped in the
 * middle of printk does not matter.
 */
static size_t compose_panic_text(char *buf, size_t size, const char *reason)
{
	struct kmsg_dump_iter iter;
	size_t used, lines = 0;

	used = scnprintf(buf, size, "%s", reason);
	if (READ_ONCE(oops.is_complete))
		used += scnprintf(buf + used, size - used, ": %s (error code %#lx) at %pS", oops.what, oops.error_code,
				  (void *)oops.ip);
	used += scnprintf(buf + used, size - used, "\n");
	kmsg_dump_rewind(&iter);
	if (kmsg_dump_get_buffer(&iter, false, buf + used, size - used, &lines))
		used += lines;
	return used;
}

static int oops_happened(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct die_args *args = data;

	/* The first oops is the cause, later ones may be its consequences. Other CPUs may be dying at the same time. */
	if (event != DIE_OOPS || atomic_cmpxchg(&oops.taken, 0, 1))
		return NOTIFY_DONE;
	strscpy(oops.what, args->str, sizeof(oops.what));
	oops.ip = args->regs ? instruction_pointer(args->regs) : 0;
	oops.error_code = args->err;
	WRITE_ONCE(oops.is_complete, true);
	return NOTIFY_DONE;
}

static int panic_happened(struct notifier_block *nb, unsigned long event, void *reason)
{
	size_t length = compose_panic_text(text_page, SANDBOX_PANIC_MAX, reason);

	sandbox_show_text(virt_to_phys(text_page), length);
	sandbox_power_off(0, SANDBOX_OFF_PANIC);
	/* Only a broken monitor gets us here: then the kernel's own way (CONFIG_PANIC_TIMEOUT) ends the VM. */
	return NOTIFY_DONE;
}

static int power_off_requested(struct sys_off_data *data)
{
	sandbox_power_off(READ_ONCE(power_off_status), SANDBOX_OFF_CLEAN);
	return NOTIFY_DONE;
}

static struct notifier_block oops_notifier = { .notifier_call = oops_happened };

/* Last in the chain: another notifier may have something to add to the kernel's messages. */
static struct notifier_block panic_notifier = { .notifier_call = panic_happened, .priority = INT_MIN };

void handover_set_status(u8 status)
{
	WRITE_ONCE(power_off_status, status);
}

void handover_power_off(u8 status, u8 reason, const char *text, size_t length)
{
	/* A panic on another CPU may be writing the page; whose text arrives then does not matter. */
	if (length) {
		length = min_t(size_t, length, SANDBOX_PANIC_MAX);
		memcpy(text_page, text, length);
		sandbox_show_text(virt_to_phys(text_page), length);
	}
	sandbox_power_off(status, reason);
}

int handover_init(void)
{
	int ret;

	text_page = (char *)__get_free_page(GFP_KERNEL);
	if (!text_page)
		return -ENOMEM;
	ret = register_die_notifier(&oops_notifier);
	if (ret)
		goto err_page;
	ret = atomic_notifier_chain_register(&panic_notifier_list, &panic_notifier);
	if (ret)
		goto err_die;
	power_off_handler = register_sys_off_handler(SYS_OFF_MODE_POWER_OFF, SYS_OFF_PRIO_DEFAULT, power_off_requested,
						     NULL);
	if (IS_ERR(power_off_handler)) {
		ret = PTR_ERR(power_off_handler);
		goto err_panic;
	}
	return 0;

err_panic:
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_notifier);
err_die:
	unregister_die_notifier(&oops_notifier);
err_page:
	free_page((unsigned long)text_page);
	return ret;
}

void handover_exit(void)
{
	unregister_sys_off_handler(power_off_handler);
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_notifier);
	unregister_die_notifier(&oops_notifier);
	free_page((unsigned long)text_page);
}
