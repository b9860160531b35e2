/** `sagrada tpc run`: a kernel on a core that stands alone. */

import { closeSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { slots } from '../isa/vliw/bundle.ts';
import { PATIENCE, timeLeft } from '../os/pace.ts';
import { UserError } from '../sim/errors.ts';
import type { TpcStatistics } from '../tpc/core.ts';
import { cutIndexSpace } from '../tpc/index-space.ts';
import { readElement } from '../tpc/run/elements.ts';
import { writeNpy } from '../tpc/run/npy.ts';
import { recordProgram, StepRecorder } from '../tpc/run/recording.ts';
import { addStatistics, flopsAt, type Stand } from '../tpc/run/stand.ts';
import { createTraceFile, TraceFile } from '../trace/file.ts';
import { TraceRecorder } from '../trace/recorder.ts';
import { addExamples } from './help.ts';
import { print, writeOutput } from './isa-input.ts';
import { statusLine } from './terminal.ts';
import { addKernelOptions, type KernelOptions, type PreparedKernel, prepareKernel, whole } from './tpc-kernel.ts';
import { printFigures, printTensor } from './tpc-print.ts';

interface Options extends KernelOptions {
  readonly cores: number;
  readonly print?: boolean;
  readonly outFile?: readonly string[];
  readonly trace?: string;
  readonly bundles?: string;
  readonly stats?: boolean;
  readonly json?: boolean;
  readonly compile: boolean;
}

export function runCommand(): Command {
  const command = new Command('run')
    .description(
      'run a kernel on a core that stands alone, and print its results. Tensors are matched by the names that the kernel ' +
        'gives them; of a kernel that gives none they are numbered in the order of --in and --out',
    )
    .addHelpText(
      'after',
      `
FILL is random, random=LOW..HIGH, ramp, zeros, ones, a number, or FILE.npy; :pad=NUMBER after it is what elements out of
bounds read as. Sizes are told with dimension 0, along which vectors lie, first; NumPy tells it last.`,
    );
  addExamples(
    command,
    ['sagrada tpc run kernels/add.tpc --in x=f32[1000]:ramp --in y=f32[1000]:1.5 --out z --stats', 'with figures'],
    ['sagrada tpc run kernels/softmax.tpc --in x=f32[4,100]:random --out y --out-file y=y.npy', 'for NumPy'],
  );
  const texts = addKernelOptions(command);
  return command
    .option('--cores <n>', 'cut the index space into parts for so many cores', whole(1, 8), 1)
    .option('--print', 'print all elements')
    .option('--out-file <name=file>', 'write a tensor as .npy; may be repeated', (text, before: string[] = []) => [
      ...before,
      text,
    ])
    .option(
      '--trace <file>',
      'write a trace: each bundle that is done and the registers it changes, for "sagrada view" and ui.perfetto.dev',
    )
    .option('--bundles <file>', 'write each bundle that is done to a file, as a line of text')
    .option('--stats', 'print bundles, slots, cycles and speed')
    .option('--json', 'print results and figures as JSON')
    .option('--no-compile', 'interpret only: do not compile hot loops to WebAssembly')
    .action((file: string, options: Options) => run(file, texts, options));
}

interface Outcome {
  readonly stand: Stand;
  readonly statistics: TpcStatistics;
  readonly parts: number;
  readonly seconds: number;
}

async function run(file: string, texts: Parameters<typeof prepareKernel>[1], options: Options): Promise<void> {
  const kernel = await prepareKernel(file, texts, options);
  if (!kernel) return;
  if (options.print || options.json) checkPrintable(kernel);
  const files = outputFiles(options.outFile ?? [], kernel);
  const outcome = runParts(kernel, options);
  for (const [name, target] of files) {
    const n = kernel.tensors.findIndex((each) => each.name === name);
    const { type, sizes } = kernel.tensors[n] as (typeof kernel.tensors)[number];
    writeOutput(target, writeNpy(outcome.stand.elements[n] as Uint8Array, type, sizes));
  }
  const flops = options.stats ? countFlops(kernel, outcome, options) : undefined;
  await print(options.json ? asJson(kernel, outcome, flops) : asText(kernel, outcome, flops, options));
}

function runParts(kernel: PreparedKernel, options: Options): Outcome {
  const parts = cutIndexSpace(kernel.indexSpace, options.cores);
  const stand = kernel.stand(options.compile && options.trace === undefined && options.bundles === undefined);
  const statistics: TpcStatistics[] = [];
  const began = performance.now();
  using follower = followerOf(kernel, stand, options);
  const progress = process.stderr.isTTY ? partProgress() : undefined;
  try {
    parts.forEach((part, n) => {
      stand.start(part);
      if (follower === undefined) stand.finish(options.budget, progress?.(n, parts.length));
      else follow(follower, stand, n, options.budget);
      statistics.push(stand.core.statistics);
    });
  } catch (error) {
    const text = stand.explain(error);
    throw text === undefined ? error : new UserError(text);
  } finally {
    if (progress) statusLine('');
  }
  const seconds = (performance.now() - began) / 1000;
  return { stand, statistics: addStatistics(statistics), parts: parts.length, seconds };
}

/** What a terminal sees of a kernel that takes more than two seconds. */
function partProgress() {
  const began = performance.now();
  let done = 0;
  return (part: number, parts: number) => {
    const before = done;
    return (bundles: number) => {
      done = before + bundles;
      const seconds = (performance.now() - began) / 1000;
      if (seconds < PATIENCE) return;
      const rate = (done / 1e6 / seconds).toFixed(1);
      statusLine(
        `  part ${part + 1}/${parts}, ${(done / 1e6).toFixed(1)} million bundles, ${rate} million/s${timeLeft(part, parts, seconds)}`,
      );
    };
  };
}

/** Writes down what a core does, bundle by bundle. */
interface Follower extends Disposable {
  /** @param part of the index space, from 0 */
  start(part: number): void;
  step(): void;
}

function followerOf(kernel: PreparedKernel, stand: Stand, options: Options): Follower | undefined {
  const { trace, bundles } = options;
  if (trace !== undefined && bundles !== undefined) throw new UserError('--trace and --bundles: one of them at a time');
  if (trace !== undefined) return intoTrace(kernel, stand, trace);
  return bundles === undefined ? undefined : intoText(kernel, stand, bundles);
}

/** A core each for the parts, which begin at the same time; a cycle is a nanosecond. */
function intoTrace({ program }: PreparedKernel, stand: Stand, file: string): Follower {
  createTraceFile(file);
  const sink = new TraceFile(file);
  const now = () => stand.core.statistics.cycles;
  const recorder = new TraceRecorder({ sink, sequence: 1, root: path.basename(program.file), now });
  recorder.track().instant('machine', 'tpc', { clock: 'virtual', target: 'model' });
  recordProgram(program, recorder.track('program'));
  let steps: StepRecorder | undefined;
  return {
    start(part) {
      steps = new StepRecorder({
        core: stand.core,
        track: recorder.track(`core ${part}`),
        base: 0,
        text: program.text,
        timeOf: (cycle) => cycle,
      });
    },
    step: () => steps?.step(),
    [Symbol.dispose]() {
      recorder.close();
      sink[Symbol.dispose]();
    },
  };
}

/** A line for each bundle: core, cycle, place, text. */
function intoText({ program }: PreparedKernel, stand: Stand, file: string): Follower {
  const { core } = stand;
  const descriptor = openForWriting(file);
  const lines: string[] = [];
  let current = 0;
  const flush = () => {
    if (lines.length > 0) writeSync(descriptor, `${lines.join('\n')}\n`);
    lines.length = 0;
  };
  return {
    start(part) {
      current = part;
    },
    step() {
      lines.push(`${current} ${core.statistics.cycles} ${program.place(core.pc)}: ${program.text(core.pc)}`);
      if (lines.length >= 4096) flush();
      core.step();
    },
    [Symbol.dispose]() {
      flush();
      closeSync(descriptor);
    },
  };
}

function openForWriting(file: string): number {
  try {
    return openSync(file, 'w');
  } catch (error) {
    throw new UserError(`cannot write ${file}: ${(error as Error).message}`);
  }
}

function follow(follower: Follower, stand: Stand, part: number, budget: number): void {
  const { core } = stand;
  core.machine.readConfig();
  follower.start(part);
  for (let done = 0; core.status === 'ready' || core.status === 'debug'; done++) {
    if (done >= budget) stand.finish(0);
    follower.step();
  }
}

/** Elements that are printed, at most: more make no text that anybody reads. */
const MAX_PRINTED = 2 ** 22;

/** @throws UserError */
function checkPrintable(kernel: PreparedKernel): void {
  kernel.tensors.forEach(({ name, sizes }, n) => {
    const count = sizes.reduce((product, size) => product * size, 1);
    if (kernel.arguments[n]?.output && count > MAX_PRINTED) {
      throw new UserError(`${name} has ${count} elements, more than are printed: --out-file ${name}=${name}.npy`);
    }
  });
}

function outputFiles(texts: readonly string[], kernel: PreparedKernel): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const text of texts) {
    const [name = '', file] = text.split(/=(.*)/s);
    if (!file) throw new UserError(`"${text}": --out-file NAME=FILE.npy is expected`);
    if (!kernel.tensors.some((each) => each.name === name)) throw new UserError(`there is no tensor "${name}"`);
    files.set(name, file);
  }
  return files;
}

