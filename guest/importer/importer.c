// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Imports dma-bufs on behalf of any PCI device and hands the result to a program (docs/importer.md): attach, map, unmap
 * and detach as the program says, and, where asked for, the memory itself by mmap, which other drivers can then pin.
 * It does what the importing half of a driver does and nothing to the driver of the device or of the exporter.
 */

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "pages.h"
#include "sagrada_importer.h"

/* How often memory whose importer has gone is looked at, ms. */
#define LINGER 10

struct import {
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attachment;
	struct pci_dev *client;
	bool dynamic;
	/* While it is mapped. */
	struct sg_table *sgt;
	enum dma_data_direction direction;
	struct pages pages;
	/* Under the lock of the handles: whether programs may map it, and how often they do. */
	bool mappable;
	unsigned int mappings;
	struct xarray *handles;
	struct list_head lingering;
};

/* An open file. */
struct importer {
	/* Serialises the ioctls. Not taken by mmap: those who hold the lock may fault. */
	struct mutex lock;
	struct xarray handles;
};

/* The exporter moves the memory. It cannot: what is mapped is pinned. */
static void moved(struct dma_buf_attachment *attachment)
{
	dev_warn_once(attachment->dev, "sagrada_importer: pinned dma-buf moves\n");
}

#ifdef HAVE_INVALIDATE_MAPPINGS
#define MOVED .invalidate_mappings = moved
#else
#define MOVED .move_notify = moved
#endif

static const struct dma_buf_attach_ops dynamic_ops = { MOVED };
static const struct dma_buf_attach_ops peer_ops = { .allow_peer2peer = true, MOVED };

static int map(struct import *import, enum dma_data_direction direction)
{
	struct sg_table *sgt;
	int rc;

	dma_resv_lock(import->dmabuf->resv, NULL);
	if (import->dynamic) {
		rc = dma_buf_pin(import->attachment);
		if (rc) {
			dma_resv_unlock(import->dmabuf->resv);
			return rc;
		}
	}
	sgt = dma_buf_map_attachment(import->attachment, direction);
	if (IS_ERR(sgt) && import->dynamic)
		dma_buf_unpin(import->attachment);
	dma_resv_unlock(import->dmabuf->resv);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	import->sgt = sgt;
	import->direction = direction;
	return 0;
}

/* The pages have been given back. */
static void unmap(struct import *import)
{
	dma_resv_lock(import->dmabuf->resv, NULL);
	dma_buf_unmap_attachment(import->attachment, import->sgt, import->direction);
	if (import->dynamic)
		dma_buf_unpin(import->attachment);
	dma_resv_unlock(import->dmabuf->resv);
	import->sgt = NULL;
}

static void detach(struct import *import)
{
	dma_buf_detach(import->dmabuf, import->attachment);
	dma_buf_put(import->dmabuf);
	pci_dev_put(import->client);
	kfree(import);
}

/*
 * Imports whose file is closed while a driver has their pages pinned. The exporter must not get its memory back before
 * they are given up; nobody tells us when that is.
 */
static LIST_HEAD(lingering);
static DEFINE_MUTEX(lingering_lock);
static void look_again(struct work_struct *work);
static DECLARE_DELAYED_WORK(linger_work, look_again);

static void look_again(struct work_struct *work)
{
	struct import *import, *next;

	mutex_lock(&lingering_lock);
	list_for_each_entry_safe(import, next, &lingering, lingering) {
		if (pages_put(&import->pages))
			continue;
		list_del(&import->lingering);
		unmap(import);
		detach(import);
		module_put(THIS_MODULE);
	}
	if (!list_empty(&lingering))
		schedule_delayed_work(&linger_work, msecs_to_jiffies(LINGER));
	mutex_unlock(&lingering_lock);
}

static void release(struct import *import)
{
	if (import->pages.sgt && pages_put(&import->pages)) {
		__module_get(THIS_MODULE);
		mutex_lock(&lingering_lock);
		list_add(&import->lingering, &lingering);
		schedule_delayed_work(&linger_work, msecs_to_jiffies(LINGER));
		mutex_unlock(&lingering_lock);
		return;
	}
	if (import->sgt)
		unmap(import);
	detach(import);
}

