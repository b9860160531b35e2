/** The host's end of the guest's agent (guest/init/ is the other): frames on a stream, sessions of commands. */

import type { Socket } from 'node:net';

const HEADER = 8;
const MAX_PAYLOAD = 256 * 1024;
/** Bytes of standard input that may be on their way to a command. */
const INPUT_WINDOW = 64 * 1024;

/** Types of frames, as in guest/init/wire.h. */
const type = {
  START: 1,
  STDIN: 2,
  SIGNAL: 3,
  RESIZE: 4,
  SHUTDOWN: 5,
  PING: 6,
  HELLO: 16,
  LOG: 17,
  READY: 18,
  FAILED: 19,
  STDOUT: 20,
  STDERR: 21,
  EXIT: 22,
  TAKEN: 23,
  REFUSED: 24,
  BYE: 25,
  PONG: 26,
} as const;

const FLAG_TTY = 1;
const FLAG_NO_STDIN = 2;

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

export interface CommandOptions {
  /** Folder in which the command starts. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** What the command reads; absent: an empty input. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Gives the command a terminal of this size; its output then comes as standard output. */
  readonly terminal?: WindowSize | undefined;
  /** Where it returns a promise, nothing more comes from the guest until that is settled. */
  readonly onStdout: (data: Buffer) => Promise<void> | undefined;
  readonly onStderr: (data: Buffer) => Promise<void> | undefined;
  /** Told why a command could not be started. */
  readonly onRefused: (reason: string) => void;
}

export interface AgentEvents {
  hello(release: string): void;
  /** A record of the kernel's log, as /dev/kmsg gives it. */
  log(record: string): void;
  ready(devices: string): void;
  failed(reason: string): void;
  bye(): void;
  /** The answer to `ping`. */
  pong(): void;
}

interface Session {
  readonly options: CommandOptions;
  readonly finish: (status: number) => void;
  readonly fail: (error: Error) => void;
  inFlight: number;
  wake: (() => void) | undefined;
  ended: boolean;
}

/** A command that runs in the guest. */
export interface Command {
  /** Exit status; 128 + n when signal n ended it. Rejects when the guest ends first. */
  readonly status: Promise<number>;
  signal(number: number): void;
  resize(size: WindowSize): void;
}

export class Agent {
  readonly #socket: Socket;
  readonly #events: AgentEvents;
  readonly #sessions = new Map<number, Session>();
  #nextSession = 1;
  #received: Buffer[] = [];
  #receivedLength = 0;
  #gone: Error | undefined;

  constructor(socket: Socket, events: AgentEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on('data', (data: Buffer) => this.#receive(data));
    socket.on('error', () => {});
  }

  /** Ends all sessions with `error`: the guest is no more. */
  abandon(error: Error): void {
    if (this.#gone) return;
    this.#gone = error;
    this.#socket.destroy();
    for (const session of this.#sessions.values()) {
      session.ended = true;
      session.wake?.();
      session.fail(error);
    }
    this.#sessions.clear();
  }

  /** Asks the guest to end its processes and write everything back; it answers with `bye`. */
  shutdown(): void {
    this.#send(type.SHUTDOWN, 0, Buffer.alloc(0));
  }

  /** Asks the guest for a sign of life. */
  ping(): void {
    this.#send(type.PING, 0, Buffer.alloc(0));
  }

  /** Whether the guest has to wait, because the consumer of its output is slow. */
  get paused(): boolean {
    return this.#socket.isPaused();
  }

  /** @param command program and arguments. @throws RangeError where they are too long for a message. */
  start(command: readonly string[], options: CommandOptions): Command {
    if (this.#gone) throw this.#gone;
    const id = this.#nextSession++ & 0xffff;
    const environment = Object.entries(options.env).map(([name, value]) => `${name}=${value}`);
    const flags = (options.terminal ? FLAG_TTY : 0) | (options.stdin || options.terminal ? 0 : FLAG_NO_STDIN);
    const { rows = 0, columns = 0 } = options.terminal ?? {};
    const numbers = Uint16Array.of(flags, rows, columns, command.length, environment.length);
    const strings = [options.cwd, ...command, ...environment].map((text) => `${text}\0`).join('');
    const payload = Buffer.concat([Buffer.from(numbers.buffer), Buffer.from(strings)]);
    if (payload.length > MAX_PAYLOAD || command.length + environment.length > 4000) {
      throw new RangeError('the command and its environment are too long');
    }
    let session: Session | undefined;
    const status = new Promise<number>((finish, fail) => {
      session = { options, finish, fail, inFlight: 0, wake: undefined, ended: false };
      this.#sessions.set(id, session);
    });
    this.#send(type.START, id, payload);
    if (session && options.stdin) void this.#feed(id, session, options.stdin);
    return {
      status,
      signal: (number) => this.#send(type.SIGNAL, id, Buffer.from(Uint32Array.of(number).buffer)),
      resize: (size) => this.#send(type.RESIZE, id, Buffer.from(Uint16Array.of(size.rows, size.columns).buffer)),
    };
  }

  /** Sends input as fast as the command takes it. */
  async #feed(id: number, session: Session, input: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of input) {
        for (let at = 0; at < chunk.length; ) {
          while (session.inFlight >= INPUT_WINDOW && !session.ended) {
            await new Promise<void>((resolve) => {
              session.wake = resolve;
            });
          }
          if (session.ended) return;
          const piece = chunk.subarray(at, at + INPUT_WINDOW - session.inFlight);
          session.inFlight += piece.length;
          at += piece.length;
          this.#send(type.STDIN, id, piece);
        }
        if (session.ended) return;
      }
    } catch {
      // What cannot be read has ended.
    }
    if (!session.ended) this.#send(type.STDIN, id, Buffer.alloc(0));
  }

