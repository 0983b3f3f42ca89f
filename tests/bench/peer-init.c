// SPDX-License-Identifier: Apache-2.0
/*
 * PID 1 for the boot comparison: says that it runs, in a way the host sees as a
 * write to the serial port (a kernel message of the highest level), then ends.
 */
#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int main(void)
{
	mknod("/kmsg", S_IFCHR | 0600, makedev(1, 11));
	int fd = open("/kmsg", O_WRONLY);
	if (fd >= 0 && write(fd, "<0>~\n", 5) == 5)
		sync();
	reboot(RB_AUTOBOOT);
	return 1;
}
