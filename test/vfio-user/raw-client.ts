/**
 * A client that speaks raw bytes, and the server it speaks to, in one thread: nothing moves unless `turn` is called,
 * so that tests are deterministic.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, read, SystemError } from '../../src/os/libc.ts';
import { connect, UnixStream } from '../../src/os/socket.ts';
import type { DmaPort } from '../../src/pci/ports.ts';
import { WallClock } from '../../src/sim/clock.ts';
import {
  COMMANDS,
  type CommandName,
  DMA_ACCESS,
  DMA_MAP,
  DMA_UNMAP,
  FLAG,
  HEADER,
  IRQ_SET,
  REGION_ACCESS,
  VERSION,
} from '../../src/vfio-user/messages.ts';
import { Reactor } from '../../src/vfio-user/reactor.ts';
import { type Server, serve } from '../../src/vfio-user/server.ts';
import { ToyFunction } from './toy-function.ts';

export interface Message {
  readonly id: number;
  readonly command: number;
  readonly flags: number;
  readonly error: number;
  readonly payload: Uint8Array;
  readonly view: DataView;
  /** The receiver's to close. */
  readonly fds: readonly number[];
}

export function bytes(...parts: (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** A complete message; `header` overrides what is right. */
export function message(
  command: CommandName | number,
  payload: Uint8Array = new Uint8Array(0),
  header: Partial<Record<'id' | 'size' | 'flags' | 'error', number>> = {},
): Uint8Array {
  const number = typeof command === 'number' ? command : COMMANDS[command].number;
  return bytes(HEADER.encode({ id: 1, command: number, size: HEADER.size + payload.length, ...header }), payload);
}

export function versionPayload(json?: string, major = 0, minor = 0): Uint8Array {
  const data = json === undefined ? [] : new TextEncoder().encode(`${json}\0`);
  return bytes(VERSION.encode({ major, minor }), data);
}

/** What QEMU proposes, without `migration`. */
export const QEMU_CAPABILITIES = JSON.stringify({
  capabilities: {
    max_msg_fds: 16,
    max_data_xfer_size: 1048576,
    pgsizes: 4096,
    max_dma_maps: 65535,
    write_multiple: true,
  },
});

/** Descriptors open in this process, by what they are; sockets and memfds without their numbers. */
export function openDescriptors(): string[] {
  const found: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      found.push(readlinkSync(`/proc/self/fd/${fd}`).replace(/\[\d+\]/, ''));
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return found.sort();
}

export class RawClient {
  readonly #bench: Bench;
  readonly stream: UnixStream;
  #have = 0;
  #fds: number[] = [];
  /** The server has closed the connection. */
  ended = false;

  constructor(bench: Bench) {
    this.#bench = bench;
    this.stream = new UnixStream(connect(bench.path), 2 * 1024 * 1024);
    bench.turn();
  }

  /** Sends raw bytes. Those for which there is no room are dropped with the connection. */
  send(data: Uint8Array, fds: readonly number[] = []): void {
    let offset = 0;
    while (offset < data.length) {
      let sent: number;
      try {
        sent = this.stream.send(data, offset, data.length - offset, offset === 0 ? fds : []);
      } catch {
        this.ended = true;
        return;
      }
      if (sent > 0) offset += sent;
      else this.#bench.turn();
    }
  }

  /** The next message of the server, or undefined when there is none. */
  receive(): Message | undefined {
    for (let turns = 0; turns < 3; turns++) {
      this.#bench.turn();
      const found = this.#read();
      if (found) return found;
    }
    return undefined;
  }

  #read(): Message | undefined {
    for (;;) {
      const { received } = this.stream;
      const view = new DataView(received.buffer, received.byteOffset);
      const size = this.#have >= HEADER.size ? HEADER.fields.size.get(view, 0) : HEADER.size;
      if (this.#have >= HEADER.size && this.#have === size) {
        this.#have = 0;
        const { id, command, flags, error } = HEADER.decode(view, 0);
        const payload = received.slice(HEADER.size, size);
        const fds = this.#fds.splice(0);
        return { id, command, flags, error, payload, view: new DataView(payload.buffer), fds };
      }
      let count: number;
      try {
        count = this.stream.receive(this.#have, size - this.#have, this.#fds);
      } catch {
        count = 0;
      }
      if (count < 0) return undefined;
      if (count === 0) {
        this.ended = true;
        return undefined;
      }
      this.#have += count;
    }
  }

  /** Sends a request and returns the reply to it, which must be one. */
  request(command: CommandName | number, payload?: Uint8Array, fds: readonly number[] = []): Message {
    this.send(message(command, payload), fds);
    const reply = this.receive();
    assert.ok(reply, 'no reply');
    assert.equal(reply.flags & FLAG.TYPE_MASK, FLAG.REPLY);
    assert.equal(reply.id, 1);
    return reply;
  }

  /** A request that must succeed. */
  ask(command: CommandName | number, payload?: Uint8Array, fds: readonly number[] = []): Message {
    const reply = this.request(command, payload, fds);
    assert.equal(reply.flags, FLAG.REPLY, `error ${reply.error}`);
    return reply;
  }

  /** A request that must be refused, with nothing but a header. @returns its errno */
  refused(command: CommandName | number, payload?: Uint8Array, fds: readonly number[] = []): number {
    const reply = this.request(command, payload, fds);
    assert.equal(reply.flags, FLAG.REPLY | FLAG.ERROR);
    assert.equal(reply.payload.length, 0);
    return reply.error;
  }

  negotiate(json: string = QEMU_CAPABILITIES): Message {
    return this.ask('VERSION', versionPayload(json));
  }

  readRegion(region: number, offset: number, count: number): Uint8Array {
    const reply = this.ask('REGION_READ', REGION_ACCESS.encode({ region, offset, count }));
    return reply.payload.subarray(REGION_ACCESS.size);
  }

  writeRegion(region: number, offset: number, data: Uint8Array): void {
    this.ask('REGION_WRITE', bytes(REGION_ACCESS.encode({ region, offset, count: data.length }), data));
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) close(fd);
    this.stream.close();
    this.#bench.turn();
  }
}

/** A toy function, its server, and clients. */
export class Bench {
  readonly directory = mkdtempSync(join(tmpdir(), 'sagrada-vfio-user-'));
  readonly path = join(this.directory, 'socket');
  readonly function = new ToyFunction();
  readonly clock = new WallClock();
  readonly reactor = new Reactor(this.clock);
  readonly logged: string[] = [];
  readonly server: Server;
  readonly #clients: RawClient[] = [];

  constructor(wrapDma?: (host: DmaPort) => DmaPort) {
    this.server = serve({
      function: this.function,
      path: this.path,
      clock: this.clock,
      log: (line) => this.logged.push(line),
      ...(wrapDma ? { wrapDma } : {}),
    });
    this.reactor.add(this.server);
  }

  /** Lets the server do what it can. */
  turn(): void {
    for (let i = 0; i < 4; i++) this.reactor.turn(0);
  }

  /** A client that has connected and not yet said anything. */
  connect(): RawClient {
    const client = new RawClient(this);
    this.#clients.push(client);
    return client;
  }

  /** A client that has negotiated. */
  client(): RawClient {
    const client = this.connect();
    client.negotiate();
    return client;
  }

  close(): void {
    for (const client of this.#clients) client.stream.close();
    this.reactor.close();
    this.function.close();
    rmSync(this.directory, { recursive: true });
  }
}

/** Runs a test body with a bench, and then checks that no descriptor is left behind. */
export function withBench(body: (bench: Bench) => void, wrapDma?: (host: DmaPort) => DmaPort): () => void {
  return () => {
    const before = openDescriptors();
    const bench = new Bench(wrapDma);
    try {
      body(bench);
    } finally {
      bench.close();
    }
    assert.deepEqual(openDescriptors(), before);
  };
}

export const mapPayload = (values: Partial<Record<'argsz' | 'flags' | 'offset' | 'address' | 'size', number>>) =>
  DMA_MAP.encode({ argsz: DMA_MAP.size, flags: 3, ...values });

export const unmapPayload = (address: number, size: number, flags = 0) =>
  DMA_UNMAP.encode({ argsz: DMA_UNMAP.size, flags, address, size });

export const irqPayload = (
  values: Partial<Record<'argsz' | 'flags' | 'index' | 'start' | 'count', number>>,
  bools: readonly number[] = [],
) => bytes(IRQ_SET.encode({ argsz: IRQ_SET.size + bools.length, ...values }), bools);

/** A DMA_READ or DMA_WRITE of the server, taken apart. */
export function dmaCommand(found: Message | undefined): {
  id: number;
  address: number;
  count: number;
  data: Uint8Array;
} {
  assert.ok(found, 'no command');
  assert.equal(found.flags, FLAG.COMMAND);
  const { address, count } = DMA_ACCESS.decode(found.view, 0);
  return { id: found.id, address, count, data: found.payload.subarray(DMA_ACCESS.size) };
}

/** Value of a non-blocking eventfd, which is reset; 0 when it has not been signalled. */
export function counter(fd: number): number {
  const value = new Uint8Array(8);
  try {
    read(fd, value);
  } catch (error) {
    if (error instanceof SystemError && error.errno === constants.errno.EAGAIN) return 0;
    throw error;
  }
  return value[0] as number;
}