  #send(kind: number, session: number, payload: Uint8Array): void {
    if (this.#gone) return;
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(payload.length, 0);
    header.writeUInt16LE(session, 4);
    header.writeUInt16LE(kind, 6);
    this.#socket.write(Buffer.concat([header, payload]));
  }

  #receive(data: Buffer): void {
    this.#received.push(data);
    this.#receivedLength += data.length;
    // Joining is needed only when a frame is complete; until then pieces are kept as they came.
    for (;;) {
      const head = this.#peek(HEADER);
      if (!head) return;
      const length = head.readUInt32LE(0);
      if (length > MAX_PAYLOAD) {
        this.#events.failed(`its agent sent a message of ${length} bytes`);
        this.#socket.destroy();
        return;
      }
      const frame = this.#peek(HEADER + length);
      if (!frame) return;
      const rest = this.#received[0]?.subarray(HEADER + length) ?? Buffer.alloc(0);
      this.#received[0] = rest;
      this.#receivedLength -= HEADER + length;
      this.#handle(head.readUInt16LE(6), head.readUInt16LE(4), frame.subarray(HEADER, HEADER + length));
    }
  }

  /** The first piece, made at least `length` long; undefined while there is less. */
  #peek(length: number): Buffer | undefined {
    if (this.#receivedLength < length) return undefined;
    if ((this.#received[0]?.length ?? 0) < length) this.#received = [Buffer.concat(this.#received)];
    return this.#received[0];
  }

  #wait(settled: Promise<void> | undefined): void {
    if (!settled) return;
    this.#socket.pause();
    void settled.finally(() => this.#socket.resume());
  }

  #handle(kind: number, id: number, payload: Buffer): void {
    const session = this.#sessions.get(id);
    switch (kind) {
      case type.HELLO:
        this.#events.hello(payload.toString());
        break;
      case type.LOG:
        this.#events.log(payload.toString());
        break;
      case type.READY:
        this.#events.ready(payload.toString());
        break;
      case type.FAILED:
        this.#events.failed(payload.toString());
        break;
      case type.BYE:
        this.#events.bye();
        break;
      case type.PONG:
        this.#events.pong();
        break;
      case type.STDOUT:
        this.#wait(session?.options.onStdout(payload));
        break;
      case type.STDERR:
        this.#wait(session?.options.onStderr(payload));
        break;
      case type.REFUSED:
        session?.options.onRefused(payload.toString());
        break;
      case type.TAKEN:
        if (session && payload.length === 4) {
          session.inFlight -= payload.readUInt32LE(0);
          session.wake?.();
        }
        break;
      case type.EXIT:
        if (session && payload.length === 4) {
          this.#sessions.delete(id);
          session.ended = true;
          session.wake?.();
          session.finish(payload.readUInt32LE(0));
        }
        break;
      default:
    }
  }
}