/** Bundles of the run that counts operations: enough for what repeats to outweigh what does not. */
const COUNTED_BUNDLES = 200_000;

interface Flops {
  readonly count: number;
  /** It was counted in a part of the run. */
  readonly estimated: boolean;
}

/** Floating-point operations of the whole run: counted by doing its beginning once more. */
function countFlops(kernel: PreparedKernel, outcome: Outcome, options: Options): Flops {
  const stand = kernel.stand(false);
  const of = flopsAt(kernel.program, (offset) => stand.core.bundleAt(offset));
  let flops = 0;
  let counted = 0;
  let bundles = 0;
  for (const part of cutIndexSpace(kernel.indexSpace, options.cores)) {
    if (bundles >= COUNTED_BUNDLES) break;
    stand.start(part);
    stand.core.machine.readConfig();
    while (stand.core.status !== 'halted' && bundles < COUNTED_BUNDLES) {
      flops += of(stand.core.pc);
      stand.core.step();
      bundles++;
    }
    counted += stand.core.statistics.issued.vpu + stand.core.statistics.issued.spu;
  }
  const all = outcome.statistics.issued.vpu + outcome.statistics.issued.spu;
  const estimated = bundles < outcome.statistics.bundles;
  return { count: estimated && counted > 0 ? Math.round((flops * all) / counted) : flops, estimated };
}

