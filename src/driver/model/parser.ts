/**
 * What packets a program may send on external queues. Source: gaudi.c (gaudi_validate_cb, gaudi_packet_sizes,
 * validate_packet_id, gaudi_parse_cb_no_ext_queue).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { gaudiConstants } from '../../uapi/habanalabs/gaudi.ts';
import { type Errno, refuse } from './errno.ts';

/** [name, bytes] by opcode; the values of WREG_BULK are not part of the packet for the driver. */
const packets = new Map<number, readonly [name: string, size: number]>([
  [0x1, ['WREG_32', 8]],
  [0x2, ['WREG_BULK', 8]],
  [0x3, ['MSG_LONG', 16]],
  [0x4, ['MSG_SHORT', 8]],
  [0x5, ['CP_DMA', 16]],
  [0x6, ['REPEAT', 8]],
  [0x7, ['MSG_PROT', 16]],
  [0x8, ['FENCE', 8]],
  [0x9, ['LIN_DMA', 24]],
  [0xa, ['NOP', 8]],
  [0xb, ['STOP', 8]],
  [0xc, ['ARB_POINT', 8]],
  [0xd, ['WAIT', 8]],
  [0xf, ['LOAD_AND_EXE', 16]],
]);
const privileged = new Set(['MSG_PROT', 'CP_DMA', 'STOP', 'WREG_BULK']);

/** Memory that programs may use, device addresses (gaudi.c, gaudi_set_fixed_properties). */
export const USER = {
  SRAM: BigInt(addressMap.SRAM_BASE + gaudiConstants.GAUDI_DRIVER_SRAM_RESERVED_SIZE_FROM_START.value),
  SRAM_END: BigInt(addressMap.SRAM_BASE + addressMap.SRAM_SIZE),
  DRAM: 0x2000_0000n,
  DRAM_END: BigInt(addressMap.HBM_BASE + addressMap.HBM_SIZE),
  VIRTUAL: BigInt(addressMap.VIRTUAL_BASE),
  VIRTUAL_END: BigInt(addressMap.VIRTUAL_BASE) + (0x3_ff80_0000_0000n - BigInt(addressMap.VIRTUAL_BASE)) / 2n - 1n,
} as const;

type Log = (text: string) => void;

/** @param bytes the buffer, of which `size` bytes are the program's. @returns whether it moves data. @throws SystemError */
export function validatePackets(bytes: Uint8Array, size: number, log: Log): boolean {
  let moves = false;
  for (let at = 0; at < size; ) {
    const opcode = (bytes[at + 7] as number) & 0x1f;
    const packet = packets.get(opcode);
    if (!packet) fail('EINVAL', log, `Invalid packet id ${opcode}`);
    const [name, length] = packet;
    if (at + length > size) fail('EINVAL', log, `packet 0x${opcode.toString(16)} is out of CB boundary`);
    if (privileged.has(name)) fail('EPERM', log, `User not allowed to use ${name}`);
    // scalars would let a packet be made that nobody has looked at
    if (name === 'LOAD_AND_EXE' && (bytes[at] as number) & 1)
      fail('EPERM', log, 'User not allowed to use Load and Execute');
    if (name === 'WAIT') fail('EINVAL', log, `Invalid packet header 0x${opcode.toString(16)}`);
    if (name === 'LIN_DMA') moves = true;
    at += length;
  }
  return moves;
}

/** Packets of internal queues are not looked at, only where they lie. @throws SystemError EFAULT */
export function validatePlace(address: bigint, size: number, log: Log): void {
  const end = address + BigInt(size);
  const inside = (from: bigint, to: bigint) => address >= from && end <= to && end > address;
  if (inside(USER.SRAM, USER.SRAM_END) || inside(USER.DRAM, USER.DRAM_END) || inside(USER.VIRTUAL, USER.VIRTUAL_END))
    return;
  fail(
    'EFAULT',
    log,
    `CB address 0x${address.toString(16).padStart(16, '0')} + 0x${size.toString(16)} for internal QMAN is not valid`,
  );
}

function fail(code: Errno, log: Log, text: string): never {
  log(text);
  refuse(code);
}
