/* SPDX-License-Identifier: MIT OR GPL-2.0 */
#ifndef SAGRADA_IMPORTER_PAGES_H
#define SAGRADA_IMPORTER_PAGES_H

#include <linux/scatterlist.h>
#include <linux/types.h>

/* Gives the memory of BARs that a mapped scatter list names struct pages. -EOPNOTSUPP where it is not in BARs. */
int pages_get(struct sg_table *sgt);
/* Takes them away again; they must not be in use. */
void pages_put(struct sg_table *sgt);
/* Whether somebody maps or pins one of them. */
bool pages_in_use(struct sg_table *sgt);

#endif
