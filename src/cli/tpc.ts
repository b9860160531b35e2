import { Command } from 'commander';
import { addExamples } from './help.ts';
import { debugCommand } from './tpc-debug.ts';
import { runCommand } from './tpc-run.ts';

export function command(): Command {
  const tpc = new Command('tpc').description(
    'kernels of the TPC, the vector processor of Gaudi: run them without a chip, or step by step',
  );
  tpc.addCommand(runCommand().exitOverride());
  tpc.addCommand(debugCommand().exitOverride());
  return addExamples(
    tpc,
    ['sagrada tpc run kernels/relu.tpc --in x=f32[64]:ramp --out y', 'run one'],
    ['sagrada tpc debug kernels/relu.tpc --in x=f32[64]:ramp --out y', 'go through it bundle by bundle'],
  );
}
