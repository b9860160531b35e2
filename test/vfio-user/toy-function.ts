/** A tiny PCI function: a register BAR, a memory BAR of which a part can be mapped, and a log of what reached it. */

import { SharedMemory } from '../../src/os/shared-memory.ts';
import type { Bar, PciFunction, Region, ResetKind } from '../../src/pci/function.ts';
import type { FunctionPorts } from '../../src/pci/ports.ts';
import { ModelError } from '../../src/sim/errors.ts';

function storage(bytes: Uint8Array, note: (what: string) => void): Region {
  return {
    size: bytes.length,
    mappable: [],
    read(offset, target) {
      note(`read ${offset}+${target.length}`);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    write(offset, source) {
      note(`write ${offset}+${source.length}`);
      bytes.set(source, offset);
    },
  };
}

/** Offset in BAR 0 whose access is a model error, and one whose access is a defect. */
export const MODEL_ERROR_AT = 0x800;
export const DEFECT_AT = 0x900;
/** Writing here runs `doorbell`. */
export const DOORBELL_AT = 0xa00;

export const MEMORY_SIZE = 0x10000;
/** The part of BAR 2 that can be mapped: the rest traps. */
export const MAPPABLE = { offset: 0x4000, size: 0x8000, memoryOffset: 0x4000 };

export class ToyFunction implements PciFunction {
  readonly name = 'toy0';
  readonly config: Region;
  readonly bars: readonly Bar[];
  readonly vectors = { intx: 1, msi: 4, msix: 0 };
  readonly memory = new SharedMemory('toy', MEMORY_SIZE);
  readonly registers = new Uint8Array(4096);
  readonly log: string[] = [];
  readonly resets: ResetKind[] = [];
  doorbell: () => void = () => {};
  #ports: FunctionPorts | undefined;

  constructor() {
    const { memory } = this;
    this.config = storage(new Uint8Array(4096), (what) => this.log.push(`config ${what}`));
    const registers = storage(this.registers, (what) => this.log.push(what));
    const guarded: Region = {
      ...registers,
      read: (offset, target) => {
        this.#trip(offset);
        registers.read(offset, target);
      },
      write: (offset, source) => {
        this.#trip(offset);
        registers.write(offset, source);
        if (offset === DOORBELL_AT) this.doorbell();
      },
    };
    const bar2: Region = {
      ...storage(memory.bytes, (what) => this.log.push(`bar2 ${what}`)),
      mappable: [{ ...MAPPABLE, memory }],
    };
    this.bars = [
      { index: 0, kind: 'memory32', prefetchable: false, region: guarded },
      { index: 2, kind: 'memory64', prefetchable: true, region: bar2 },
    ];
  }

  get ports(): FunctionPorts {
    if (!this.#ports) throw new Error('not connected');
    return this.#ports;
  }

  connect(ports: FunctionPorts): void {
    if (this.#ports) throw new Error('connected twice');
    this.#ports = ports;
  }

  reset(kind: ResetKind): void {
    this.resets.push(kind);
    this.registers.fill(0);
  }

  barAddress(): number | undefined {
    return undefined;
  }

  close(): void {
    this.memory.close();
  }

  #trip(offset: number): void {
    if (offset === MODEL_ERROR_AT) throw new ModelError('unimplemented', 'TOY.REG', 'not modelled');
    if (offset === DEFECT_AT) throw new TypeError('a defect');
  }
}
