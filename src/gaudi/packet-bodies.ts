/**
 * What each packet does. Barriers and predicates are seen to by the command processor before a body runs. A body that takes time
 * returns its steps; what it throws as a ModelError is reported, and becomes the error "undefined opcode".
 */

import { qmanError } from '../../specs/gaudi/registers/qman.ts';
import type { PacketBodies } from '../../specs/gaudi-qman.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { ModelError } from '../sim/errors.ts';
import type { Steps } from '../sim/process.ts';
import type { CommandProcessor } from './command-processor.ts';
import { LOWER } from './qman-context.ts';

type Body = Steps | undefined;

export const packetBodies: PacketBodies<Body, [cp: CommandProcessor]> = {
  WREG_32: (fields, cp) => writeRegisters(cp, fields.reg_offset, [fields.value]),
  WREG_BULK: (fields, cp) => writeRegisters(cp, fields.reg_offset, fields.values),

  MSG_LONG: (fields, cp) => cp.post(cp.plain, fields.addr, messageValue(cp, fields.op, fields.value)),
  MSG_PROT: (fields, cp) => cp.post(cp.trusted, fields.addr, messageValue(cp, fields.op, fields.value)),
  MSG_SHORT: (fields, cp) => {
    const lo = cp.qm.block.get('CP_MSG_BASE_ADDR_LO', fields.base, cp.index);
    const hi = cp.qm.block.get('CP_MSG_BASE_ADDR_HI', fields.base, cp.index);
    const address = hi * 0x1_0000_0000 + lo + fields.offset;
    return cp.post(cp.plain, address, messageValue(cp, fields.op, fields.value));
  },

  CP_DMA: (_, cp) => commit(cp, false),
  LIN_DMA: (_, cp) => commit(cp, true),

  FENCE: function* (fields, cp) {
    const { block } = cp.qm;
    cp.waitingFor = fields.id;
    const { track } = cp;
    const count = block.get('CP_FENCE_CNT', fields.id, cp.index);
    track?.begin('fence', `FENCE ${fields.id}`, { fence: fields.id, target: fields.target, count }, 0);
    while (block.get('CP_FENCE_CNT', fields.id, cp.index) < fields.target || !cp.running) yield cp.wake;
    track?.end('fence', {}, cp.fenceFlows[fields.id]);
    cp.waitingFor = undefined;
    cp.takeFromFence(fields.id, fields.dec);
  },
  WAIT: (fields, cp) => {
    cp.after(fields.cycles, () => cp.addToFence(fields.id, fields.inc));
    return undefined;
  },

  NOP: () => undefined,
  STOP: (_, cp) => {
    cp.stop();
    return undefined;
  },
  REPEAT: (_, cp) => {
    throw new ModelError('unimplemented', where(cp), 'how often and from where REPEAT loops is not public');
  },

  ARB_POINT: (fields, cp) => {
    if (cp.index === LOWER) {
      throw new ModelError('unsupported', where(cp), 'the lower command processor is not arbitrated');
    }
    if (fields.release === 0) return cp.peers.arbiter.acquire(cp.index, fields.priority);
    cp.peers.arbiter.release(cp.index);
    return undefined;
  },

  LOAD_AND_EXE: function* (fields, cp) {
    if (fields.load !== 0) {
      if (fields.src % 128n !== 0n) {
        const text = `LOAD_AND_EXE from 0x${fields.src.toString(16)}, not a multiple of 128`;
        cp.qm.errors.report(new ModelError('undefined', where(cp), text));
      }
      if (!(yield* fields.dst === 0 ? loadPredicates(cp, fields.src) : loadScalars(cp, fields.src))) return;
    }
    if (fields.exe !== 0) yield* executeScalars(cp, fields.etype);
  },
};

function where(cp: CommandProcessor): string {
  return `${cp.qm.name}.CP${cp.index}`;
}

function messageValue(cp: CommandProcessor, op: number, value: number): number {
  if (op === 0) return value;
  if (op !== 1) throw new ModelError('undefined', where(cp), `message operation ${op}`);
  if (!cp.qm.timestamp) throw new ModelError('unimplemented', where(cp), 'message with a time stamp');
  return cp.qm.timestamp() >>> 0;
}

/**
 * Writes consecutive registers of the engine's window, or of this queue manager where the window says so (LOCAL_RANGE).
 * What the block or the engine refuses is a register write error.
 */
function* writeRegisters(cp: CommandProcessor, offset: number, values: ArrayLike<number>): Steps {
  const gate = isLocal(cp, offset) ? cp.peers.localGate : cp.peers.engineGate;
  const leave = yield* gate.enter();
  try {
    for (let i = 0; i < values.length; i++) yield* writeRegister(cp, offset + 4 * i, values[i] as number);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    cp.qm.errors.report(error);
    cp.fault(qmanError.registerWrite);
  } finally {
    leave();
  }
}

