// SPDX-License-Identifier: GPL-2.0
/*
 * generation.c - a file that becomes readable when this guest has become another one.
 *
 * For programs that keep what no two guests may have in common: a random generator's state, a session id, a lease. A
 * container that opens it learns a random number, and that is all there is: whoever may open it may know it.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "bulkhead_uapi.h"
#include "generation.h"

static DECLARE_WAIT_QUEUE_HEAD(readers);
static DEFINE_SPINLOCK(lock);
static u64 current_generation;

/* What an open file has seen. Two threads that read one file may both get a number, or one of them may wait. */
struct reader {
	u64 seen;
};

static u64 get(void)
{
	u64 generation;

	spin_lock(&lock);
	generation = current_generation;
	spin_unlock(&lock);
	return generation;
}

void generation_set(u64 generation)
{
	bool is_new;

	spin_lock(&lock);
	is_new = generation != current_generation;
	current_generation = generation;
	spin_unlock(&lock);
	if (is_new)
		wake_up_interruptible(&readers);
}

static int generation_open(struct inode *inode, struct file *file)
{
	struct reader *reader = kzalloc(sizeof(*reader), GFP_KERNEL);

	if (!reader)
		return -ENOMEM;
	reader->seen = get();
	file->private_data = reader;
	return nonseekable_open(inode, file);
}

static int generation_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

static ssize_t generation_read(struct file *file, char __user *out, size_t size, loff_t *offset)
{
	struct reader *reader = file->private_data;
	u64 generation;
	int ret;

	if (size < sizeof(generation))
		return -EINVAL;
	if (file->f_flags & O_NONBLOCK) {
		if (get() == READ_ONCE(reader->seen))
			return -EAGAIN;
	} else {
		ret = wait_event_interruptible(readers, get() != READ_ONCE(reader->seen));
		if (ret)
			return ret;
	}
	generation = get();
	WRITE_ONCE(reader->seen, generation);
	return copy_to_user(out, &generation, sizeof(generation)) ? -EFAULT : (ssize_t)sizeof(generation);
}

static __poll_t generation_poll(struct file *file, poll_table *wait)
{
	struct reader *reader = file->private_data;

	poll_wait(file, &readers, wait);
	return get() != READ_ONCE(reader->seen) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations generation_fops = {
	.owner = THIS_MODULE,
	.open = generation_open,
	.release = generation_release,
	.read = generation_read,
	.poll = generation_poll,
};

static struct miscdevice generation_device = {
	.minor = BULKHEAD_GENERATION_MINOR,
	.name = "bulkhead-generation",
	.mode = 0444,
	.fops = &generation_fops,
};

int generation_init(void)
{
	return misc_register(&generation_device);
}

void generation_exit(void)
{
	misc_deregister(&generation_device);
}
