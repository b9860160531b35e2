/** DRM's part of the request numbers: drivers count from DRM_COMMAND_BASE in type 'd' (uapi/drm/drm.h, habanalabs_accel.h). */

import { constant, type Ioctl, iowr } from '../rows.ts';
import type { Struct } from '../struct.ts';

export const DRM_COMMAND_BASE = 0x40;

/** Numbers of the ioctls after DRM_COMMAND_BASE. Sent as they are they reach ioctls of DRM itself. */
export const requestConstants = {
  HL_IOCTL_INFO: constant(0, 'information'),
  HL_IOCTL_CB: constant(1, 'command buffers'),
  HL_IOCTL_CS: constant(2, 'command submission'),
  HL_IOCTL_WAIT_CS: constant(3, 'waiting for submissions'),
  HL_IOCTL_MEMORY: constant(4, 'memory'),
  HL_IOCTL_DEBUG: constant(5, 'debugging and profiling'),
  HL_COMMAND_START: constant(DRM_COMMAND_BASE, 'first number'),
  HL_COMMAND_END: constant(DRM_COMMAND_BASE + 6, 'number after the last'),
} as const;

type Number =
  | 'HL_IOCTL_INFO'
  | 'HL_IOCTL_CB'
  | 'HL_IOCTL_CS'
  | 'HL_IOCTL_WAIT_CS'
  | 'HL_IOCTL_MEMORY'
  | 'HL_IOCTL_DEBUG';

/** An ioctl of the driver; its name in C is the number's with `DRM_` before and `HL_` after `IOCTL_`. */
export function ioctl<Out, In>(
  number: Number,
  doc: string,
  argument: Struct<Out, In>,
  source: string,
  common: Pick<Ioctl, 'errors' | 'limits' | 'beyond'>,
) {
  return {
    name: number.replace('HL_IOCTL_', 'DRM_IOCTL_HL_'),
    doc,
    request: iowr('d', DRM_COMMAND_BASE + requestConstants[number].value, argument.size),
    argument,
    source,
    ...common,
  } satisfies Ioctl<Struct<Out, In>>;
}
