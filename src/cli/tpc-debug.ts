/** `sagrada tpc debug`: a kernel bundle by bundle, at a terminal or by a script. */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { UserError } from '../sim/errors.ts';
import { cutIndexSpace } from '../tpc/index-space.ts';
import { Debugger } from '../tpc/run/debugger.ts';
import { addExamples } from './help.ts';
import { addKernelOptions, type KernelOptions, prepareKernel, whole } from './tpc-kernel.ts';

interface Options extends KernelOptions {
  readonly script?: string;
  readonly cores: number;
  readonly core: number;
}

export function debugCommand(): Command {
  const command = new Command('debug').description(
    'run a kernel step by step. Commands are read from the terminal, from --script, or from standard input; "help" lists ' +
      'them. By script, the first command that cannot be done ends it, with exit status 1',
  );
  addExamples(
    command,
    ['sagrada tpc debug kernels/relu.tpc --in x=f32[256]:random --out y', 'at a terminal'],
    [
      "echo 'break end0; continue; print V4 f32; memory y[0..8]' | tr ';' '\\n' | sagrada tpc debug kernels/relu.tpc --in x=f32[256]:ramp --out y",
      'by a script',
    ],
  );
  const texts = addKernelOptions(command);
  return command
    .option('--script <file>', 'read commands from a file')
    .option('--cores <n>', 'cut the index space into parts for so many cores', whole(1, 8), 1)
    .option('--core <n>', 'the part that is run, from 0', whole(0, 7), 0)
    .action((file: string, options: Options) => debug(file, texts, options));
}

async function debug(file: string, texts: Parameters<typeof prepareKernel>[1], options: Options): Promise<void> {
  if (file === '-' && options.script === undefined)
    throw new UserError('the kernel or the commands, not both, are standard input');
  const kernel = await prepareKernel(file, texts, options);
  if (!kernel) return;
  const parts = cutIndexSpace(kernel.indexSpace, options.cores);
  const part = parts[options.core];
  if (!part) throw new UserError(`--core ${options.core}: the index space has ${parts.length} parts`);
  const session = new Debugger({
    program: kernel.program,
    tensors: kernel.tensors,
    stand: () => kernel.stand(false),
    part,
    budget: options.budget,
  });
  const terminal = options.script === undefined && process.stdin.isTTY === true;
  // A reader that went away ends the session.
  let gone = false;
  process.stdout.on('error', () => {
    gone = true;
  });
  const show = (text: string): boolean => {
    process.stdout.write(text);
    return !gone;
  };
  show(session.execute('where'));
  const input = options.script === undefined ? process.stdin : createReadStream(options.script);
  const lines = createInterface({ input, ...(terminal ? { output: process.stdout, prompt: '(tpc) ' } : {}) });
  const failed = new Promise<never>((_, reject) => {
    input.once('error', (error) => reject(new UserError(`cannot read ${options.script}: ${error.message}`)));
  });
  await Promise.race([converse(session, lines, terminal, show), failed]);
}

async function converse(
  session: Debugger,
  lines: ReturnType<typeof createInterface>,
  terminal: boolean,
  show: (text: string) => boolean,
): Promise<void> {
  if (terminal) lines.prompt();
  for await (const line of lines) {
    try {
      if (!show(session.execute(line))) break;
    } catch (error) {
      if (!(error instanceof UserError) || !terminal) throw error;
      console.error(error.message);
    }
    if (session.ended) break;
    if (terminal) lines.prompt();
  }
  lines.close();
}