/* As the kernel judges processors (drivers/pci/p2pdma.c, cpu_supports_p2pdma). */
static bool trusted_processor(void)
{
#ifdef CONFIG_X86
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD && boot_cpu_data.x86 >= 0x17;
#else
	return false;
#endif
}

static long info_ioctl(struct importer *importer, void __user *argument)
{
	struct sagrada_importer_info info = { 0 };

	if (IS_ENABLED(CONFIG_PCI_P2PDMA))
		info.features |= SAGRADA_IMPORTER_P2PDMA;
	if (IS_ENABLED(CONFIG_ZONE_DEVICE))
		info.features |= SAGRADA_IMPORTER_MMAP;
	if (trusted_processor())
		info.features |= SAGRADA_IMPORTER_HOST_ROUTES;
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

static struct dma_buf_attachment *attach(struct import *import, u32 flags)
{
	struct device *dev = &import->client->dev;

	if (!(flags & SAGRADA_IMPORTER_DYNAMIC))
		return dma_buf_attach(import->dmabuf, dev);
	return dma_buf_dynamic_attach(import->dmabuf, dev,
				      flags & SAGRADA_IMPORTER_PEER2PEER ? &peer_ops : &dynamic_ops, import);
}

static long attach_ioctl(struct importer *importer, void __user *argument)
{
	struct sagrada_importer_attach in;
	struct import *import;
	u32 handle;
	int rc;

	if (copy_from_user(&in, argument, sizeof(in)))
		return -EFAULT;
	if ((in.flags & ~(SAGRADA_IMPORTER_DYNAMIC | SAGRADA_IMPORTER_PEER2PEER)) || in.reserved || in.reserved2)
		return -EINVAL;
	/* a rule of the dma-buf core up to 6.x (dma_buf_dynamic_attach warns), which we keep */
	if ((in.flags & SAGRADA_IMPORTER_PEER2PEER) && !(in.flags & SAGRADA_IMPORTER_DYNAMIC))
		return -EINVAL;
	if (in.device > 31 || in.function > 7)
		return -EINVAL;
	import = kzalloc(sizeof(*import), GFP_KERNEL);
	if (!import)
		return -ENOMEM;
	import->handles = &importer->handles;
	import->dynamic = in.flags & SAGRADA_IMPORTER_DYNAMIC;
	import->dmabuf = dma_buf_get(in.fd);
	if (IS_ERR(import->dmabuf)) {
		rc = PTR_ERR(import->dmabuf);
		goto free;
	}
	import->client = pci_get_domain_bus_and_slot(in.domain, in.bus, PCI_DEVFN(in.device, in.function));
	if (!import->client) {
		rc = -ENODEV;
		goto put_dmabuf;
	}
	import->attachment = attach(import, in.flags);
	if (IS_ERR(import->attachment)) {
		rc = PTR_ERR(import->attachment);
		goto put_client;
	}
	in.size = import->dmabuf->size;
	rc = xa_alloc(&importer->handles, &handle, import, XA_LIMIT(1, (1 << 20) - 1), GFP_KERNEL);
	if (rc) {
		release(import);
		return rc;
	}
	in.handle = handle;
	/* where that fails the handle stays: another thread may use it by now */
	return copy_to_user(argument, &in, sizeof(in)) ? -EFAULT : 0;

put_client:
	pci_dev_put(import->client);
put_dmabuf:
	dma_buf_put(import->dmabuf);
free:
	kfree(import);
	return rc;
}

/* Whether addresses of the client are those of the processor, so that they say which memory is meant. */
static bool untranslated(struct import *import)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&import->client->dev);

	return !domain || domain->type == IOMMU_DOMAIN_IDENTITY;
}

/* @return false where it is mapped; then nothing is changed. */
static bool set_mappable(struct import *import, bool mappable)
{
	bool idle;

	xa_lock(import->handles);
	idle = import->mappings == 0;
	if (idle)
		import->mappable = mappable;
	xa_unlock(import->handles);
	return idle;
}

