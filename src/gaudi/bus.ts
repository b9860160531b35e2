/**
 * The chip's interconnect as its engines see it: one map of device addresses (HBM, SRAM, configuration, host through
 * the PCIe outbound window), with virtual addresses translated per initiator.
 */

import type { Steps } from '../sim/process.ts';

/** Who asks. The ASID and the bypass bit come from registers of the engine and may change between two accesses. */
export interface Initiator {
  /** E.g. `DMA0_CORE` or `DMA0_QM.CP3`; used in error capture and traces. */
  readonly name: string;
  asid(): number;
  /** True: addresses are not translated. */
  mmuBypass(): boolean;
  /** True: range protection does not apply. Without it, who bypasses the MMU is secure (gaudi.c, gaudi_init_dma_core). */
  secure?(): boolean;
}

/** Thrown by an access that nothing answers. The registers that capture it have been written when it is thrown. */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly kind: 'page-fault' | 'access' | 'decode' | 'host';
  readonly address: number;
  readonly access: 'read' | 'write';
  /** Bytes from `address` on that are known to fail alike (at least 1), so that who goes on need not try them. */
  readonly span: number;

  constructor(kind: BusError['kind'], access: 'read' | 'write', address: number, who: string, span = 1) {
    super(`${kind}: ${who}: ${access} of device address 0x${address.toString(16)}`);
    this.kind = kind;
    this.address = address;
    this.access = access;
    this.span = span;
  }
}

/** All addresses are device addresses as safe integers, lengths are bytes. Accesses may cross pages and memories. */
export interface ChipBus {
  /**
   * The longest directly reachable run at `address`, at most `length` bytes, after translation; undefined where the
   * first byte is registers or reachable by messages only. Valid until the next yield.
   * @throws BusError
   */
  view(who: Initiator, address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined;
  /**
   * Whether `view` gives all of these bytes for reading in one piece. Asking has no consequences: a fault is not captured.
   * @throws ModelError where the tables of the MMU hold what the driver never writes
   */
  reaches(who: Initiator, address: number, length: number): boolean;
  /** Fills `target`. @throws BusError */
  read(who: Initiator, address: number, target: Uint8Array): Steps;
  /** @throws BusError */
  write(who: Initiator, address: number, source: Uint8Array): Steps;
  /**
   * One 32-bit write, aligned to 4: a message. To registers it has their effect, to memory it is one store.
   * @returns the steps that are left, or undefined when it is done
   * @throws BusError
   */
  write32(who: Initiator, address: number, value: number): Steps | undefined;
  /** What is at an address, for a person: a register's name, or that of a memory. */
  describe?(address: number): string;
  /** @throws BusError */
  read32(who: Initiator, address: number): Steps<number>;
}
