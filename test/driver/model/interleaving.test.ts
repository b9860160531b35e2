/**
 * Threads of two processes on one card, in any order: each call ends with an answer or an errno, and the next program finds a
 * card that works. And all of it the same when it is done again.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Call,
  type Driver,
  type Mapping,
  O_RDWR,
  O_WRONLY,
  SystemError,
  type Thread,
} from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { fenceAddress } from '../../../src/runtime/sync.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../../src/uapi/habanalabs/cb.ts';
import type { QueueName } from '../../../src/uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_MEMORY, memoryFlags, memoryOperations } from '../../../src/uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitFlags } from '../../../src/uapi/habanalabs/wait-cs.ts';
import type { Ioctl } from '../../../src/uapi/rows.ts';
import type { Struct } from '../../../src/uapi/struct.ts';
import { seed } from '../../seed.ts';

const QUEUE = 'DMA_0_0';
const { HL_MEM_OP_MAP, HL_MEM_OP_UNMAP } = memoryOperations;
const { HL_CB_OP_CREATE, HL_CB_OP_DESTROY } = cbOperations;

const operation = fc.record({
  /** Two threads of the program, two of the process that has inherited its descriptor. */
  who: fc.nat(3),
  what: fc.constantFrom(
    ...(['hold', 'work', 'let go', 'wait', 'wait for several', 'map', 'unmap', 'create', 'destroy'] as const),
    ...(['close', 'kill', 'reset', 'pass'] as const),
  ),
  number: fc.nat(4),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly machine = new ModelMachine({ machine: 'gaudi' });
  readonly driver: Driver = this.machine.driver;
  readonly #device = Device.open({ driver: this.driver });
  readonly #child = this.driver.process([this.#device.fd]);
  readonly #threads: readonly Thread[] = [this.driver, this.driver, this.#child, this.#child].map((d) => d.thread());
  readonly #calls: (Call | undefined)[] = [];
  readonly #outcomes: string[] = [];
  readonly #memory = [this.driver, this.#child].map((driver) => driver.allocate(64 * 1024));

  perform({ who, what, number }: Operation): void {
    const kind = (outcome: string) => void this.#outcomes.push(`${this.driver.now()} ${what}: ${outcome}`);
    try {
      this.#bodies[what](who, BigInt(number));
      kind('ok');
    } catch (error) {
      const code = (error as { code?: string }).code;
      const dead = error instanceof Error && /ended|in a call/.test(error.message);
      if (code === undefined && !dead) throw error;
      kind(code ?? 'not made');
    }
  }

  readonly #bodies: Readonly<Record<Operation['what'], (who: number, number: bigint) => void>> = {
    hold: () => this.#submit(QUEUE, new CommandStream().fence(0)),
    work: () => this.#submit('DMA_1_0', new CommandStream().nop()),
    'let go': () => this.#submit('DMA_1_1', new CommandStream().write(fenceAddress(QUEUE, 0), 1)),
    wait: (who, seq) => this.#begin(who, DRM_IOCTL_HL_WAIT_CS, { in: { seq, timeout_us: 100_000 } }),
    'wait for several': (who, number) => {
      const { address, bytes } = this.#memory[who >> 1] as Mapping;
      if (bytes.length > 0) new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, number, true);
      const flags = waitFlags.HL_WAIT_CS_FLAGS_MULTI_CS.value;
      const input = { seq: address, seq_arr_len: 1, timeout_us: 100_000, flags };
      this.#begin(who, DRM_IOCTL_HL_WAIT_CS, { in: input });
    },
    map: (who, number) => {
      const host_virt_addr = (this.#memory[who >> 1]?.address ?? 0n) + 4096n * number;
      const input = { flags: memoryFlags.HL_MEM_USERPTR.value, map_host: { host_virt_addr, mem_size: 8192 } };
      this.#begin(who, DRM_IOCTL_HL_MEMORY, { in: { op: HL_MEM_OP_MAP.value, ...input } });
    },
    unmap: (who, number) => {
      const unmap = { device_virt_addr: 0x1_0000_0020_0000n + 8192n * number };
      this.#begin(who, DRM_IOCTL_HL_MEMORY, { in: { op: HL_MEM_OP_UNMAP.value, unmap } });
    },
    create: (who) => this.#begin(who, DRM_IOCTL_HL_CB, { in: { op: HL_CB_OP_CREATE.value, cb_size: 4096 } }),
    destroy: (who, number) => {
      const cb_handle = 0x1000_0000_0000_0000n + ((number + 1n) << 12n);
      this.#begin(who, DRM_IOCTL_HL_CB, { in: { op: HL_CB_OP_DESTROY.value, cb_handle } });
    },
    close: (who) => {
      this.#calls[who] = (this.#threads[who] as Thread).close(this.#device.fd);
    },
    kill: () => this.#child.kill(),
    reset: () => {
      const path = `/sys/bus/pci/devices/${this.driver.accelerators()[0]?.pciAddress}/hard_reset`;
      const fd = this.driver.open(path, O_WRONLY);
      this.driver.write(fd, new TextEncoder().encode('1'));
      this.driver.close(fd);
    },
    pass: (_, number) => this.driver.sleep(Number(number) * 1_000_000),
  };

  #submit(queue: QueueName, stream: CommandStream): void {
    this.#device.submit({ queue, stream });
  }

  #begin<Out, In>(who: number, ioctl: Ioctl<Struct<Out, In>>, value: In): void {
    const argument = ioctl.argument.encode(value);
    this.#calls[who] = (this.#threads[who] as Thread).ioctl(this.#device.fd, ioctl.request, argument);
  }

  /** Ends all, and has the next program use the card. @returns what happened */
  end(): readonly string[] {
    this.#child.kill();
    for (const [who, call] of this.#calls.entries()) {
      if (!call || who > 1) continue;
      try {
        call.finish();
        this.#outcomes.push(`${who}: ok`);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        this.#outcomes.push(`${who}: ${error.code}`);
      }
    }
    try {
      this.#device.close();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
    const next = Device.open({ driver: this.driver, patience: 60_000 });
    const host = next.allocHost(4096);
    next.waitSync(next.submit({ queue: QUEUE, stream: new CommandStream().memset(host, 7n, 8) }), 10_000);
    assert.equal(host.words[0], 7);
    next.close();
    this.driver.close(this.driver.open(this.driver.accelerators()[0]?.path ?? '', O_RDWR));
    const lines = this.machine.driver.messages().map(({ text }) => text);
    const refusals = this.machine.takeRefusals().map(({ error }) => error.message);
    assert.deepEqual(refusals, [], 'what the device models refused');
    this.machine[Symbol.dispose]();
    return [...this.#outcomes, ...lines, String(this.driver.now())];
  }
}

function happens(operations: readonly Operation[]): readonly string[] {
  const run = new Run();
  for (const one of operations) run.perform(one);
  return run.end();
}

describe('threads and processes in any order', () => {
  it('every call ends, the next program finds a card that works, and it is the same again', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 25 }), (operations) => {
        assert.deepEqual(happens(operations), happens(operations));
      }),
      { seed: seed(), numRuns: 10 },
    );
  });
});