static int get_pages(struct import *import)
{
	int rc;

	if (!untranslated(import))
		return -EOPNOTSUPP;
	rc = pages_get(&import->pages, import->sgt);
	if (rc)
		return rc;
	set_mappable(import, true);
	return 0;
}

/* Takes the pages away, if there are any. @return -EBUSY while a program maps them, or a driver has them pinned. */
static int put_pages(struct import *import)
{
	int rc;

	if (!import->pages.sgt)
		return 0;
	if (!set_mappable(import, false))
		return -EBUSY;
	rc = pages_put(&import->pages);
	if (rc)
		set_mappable(import, true);
	return rc;
}

static long map_locked(struct importer *importer, struct sagrada_importer_map *in,
		       struct sagrada_importer_entry **entries)
{
	struct import *import = xa_load(&importer->handles, in->handle);
	struct scatterlist *sg;
	u32 room = in->count;
	int i, rc;

	if (!import)
		return -EINVAL;
	if (import->sgt)
		return -EBUSY;
	rc = map(import, in->direction);
	if (rc)
		return rc;
	if (in->flags & SAGRADA_IMPORTER_PAGES) {
		rc = get_pages(import);
		if (rc)
			goto undo;
	}
	in->count = import->sgt->nents;
	room = min(room, in->count);
	*entries = kvcalloc(max(room, 1u), sizeof(**entries), GFP_KERNEL);
	if (!*entries) {
		rc = -ENOMEM;
		goto undo;
	}
	for_each_sgtable_dma_sg(import->sgt, sg, i) {
		if (i >= room)
			break;
		(*entries)[i].address = sg_dma_address(sg);
		(*entries)[i].length = sg_dma_len(sg);
	}
	return room;

undo:
	if (put_pages(import) == 0)
		unmap(import);
	return rc;
}

static long map_ioctl(struct importer *importer, void __user *argument)
{
	struct sagrada_importer_entry *entries = NULL;
	struct sagrada_importer_map in;
	long rc;

	if (copy_from_user(&in, argument, sizeof(in)))
		return -EFAULT;
	if ((in.flags & ~SAGRADA_IMPORTER_PAGES) || in.direction > SAGRADA_IMPORTER_FROM_DEVICE)
		return -EINVAL;
	mutex_lock(&importer->lock);
	rc = map_locked(importer, &in, &entries);
	mutex_unlock(&importer->lock);
	if (rc < 0)
		return rc;
	if (copy_to_user(u64_to_user_ptr(in.entries), entries, rc * sizeof(*entries)) ||
	    copy_to_user(argument, &in, sizeof(in)))
		rc = -EFAULT; /* it stays mapped, as the handle knows */
	else
		rc = 0;
	kvfree(entries);
	return rc;
}

static long unmap_ioctl(struct importer *importer, void __user *argument)
{
	struct sagrada_importer_handle in;
	struct import *import;
	long rc;

	if (copy_from_user(&in, argument, sizeof(in)))
		return -EFAULT;
	mutex_lock(&importer->lock);
	import = xa_load(&importer->handles, in.handle);
	rc = import && import->sgt ? put_pages(import) : -EINVAL;
	if (rc == 0)
		unmap(import);
	mutex_unlock(&importer->lock);
	return rc;
}

static long detach_ioctl(struct importer *importer, void __user *argument)
{
	struct sagrada_importer_handle in;
	struct import *import;
	long rc = 0;

	if (copy_from_user(&in, argument, sizeof(in)))
		return -EFAULT;
	mutex_lock(&importer->lock);
	import = xa_load(&importer->handles, in.handle);
	if (!import)
		rc = -EINVAL;
	else if (import->sgt)
		rc = -EBUSY;
	else {
		xa_erase(&importer->handles, in.handle);
		detach(import);
	}
	mutex_unlock(&importer->lock);
	return rc;
}

