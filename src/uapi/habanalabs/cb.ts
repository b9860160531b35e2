/** DRM_IOCTL_HL_CB: command buffers, which the driver allocates and user space maps and fills. */

import { constant, type Operation } from '../rows.ts';
import { group, nested, overlay, struct, u32, u64, union } from '../struct.ts';
import { ioctl } from './requests.ts';

const source = 'common/command_buffer.c, hl_cb_ioctl';

export const hl_cb_in = struct('hl_cb_in', 'What is asked for.', {
  cb_handle: u64('handle; 0 to create'),
  op: u32('HL_CB_OP_*'),
  cb_size: u32('CREATE: bytes; at least one page is allocated'),
  ctx_id: u32('not used'),
  flags: u32('HL_CB_FLAGS_*'),
});

export const hl_cb_out = struct('hl_cb_out', 'The answer.', {
  $answer: overlay({
    cb_handle: u64('CREATE: handle, also the offset to mmap'),
    $info: overlay({
      $usage: group({
        usage_cnt: u32('INFO: submissions that use it'),
        pad: u32(),
      }),
      device_va: u64('INFO with GET_DEVICE_VA: where the device sees it'),
    }),
  }),
});

export const hl_cb_args = union('hl_cb_args', 'Argument of CB.', {
  in: nested(hl_cb_in),
  out: nested(hl_cb_out),
});

const common = { EBUSY: 'the device is not operational' };

export const DRM_IOCTL_HL_CB = ioctl('HL_IOCTL_CB', 'Creates and destroys command buffers.', hl_cb_args, source, {
  errors: common,
});

export const cbConstants = {
  HL_MAX_CB_SIZE: constant(0x200000 - 32, 'bytes: 2 MiB less two MSG_PROT'),
} as const;

export const cbOperations = {
  HL_CB_OP_CREATE: {
    value: 0,
    doc: 'Allocates a command buffer.',
    takes: ['in.cb_size', 'in.flags'],
    gives: ['out.cb_handle'],
    errors: {
      ...common,
      EINVAL: 'larger than HL_MAX_CB_SIZE',
      ENOMEM: 'no memory; FLAGS_MAP on Gaudi1',
    },
    flags: { HL_CB_FLAGS_MAP: { refused: 'ENOMEM' } },
    limits: {
      'in.cb_size': { most: cbConstants.HL_MAX_CB_SIZE.value, also: { 'a byte': 1, 'a byte more than a page': 4097 } },
    },
    source,
  },
  HL_CB_OP_DESTROY: {
    value: 1,
    doc: 'Gives the handle up; the memory goes when nobody maps or executes it.',
    takes: ['in.cb_handle'],
    errors: { ...common, EINVAL: 'no such handle, or destroyed already' },
    source,
  },
  HL_CB_OP_INFO: {
    value: 2,
    doc: 'How many submissions use it, or where the device sees it.',
    takes: ['in.cb_handle', 'in.flags'],
    gives: ['out.usage_cnt', 'out.device_va'],
    errors: { ...common, EINVAL: 'no such handle, or its device address is asked for and it has none' },
    flags: { HL_CB_FLAGS_GET_DEVICE_VA: { refused: 'EINVAL' } },
    source,
  },
} as const satisfies Readonly<Record<string, Operation>>;

export const cbFlags = {
  HL_CB_FLAGS_MAP: constant(0x1, 'CREATE: map it to the device; not on Gaudi1'),
  HL_CB_FLAGS_GET_DEVICE_VA: constant(0x2, 'INFO: ask for the device address'),
} as const;
