/**
 * The link between a function and what is above it, which may stop passing packets: then reads give ones, writes go
 * nowhere, and what the function asks for is not answered. The link is not down in the sense of the standard (that would
 * be a hot reset): it is silent, as one whose flow control is stuck.
 */

import type { Region } from './function.ts';
import { PciError } from './pci-error.ts';
import type { DmaPort, FunctionPorts } from './ports.ts';

const ONES = 0xff;

export class Link {
  /** Whether packets pass. */
  up = true;
  readonly #name: string;

  /** @param name of the function, for messages */
  constructor(name: string) {
    this.#name = name;
  }

  /**
   * A region as it is seen from above. Pieces that a host has mapped it reaches all the same: taking a mapping away from
   * its reader is nothing that a device can do.
   */
  region(region: Region): Region {
    return {
      size: region.size,
      mappable: region.mappable,
      read: (offset, target) => {
        if (this.up) region.read(offset, target);
        else target.fill(ONES);
      },
      write: (offset, source) => {
        if (this.up) region.write(offset, source);
      },
    };
  }

  /** What is above, as the function sees it. */
  ports(above: FunctionPorts): FunctionPorts {
    return {
      ...above,
      dma: this.#dma(above.dma),
      interrupt: (kind, vector) => {
        if (this.up) above.interrupt(kind, vector);
      },
    };
  }

  #dma(port: DmaPort): DmaPort {
    return {
      view: (address, length, access) => (this.up ? port.view(address, length, access) : undefined),
      read: (address, target, done) => {
        if (this.up) port.read(address, target, done);
        else done(new PciError('no-answer', this.#name, 'read', address));
      },
      // posted: who writes does not learn that it was in vain
      write: (address, source, done) => {
        if (this.up) port.write(address, source, done);
        else done();
      },
      store32: (address, value, done) => {
        if (this.up) port.store32(address, value, done);
        else done();
      },
    };
  }
}
