/**
 * One client: reads its messages, answers them, and sends it commands of its own. It never waits: `pump` does what
 * can be done now.
 */

import { constants } from 'node:os';
import { SystemError } from '../os/libc.ts';
import type { PciFunction } from '../pci/function.ts';
import { ModelError } from '../sim/errors.ts';
import { closeAll, keep } from './descriptors.ts';
import { DmaMap } from './dma-map.ts';
import { DmaMessages, ProtocolViolation } from './dma-messages.ts';
import type { MemoryClient } from './host-memory.ts';
import { Interrupts } from './interrupts.ts';
import {
  type ClientCommand,
  COMMANDS,
  DEVICE_FLAG_PCI,
  DEVICE_FLAG_RESET,
  DEVICE_INFO,
  DMA_MAP,
  DMA_READABLE,
  DMA_UNMAP,
  DMA_WRITABLE,
  FLAG,
  HEADER,
  IRQ_INDEX_COUNT,
  IRQ_INFO,
  REGION_ACCESS,
  REGION_COUNT,
  REGION_INFO,
  REGION_IO_FDS,
  Refusal,
  type Struct,
  UNMAP_ALL,
  UNMAP_GET_DIRTY_BITMAP,
  VERSION_MAJOR,
  WRITE_MULTI,
  WRITE_MULTI_DATA,
} from './messages.ts';
import { type ClientCapabilities, MAX_DESCRIPTORS, MAX_TRANSFER, negotiate, proposedMajor } from './negotiation.ts';
import type { Regions } from './regions.ts';
import { Outbox, type Transport } from './transport.ts';

const { E2BIG, EINVAL, EIO, ENOSYS, ENOTSUP } = constants.errno;

/** Bytes of the longest message: a REGION_WRITE, or a WRITE_MULTI, of the most data. */
export const MAX_MESSAGE = HEADER.size + REGION_ACCESS.size + MAX_TRANSFER;

/** While more than this many bytes wait for a client that does not read, its requests wait too. */
const MAX_BACKLOG = 4 * 1024 * 1024;

/**
 * What is asked of the first read of a message. The kernel ends a read behind the bytes that descriptors came with
 * but not before them, so a long read may begin in one message and return the descriptors of the next. No message
 * that takes descriptors is as short as this: within it, a message and the beginning of the next can only share a
 * read when the first takes none, and then the descriptors are the second's.
 */
const FIRST_READ = HEADER.size + REGION_ACCESS.size;

/** Lines that one client can cause in the log. */
const MAX_LOGGED = 100;

const PAYLOAD = HEADER.size;
const DATA = HEADER.size + REGION_ACCESS.size;
const SMALL = 8;

const NO_DESCRIPTORS: readonly number[] = [];

/** What every connection to one function shares. */
export interface Served {
  readonly function: PciFunction;
  readonly regions: Regions;
  readonly log: (message: string) => void;
}

/** A body: reads the request of `size` bytes behind its header, writes the reply's payload, returns its length. */
type Body = (size: number, fds: number[]) => number;

export class Connection implements MemoryClient {
  readonly map = new DmaMap();
  readonly messages: DmaMessages;
  readonly interrupts: Interrupts;
  readonly #served: Served;
  readonly #transport: Transport;
  readonly #outbox: Outbox;
  readonly #in: Uint8Array;
  readonly #inView: DataView;
  readonly #out = new Uint8Array(MAX_MESSAGE);
  readonly #outView = new DataView(this.#out.buffer);
  /** Views of the first `i` bytes of data of a request, and of a reply: the hot path makes none. */
  readonly #smallIn: readonly Uint8Array[];
  readonly #smallOut: readonly Uint8Array[];
  readonly #bodies: readonly (Body | undefined)[];
  readonly #names: readonly string[];

  /** Bytes in `#in`, and how many of them are the message that was handled last. */
  #have = 0;
  #handled = 0;
  /** Descriptors of the message being read, and of the one whose first bytes came along with it. */
  #fds: number[] = [];
  #nextFds: number[] = [];
  /** Descriptors beyond what one message may have, or lost ones, have been seen. */
  #tooManyFds = false;
  #capabilities: ClientCapabilities | undefined;
  #replyFds: readonly number[] = NO_DESCRIPTORS;
  #inRequest = false;
  #logged = 0;
  #open = true;