function asText(kernel: PreparedKernel, outcome: Outcome, flops: Flops | undefined, options: Options): string {
  let text = '';
  kernel.tensors.forEach((tensor, n) => {
    if (kernel.arguments[n]?.output) {
      text += printTensor(tensor, outcome.stand.elements[n] as Uint8Array, options.print ?? false);
    }
  });
  if (!flops) return text;
  const { statistics, seconds, parts } = outcome;
  const { bundles } = statistics;
  const share = (count: number) => `${((100 * count) / Math.max(1, bundles)).toFixed(1)} %`;
  return `${text}${printFigures([
    ['index space', `${kernel.indexSpace.join('x')}, in ${parts} part${parts === 1 ? '' : 's'}`],
    ['bundles', String(bundles)],
    ...slots.map((slot): readonly [string, string] => {
      const skipped = statistics.skipped[slot];
      const note = skipped > 0 ? `, ${skipped} more were skipped by their predicate` : '';
      return [`  ${slot}`, `${share(statistics.issued[slot])} of them (${statistics.issued[slot]})${note}`];
    }),
    ['cycles', `${statistics.cycles}${parts > 1 ? ' of the core that took longest' : ''}`],
    ['stalls', `${statistics.stalls} cycles in which nothing was issued`],
    ['compiled', `${stand(outcome)} rounds of loops`],
    ['floating point', `${flops.count} operations${flops.estimated ? ', estimated' : ''}`],
    ['wall time', `${(seconds * 1000).toFixed(1)} ms`],
    [
      'speed',
      `${(bundles / seconds / 1e6).toFixed(2)} M bundles/s, ${(flops.count / seconds / 1e9).toFixed(3)} GFLOP/s`,
    ],
  ])}`;
}

function stand(outcome: Outcome): number {
  return outcome.stand.core.compiledRounds;
}

function asJson(kernel: PreparedKernel, outcome: Outcome, flops: Flops | undefined): string {
  const results = kernel.tensors.flatMap(({ name, type, sizes }, n) => {
    if (!kernel.arguments[n]?.output) return [];
    const count = sizes.reduce((product, size) => product * size, 1);
    const bytes = outcome.stand.elements[n] as Uint8Array;
    const values = Array.from({ length: count }, (_, i) => readElement(bytes, type, i));
    // JSON has no NaN and no infinity.
    return [{ name, type, sizes, values: values.map((value) => (Number.isFinite(value) ? value : String(value))) }];
  });
  const { statistics, seconds, parts } = outcome;
  const figures = flops && { flops: flops.count, flopsEstimated: flops.estimated, seconds };
  return `${JSON.stringify({ results, indexSpace: kernel.indexSpace, parts, ...statistics, ...figures })}\n`;
}
