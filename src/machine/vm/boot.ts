/** Starts QEMU with a guest and talks to its agent, until one of them ends. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { UserError } from '../../sim/errors.ts';
import { Agent } from './agent.ts';
import { formatRecord, type LogRecord, parseRecord } from './kernel-log.ts';
import { type Guest, type Qemu, qemuArguments } from './qemu.ts';
import type { Scratch } from './scratch.ts';

export interface BootedDevice {
  /** Name of its compute node, e.g. `accel0`. */
  readonly name: string;
  /** PCI address, e.g. `0000:01:00.0`. */
  readonly address: string;
  /** What the driver's sysfs says, e.g. `Operational`. */
  readonly status: string;
}

/** Seconds without a sign of life after which a guest that starts is given up. */
const SILENCE = 30;

/** Looks at the guest, per second. */
const LOOKS = 2;
/** Its agent may take so many times that long to answer, because programs keep the guest busy, */
const ANSWER_FACTOR = 2;
/** and drivers so many times that long to load, because they wait for their devices. */
const LOADING_FACTOR = 5;

/** A guest that is silent for this many seconds and has used less than that much of the processor is waiting for nothing. */
const IDLE = { seconds: 8, processor: 0.4 };

/** A guest that is given up because nothing came from it: worth another attempt. */
export class StalledError extends UserError {}

/** One life of a guest. */
export class Running {
  readonly scratch: Scratch;
  readonly agent: Agent;
  readonly release: string;
  readonly records: LogRecord[];
  readonly #state: State;

  private constructor(state: State, agent: Agent, release: string) {
    this.scratch = state.scratch;
    this.#state = state;
    this.agent = agent;
    this.release = release;
    this.records = state.records;
  }

  /**
   * Boots until the agent speaks.
   * @param initramfs the archive.
   * @throws StalledError when nothing came from the guest for a while; UserError when it or QEMU has ended.
   */
  static async start(
    qemu: Qemu,
    guest: (paths: { console: string; agent: string; initramfs: string }) => Guest,
    initramfs: Uint8Array,
    scratch: Scratch,
    signal: AbortSignal | undefined,
    silence = SILENCE,
  ): Promise<Running> {
    signal?.throwIfAborted();
    const paths = {
      console: scratch.write('console', new Uint8Array(0)),
      agent: scratch.file('agent'),
      initramfs: scratch.write('initramfs', initramfs),
    };
    const state = new State(scratch, paths.console, silence);
    const abort = () => state.end(signal?.reason as Error);
    signal?.addEventListener('abort', abort);
    void state.ending.then(() => signal?.removeEventListener('abort', abort));
    const server = createServer();
    try {
      server.listen(paths.agent);
      await once(server, 'listening');
      state.launch(qemu, qemuArguments(guest(paths)));
      const socket = await state.orEnd(connection(server));
      const agent = new Agent(socket, state);
      state.agent = agent;
      socket.on('close', () => state.vanished());
      const release = await state.orEnd(state.greeting);
      return new Running(state, agent, release);
    } catch (error) {
      state.end(error as Error);
      throw error;
    } finally {
      server.close();
    }
  }

  /** Waits until the drivers are loaded. @throws UserError with the guest's own words when that fails. */
  devices(): Promise<readonly BootedDevice[]> {
    return this.#state.orEnd(this.#state.readiness);
  }

  /** Settles when the guest has ended, with the reason. */
  get end(): Promise<Error> {
    return this.#state.ending;
  }

  /** Told every record that comes from now on. */
  set onRecord(listener: (record: LogRecord) => void) {
    this.#state.onRecord = listener;
  }

  /** Whole log as text: what the agent sent, and what only the console still has (a panic's last lines). */
  logText(): string {
    return this.#state.logText();
  }

  /** Ends the guest without asking it. */
  kill(): void {
    this.#state.end(new UserError('the power of the guest was cut'));
  }

  /** Ends the guest. What its processes have written to shared folders is written back before. */
  async close(): Promise<void> {
    await this.#state.close();
  }
}

function connection(server: Server): Promise<Socket> {
  return new Promise((resolve, reject) => {
    server.once('connection', resolve);
    server.once('error', reject);
  });
}

/** What is known of a guest, and the promises that it keeps or breaks. */
class State {
  readonly scratch: Scratch;
  readonly records: LogRecord[] = [];
  onRecord: (record: LogRecord) => void = () => {};
  agent: Agent | undefined;
  ended = false;
  readonly greeting: Promise<string>;
  readonly readiness: Promise<readonly BootedDevice[]>;
  readonly ending: Promise<Error>;
  readonly #console: string;
  readonly #silence: number;
  #qemu: ChildProcess | undefined;
  #qemuSaid = '';
  #greet: (release: string) => void = () => {};
  #ready: (devices: readonly BootedDevice[]) => void = () => {};
  #finish: (error: Error) => void = () => {};
  #bye: () => void = () => {};
  #watch: NodeJS.Timeout | undefined;
  /** Looks since the last sign of life, and since the agent spoke. Not time: if we were busy, the guest may have been heard late. */
  #silent = 0;
  #loading = 0;
  #consoleSize = 0;
  #spoken = false;
  #up = false;
  #processorAtSign = 0;

