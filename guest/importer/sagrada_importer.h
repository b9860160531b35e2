/* SPDX-License-Identifier: MIT OR (GPL-2.0 WITH Linux-syscall-note) */
/*
 * Interface of /dev/sagrada_importer: imports dma-bufs on behalf of a PCI device (docs/importer.md). The rows of
 * src/uapi/sagrada/importer.ts say the same; a test compares them with this file by the C compiler.
 */
#ifndef SAGRADA_IMPORTER_H
#define SAGRADA_IMPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* sagrada_importer_info.features */
#define SAGRADA_IMPORTER_P2PDMA 0x1 /* the kernel has CONFIG_PCI_P2PDMA */
#define SAGRADA_IMPORTER_MMAP 0x2 /* the kernel can give memory of devices pages: SAGRADA_IMPORTER_PAGES works */
#define SAGRADA_IMPORTER_HOST_ROUTES 0x4 /* the kernel trusts this processor to forward from one root port to another */

/* sagrada_importer_attach.flags */
#define SAGRADA_IMPORTER_DYNAMIC 0x1 /* the importer has operations, so that the exporter may tell it of moves */
#define SAGRADA_IMPORTER_PEER2PEER 0x2 /* the importer takes memory of devices; DYNAMIC must be set too */

/* sagrada_importer_map.flags */
#define SAGRADA_IMPORTER_PAGES 0x1 /* give the memory pages, so that it can be mmapped */

/* sagrada_importer_map.direction */
#define SAGRADA_IMPORTER_BIDIRECTIONAL 0
#define SAGRADA_IMPORTER_TO_DEVICE 1
#define SAGRADA_IMPORTER_FROM_DEVICE 2

/* mmap offset of byte 0 of a handle */
#define SAGRADA_IMPORTER_OFFSET_SHIFT 40

struct sagrada_importer_info {
	__u32 features; /* out */
	__u32 reserved;
};

struct sagrada_importer_attach {
	__s32 fd;
	__u32 flags;
	__u32 domain;
	__u8 bus;
	__u8 device;
	__u8 function;
	__u8 reserved;
	__u32 handle; /* out */
	__u32 reserved2;
	__u64 size; /* out, bytes */
};

struct sagrada_importer_entry {
	__u64 address; /* as the importing device reaches it */
	__u64 length;
};

struct sagrada_importer_map {
	__u32 handle;
	__u32 direction;
	__u32 flags;
	__u32 count; /* in: entries there is room for; out: entries there are */
	__u64 entries; /* pointer to sagrada_importer_entry[] */
};

struct sagrada_importer_handle {
	__u32 handle;
	__u32 reserved;
};

#define SAGRADA_IMPORTER_IOCTL_INFO _IOWR('S', 0xb0, struct sagrada_importer_info)
#define SAGRADA_IMPORTER_IOCTL_ATTACH _IOWR('S', 0xb1, struct sagrada_importer_attach)
#define SAGRADA_IMPORTER_IOCTL_MAP _IOWR('S', 0xb2, struct sagrada_importer_map)
#define SAGRADA_IMPORTER_IOCTL_UNMAP _IOWR('S', 0xb3, struct sagrada_importer_handle)
#define SAGRADA_IMPORTER_IOCTL_DETACH _IOWR('S', 0xb4, struct sagrada_importer_handle)

#endif
