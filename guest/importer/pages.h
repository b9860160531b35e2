/* SPDX-License-Identifier: MIT OR GPL-2.0 */
#ifndef SAGRADA_IMPORTER_PAGES_H
#define SAGRADA_IMPORTER_PAGES_H

#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

/* Memory of BARs that has struct pages on behalf of a mapped scatter list. */
struct pages {
	struct list_head node;
	struct sg_table *sgt; /* NULL: none */
};

/* Gives the memory that `sgt` names pages. -EOPNOTSUPP where it is not in BARs. */
int pages_get(struct pages *pages, struct sg_table *sgt);
/* Takes them away again. -EBUSY where somebody uses one of them that nobody else keeps. */
int pages_put(struct pages *pages);

#endif
