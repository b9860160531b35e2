/** Members of arguments, found by their path in C and read as numbers. */

import { paths, type Struct } from '../../uapi/struct.ts';

/** Reads a member of the struct that is in `view`. 64 bits are rounded to a double: enough for limits. */
export type Reader = (view: DataView) => number;

/**
 * A number as it is; of bytes whether any is set.
 * @param path e.g. `in.alloc.mem_size`. @throws Error when there is no such member
 */
export function reader(struct: Struct<unknown, never>, path: string): Reader {
  const found = paths(struct.members).find((member) => member.path === path);
  if (!found) throw new Error(`${struct.name} has no member ${path}`);
  const { offset, field } = found;
  const { size } = field;
  if (field.signed === undefined)
    return (view) => {
      for (let at = offset; at < offset + size; at++) if (view.getUint8(at) !== 0) return 1;
      return 0;
    };
  if (size === 1) return (view) => view.getUint8(offset);
  if (size === 2) return (view) => view.getUint16(offset, true);
  if (size === 4) return (view) => view.getUint32(offset, true);
  return (view) => view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
}
