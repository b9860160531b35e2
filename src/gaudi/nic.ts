/** A NIC port as its queue manager sees it. Nothing of it is modelled: the driver in Linux leaves the ports alone. */

import { ModelError } from '../sim/errors.ts';
import type { Steps } from '../sim/process.ts';
import type { Engine } from './engine.ts';

export class NicPort implements Engine {
  readonly name: string;

  constructor(macro: number, port: number) {
    this.name = `NIC${macro}_QM${port}`;
  }

  busy(): boolean {
    return false;
  }

  // biome-ignore lint/correctness/useYield: it never gets that far
  *writeRegister(offset: number): Steps {
    throw new ModelError('unimplemented', `${this.name}+0x${offset.toString(16)}`, 'work for a NIC port');
  }

  drain(): undefined {}
}
