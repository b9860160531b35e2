// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Lets the compute node of the habanalabs driver be opened on kernels whose driver does not declare
 * FOP_UNSIGNED_OFFSET (docs/findings/0001-habanalabs-compute-node-cannot-be-opened.md).
 *
 * drm_open_helper() refuses a file whose operations lack the flag. This module gives such a file, before the check, a
 * copy of its operations that has it. Neither the driver nor the DRM core is changed.
 */

#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>

/* The operations as they should be, and whose copy they are. */
static struct file_operations corrected;
static const struct file_operations *original;
static DEFINE_RAW_SPINLOCK(lock);

static int before_open(struct kprobe *probe, struct pt_regs *regs)
{
	/* int drm_open_helper(struct file *filp, struct drm_minor *minor) */
	struct file *file = (struct file *)regs->di;
	struct drm_minor *minor = (struct drm_minor *)regs->si;
	const struct file_operations *operations = file->f_op;
	unsigned long flags;

	if ((operations->fop_flags & FOP_UNSIGNED_OFFSET) || strcmp(minor->dev->driver->name, "habanalabs") != 0)
		return 0;
	raw_spin_lock_irqsave(&lock, flags);
	/*
	 * The driver may have been unloaded and loaded again since the copy was made. Whoever still used the old copy
	 * would have kept the driver loaded, so nobody does.
	 */
	if (operations != original || operations->owner != corrected.owner || operations->open != corrected.open) {
		corrected = *operations;
		corrected.fop_flags |= FOP_UNSIGNED_OFFSET;
		original = operations;
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	file->f_op = &corrected;
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "drm_open_helper",
	.pre_handler = before_open,
};

static int __init sagrada_helper_init(void)
{
	return register_kprobe(&probe);
}

/* No exit: files that are open keep using the copy. */
module_init(sagrada_helper_init);
MODULE_DESCRIPTION("Opens the habanalabs compute node on kernels whose driver lacks FOP_UNSIGNED_OFFSET");
MODULE_LICENSE("Dual MIT/GPL");
