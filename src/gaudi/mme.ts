/** A matrix multiplication engine as far as the chip around it sees it: registers. Its datapath is not modelled. */

import { mmeCtrl } from '../../specs/gaudi/registers/mme.ts';
import { ModelError } from '../sim/errors.ts';
import type { Steps } from '../sim/process.ts';
import { RegisterBlock } from '../sim/registers.ts';
import type { Engine } from './engine.ts';

/** ARCH_STATUS of an engine without work: SB_A_EMPTY, SB_B_EMPTY, WBC_AXI_IDLE (gaudi_masks.h, MME_ARCH_IDLE_MASK). */
const IDLE = 0x1180;

export class Mme implements Engine {
  readonly name: string;
  readonly block: RegisterBlock<typeof mmeCtrl.rows>;

  constructor(index: number) {
    this.name = `MME${index}`;
    this.block = new RegisterBlock(mmeCtrl, `MME${index}_CTRL`, {
      // Work is refused, so there is never any.
      ARCH_STATUS: { read: () => IDLE },
      CMD: {
        write: () => {
          throw new ModelError('unimplemented', `MME${index}_CTRL.CMD`, 'execution of a descriptor');
        },
      },
    });
  }

  busy(): boolean {
    return false;
  }

  // biome-ignore lint/correctness/useYield: a register takes what it is given at once
  *writeRegister(offset: number, value: number): Steps {
    if (offset >= this.block.spec.size) {
      throw new ModelError('unimplemented', `${this.name}+0x${offset.toString(16)}`, 'write of an unknown register');
    }
    this.block.write32(offset, value);
  }

  drain(): undefined {}

  reset(): void {
    this.block.reset();
  }
}
