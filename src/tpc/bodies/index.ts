/** All bodies, by slot and mnemonic. An instruction of the rows without its body here does not compile. */

import type { LoadMnemonic, SpuMnemonic, StoreMnemonic, VpuMnemonic } from '../../../specs/tpc/gaudi.ts';
import type { Instruction } from '../../isa/vliw/bundle.ts';
import { type Action, type Body, type Machine, refuse } from '../machine.ts';
import { scalarArithmetic, vectorArithmetic } from './arithmetic.ts';
import { scalarComparisons, vectorComparisons } from './compare.ts';
import { indexInstructions, scalarControl, vectorControl } from './control.ts';
import { scalarConversions, vectorConversions } from './convert.ts';
import { loads, stores } from './memory.ts';
import { move, vectorMoves } from './move.ts';

/** A slot that does nothing is not decoded as an instruction. */
type Bodies<Mnemonic extends string> = Readonly<Record<Exclude<Mnemonic, 'nop'>, Body>>;

const load: Bodies<LoadMnemonic> = { ...loads, ...indexInstructions, mov: move };

const spu: Bodies<SpuMnemonic> = {
  ...scalarArithmetic,
  ...scalarComparisons,
  ...scalarConversions,
  ...scalarControl,
  mov: move,
};

const vpu: Bodies<VpuMnemonic> = {
  ...vectorArithmetic,
  ...vectorComparisons,
  ...vectorConversions,
  ...vectorMoves,
  ...vectorControl,
};

const store: Bodies<StoreMnemonic> = { ...stores, ...indexInstructions };

const bodies = { load, spu, vpu, store };

/** The action of an instruction, its operands looked up. @throws ModelError for what the core does not have or know */
export function bind(i: Instruction, m: Machine): Action {
  const table: Readonly<Record<string, Body>> = bodies[i.slot];
  const body = Object.hasOwn(table, i.mnemonic) ? table[i.mnemonic] : undefined;
  return (body ?? refuse(i, 'unsupported', 'no such instruction'))(i, m);
}
