// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Struct pages for the BARs of PCI devices, so that programs can map peer memory and drivers can pin it: as device-dax
 * does it, of type MEMORY_DEVICE_GENERIC. (Pages of type PCI_P2PDMA can be pinned only by callers that pass
 * FOLL_PCI_P2PDMA, which habanalabs does not.)
 *
 * Pages are made in chunks, which several dma-bufs of neighbouring or the same memory share: memremap_pages() takes a
 * piece of memory only once.
 */

#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "pages.h"

/* Not less than a subsection (linux/mmzone.h, SUBSECTION_SIZE), which is what can be given pages at all. */
#define LEAST_CHUNK SZ_2M
/* One chunk's pages take 512 KiB; making and removing a chunk takes as long whatever its size. */
#define USUAL_CHUNK SZ_32M

#ifndef CONFIG_ZONE_DEVICE
static void *memremap_pages(struct dev_pagemap *map, int node)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void memunmap_pages(struct dev_pagemap *map)
{
}
#endif

struct chunk {
	struct list_head node;
	struct dev_pagemap map;
	unsigned int users;
};

static LIST_HEAD(chunks);
/* Who has pages. A page that is in use is kept by at least one of them. */
static LIST_HEAD(all);
static DEFINE_MUTEX(lock);

static struct chunk *find(phys_addr_t address)
{
	struct chunk *chunk;

	list_for_each_entry(chunk, &chunks, node)
		if (address >= chunk->map.range.start && address <= chunk->map.range.end)
			return chunk;
	return NULL;
}

/* The memory BAR that has an address. */
static bool find_bar(phys_addr_t address, struct range *bar)
{
	struct pci_dev *dev = NULL;
	int i;

	for_each_pci_dev(dev) {
		for (i = 0; i < PCI_STD_NUM_BARS; i++) {
			if (!(pci_resource_flags(dev, i) & IORESOURCE_MEM) || pci_resource_len(dev, i) == 0)
				continue;
			if (address < pci_resource_start(dev, i) || address > pci_resource_end(dev, i))
				continue;
			bar->start = pci_resource_start(dev, i);
			bar->end = pci_resource_end(dev, i);
			pci_dev_put(dev);
			return true;
		}
	}
	return false;
}

static struct chunk *make(phys_addr_t address)
{
	struct range bar;
	struct chunk *chunk;
	u64 size;
	void *there;

	if (!find_bar(address, &bar))
		return ERR_PTR(-EOPNOTSUPP);
	/* a BAR is a power of two and aligned to it, so whole chunks fit */
	size = min_t(u64, range_len(&bar), USUAL_CHUNK);
	if (size < LEAST_CHUNK)
		return ERR_PTR(-EOPNOTSUPP);
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return ERR_PTR(-ENOMEM);
	chunk->map.type = MEMORY_DEVICE_GENERIC;
	chunk->map.range.start = address & ~(size - 1);
	chunk->map.range.end = chunk->map.range.start + size - 1;
	chunk->map.nr_range = 1;
	there = memremap_pages(&chunk->map, NUMA_NO_NODE);
	if (IS_ERR(there)) {
		kfree(chunk);
		return ERR_CAST(there);
	}
	list_add(&chunk->node, &chunks);
	return chunk;
}

static void put(struct chunk *chunk)
{
	if (--chunk->users > 0)
		return;
	list_del(&chunk->node);
	memunmap_pages(&chunk->map);
	kfree(chunk);
}

/* Takes the chunks of the range away, up to `end`. */
static void put_range(phys_addr_t address, phys_addr_t end)
{
	while (address < end) {
		struct chunk *chunk = find(address);
		phys_addr_t next = chunk->map.range.end + 1;

		put(chunk);
		address = next;
	}
}

static int get_range(phys_addr_t start, phys_addr_t end)
{
	phys_addr_t address = start;

	while (address < end) {
		struct chunk *chunk = find(address);

		if (!chunk)
			chunk = make(address);
		if (IS_ERR(chunk)) {
			put_range(start, address);
			return PTR_ERR(chunk);
		}
		chunk->users++;
		address = chunk->map.range.end + 1;
	}
	return 0;
}

static void put_entries(struct sg_table *sgt, int count)
{
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (i == count)
			break;
		put_range(sg_dma_address(sg), sg_dma_address(sg) + sg_dma_len(sg));
	}
}

int pages_get(struct pages *pages, struct sg_table *sgt)
{
	struct scatterlist *sg;
	int i, rc = 0;

	mutex_lock(&lock);
	for_each_sgtable_dma_sg(sgt, sg, i) {
		rc = get_range(sg_dma_address(sg), sg_dma_address(sg) + sg_dma_len(sg));
		if (rc) {
			put_entries(sgt, i);
			break;
		}
	}
	if (rc == 0) {
		pages->sgt = sgt;
		list_add(&pages->node, &all);
	}
	mutex_unlock(&lock);
	return rc;
}

/* Whether others keep the page at `address` too. */
static bool kept(struct pages *not, phys_addr_t address)
{
	struct scatterlist *sg;
	struct pages *pages;
	int i;

	list_for_each_entry(pages, &all, node) {
		if (pages == not)
			continue;
		for_each_sgtable_dma_sg(pages->sgt, sg, i)
			if (address >= sg_dma_address(sg) && address - sg_dma_address(sg) < sg_dma_len(sg))
				return true;
	}
	return false;
}

static bool in_use(struct pages *pages)
{
	struct scatterlist *sg;
	u64 at;
	int i;

	for_each_sgtable_dma_sg(pages->sgt, sg, i) {
		for (at = 0; at < sg_dma_len(sg); at += PAGE_SIZE) {
			phys_addr_t address = sg_dma_address(sg) + at;

			/* a page that nobody uses has one reference, that of its pagemap */
			if (page_ref_count(pfn_to_page(PHYS_PFN(address))) != 1 && !kept(pages, address))
				return true;
		}
	}
	return false;
}

int pages_put(struct pages *pages)
{
	int rc = 0;

	mutex_lock(&lock);
	if (in_use(pages))
		rc = -EBUSY;
	else {
		list_del(&pages->node);
		put_entries(pages->sgt, pages->sgt->nents);
		pages->sgt = NULL;
	}
	mutex_unlock(&lock);
	return rc;
}
