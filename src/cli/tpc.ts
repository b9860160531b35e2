import { Command } from 'commander';
import { debugCommand } from './tpc-debug.ts';
import { runCommand } from './tpc-run.ts';

export function command(): Command {
  const tpc = new Command('tpc').description(
    'Kernels of the TPC, the vector processor of Gaudi: run them without a chip, or step by step.',
  );
  tpc.addCommand(runCommand().exitOverride());
  tpc.addCommand(debugCommand().exitOverride());
  return tpc;
}
