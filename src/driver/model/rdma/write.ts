/**
 * Commands by write(2), the oldest way to give them: a header, the request, and what the driver is told. Source:
 * core/uverbs_main.c (ib_uverbs_write, verify_hdr).
 */

import type { Steps } from '../../../sim/process.ts';
import { commands } from '../../../uapi/rdma/commands.ts';
import { refuse } from '../errno.ts';
import type { Kernel } from '../kernel.ts';
import { type CommandCall, commandOf } from './commands.ts';
import type { UserContext } from './making.ts';
import type { Session } from './session.ts';
import type { UserObjects } from './uobjects.ts';
import { extend, respond } from './user-copy.ts';

/** struct ib_uverbs_cmd_hdr, struct ib_uverbs_ex_cmd_hdr. */
const HEADER = { SIZE: 8, COMMAND: 0, IN: 4, OUT: 6 } as const;
const EXTENDED = { SIZE: 24, RESPONSE: 8, DRIVER_IN: 16, DRIVER_OUT: 18, RESERVED: 20 } as const;
/** Lengths in headers count words of so many bytes. */
const WORD = { PLAIN: 4, EXTENDED: 8 } as const;
const DESTROY_CQ = commands.IB_USER_VERBS_CMD_DESTROY_CQ.value;
const SHORT_DESTROY_CQ = 16;
/** Where the addresses of programs end (access_ok). */
const PROGRAM_END = 0x7fff_ffff_f000n;

/** Where the pieces of a command are. */
interface Pieces {
  readonly core: Uint8Array;
  readonly driver: Uint8Array;
  readonly response: bigint;
  readonly coreRoom: number;
  readonly driverRoom: number;
}

/** @returns bytes taken: all @throws SystemError */
export function* writeCommand(
  kernel: Kernel,
  objects: UserObjects,
  session: Session,
  bytes: Uint8Array,
): Steps<number> {
  if (bytes.length < HEADER.SIZE) refuse('EINVAL', 'write');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const known = commandOf(view.getUint32(HEADER.COMMAND, true));
  const pieces = known.extended ? extendedPieces(bytes, view) : plainPieces(bytes, view, known);
  yield* known.body(session, commandCall(kernel, objects, pieces)) ?? [];
  return bytes.length;
}

function plainPieces(bytes: Uint8Array, view: DataView, known: ReturnType<typeof commandOf>): Pieces {
  const out = view.getUint16(HEADER.OUT, true) * WORD.PLAIN;
  if (view.getUint16(HEADER.IN, true) * WORD.PLAIN !== bytes.length) refuse('EINVAL', 'write');
  if (view.getUint32(HEADER.COMMAND, true) === DESTROY_CQ && bytes.length === SHORT_DESTROY_CQ) {
    // rdma-core 18 and 19 give so little; what lies behind it is taken for the rest
    const longer = new Uint8Array(HEADER.SIZE + known.asked);
    longer.set(bytes);
    const response = view.getBigUint64(HEADER.SIZE, true);
    return { core: longer.subarray(HEADER.SIZE), driver: new Uint8Array(0), response, coreRoom: out, driverRoom: 0 };
  }
  if (bytes.length < known.asked + HEADER.SIZE || out < known.told) refuse('ENOSPC', 'write');
  const request = bytes.subarray(HEADER.SIZE);
  const end = known.driverData ? known.asked : request.length;
  return {
    core: request.subarray(0, end),
    driver: request.subarray(end),
    response: known.answers ? view.getBigUint64(HEADER.SIZE, true) : 0n,
    coreRoom: known.driverData ? known.told : known.answers ? out : 0,
    driverRoom: known.driverData && known.answers ? out - known.told : 0,
  };
}

function extendedPieces(bytes: Uint8Array, view: DataView): Pieces {
  if (bytes.length < EXTENDED.SIZE) refuse('EINVAL', 'write');
  const size = (at: number) => view.getUint16(at, true) * WORD.EXTENDED;
  const [coreSize, driverSize] = [size(HEADER.IN), size(EXTENDED.DRIVER_IN)];
  const [coreRoom, driverRoom] = [size(HEADER.OUT), size(EXTENDED.DRIVER_OUT)];
  const response = view.getBigUint64(EXTENDED.RESPONSE, true);
  if (coreSize + driverSize !== bytes.length - EXTENDED.SIZE) refuse('EINVAL', 'write');
  if (view.getUint32(EXTENDED.RESERVED, true) !== 0) refuse('EINVAL', 'write');
  if ((response === 0n) !== (coreRoom + driverRoom === 0)) refuse('EINVAL', 'write');
  if (response + BigInt(coreRoom + driverRoom) > PROGRAM_END) refuse('EFAULT', 'write');
  const core = bytes.subarray(EXTENDED.SIZE, EXTENDED.SIZE + coreSize);
  return { core, driver: bytes.subarray(EXTENDED.SIZE + coreSize), response, coreRoom, driverRoom };
}

function commandCall(kernel: Kernel, objects: UserObjects, pieces: Pieces): CommandCall {
  const { core, driver, response, coreRoom, driverRoom } = pieces;
  let context: UserContext | undefined;
  return {
    kernel,
    objects,
    get context() {
      context ??= objects.requireContext();
      return context;
    },
    request: () => core,
    answerRoom: coreRoom,
    driverAnswers: driverRoom > 0,
    tell: (told) => respond(kernel, response, coreRoom, told),
    take(size, least) {
      if (driver.length < least) refuse('EINVAL', 'write');
      return extend(driver, size);
    },
    peek(size) {
      const whole = new Uint8Array(size);
      whole.set(driver.subarray(0, size));
      return whole;
    },
    takeNothing: () => void extend(driver, 0),
    answer: (told) => respond(kernel, response + BigInt(coreRoom), driverRoom, told),
  };
}
