// SPDX-License-Identifier: GPL-2.0
/*
 * chardev.c - ioctls of /dev/bulkhead. Arguments are checked here; what passes is written to the device as it is.
 *
 * The callers are the agent and, if something went wrong in the agent, a hostile container. Mode 0600 is not enough
 * against the second: root in a container may be root here, and may have the right to make device nodes.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "bulkhead_uapi.h"
#include "chardev.h"
#include "handover.h"
#include "hotplug.h"
#include "identity.h"
#include "reported.h"
#include "sandbox.h"
#include "sandbox_regs.h"

static long do_stamp(const void __user *arg)
{
	u32 stamp;

	if (copy_from_user(&stamp, arg, sizeof(stamp)))
		return -EFAULT;
	if (stamp == SANDBOX_STAMP_NONE || stamp >= SANDBOX_STAMP_COUNT)
		return -EINVAL;
	sandbox_stamp(stamp);
	return 0;
}

static long do_set_status(const void __user *arg)
{
	u32 status;

	if (copy_from_user(&status, arg, sizeof(status)))
		return -EFAULT;
	if (status > U8_MAX)
		return -EINVAL;
	handover_set_status(status);
	return 0;
}

static long do_power_off(const void __user *arg)
{
	struct bulkhead_power_off off;
	char *text = NULL;

	if (copy_from_user(&off, arg, sizeof(off)))
		return -EFAULT;
	if (off.status > U8_MAX || off.reason >= SANDBOX_OFF_REASON_COUNT || off.reserved ||
	    off.text_length > SANDBOX_PANIC_MAX)
		return -EINVAL;
	if (off.text_length) {
		text = memdup_user(u64_to_user_ptr(off.text), off.text_length);
		if (IS_ERR(text))
			return PTR_ERR(text);
	}
	handover_power_off(off.status, off.reason, text, off.text_length);
	/* The device did not take it. */
	kfree(text);
	return -EIO;
}

static long do_device(unsigned int command, const void __user *arg)
{
	struct bulkhead_device_place place;

	if (copy_from_user(&place, arg, sizeof(place)))
		return -EFAULT;
	if (place.reserved)
		return -EINVAL;
	if (command == BULKHEAD_IOC_ADD_DEVICE)
		return hotplug_add(place.address, place.irq);
	return hotplug_remove(place.address);
}

static long do_identity(void __user *arg)
{
	struct bulkhead_identity identity = {};
	long ret = 0;

	identity_take(&identity);
	if (copy_to_user(arg, &identity, sizeof(identity)))
		ret = -EFAULT;
	memzero_explicit(&identity, sizeof(identity));
	return ret;
}

static long chardev_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	const void __user *user = (const void __user *)arg;

	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	switch (command) {
	case BULKHEAD_IOC_STAMP:
		return do_stamp(user);
	case BULKHEAD_IOC_SET_STATUS:
		return do_set_status(user);
	case BULKHEAD_IOC_POWER_OFF:
		return do_power_off(user);
	case BULKHEAD_IOC_ADD_DEVICE:
	case BULKHEAD_IOC_REMOVE_DEVICE:
		return do_device(command, user);
	case BULKHEAD_IOC_IDENTITY:
		return do_identity((void __user *)arg);
	case BULKHEAD_IOC_MARK_FREE:
		reported_mark_free();
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations chardev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl, /* the structs have one layout for both word sizes */
};

static struct miscdevice chardev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bulkhead",
	.mode = 0600,
	.fops = &chardev_fops,
};

int chardev_init(void)
{
	return misc_register(&chardev);
}

void chardev_exit(void)
{
	misc_deregister(&chardev);
}
