/** Calls of verbs in words: which method of which object, or which command, and the numbers it takes. */

import { commandConstants, commands, extendedCommands } from '../../uapi/rdma/commands.ts';
import {
  type Attribute,
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  objects,
  RDMA_VERBS_IOCTL,
} from '../../uapi/rdma/ioctl.ts';
import { methods } from '../../uapi/rdma/methods.ts';
import type { DescribedIoctl, RawIoctl } from './calls.ts';

const { size: HEADER } = ib_uverbs_ioctl_hdr;
const { size: ENTRY } = ib_uverbs_attr;
const byNumber = new Map(
  Object.entries(methods).map(([name, row]) => [`${objects[row.object].value} ${row.id}`, { name, row }]),
);

/** @returns undefined for a call of something else, or of a method that no row is of */
export function describeVerbs({ request, before }: RawIoctl): DescribedIoctl | undefined {
  if (request !== RDMA_VERBS_IOCTL.request || before.length < HEADER) return undefined;
  const { object_id, method_id, num_attrs } = ib_uverbs_ioctl_hdr.decode(before);
  const known = byNumber.get(`${object_id} ${method_id}`);
  if (!known || before.length < HEADER + num_attrs * ENTRY) return undefined;
  const rows = new Map<number, [string, Attribute]>(
    Object.entries(known.row.attributes).map(([name, row]) => [row.id, [name, row]]),
  );
  const takes: Record<string, bigint> = {};
  let command = '';
  for (let i = 0; i < num_attrs; i++) {
    const { attr_id, len, data } = ib_uverbs_attr.decode(before, HEADER + i * ENTRY);
    const [name, row] = rows.get(attr_id) ?? [];
    if (name === undefined || row?.type !== 'in' || len > 8) continue;
    if (name === 'UVERBS_ATTR_WRITE_CMD') command = ` ${commandName(data)}`;
    else if (!name.startsWith('UVERBS_ATTR_UHW') && name !== 'UVERBS_ATTR_CORE_IN' && data !== 0n)
      takes[name.replace('UVERBS_ATTR_', '')] = data;
  }
  return { name: `verbs ${known.name.replace('UVERBS_METHOD_', '')}${command}`, takes, gives: {} };
}

function commandName(value: bigint): string {
  const flag = BigInt(commandConstants.IB_USER_VERBS_CMD_FLAG_EXTENDED.value);
  const rows = value & flag ? extendedCommands : commands;
  const [name] = Object.entries(rows).find(([, row]) => BigInt(row.value) === (value & ~flag)) ?? [];
  return name?.replace('IB_USER_VERBS_', '') ?? String(value);
}
