/**
 * The driver of the machine that a program runs on: the kernel's own in a guest of `sagrada run --on vm`, else a model in
 * this process. The program is the same.
 */

import { writeSync } from 'node:fs';
import type { Driver } from '../driver/driver.ts';
import { LinuxDriver } from '../driver/linux/driver.ts';
import { UserError } from '../sim/errors.ts';
import { ModelMachine, type ModelMachineOptions } from './model.ts';
import { cardFaults } from './vm/expected-lines.ts';

/** Of the model; a kernel has the cards it has. */
export type ConnectOptions = Partial<ModelMachineOptions>;

/** What `sagrada run` says to the program it runs, in the environment. */
export const RUN_VARIABLE = 'SAGRADA_RUN';

/** Where a program runs, and on the model on which machine. */
export type RunSetup = { readonly on: 'linux' } | ({ readonly on: 'model' } & ModelMachineOptions);

/** Exit status when not the program was at fault but the driver or the devices, as of `sagrada vm run`. */
export const STATUS_MACHINE = 125;

const WARNING = 4;
const DEFAULT_MACHINE = 'gaudi-x2';

/** By their options: a program that connects twice speaks with the same cards. */
const drivers = new Map<string, Driver>();

/**
 * The driver of the machine this program runs on. What `sagrada run` was told about the machine goes before `options`;
 * run by `node` alone it is the model of the machine `gaudi-x2`, or of another that `options` name.
 * @throws UserError for a machine that does not exist
 */
export function connect(options: ConnectOptions = {}): Driver {
  const said = process.env[RUN_VARIABLE];
  const key = said ?? JSON.stringify(options);
  const known = drivers.get(key);
  if (known) return known;
  const driver = said === undefined ? modelOf(options).driver : driverOfRun(said);
  drivers.set(key, driver);
  return driver;
}

function modelOf(options: ConnectOptions): ModelMachine {
  return new ModelMachine({ ...options, machine: options.machine ?? DEFAULT_MACHINE });
}

function driverOfRun(said: string): Driver {
  const setup = parse(said);
  if (setup.on === 'linux') return new LinuxDriver();
  const { on: _, ...options } = setup;
  const machine = modelOf(options);
  process.on('exit', (status) => {
    machine.trace?.[Symbol.dispose]();
    if (complain(machine) && status === 0) process.exitCode = STATUS_MACHINE;
  });
  return machine.driver;
}

function parse(said: string): RunSetup {
  try {
    return JSON.parse(said) as RunSetup;
  } catch {
    throw new UserError(`${RUN_VARIABLE} is set by "sagrada run": unset it`);
  }
}

/**
 * Prints what the driver has warned of and the devices have refused. @returns whether that tells of more than a
 * mistake of the program, which a real card would have refused too
 */
function complain(machine: ModelMachine): boolean {
  const warnings = machine.driver
    .messages()
    .filter(({ level }) => level <= WARNING)
    .map(({ text }) => text);
  const refusals = machine.takeRefusals();
  const lines = [
    ...warnings.map((text) => `driver: ${text}`),
    ...refusals.map(({ device, error }) => `${device}: ${error.message}`),
  ];
  // at the end of a process only what is written at once arrives
  if (lines.length > 0) writeSync(2, lines.map((line) => `sagrada: ${line}\n`).join(''));
  return (
    refusals.some(({ error }) => error.category !== 'guest') ||
    warnings.some((text) => cardFaults.some((pattern) => pattern.test(text)))
  );
}
