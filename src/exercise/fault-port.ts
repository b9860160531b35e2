/** The faults of a target, by what carries the orders out. */

import type { FaultOrder } from '../machine/faults.ts';
import type { FaultPort } from './suite.ts';

export function faultPort(order: (order: FaultOrder) => Promise<readonly string[]>): FaultPort {
  return {
    inject: async (text) => void (await order({ type: 'inject', text })),
    clear: async () => void (await order({ type: 'clear' })),
    happened: () => order({ type: 'happened' }),
  };
}
