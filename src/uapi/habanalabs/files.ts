/** What the driver's files do besides ioctls. */

import type { Errors } from '../rows.ts';

interface FileOperation {
  readonly doc: string;
  readonly errors: Errors;
  /** As of an operation of an ioctl. */
  readonly beyond?: Errors;
  readonly source: string;
}

const source = 'common/habanalabs_drv.c';
const memory = 'common/memory_mgr.c, hl_mem_mgr_mmap';

export const fileOperations = {
  OPEN: {
    doc: 'Opens the compute node: a context, of which a card has one at a time.',
    errors: {
      EBUSY: 'another program has it',
      EAGAIN: 'the card is in reset, or is being taken from its last user',
      EPERM: 'the card does not work',
    },
    beyond: { EPERM: 'needs a card that has failed for good' },
    source: `${source}, hl_device_open`,
  },
  CLOSE: { doc: 'Closes the compute node for the last time.', errors: {}, source: `${source}, hl_device_release` },
  OPEN_CONTROL: {
    doc: 'Opens the control node; as many may as like.',
    errors: { EPERM: 'the card does not work' },
    beyond: { EPERM: 'needs a card that has failed for good' },
    source: `${source}, hl_device_open_ctrl`,
  },
  CLOSE_CONTROL: { doc: 'Closes the control node.', errors: {}, source: `${source}, hl_control_device_release` },
  MMAP_CB: {
    doc: 'Maps a command buffer.',
    errors: { EINVAL: 'no such handle, not the whole of it, or mapped already' },
    source: memory,
  },
  MMAP_TIMESTAMPS: {
    doc: 'Maps a timestamp buffer.',
    errors: { EINVAL: 'no such handle, not the whole of it, or mapped already' },
    source: memory,
  },
  CLOSE_DMABUF: { doc: 'Closes an exported dma-buf.', errors: {}, source: 'common/memory.c, hl_release_dmabuf' },
} as const satisfies Readonly<Record<string, FileOperation>>;

export type FileOperationName = keyof typeof fileOperations;
