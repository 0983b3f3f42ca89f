// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - bulkhead_guest: the guest's half of the sandbox device.
 *
 * The agent loads this module first of all. From then on the monitor learns how the guest gets on (boot stamps) and
 * how it ends (status, reason, text); and the guest learns when it has become another one (identity.c).
 */
#include <linux/module.h>

#include "chardev.h"
#include "generation.h"
#include "handover.h"
#include "hotplug.h"
#include "identity.h"
#include "sandbox.h"
#include "sandbox_regs.h"

static int __init bulkhead_guest_init(void)
{
	int ret;

	ret = sandbox_map();
	if (ret)
		return ret;
	sandbox_stamp(SANDBOX_STAMP_MODULE);
	ret = handover_init();
	if (ret)
		goto err_sandbox;
	ret = identity_init();
	if (ret)
		goto err_handover;
	ret = generation_init();
	if (ret)
		goto err_identity;
	ret = chardev_init();
	if (ret)
		goto err_generation;
	return 0;

err_generation:
	generation_exit();
err_identity:
	identity_exit();
err_handover:
	handover_exit();
err_sandbox:
	sandbox_unmap();
	return ret;
}

/* Not reached in our guest kernel, which is built without CONFIG_MODULE_UNLOAD. */
static void __exit bulkhead_guest_exit(void)
{
	chardev_exit();
	generation_exit();
	hotplug_exit();
	identity_exit();
	handover_exit();
	sandbox_unmap();
}

module_init(bulkhead_guest_init);
module_exit(bulkhead_guest_exit);

MODULE_DESCRIPTION("Guest side of the Bulkhead sandbox device");
MODULE_LICENSE("GPL");