function isLocal(cp: CommandProcessor, offset: number): boolean {
  const base = cp.qm.block.get('LOCAL_RANGE_BASE') & 0xffff;
  return offset >= base && offset < base + (cp.qm.block.get('LOCAL_RANGE_SIZE') & 0xffff);
}

function* writeRegister(cp: CommandProcessor, offset: number, value: number): Steps {
  const { block, engine } = cp.qm;
  if (offset % 4 !== 0 || offset >= 0x1_0000) {
    throw new ModelError('guest', where(cp), `register offset 0x${offset.toString(16)}`);
  }
  if (!isLocal(cp, offset)) {
    yield* engine.writeRegister(offset, value);
    return;
  }
  const local = offset - (block.get('LOCAL_RANGE_BASE') & 0xffff);
  if (local >= block.spec.size) throw new ModelError('guest', where(cp), `register offset 0x${offset.toString(16)}`);
  // The bus holds a write to the port of a full queue until there is room.
  if (local === block.offsetOf('CQ_CTL', LOWER)) while (!cp.peers.lower.room) yield cp.peers.lower.roomMade;
  block.write32(local, value);
}

/**
 * A DMA packet: source, destination, size and control word go to the registers that CP_LDMA_*_OFFSET name. By the driver's
 * values these are the DMA core's, whose COMMIT follows the size, or, for CP_DMA, the port of the lower CP's queue,
 * whose CQ_CTL follows the size. CP_DMA has no destination, and its control word is 0: one execution.
 */
function* commit(cp: CommandProcessor, linear: boolean): Steps {
  const { block } = cp.qm;
  const [size, control, sourceLo, sourceHi, targetLo, targetHi] = cp.words as unknown as number[];
  const sizeOffset = block.get('CP_LDMA_TSIZE_OFFSET', cp.index);
  const sourceOffset = block.get('CP_LDMA_SRC_BASE_LO_OFFSET', cp.index);
  const targetOffset = block.get('CP_LDMA_DST_BASE_LO_OFFSET', cp.index);
  const writes: [offset: number, value: number | undefined][] = [
    [sourceOffset, sourceLo],
    [sourceOffset + 4, sourceHi],
  ];
  if (linear) writes.push([targetOffset, targetLo], [targetOffset + 4, targetHi]);
  writes.push([sizeOffset, size], [sizeOffset + 4, linear ? (control as number) & 0xff_ffff : 0]);
  const gate = isLocal(cp, sizeOffset) ? cp.peers.localGate : cp.peers.engineGate;
  const leave = yield* gate.enter();
  try {
    for (const [offset, value] of writes) yield* writeRegister(cp, offset, value as number);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    cp.qm.errors.report(error);
    cp.fault(qmanError.registerWrite);
  } finally {
    leave();
  }
}

/** Bit 0 of word n is predicate n; predicate 0 stays set (hl-thunk, test_cs_load_predicates). */
function* loadPredicates(cp: CommandProcessor, source: bigint): Steps<boolean> {
  const words = new Uint32Array(32);
  if (!(yield* cp.load(source, new Uint8Array(words.buffer)))) return false;
  let predicates = 1;
  for (let n = 1; n < 32; n++) if (((words[n] as number) & 1) === 1) predicates |= 1 << n;
  cp.predicates = predicates;
  return true;
}

function* loadScalars(cp: CommandProcessor, source: bigint): Steps<boolean> {
  const words = new Uint32Array(4);
  if (!(yield* cp.load(source, new Uint8Array(words.buffer)))) return false;
  cp.scalars.set(words);
  return true;
}

/** Type 0: a packet of 8 or 16 bytes from scalar 0 on; type 1: one of 8 bytes from scalar 2 on. */
function* executeScalars(cp: CommandProcessor, type: number): Steps {
  const words = cp.scalars.slice(type === 0 ? 0 : 2);
  const length = gaudiQman.packetLength(words, 0);
  if (length > words.length) {
    throw new ModelError('guest', where(cp), `a packet of ${length} words in ${words.length} scalars`);
  }
  const packet = words.slice(0, length);
  if (packetOpcode(packet) === gaudiQman.rows.LOAD_AND_EXE.opcode) {
    throw new ModelError('undefined', where(cp), 'LOAD_AND_EXE that executes a LOAD_AND_EXE');
  }
  yield* cp.execute(packet);
}

function packetOpcode(words: Uint32Array): number {
  return ((words[1] as number) >>> 24) & 0x1f;
}
