/** The instruction sets that are released here. Each is loaded when it is asked for. */

import { type InstructionSet, packetInstructionSet } from '../src/isa/instruction-set.ts';

export interface InstructionSetEntry {
  readonly doc: string;
  load(): Promise<InstructionSet>;
}

export const instructionSets: Readonly<Record<string, InstructionSetEntry>> = {
  'gaudi-qman': {
    doc: 'command packets of the Gaudi1 queue managers',
    async load() {
      const [{ gaudiQman }, { gaudiSymbols }] = await Promise.all([
        import('./gaudi-qman.ts'),
        import('./gaudi-symbols.ts'),
      ]);
      return packetInstructionSet(gaudiQman, gaudiSymbols());
    },
  },
  'tpc-gaudi': {
    doc: 'the Tensor Processing Core of Gaudi1',
    async load() {
      const [{ tpcGaudi }, { vliwInstructionSet }] = await Promise.all([
        import('./tpc/gaudi.ts'),
        import('../src/isa/vliw/instruction-set.ts'),
      ]);
      return vliwInstructionSet(tpcGaudi);
    },
  },
};
