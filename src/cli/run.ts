/** `sagrada run`: a program of the user, on a machine with modelled cards. */

import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { Command, Option } from 'commander';
import { bundle } from '../exercise/bundle.ts';
import { RUN_VARIABLE, type RunSetup } from '../machine/connect.ts';
import { checkFaults } from '../machine/faults.ts';
import { machineDescription } from '../machine/machines.ts';
import { signalNumber } from '../os/run.ts';
import { UserError } from '../sim/errors.ts';
import { addExamples } from './help.ts';
import type { Interruption } from './interruption.ts';
import { addGuestOptions, addMachineOptions, type MachineOptions, traceFile, VM_OPTIONS } from './machine-options.ts';
import { guarded, runCommand } from './vm.ts';

interface Options extends MachineOptions {
  readonly on?: 'model' | 'vm';
}

export function command(): Command {
  const run = new Command('run')
    .description(
      'run a program (TypeScript or JavaScript) that imports from "sagrada", on a model of the driver in its own process or on the driver of a Linux kernel in a virtual machine; exits with its status',
    )
    .argument('<file>', 'the program')
    .argument('[args...]', 'its arguments')
    .passThroughOptions()
    .addOption(
      new Option(
        '--on <target>',
        'where the driver is: model or vm (default: model; vm where an option of the guest is given)',
      ).choices(['model', 'vm']),
    );
  // two cards, as `sagrada exercise` has them and `connect()` outside of it
  return addExamples(
    addGuestOptions(addMachineOptions(run, 'gaudi-x2')).action(
      (file: string, args: string[], options: Options, self: Command) =>
        guarded((signal) => runProgram(file, args, options, self, signal)),
    ),
    ['sagrada run examples/hello-device.ts', 'on modelled cards, in a process'],
    ['sagrada run --on vm examples/hello-device.ts', 'through the driver of a Linux kernel'],
  );
}

async function runProgram(
  file: string,
  args: readonly string[],
  options: Options,
  self: Command,
  signal: AbortSignal,
): Promise<number> {
  const program = path.resolve(file);
  if (!statSync(program, { throwIfNoEntry: false })?.isFile()) throw new UserError(`no such program: ${file}`);
  hint(args, self);
  machineDescription(options.machine);
  checkFaults(options.fault ?? [], options.machine);
  const guest = VM_OPTIONS.filter((name) => self.getOptionValueSource(name) === 'cli');
  const on = options.on ?? (guest.length > 0 ? 'vm' : 'model');
  if (on === 'vm') return runInGuest(program, args, options, signal);
  if (guest[0] !== undefined) {
    const flag = self.options.find((option) => option.attributeName() === guest[0])?.long;
    throw new UserError(`${flag} is about the guest: it goes with --on vm`);
  }
  return runHere(program, args, options, signal);
}

/** What stands after the program is the program's: who meant it for us would wait for a trace that never comes. */
function hint(args: readonly string[], self: Command): void {
  const ours = args.find((arg) => self.options.some(({ long }) => long === arg.split('=', 1)[0]));
  if (ours !== undefined) {
    process.stderr.write(
      `sagrada: ${ours} is given to the program; what is meant for sagrada stands before the file\n`,
    );
  }
}

/** In a process of its own, so that how a program ends, and with what status, is what it would be without us. */
function runHere(program: string, args: readonly string[], options: Options, signal: AbortSignal): Promise<number> {
  const { machine, delay, deviceSeed, firmware, fault, traceRegisters, registers, trace } = options;
  const setup: RunSetup = {
    on: 'model',
    machine,
    ...(delay ? { delays: delay } : {}),
    ...(deviceSeed === undefined ? {} : { seed: deviceSeed }),
    ...(firmware ? { firmware } : {}),
    ...(fault ? { faults: fault } : {}),
    ...(trace === undefined ? {} : { trace: { file: path.resolve(trace), sequence: 1, root: path.basename(program) } }),
  };
  if (trace !== undefined) traceFile(trace);
  if (traceRegisters)
    throw new UserError(`${registers === undefined ? '--trace-registers' : '--registers'} goes with --on vm`);
  const preload = new URL('run-preload.ts', import.meta.url).href;
  const child = spawn(process.execPath, ['--import', preload, program, ...args], {
    stdio: 'inherit',
    env: { ...process.env, [RUN_VARIABLE]: JSON.stringify(setup) },
  });
  // a terminal tells all its processes; who ends only us means the program
  const stop = () => void child.kill((signal.reason as Interruption).signal);
  signal.addEventListener('abort', stop, { once: true });
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new UserError(`cannot start ${process.execPath}: ${error.message}`)));
    child.on('exit', (code, name) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? 128 + (name === null ? 0 : signalNumber(name)));
    });
  });
}

/** As one file, which a guest without KVM loads in a fraction of the time. */
async function runInGuest(
  program: string,
  args: readonly string[],
  options: Options,
  signal: AbortSignal,
): Promise<number> {
  const folder = path.join(options.cache, 'run', String(process.pid));
  const setup: RunSetup = { on: 'linux' };
  try {
    const file = await bundled(program, folder);
    const env = { [RUN_VARIABLE]: JSON.stringify(setup) };
    return await runCommand([process.execPath, '--enable-source-maps', file, ...args], options, signal, env);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @throws UserError that says where the program is wrong */
async function bundled(program: string, folder: string): Promise<string> {
  try {
    return await bundle(program, folder);
  } catch (error) {
    const { errors = [] } = error as { errors?: readonly Message[] };
    if (errors.length === 0) throw error;
    const lines = errors.map(({ text, location }) =>
      location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text,
    );
    throw new UserError(lines.join('\n'));
  }
}

/** What esbuild says of a mistake. */
interface Message {
  readonly text: string;
  readonly location: { readonly file: string; readonly line: number; readonly column: number } | null;
}