  constructor(served: Served, transport: Transport) {
    this.#served = served;
    this.#transport = transport;
    this.#outbox = new Outbox(transport);
    this.#in = transport.received;
    this.#inView = new DataView(this.#in.buffer, this.#in.byteOffset, this.#in.length);
    this.messages = new DmaMessages(
      (message) => this.#outbox.send(message, message.length),
      (address, length, access) => this.map.permits(address, length, access),
    );
    this.interrupts = new Interrupts(served.function.vectors);
    const small = (bytes: Uint8Array) => Array.from({ length: SMALL + 1 }, (_, i) => bytes.subarray(DATA, DATA + i));
    this.#smallIn = small(this.#in);
    this.#smallOut = small(this.#out);
    const bodies: (Body | undefined)[] = [];
    const names: string[] = [];
    for (const [name, row] of Object.entries(COMMANDS)) names[row.number] = name;
    for (const [name, body] of Object.entries(this.#makeBodies())) {
      bodies[COMMANDS[name as ClientCommand].number] = body;
    }
    this.#bodies = bodies;
    this.#names = names;
  }

  /** True while bytes wait for the client to read. */
  get backlogged(): boolean {
    return this.#outbox.size > 0;
  }

  /** True when bytes have been read that belong to a message not served yet: polling would not tell. */
  get buffered(): boolean {
    return this.#have > this.#handled;
  }

  /** False while so much waits that requests are not read. */
  get reading(): boolean {
    return this.#outbox.size <= MAX_BACKLOG;
  }

  /**
   * Serves up to `limit` messages, waiting a moment for each if `wait`.
   * @returns `idle` when nothing is left to do now, `more` when there may be a message, `closed` when the client has gone
   * or cannot be understood; then `close` is to be called.
   */
  pump(limit: number, wait = false): 'idle' | 'more' | 'closed' {
    try {
      if (this.#outbox.size > 0) {
        this.#outbox.flush();
        if (this.#outbox.size === 0) this.messages.flush();
      }
      for (let i = 0; i < limit; i++) {
        if (!this.reading) return 'idle';
        const size = this.#receive(wait);
        if (size === 0) return this.#open ? 'idle' : 'closed';
        this.#handle(size);
        if (!this.#open) return 'closed';
      }
      return 'more';
    } catch (error) {
      return this.#broken(error);
    }
  }

  messagesQueued(): void {
    if (this.#inRequest || !this.#open || this.#outbox.size > 0) return;
    try {
      this.messages.flush();
    } catch (error) {
      // The caller is the device and has done nothing wrong: the next `pump` finds the end of the stream.
      this.#broken(error);
    }
  }

  /** Unmaps the client's memory, closes every descriptor, and fails the DMA that was under way. */
  close(): void {
    this.#open = false;
    this.map.clear();
    this.interrupts.close();
    closeAll(this.#fds.splice(0));
    closeAll(this.#nextFds.splice(0));
    this.#transport.close();
    try {
      this.messages.fail(new Error('DMA: the client has disconnected'));
    } catch (error) {
      this.#errno(error);
    }
  }

  #broken(error: unknown): 'closed' {
    this.#open = false;
    if (error instanceof ProtocolViolation || error instanceof SystemError) {
      this.#log(`connection closed: ${error.message}`);
      return 'closed';
    }
    throw error;
  }

  #log(message: string): void {
    if (this.#logged === MAX_LOGGED) message = 'no more of this client is logged';
    if (this.#logged++ > MAX_LOGGED) return;
    this.#served.log(`${this.#served.function.name}: vfio-user: ${message}`);
  }

  /** @returns the size of the complete message at the beginning of `#in`, or 0. */
  #receive(wait: boolean): number {
    if (this.#handled > 0) {
      if (this.#have > this.#handled) this.#in.copyWithin(0, this.#handled, this.#have);
      this.#have -= this.#handled;
      this.#handled = 0;
      if (this.#nextFds.length > 0) this.#takeDescriptors();
    }
    for (;;) {
      let want = FIRST_READ - this.#have;
      if (this.#have >= HEADER.size) {
        const size = HEADER.fields.size.get(this.#inView, 0);
        if (size < HEADER.size || size > MAX_MESSAGE) return this.#badSize(size);
        if (this.#have >= size) {
          this.#handled = size;
          return size;
        }
        want = size - this.#have;
      }
      const count = this.#transport.receive(this.#have, want, this.#nextFds, wait && this.#have === 0);
      if (count < 0) return 0;
      if (count === 0) {
        this.#open = false;
        return 0;
      }
      this.#have += count;
      if (this.#nextFds.length > 0) this.#assignDescriptors();
    }
  }

  /** Gives the descriptors just received to the message that is being read, unless they are the next one's. */
  #assignDescriptors(): void {
    const size = this.#have >= HEADER.size ? HEADER.fields.size.get(this.#inView, 0) : this.#have;
    if (size < HEADER.size || size >= this.#have) this.#takeDescriptors();
  }

  #takeDescriptors(): void {
    for (const fd of this.#nextFds.splice(0)) {
      if (fd >= 0 && this.#fds.length < MAX_DESCRIPTORS) this.#fds.push(keep(fd));
      else {
        this.#tooManyFds = true;
        closeAll([fd]);
      }
    }
  }

  /** A size that cannot be: what follows cannot be found either. The client is told, and the stream ends. */
  #badSize(size: number): number {
    this.#log(`connection closed: message of ${size} bytes`);
    this.#open = false;
    this.#replyError(size < HEADER.size ? EINVAL : E2BIG);
    return 0;
  }

  #handle(size: number): void {
    const flags = HEADER.fields.flags.get(this.#inView, 0);
    if ((flags & FLAG.TYPE_MASK) === FLAG.REPLY) {
      if (this.#fds.length > 0) throw new ProtocolViolation('descriptors with a reply');
      try {
        this.messages.reply(this.#inView, this.#in, size);
      } catch (error) {
        if (error instanceof ProtocolViolation || error instanceof SystemError) throw error;
        this.#errno(error);
      }
      return;
    }
    this.#inRequest = true;
    try {
      const length = this.#answer(size, flags);
      if ((flags & FLAG.NO_REPLY) === 0) this.#reply(length);
    } catch (error) {
      const errno = this.#errno(error);
      if ((flags & FLAG.NO_REPLY) === 0) this.#replyError(errno);
    } finally {
      this.#inRequest = false;
      if (this.#fds.length > 0) closeAll(this.#fds.splice(0));
      this.#tooManyFds = false;
    }
    if (this.messages.pending > 0 && this.#outbox.size === 0) this.messages.flush();
  }

  #answer(size: number, flags: number): number {
    if ((flags & ~FLAG.NO_REPLY) !== 0) throw new Refusal(EINVAL, `flags 0x${flags.toString(16)}`);
    const command = HEADER.fields.command.get(this.#inView, 0);
    const body = this.#bodies[command];
    if (!body) throw new Refusal(this.#names[command] ? EINVAL : ENOSYS, `command ${command}`);
    if (this.#tooManyFds) throw new Refusal(EINVAL, 'too many descriptors');
    if (!this.#capabilities && command !== COMMANDS.VERSION.number) {
      throw new Refusal(EINVAL, `${this.#names[command]} before VERSION`);
    }
    if (this.#fds.length > 0 && command !== COMMANDS.DMA_MAP.number && command !== COMMANDS.DEVICE_SET_IRQS.number) {
      throw new Refusal(EINVAL, `descriptors with ${this.#names[command]}`);
    }
    return body(size - PAYLOAD, this.#fds);
  }

  /** Logs what went wrong. Nothing a client causes ends the server. @returns what a request is refused with */
  #errno(error: unknown): number {
    if (error instanceof Refusal) {
      this.#log(`refused: ${error.message}`);
      return error.errno;
    }
    if (error instanceof ModelError || error instanceof SystemError) this.#log(error.message);
    else this.#log(`defect: ${error instanceof Error ? error.stack : String(error)}`);
    return error instanceof SystemError ? error.errno : EIO;
  }

  #reply(length: number): void {
    const fds = this.#replyFds;
    this.#replyFds = NO_DESCRIPTORS;
    this.#send(length, FLAG.REPLY, 0, fds);
  }

  #replyError(errno: number): void {
    this.#replyFds = NO_DESCRIPTORS;
    this.#send(0, FLAG.REPLY | FLAG.ERROR, errno, NO_DESCRIPTORS);
  }

  #send(length: number, flags: number, errno: number, fds: readonly number[]): void {
    const view = this.#outView;
    const size = PAYLOAD + length;
    HEADER.fields.id.set(view, 0, HEADER.fields.id.get(this.#inView, 0));
    HEADER.fields.command.set(view, 0, HEADER.fields.command.get(this.#inView, 0));
    HEADER.fields.size.set(view, 0, size);
    HEADER.fields.flags.set(view, 0, flags);
    HEADER.fields.error.set(view, 0, errno);
    this.#outbox.send(this.#out, size, fds);
  }

  /** Puts a structure into the reply. @returns its size. */
  #put<K extends string>(type: Struct<K>, values: Partial<Record<K, number>>): number {
    type.put(this.#outView, PAYLOAD, values);
    return type.size;
  }

  /** The request as `type`, which must be all of it. @throws Refusal */
  #request<K extends string>(type: Struct<K>, size: number): Record<K, number> {
    if (size !== type.size) throw new Refusal(EINVAL, `payload of ${size} bytes, not ${type.size}`);
    return type.decode(this.#inView, PAYLOAD);
  }

  /** The same for requests whose `argsz` is the room for the reply, at least `type`. */
  #query<K extends string>(type: Struct<K | 'argsz'>, size: number): Record<K | 'argsz', number> {
    const request = this.#request(type, size);
    if (request.argsz < type.size) throw new Refusal(EINVAL, `argsz ${request.argsz} is less than ${type.size}`);
    return request;
  }

  #makeBodies(): Record<ClientCommand, Body> {
    const unsupported: Body = () => {
      throw new Refusal(ENOTSUP, 'migration is not supported');
    };
    return {
      VERSION: (size) => this.#version(size),
      DMA_MAP: (size, fds) => this.#dmaMap(size, fds),
      DMA_UNMAP: (size) => this.#dmaUnmap(size),
      DEVICE_GET_INFO: (size) => {
        this.#query(DEVICE_INFO, size);
        return this.#put(DEVICE_INFO, {
          argsz: DEVICE_INFO.size,
          flags: DEVICE_FLAG_PCI | DEVICE_FLAG_RESET,
          regions: REGION_COUNT,
          irqs: IRQ_INDEX_COUNT,
        });
      },
      DEVICE_GET_REGION_INFO: (size) => this.#regionInfo(size),
      DEVICE_GET_REGION_IO_FDS: (size) => {
        const { flags, index, count } = this.#query(REGION_IO_FDS, size);
        if (flags !== 0 || count !== 0 || index >= REGION_COUNT) throw new Refusal(EINVAL, 'REGION_IO_FDS request');
        return this.#put(REGION_IO_FDS, { argsz: REGION_IO_FDS.size, index });
      },
      DEVICE_GET_IRQ_INFO: (size) => {
        const { index } = this.#query(IRQ_INFO, size);
        return this.#put(IRQ_INFO, { argsz: IRQ_INFO.size, index, ...this.interrupts.info(index) });
      },
      DEVICE_SET_IRQS: (size, fds) => {
        this.interrupts.set(this.#inView, PAYLOAD, size, fds);
        return 0;
      },
      REGION_READ: (size) => this.#regionRead(size),
      REGION_WRITE: (size) => this.#regionWrite(size),
      DEVICE_RESET: (size) => {
        if (size !== 0) throw new Refusal(EINVAL, `DEVICE_RESET with ${size} bytes`);
        // QEMU sends it when the machine is reset, which resets the bus.
        this.#served.function.reset('conventional');
        return 0;
      },
      DIRTY_PAGES: unsupported,
      REGION_WRITE_MULTI: (size) => this.#writeMulti(size),
      DEVICE_FEATURE: unsupported,
      MIG_DATA_READ: unsupported,
      MIG_DATA_WRITE: unsupported,
    };
  }

  #version(size: number): number {
    if (this.#capabilities) throw new Refusal(EINVAL, 'second VERSION');
    const major = proposedMajor(this.#inView, PAYLOAD, size);
    if (major !== VERSION_MAJOR) {
      this.#open = false;
      throw new Refusal(EINVAL, `protocol version ${major} is not ${VERSION_MAJOR}`);
    }
    const { client, reply } = negotiate(this.#in.subarray(PAYLOAD, PAYLOAD + size));
    this.#capabilities = client;
    this.messages.limit(client.maxTransfer);
    this.#out.set(reply, PAYLOAD);
    return reply.length;
  }

  #dmaMap(size: number, fds: readonly number[]): number {
    const { argsz, flags, offset, address, size: bytes } = this.#request(DMA_MAP, size);
    if (argsz !== DMA_MAP.size) throw new Refusal(EINVAL, `DMA_MAP with argsz ${argsz}`);
    if ((flags & ~(DMA_READABLE | DMA_WRITABLE)) !== 0) throw new Refusal(EINVAL, `DMA_MAP with flags ${flags}`);
    if (fds.length > 1) throw new Refusal(EINVAL, `DMA_MAP with ${fds.length} descriptors`);
    const readable = (flags & DMA_READABLE) !== 0;
    const writable = (flags & DMA_WRITABLE) !== 0;
    this.map.add({ address, size: bytes, offset, readable, writable }, fds[0]);
    return 0;
  }

  #dmaUnmap(size: number): number {
    const request = this.#query(DMA_UNMAP, size);
    const { flags, address, size: bytes } = request;
    if ((flags & UNMAP_GET_DIRTY_BITMAP) !== 0) throw new Refusal(ENOTSUP, 'dirty bitmap is not supported');
    if ((flags & ~UNMAP_ALL) !== 0) throw new Refusal(EINVAL, `DMA_UNMAP with flags ${flags}`);
    if ((flags & UNMAP_ALL) === 0) this.map.remove(address, bytes);
    else if (address !== 0 || bytes !== 0) throw new Refusal(EINVAL, 'DMA_UNMAP of all with a range');
    else this.map.clear();
    return this.#put(DMA_UNMAP, { ...request, argsz: DMA_UNMAP.size });
  }

  #regionInfo(size: number): number {
    const { argsz, index } = this.#query(REGION_INFO, size);
    const descriptors = (this.#capabilities?.maxDescriptors ?? 0) > 0;
    const { info, fd } = this.#served.regions.info(index, argsz, descriptors);
    if (fd >= 0) this.#replyFds = [fd];
    this.#out.set(info, PAYLOAD);
    return info.length;
  }

  #regionRead(size: number): number {
    const view = this.#inView;
    if (size !== REGION_ACCESS.size) throw new Refusal(EINVAL, `REGION_READ of ${size} bytes`);
    const offset = REGION_ACCESS.fields.offset.get(view, PAYLOAD);
    const index = REGION_ACCESS.fields.region.get(view, PAYLOAD);
    const count = REGION_ACCESS.fields.count.get(view, PAYLOAD);
    if (count > MAX_TRANSFER) throw new Refusal(EINVAL, `REGION_READ of ${count} bytes`);
    const region = this.#served.regions.access(index, offset, count);
    const target = count <= SMALL ? (this.#smallOut[count] as Uint8Array) : this.#out.subarray(DATA, DATA + count);
    region.read(offset, target);
    this.#echoAccess(offset, index, count);
    return REGION_ACCESS.size + count;
  }

  #regionWrite(size: number): number {
    const view = this.#inView;
    if (size < REGION_ACCESS.size) throw new Refusal(EINVAL, `REGION_WRITE of ${size} bytes`);
    const offset = REGION_ACCESS.fields.offset.get(view, PAYLOAD);
    const index = REGION_ACCESS.fields.region.get(view, PAYLOAD);
    const count = REGION_ACCESS.fields.count.get(view, PAYLOAD);
    if (count !== size - REGION_ACCESS.size) throw new Refusal(EINVAL, `REGION_WRITE of ${count} bytes`);
    const region = this.#served.regions.access(index, offset, count);
    const source = count <= SMALL ? (this.#smallIn[count] as Uint8Array) : this.#in.subarray(DATA, DATA + count);
    region.write(offset, source);
    this.#echoAccess(offset, index, count);
    return REGION_ACCESS.size;
  }

  #echoAccess(offset: number, index: number, count: number): void {
    REGION_ACCESS.fields.offset.set(this.#outView, PAYLOAD, offset);
    REGION_ACCESS.fields.region.set(this.#outView, PAYLOAD, index);
    REGION_ACCESS.fields.count.set(this.#outView, PAYLOAD, count);
  }

  /** All writes are looked at before the first is done. */
  #writeMulti(size: number): number {
    if (!this.#capabilities?.writeMultiple) throw new Refusal(EINVAL, 'write_multiple was not negotiated');
    if (size < WRITE_MULTI.size) throw new Refusal(EINVAL, `REGION_WRITE_MULTI of ${size} bytes`);
    const count = WRITE_MULTI.fields.count.get(this.#inView, PAYLOAD);
    const stride = REGION_ACCESS.size + WRITE_MULTI_DATA;
    if (size - WRITE_MULTI.size !== count * stride) throw new Refusal(EINVAL, `REGION_WRITE_MULTI of ${count} writes`);
    const writes = Array.from({ length: count }, (_, i) => {
      const at = PAYLOAD + WRITE_MULTI.size + i * stride;
      const access = REGION_ACCESS.decode(this.#inView, at);
      if (access.count > WRITE_MULTI_DATA) throw new Refusal(EINVAL, `${access.count} bytes in a REGION_WRITE_MULTI`);
      const region = this.#served.regions.access(access.region, access.offset, access.count);
      const data = at + REGION_ACCESS.size;
      return { region, offset: access.offset, source: this.#in.subarray(data, data + access.count) };
    });
    for (const { region, offset, source } of writes) region.write(offset, source);
    return this.#put(WRITE_MULTI, { count });
  }
}