  constructor(scratch: Scratch, console: string, silence: number) {
    this.scratch = scratch;
    this.#console = console;
    this.#silence = silence;
    this.greeting = new Promise((resolve) => {
      this.#greet = resolve;
    });
    this.readiness = new Promise((resolve) => {
      this.#ready = resolve;
    });
    this.ending = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  launch(qemu: Qemu, args: readonly string[]): void {
    const child = this.scratch.start([...qemu.command, ...args]);
    this.#qemu = child;
    const hear = (data: Buffer) => {
      this.#qemuSaid = (this.#qemuSaid + data.toString()).slice(-4096);
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    child.on('error', (error) => this.end(new UserError(`cannot start QEMU: ${error.message}`)));
    child.on('close', () => this.end(this.#reason()));
    this.#watch = setInterval(() => this.#look(), 1000 / LOOKS);
  }

  /** `promise`, or the guest's end if that comes first. */
  orEnd<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([
      promise,
      this.ending.then((error): never => {
        throw error;
      }),
    ]);
  }

  end(error: Error): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.#watch);
    this.agent?.abandon(error);
    this.#qemu?.kill('SIGKILL');
    this.#finish(error);
  }

  /** The agent's socket has closed: QEMU ends too, and then knows why. */
  vanished(): void {
    const qemu = this.#qemu;
    if (this.ended || !qemu) return;
    setTimeout(() => this.end(this.#reason()), 2000).unref();
  }

  async close(): Promise<void> {
    if (!this.ended && this.agent) {
      const bye = new Promise<void>((resolve) => {
        this.#bye = resolve;
      });
      this.agent.shutdown();
      await Promise.race([bye, this.ending, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
    }
    const qemu = this.#qemu;
    const gone = qemu && qemu.exitCode === null && qemu.signalCode === null ? once(qemu, 'exit') : undefined;
    this.end(new UserError('the guest was shut down'));
    await gone;
  }

  logText(): string {
    const lines = this.records.map(formatRecord);
    const console = readConsole(this.#console);
    const last = this.records.at(-1);
    // The console says the same with the same time stamps; what is later than the last record was never sent.
    const rest = last ? console.filter((line) => (timeOf(line) ?? 0) > last.seconds) : console;
    return [...lines, ...rest].map((line) => `${line}\n`).join('');
  }

  hello(release: string): void {
    this.#spoken = true;
    this.#silent = 0;
    this.#greet(release);
  }

  log(record: string): void {
    const parsed = parseRecord(record);
    if (!parsed) return;
    this.records.push(parsed);
    this.onRecord(parsed);
  }

  ready(text: string): void {
    this.#up = true;
    const rows = text.split('\n').filter(Boolean);
    this.#ready(
      rows.map((row) => {
        const [name = '', address = '', ...status] = row.split(' ');
        return { name, address, status: status.join(' ') };
      }),
    );
  }

  failed(reason: string): void {
    this.end(new UserError(`the guest cannot be used: ${reason}`));
  }

  pong(): void {
    this.#silent = 0;
  }

  bye(): void {
    this.#bye();
  }

  /** A guest that starts must now and then say something; one whose agent has spoken must answer. */
  #look(): void {
    this.#silent++;
    if (this.#spoken) this.#lookAtAgent();
    else this.#lookAtConsole();
  }

  #lookAtAgent(): void {
    if (this.agent?.paused) this.#silent = 0;
    if (this.#silent > LOOKS * ANSWER_FACTOR * this.#silence) this.#hung(UserError, 'no answer from it');
    if (!this.#up && ++this.#loading > LOOKS * LOADING_FACTOR * this.#silence)
      this.#hung(UserError, 'no end of loading the drivers');
    if (!this.ended) this.agent?.ping();
  }

  #lookAtConsole(): void {
    const { size } = statSync(this.#console);
    const processor = processorSeconds(this.#qemu?.pid);
    if (size !== this.#consoleSize) {
      this.#silent = 0;
      this.#processorAtSign = processor;
    }
    this.#consoleSize = size;
    const seconds = this.#silent / LOOKS;
    const idle = seconds >= IDLE.seconds && processor - this.#processorAtSign < IDLE.processor;
    if (seconds >= this.#silence || idle) this.#hung(StalledError, `nothing from it for ${Math.round(seconds)} s`);
  }

  #hung(Kind: typeof UserError, how: string): void {
    const last = this.records.at(-1)?.text ?? readConsole(this.#console).at(-1);
    this.end(new Kind(`the guest hangs: ${how} (${last ? `its last line: ${last}` : 'not even a first line'})`));
  }

  /** Why QEMU has ended. */
  #reason(): Error {
    const lines = readConsole(this.#console);
    const panic = lines.find((line) => /Kernel panic/.test(line)) ?? lines.find((line) => /\b(BUG|Oops)\b/.test(line));
    if (panic) return new UserError(`the guest's kernel has crashed: ${panic}`);
    const said = this.#qemuSaid.trim().split('\n').at(-1);
    const own = lines.findLast((line) => line.startsWith('sagrada: '));
    if (own) return new UserError(`the guest cannot be used: ${own.slice('sagrada: '.length)}`);
    return new UserError(`QEMU has ended: ${said || 'it did not say why'}`);
  }
}

/** Processor time that a process has used (proc_pid_stat(5): utime and stime, in hundredths on Linux). */
function processorSeconds(pid: number | undefined): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

function readConsole(file: string): string[] {
  try {
    return readFileSync(file, 'latin1')
      .split('\n')
      .map((line) => line.replace(/\r$/, ''))
      .filter(Boolean);
  } catch {
    return [];
  }
}

function timeOf(line: string): number | undefined {
  const match = /^\[\s*(\d+\.\d+)\]/.exec(line);
  return match ? Number(match[1]) : undefined;
}
