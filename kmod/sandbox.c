// SPDX-License-Identifier: GPL-2.0
/*
 * sandbox.c - find the sandbox device at its fixed address and write its registers.
 *
 * There is nothing to enumerate: the page is part of the machine, as a chipset register is on a PC. Magic and version
 * tell our monitor from another one that happens to run this kernel.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/printk.h>

#include "sandbox.h"
#include "sandbox_regs.h"

static void __iomem *registers;

static int check_identity(void)
{
	u32 magic = readl(registers + SANDBOX_REG_MAGIC);
	u32 version = readl(registers + SANDBOX_REG_VERSION);

	if (magic != SANDBOX_MAGIC_VALUE) {
		pr_err("no sandbox device at %#x (read %#x there)\n", SANDBOX_MMIO_BASE, magic);
		return -ENODEV;
	}
	if (version != SANDBOX_VERSION_VALUE) {
		pr_err("sandbox device has version %u, this module needs %u: monitor and guest image don't match\n",
		       version, SANDBOX_VERSION_VALUE);
		return -EPROTO;
	}
	return 0;
}

int sandbox_map(void)
{
	int ret;

	if (!request_mem_region(SANDBOX_MMIO_BASE, SANDBOX_MMIO_SIZE, KBUILD_MODNAME))
		return -EBUSY;
	registers = ioremap(SANDBOX_MMIO_BASE, SANDBOX_MMIO_SIZE);
	if (!registers) {
		ret = -ENOMEM;
		goto err_region;
	}
	ret = check_identity();
	if (ret)
		goto err_unmap;
	return 0;

err_unmap:
	iounmap(registers);
err_region:
	release_mem_region(SANDBOX_MMIO_BASE, SANDBOX_MMIO_SIZE);
	return ret;
}

void sandbox_unmap(void)
{
	iounmap(registers);
	release_mem_region(SANDBOX_MMIO_BASE, SANDBOX_MMIO_SIZE);
}

void sandbox_stamp(u32 stamp)
{
	writel(stamp, registers + SANDBOX_REG_STAMP);
}

void sandbox_show_text(phys_addr_t address, size_t length)
{
	writel(lower_32_bits(address), registers + SANDBOX_REG_PANIC_ADDR_LOW);
	writel(upper_32_bits(address), registers + SANDBOX_REG_PANIC_ADDR_HIGH);
	/* The doorbell. writel orders it after the text was written. */
	writel(min_t(size_t, length, SANDBOX_PANIC_MAX), registers + SANDBOX_REG_PANIC_LENGTH);
}

void sandbox_show_identity(phys_addr_t address)
{
	writel(lower_32_bits(address), registers + SANDBOX_REG_IDENTITY_LOW);
	writel(upper_32_bits(address), registers + SANDBOX_REG_IDENTITY_HIGH);
}

void sandbox_power_off(u8 status, u8 reason)
{
	writel(status | reason << 8, registers + SANDBOX_REG_POWER_OFF);
}