static long importer_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct importer *importer = file->private_data;
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case SAGRADA_IMPORTER_IOCTL_INFO:
		return info_ioctl(importer, pointer);
	case SAGRADA_IMPORTER_IOCTL_ATTACH:
		return attach_ioctl(importer, pointer);
	case SAGRADA_IMPORTER_IOCTL_MAP:
		return map_ioctl(importer, pointer);
	case SAGRADA_IMPORTER_IOCTL_UNMAP:
		return unmap_ioctl(importer, pointer);
	case SAGRADA_IMPORTER_IOCTL_DETACH:
		return detach_ioctl(importer, pointer);
	default:
		return -ENOTTY;
	}
}

static void mapping_opened(struct vm_area_struct *vma)
{
	struct import *import = vma->vm_private_data;

	xa_lock(import->handles);
	import->mappings++;
	xa_unlock(import->handles);
}

static void mapping_closed(struct vm_area_struct *vma)
{
	struct import *import = vma->vm_private_data;

	xa_lock(import->handles);
	import->mappings--;
	xa_unlock(import->handles);
}

static const struct vm_operations_struct mapping_ops = { .open = mapping_opened, .close = mapping_closed };

/* Maps `vma` from byte `skip` of the memory on. */
static int insert(struct vm_area_struct *vma, struct sg_table *sgt, u64 skip)
{
	unsigned long address = vma->vm_start;
	struct scatterlist *sg;
	int i, rc;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 at = min_t(u64, skip, sg_dma_len(sg));

		skip -= at;
		for (; at < sg_dma_len(sg) && address < vma->vm_end; at += PAGE_SIZE, address += PAGE_SIZE) {
			rc = vm_insert_page(vma, address, pfn_to_page(PHYS_PFN(sg_dma_address(sg) + at)));
			if (rc)
				return rc;
		}
	}
	return 0;
}

static int importer_mmap(struct file *file, struct vm_area_struct *vma)
{
	const unsigned int shift = SAGRADA_IMPORTER_OFFSET_SHIFT - PAGE_SHIFT;
	struct importer *importer = file->private_data;
	u64 skip = (u64)(vma->vm_pgoff & ((1ul << shift) - 1)) << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	struct import *import;
	int rc;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	xa_lock(&importer->handles);
	import = xa_load(&importer->handles, vma->vm_pgoff >> shift);
	if (import && import->mappable && skip < import->dmabuf->size && length <= import->dmabuf->size - skip)
		import->mappings++;
	else
		import = NULL;
	xa_unlock(&importer->handles);
	if (!import)
		return -EINVAL;
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	/* as drivers map such BARs: memory types of one page must agree */
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_private_data = import;
	rc = insert(vma, import->sgt, skip);
	if (rc) {
		mapping_closed(vma);
		return rc;
	}
	vma->vm_ops = &mapping_ops;
	return 0;
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *importer = kzalloc(sizeof(*importer), GFP_KERNEL);

	if (!importer)
		return -ENOMEM;
	mutex_init(&importer->lock);
	xa_init_flags(&importer->handles, XA_FLAGS_ALLOC1);
	file->private_data = importer;
	return 0;
}

/* The last descriptor and mapping of the file have gone. */
static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;
	struct import *import;
	unsigned long handle;

	xa_for_each(&importer->handles, handle, import) {
		xa_erase(&importer->handles, handle);
		release(import);
	}
	xa_destroy(&importer->handles);
	kfree(importer);
	return 0;
}

static const struct file_operations importer_ops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
	.mmap = importer_mmap,
};

static struct miscdevice importer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sagrada_importer",
	.fops = &importer_ops,
};

static int __init importer_init(void)
{
	return misc_register(&importer_device);
}

static void __exit importer_exit(void)
{
	misc_deregister(&importer_device);
	cancel_delayed_work_sync(&linger_work);
}

module_init(importer_init);
module_exit(importer_exit);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("DMA_BUF");
#else
MODULE_IMPORT_NS(DMA_BUF);
#endif
MODULE_DESCRIPTION("Imports dma-bufs on behalf of PCI devices, for programs");
MODULE_LICENSE("Dual MIT/GPL");
