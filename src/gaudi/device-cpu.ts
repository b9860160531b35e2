/** The device CPU as a bus master: 40-bit addresses, of which those with bit 39 set are the host's. */

import type { Steps } from '../sim/process.ts';
import type { ChipBus, Initiator } from './bus.ts';

const BIT_39 = 2 ** 39;
const BIT_40 = 2 ** 40;

/** An address that the device CPU cannot form. */
export class CpuAddressError extends Error {
  override readonly name = 'CpuAddressError';
}

export class DeviceCpu implements Initiator {
  readonly name = 'CPU';
  readonly #bus: ChipBus;
  readonly #msb: () => number;

  /** @param msb CPU_IF.CPU_MSB_ADDR: bits 49:39 of the host addresses it accesses */
  constructor(bus: ChipBus, msb: () => number) {
    this.#bus = bus;
    this.#msb = msb;
  }

  asid(): number {
    return 0;
  }

  /** Its addresses are physical: the driver gives it bus addresses. */
  mmuBypass(): boolean {
    return true;
  }

  /**
   * The device address of a host address as the driver gives it to the firmware (gaudiP.h, GAUDI_PCI_TO_CPU_ADDR): its
   * bits 49:39 are those of CPU_MSB_ADDR, bit 39 says that it is the host's.
   * @throws CpuAddressError
   */
  hostAddress(address: number): number {
    if (!(address >= BIT_39 && address < BIT_40)) {
      throw new CpuAddressError(`0x${address.toString(16)} is no 40-bit address with bit 39 set`);
    }
    return (address % BIT_39) + this.#msb() * BIT_39;
  }

  /** @param address device address @throws BusError */
  read(address: number, target: Uint8Array): Steps {
    return this.#bus.read(this, address, target);
  }

  /** @param address device address @throws BusError */
  write(address: number, source: Uint8Array): Steps {
    return this.#bus.write(this, address, source);
  }

  /** @param address device address, aligned to 4 @throws BusError */
  *write32(address: number, value: number): Steps {
    const steps = this.#bus.write32(this, address, value);
    if (steps) yield* steps;
  }
}
