/**
 * The admin queue: takes commands from a ring in host memory one after the other, and answers in another. One process,
 * from the moment the host has described both rings until the next reset.
 */

import { ACQ, AQ, requestHead, responseHead, STATUS, UNADVERTISED } from '../../specs/efa/admin.ts';
import { Condition, type Process, type Steps } from '../sim/process.ts';
import { type AdminCommands, commandNamed } from './admin-commands.ts';
import { AdminError } from './admin-error.ts';
import { crc16 } from './crc16.ts';
import { BusFault, publish, read } from './dma.ts';
import type { Nic } from './nic.ts';
import { type DescribedRing, describedRing } from './ring.ts';

const NO_RING: DescribedRing = { base: 0, depth: 0, entrySize: 0, vector: 0 };

export interface AdminQueuePorts {
  readonly nic: Nic;
  readonly commands: AdminCommands;
  /** The queue cannot go on. */
  fatal(): void;
  /** Raises a vector unless the host has masked those of the admin queues. */
  interrupt(vector: number): void;
}

export class AdminQueue {
  readonly #ports: AdminQueuePorts;
  readonly #rung = new Condition();
  #requests = NO_RING;
  #answers = NO_RING;
  #posted = 0;
  #taken = 0;
  #answered = 0;
  #process: Process | undefined;

  constructor(ports: AdminQueuePorts) {
    this.#ports = ports;
  }

  reset(): void {
    this.#requests = NO_RING;
    this.#answers = NO_RING;
    this.restart();
  }

  /** Both rings begin anew, where they are. */
  restart(): void {
    this.#process?.kill();
    this.#process = undefined;
    this.#posted = 0;
    this.#taken = 0;
    this.#answered = 0;
  }

  setRequests(base: number, caps: number): void {
    const ring = describedRing(base, caps, [AQ.ENTRY, AQ.ENTRY_V2], true);
    this.#requests = ring ?? this.#bad('AQ_CAPS', caps);
  }

  setAnswers(base: number, caps: number): void {
    const ring = describedRing(base, caps, [ACQ.ENTRY], false);
    this.#answers = ring ?? this.#bad('ACQ_CAPS', caps);
  }

  #bad(name: string, caps: number): DescribedRing {
    this.#ports.nic.guestError(name, `0x${caps.toString(16)} describes no ring`);
    this.#ports.fatal();
    return NO_RING;
  }

  /** The doorbell. */
  post(counter: number): void {
    const { nic } = this.#ports;
    if (this.#requests.depth === 0 || this.#answers.depth === 0) {
      nic.guestError('AQ_PROD_DB', 'there is no admin queue');
      return;
    }
    if (((counter - this.#taken) & 0xffff) > this.#requests.depth) {
      nic.guestError('AQ_PROD_DB', `${counter} is more than the ring has, with ${this.#taken} taken`);
      return;
    }
    this.#posted = counter & 0xffff;
    this.#process ??= nic.start('admin queue', this.#serve());
    this.#rung.notify();
  }

  *#serve(): Steps {
    for (;;) {
      while (this.#posted === this.#taken) yield this.#rung;
      try {
        yield* this.#one();
      } catch (error) {
        if (!(error instanceof BusFault)) throw error;
        this.#ports.nic.guestError('AQ', error.message);
        this.#ports.fatal();
        return;
      }
      yield 0;
    }
  }

  *#one(): Steps {
    const { nic, commands } = this.#ports;
    const { base, depth, entrySize } = this.#requests;
    const phase = 1 - (Math.floor(this.#taken / depth) & 1);
    const entry = yield* read(nic.ports.dma, base + (this.#taken % depth) * entrySize, entrySize);
    this.#taken = (this.#taken + 1) & 0xffff;
    const head = requestHead.decode(entry);
    const data = new Uint8Array(ACQ.ENTRY - ACQ.DATA);
    let status: number = STATUS.SUCCESS;
    try {
      if (head.phase !== phase) throw new AdminError('MALFORMED_REQUEST', 'phase');
      const large = entrySize === AQ.ENTRY_V2;
      if (large) this.#checkSum(entry, head.checksum);
      yield* this.#run(commands, head, entry.subarray(large ? AQ.PAYLOAD_V2 : AQ.PAYLOAD), data);
    } catch (error) {
      if (error instanceof AdminError) status = STATUS[error.status];
      // What the command refers to cannot be reached.
      else if (error instanceof BusFault) status = STATUS.ILLEGAL_PARAMETER;
      else throw error;
      data.fill(0);
    }
    const name = commandNamed(head.opcode) ?? `opcode ${head.opcode}`;
    nic.ports.trace?.track('admin').instant('admin_command', name, { id: head.command_id, status });
    yield* this.#answer(head.command_id, status, data);
  }

  *#run(commands: AdminCommands, head: Head, payload: Uint8Array, data: Uint8Array): Steps {
    const name = commandNamed(head.opcode);
    if (!name) {
      const known = Object.values(UNADVERTISED).some((opcode) => opcode === head.opcode);
      throw new AdminError(known ? 'UNSUPPORTED_OPCODE' : 'BAD_OPCODE', `opcode ${head.opcode}`);
    }
    yield* commands.run(name, { head, payload: payload.subarray(0, AQ.ENTRY - AQ.PAYLOAD), data });
  }

  #checkSum(entry: Uint8Array, sum: number): void {
    const copy = entry.slice();
    requestHead.encode(copy, { checksum: 0 });
    if (crc16(copy) !== sum) throw new AdminError('MALFORMED_REQUEST', 'checksum');
  }

  *#answer(command: number, status: number, data: Uint8Array): Steps {
    const { nic } = this.#ports;
    const { base, depth, vector } = this.#answers;
    const phase = 1 - (Math.floor(this.#answered / depth) & 1);
    const entry = new Uint8Array(ACQ.ENTRY);
    responseHead.encode(entry, { command, status, phase });
    entry.set(data, ACQ.DATA);
    // Those who do not speak the newer protocol do not look here (VERSION.CHECKSUM).
    responseHead.encode(entry, { checksum: crc16(entry) });
    const at = base + (this.#answered % depth) * ACQ.ENTRY;
    this.#answered = (this.#answered + 1) & 0xffff;
    yield* publish(nic.ports.dma, at, entry, 0);
    this.#ports.interrupt(vector);
  }
}

type Head = ReturnType<typeof requestHead.decode>;
