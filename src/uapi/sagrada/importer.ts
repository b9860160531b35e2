/**
 * The interface of /dev/sagrada_importer (guest/importer/sagrada_importer.h), which imports dma-bufs on behalf of a PCI
 * device: docs/importer.md. Errors of `attach` and `map` that are not named here are those of the exporter.
 */

import { constant, type Errors, type Ioctl, iowr } from '../rows.ts';
import { type Struct, s32, struct, u8, u32, u64 } from '../struct.ts';

const source = 'guest/importer/importer.c';

export const IMPORTER_PATH = '/dev/sagrada_importer';

export const importerFeatures = {
  SAGRADA_IMPORTER_P2PDMA: constant(0x1, 'the kernel has CONFIG_PCI_P2PDMA'),
  SAGRADA_IMPORTER_MMAP: constant(0x2, 'the kernel can give memory of devices pages'),
  SAGRADA_IMPORTER_HOST_ROUTES: constant(
    0x4,
    'the kernel trusts this processor to forward from one root port to another',
  ),
} as const;

export const attachFlags = {
  SAGRADA_IMPORTER_DYNAMIC: constant(0x1, 'the importer has operations, so that the exporter may tell it of moves'),
  SAGRADA_IMPORTER_PEER2PEER: constant(0x2, 'the importer takes memory of devices; DYNAMIC must be set too'),
} as const;

export const mapFlags = {
  SAGRADA_IMPORTER_PAGES: constant(0x1, 'give the memory pages, so that it can be mmapped'),
} as const;

/** As enum dma_data_direction (linux/dma-direction.h). */
export const importDirections = {
  SAGRADA_IMPORTER_BIDIRECTIONAL: constant(0, 'both'),
  SAGRADA_IMPORTER_TO_DEVICE: constant(1, 'the importing device reads'),
  SAGRADA_IMPORTER_FROM_DEVICE: constant(2, 'the importing device writes'),
} as const;

export const importerConstants = {
  SAGRADA_IMPORTER_OFFSET_SHIFT: constant(40, 'byte 0 of a handle is at mmap offset handle << 40'),
} as const;

export const sagrada_importer_info = struct('sagrada_importer_info', 'What the kernel can do.', {
  features: u32('out: SAGRADA_IMPORTER_* of importerFeatures'),
  reserved: u32(),
});

export const sagrada_importer_attach = struct('sagrada_importer_attach', 'Who imports what.', {
  fd: s32('of the dma-buf'),
  flags: u32('SAGRADA_IMPORTER_* of attachFlags'),
  domain: u32('of the PCI address of the device that imports'),
  bus: u8('of its address'),
  device: u8('of its address'),
  function: u8('of its address'),
  reserved: u8('0'),
  handle: u32('out'),
  reserved2: u32('0'),
  size: u64('out: bytes of the dma-buf'),
});

export const sagrada_importer_entry = struct('sagrada_importer_entry', 'A piece of mapped memory.', {
  address: u64('as the importing device reaches it'),
  length: u64('bytes'),
});

export const sagrada_importer_map = struct('sagrada_importer_map', 'How to map.', {
  handle: u32(),
  direction: u32('SAGRADA_IMPORTER_* of importDirections'),
  flags: u32('SAGRADA_IMPORTER_* of mapFlags'),
  count: u32('in: entries there is room for; out: entries there are'),
  entries: u64('pointer to struct sagrada_importer_entry[count]'),
});

export const sagrada_importer_handle = struct('sagrada_importer_handle', 'Which import.', {
  handle: u32(),
  reserved: u32(),
});

function ioctl<Out, In>(
  name: string,
  number: number,
  doc: string,
  argument: Struct<Out, In>,
  errors: Errors,
  beyond: Errors = {},
) {
  const row = {
    name: `SAGRADA_IMPORTER_IOCTL_${name}`,
    doc,
    request: iowr('S', number, argument.size),
    argument,
    source,
  };
  return { ...row, errors, beyond } satisfies Ioctl<Struct<Out, In>> & { readonly errors: Errors };
}

export const importerIoctls = {
  INFO: ioctl('INFO', 0xb0, 'Tells what the kernel can do.', sagrada_importer_info, {}),
  ATTACH: ioctl(
    'ATTACH',
    0xb1,
    'Attaches a device to a dma-buf.',
    sagrada_importer_attach,
    {
      EINVAL: 'flags that do not exist or do not go together, or a descriptor of something else than a dma-buf',
      EBADF: 'no such descriptor',
      ENODEV: 'no such PCI device',
      EPERM: 'the exporter refuses to map the memory (kernels that map when a dynamic importer attaches)',
    },
    { EPERM: 'needs a kernel that maps when a dynamic importer attaches, as Linux 6.12 does' },
  ),
  MAP: ioctl(
    'MAP',
    0xb2,
    'Has the exporter map the memory for the device.',
    sagrada_importer_map,
    {
      EINVAL: 'no such handle, direction or flag',
      EBUSY: 'it is mapped already',
      EPERM: 'the exporter shares device memory only with devices that can reach it, and that say they take it',
      EOPNOTSUPP:
        'this memory cannot be given pages: it is in no BAR of 2 MiB or more, or the device is behind an IOMMU',
      EFAULT: 'the entries cannot be written; it stays mapped',
    },
    { EOPNOTSUPP: 'needs an IOMMU above the importing device, or memory in no BAR of 2 MiB or more' },
  ),
  UNMAP: ioctl('UNMAP', 0xb3, 'Ends what MAP began.', sagrada_importer_handle, {
    EINVAL: 'no such handle, or it is not mapped',
    EBUSY: 'a program has the memory mapped, or a driver has it pinned',
  }),
  DETACH: ioctl('DETACH', 0xb4, 'Ends what ATTACH began.', sagrada_importer_handle, {
    EINVAL: 'no such handle',
    EBUSY: 'it is mapped',
  }),
} as const;
