// SPDX-License-Identifier: GPL-2.0
/*
 * reported.c - free memory that the host need not be told of.
 *
 * Two seconds after the balloon's driver has found its device, the kernel reports all memory that is free. In a VM that
 * begins as a copy of a saved one the host has given nothing for that memory yet, and yet telling it means to take each
 * free block off its list and put it back, which reads all of the array of struct page: thousands of pages that the host
 * has to map, in each copy. So the one that is about to be saved marks them beforehand; whatever is freed later is
 * reported as ever.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/page-flags.h>
#include <linux/spinlock.h>

#include "reported.h"

static void mark_list(struct list_head *list)
{
	struct page *page;

	list_for_each_entry(page, list, buddy_list)
		if (!PageReported(page))
			__SetPageReported(page);
}

static void mark_zone(struct zone *zone)
{
	unsigned int order, type;

	spin_lock_irq(&zone->lock);
	for (order = pageblock_order; order < NR_PAGE_ORDERS; order++)
		for (type = 0; type < MIGRATE_TYPES; type++)
			mark_list(&zone->free_area[order].free_list[type]);
	spin_unlock_irq(&zone->lock);
}

void reported_mark_free(void)
{
	struct pglist_data *node = NODE_DATA(0); /* the only one: CONFIG_NUMA is off */
	unsigned int i;

	for (i = 0; i < MAX_NR_ZONES; i++)
		if (populated_zone(&node->node_zones[i]))
			mark_zone(&node->node_zones[i]);
}
