/** Sync objects, monitors and fences of Gaudi1 by their device addresses, and which of them are whose. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { blocks, instances } from '../../specs/gaudi/blocks.ts';
import { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import { MONITORS, SYNC_OBJECTS, syncManager, syncManagers } from '../../specs/gaudi/registers/sync-manager.ts';
import { type QueueName, queueRow } from '../uapi/habanalabs/gaudi.ts';
import { RangeAllocator } from './allocator.ts';
import type { Dcore } from './info.ts';

const registers = syncManager.rows;

function address(dcore: Dcore, offset: number, index: number): bigint {
  return BigInt(addressMap.CFG_BASE + syncManagers[dcore].offset + offset + 4 * index);
}

function checkIndex(what: string, index: number, count: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new RangeError(`${what} ${index}: there are ${count}`);
}

/** A counter of 15 bits that packets set and add to, and monitors watch. */
export class SyncObject implements Disposable {
  readonly dcore: Dcore;
  readonly index: number;
  /** Device address of its register. */
  readonly address: bigint;
  readonly #release: (() => void) | undefined;

  constructor(dcore: Dcore, index: number, release?: () => void) {
    checkIndex('sync object', index, SYNC_OBJECTS);
    this.dcore = dcore;
    this.index = index;
    this.address = address(dcore, registers.SOB_OBJ.offset, index);
    this.#release = release;
  }

  [Symbol.dispose](): void {
    this.#release?.();
  }
}

/** Writes a value somewhere once the sync objects it watches have come far enough. */
export class Monitor implements Disposable {
  readonly dcore: Dcore;
  readonly index: number;
  /** Device addresses of its registers. */
  readonly payloadLow: bigint;
  readonly payloadHigh: bigint;
  readonly payloadData: bigint;
  readonly arm: bigint;
  readonly #release: (() => void) | undefined;

  constructor(dcore: Dcore, index: number, release?: () => void) {
    checkIndex('monitor', index, MONITORS);
    this.dcore = dcore;
    this.index = index;
    this.payloadLow = address(dcore, registers.MON_PAY_ADDRL.offset, index);
    this.payloadHigh = address(dcore, registers.MON_PAY_ADDRH.offset, index);
    this.payloadData = address(dcore, registers.MON_PAY_DATA.offset, index);
    this.arm = address(dcore, registers.MON_ARM.offset, index);
    this.#release = release;
  }

  [Symbol.dispose](): void {
    this.#release?.();
  }
}

/** Hands out what the driver leaves of a sync manager. */
export class SyncManager {
  readonly dcore: Dcore;
  readonly #objects: RangeAllocator;
  readonly #monitors: RangeAllocator;

  /** @param firstObject, firstMonitor the first that the driver leaves (INFO SYNC_MANAGER). */
  constructor(dcore: Dcore, firstObject: number, firstMonitor: number) {
    this.dcore = dcore;
    this.#objects = new RangeAllocator(`sync objects ${dcore}`, BigInt(firstObject), BigInt(SYNC_OBJECTS));
    this.#monitors = new RangeAllocator(`monitors ${dcore}`, BigInt(firstMonitor), BigInt(MONITORS));
  }

  /** @throws ExhaustedError */
  syncObject(): SyncObject {
    return this.syncObjects(1)[0] as SyncObject;
  }

  /** Neighbours, the first at a multiple of 8, so that one monitor can watch up to 8 of them. @throws ExhaustedError */
  syncObjects(count: number): SyncObject[] {
    const first = this.#objects.allocate(BigInt(count), count === 1 ? 1n : 8n);
    let left = count;
    return Array.from({ length: count }, (_, i) => {
      let live = true;
      return new SyncObject(this.dcore, Number(first) + i, () => {
        if (!live) return;
        live = false;
        if (--left === 0) this.#objects.free(first);
      });
    });
  }

  /** @throws ExhaustedError */
  monitor(): Monitor {
    const index = this.#monitors.allocate(1n);
    let live = true;
    return new Monitor(this.dcore, Number(index), () => {
      if (live) this.#monitors.free(index);
      live = false;
    });
  }
}

const qmanBases = new Map(
  blocks
    .filter((row) => row.registers === 'qman')
    .flatMap(instances)
    .map((block) => [block.name, block.base]),
);

/** Name of the block with the queue manager of a queue; of the matrix engines, 0 and 2 have one (gaudi.c, gaudi_ring_doorbell). */
function qmanBlock(queue: QueueName): string {
  const [kind, number] = queueRow(queue).engine.split('_') as [string, string];
  if (kind === 'NIC') return `NIC${Number(number) >> 1}_QM${Number(number) & 1}`;
  if (kind === 'MME') return number === '0' ? 'MME2_QM' : 'MME0_QM';
  return `${kind}${number}_QM`;
}

/**
 * Device address that adds to fence counter `id` of a queue's own command processor.
 * @param lower of the engine's lower command processor instead, which executes what CP_DMA fetches
 */
export function fenceAddress(queue: QueueName, id: number, lower = false): bigint {
  const base = qmanBases.get(qmanBlock(queue));
  if (base === undefined) throw new RangeError(`${queue} has no queue manager`);
  checkIndex('fence', id, 4);
  const { offset, stride } = qmanRegisters.rows.CP_FENCE_RDATA;
  const cp = lower ? 4 : queueRow(queue).stream;
  return BigInt(addressMap.CFG_BASE + base + offset + id * (stride[0] as number) + cp * (stride[1] as number));
}
