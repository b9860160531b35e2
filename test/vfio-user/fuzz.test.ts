/** Random and mutated messages: the server answers or closes, forgets nothing, and serves the next client. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { close, EFD_NONBLOCK, eventfd, MAP_SHARED, memfd, mmap, PROT_READ, PROT_WRITE } from '../../src/os/libc.ts';
import { release } from '../../src/os/socket.ts';
import {
  COMMANDS,
  type CommandName,
  DEVICE_INFO,
  DMA_ACCESS,
  FLAG,
  HEADER,
  IRQ_INFO,
  REGION_ACCESS,
  REGION_INFO,
  WRITE_MULTI,
} from '../../src/vfio-user/messages.ts';
import {
  type Bench,
  bytes,
  irqPayload,
  mapPayload,
  message,
  QEMU_CAPABILITIES,
  type RawClient,
  unmapPayload,
  versionPayload,
  withBench,
} from './raw-client.ts';

const SEED = Number(process.env.SAGRADA_SEED ?? 20260731);
const RUNS = Number(process.env.SAGRADA_FUZZ_RUNS ?? 300);

/** Numbers near what matters: small ones, pages, powers of two and their neighbours. */
const number32 = fc.oneof(
  fc.nat(8),
  fc.nat(0x20).map((n) => n * 0x1000),
  fc.tuple(fc.nat(31), fc.integer({ min: -1, max: 1 })).map(([bit, delta]) => (2 ** bit + delta) >>> 0),
  fc.nat(0xffff_ffff),
);
const number64 = fc.oneof(
  fc.nat(0x40).map((n) => n * 0x1000),
  number32,
  fc.tuple(fc.nat(63), fc.integer({ min: -1, max: 1 })).map(([bit, delta]) => 2 ** bit + delta * 0x1000),
);
const data = fc.uint8Array({ maxLength: 64 });

const payloads: Partial<Record<CommandName, fc.Arbitrary<Uint8Array>>> = {
  VERSION: fc.oneof(
    fc.json().map((json) => versionPayload(json)),
    fc.constant(versionPayload(QEMU_CAPABILITIES)),
  ),
  DMA_MAP: fc
    .record({ flags: fc.nat(4), offset: number64, address: number64, size: number64 })
    .map((values) => mapPayload(values)),
  DMA_UNMAP: fc
    .tuple(number64, number64, fc.nat(3))
    .map(([address, size, flags]) => unmapPayload(address, size, flags)),
  DEVICE_GET_INFO: number32.map((argsz) => DEVICE_INFO.encode({ argsz })),
  DEVICE_GET_REGION_INFO: fc.record({ argsz: number32, index: fc.nat(10) }).map((v) => REGION_INFO.encode(v)),
  DEVICE_GET_IRQ_INFO: fc.record({ argsz: number32, index: fc.nat(6) }).map((v) => IRQ_INFO.encode(v)),
  DEVICE_SET_IRQS: fc
    .tuple(
      fc.record({ flags: fc.nat(0x3f), index: fc.nat(5), start: fc.nat(5), count: fc.nat(5) }),
      fc.array(fc.nat(1), { maxLength: 5 }),
    )
    .map(([values, bools]) => irqPayload(values, bools)),
  REGION_READ: fc.record({ offset: number64, region: fc.nat(9), count: number32 }).map((v) => REGION_ACCESS.encode(v)),
  REGION_WRITE: fc
    .tuple(number64, fc.nat(9), data)
    .map(([offset, region, d]) => bytes(REGION_ACCESS.encode({ offset, region, count: d.length }), d)),
  REGION_WRITE_MULTI: fc
    .array(fc.record({ offset: number64, region: fc.nat(9), count: fc.nat(9) }), { maxLength: 4 })
    .map((writes) =>
      bytes(
        WRITE_MULTI.encode({ count: writes.length }),
        ...writes.map((v) => bytes(REGION_ACCESS.encode(v), new Uint8Array(8))),
      ),
    ),
  DMA_READ: fc.record({ address: number64, count: number64 }).map((values) => DMA_ACCESS.encode(values)),
  DMA_WRITE: fc.record({ address: number64, count: number64 }).map((values) => DMA_ACCESS.encode(values)),
};

const names = Object.keys(COMMANDS) as CommandName[];
const wellFormed = fc
  .constantFrom(...names)
  .chain((name) => fc.tuple(payloads[name] ?? data, fc.nat(3)).map(([payload, id]) => message(name, payload, { id })));

/** What is done to a well-formed message on its way. */
const mutation = fc.oneof(
  { weight: 6, arbitrary: fc.constant((m: Uint8Array) => m) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.nat(60), fc.nat(255)).map(
      ([at, v]) =>
        (m: Uint8Array) =>
          m.with(at % m.length, v),
    ),
  },
  { weight: 1, arbitrary: fc.nat(60).map((n) => (m: Uint8Array) => m.subarray(0, n % m.length)) },
  { weight: 1, arbitrary: data.map((d) => (m: Uint8Array) => bytes(m, d)) },
  {
    weight: 1,
    arbitrary: number32.map((size) => (m: Uint8Array) => bytes(m.subarray(0, 4), u32(size), m.subarray(8))),
  },
  { weight: 1, arbitrary: fc.nat(0x3f).map((flags) => (m: Uint8Array) => m.with(8, flags)) },
);

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

type Step =
  | { readonly kind: 'send'; readonly bytes: Uint8Array; readonly fds: readonly ('memory' | 'event' | 'other')[] }
  | { readonly kind: 'dma'; readonly access: 'read' | 'write'; readonly address: number; readonly length: number }
  | { readonly kind: 'interrupt'; readonly vector: number }
  | { readonly kind: 'reply'; readonly error: boolean }
  | { readonly kind: 'negotiate' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(wellFormed, mutation, fc.array(fc.constantFrom('memory', 'event', 'other'), { maxLength: 3 }), fc.nat(2))
      .map(([m, mutate, fds, some]): Step => ({ kind: 'send', bytes: mutate(m), fds: some === 0 ? fds : [] })),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ access: fc.constantFrom('read' as const, 'write' as const), address: number64, length: fc.nat(0x3000) })
      .map((v): Step => ({ kind: 'dma', ...v })),
  },
  { weight: 1, arbitrary: fc.nat(3).map((vector): Step => ({ kind: 'interrupt', vector })) },
  { weight: 2, arbitrary: fc.boolean().map((error): Step => ({ kind: 'reply', error })) },
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'negotiate' }) },
);

/** Answers one command of the server as a good client does. */
function answer(client: RawClient, error: boolean): void {
  for (let found = client.receive(); found; found = client.receive()) {
    for (const fd of found.fds) close(fd);
    if ((found.flags & FLAG.TYPE_MASK) !== FLAG.COMMAND) continue;
    const { address, count } = DMA_ACCESS.decode(found.view, 0);
    const name = found.command === COMMANDS.DMA_READ.number ? 'DMA_READ' : 'DMA_WRITE';
    const body = bytes(DMA_ACCESS.encode({ address, count }), new Uint8Array(name === 'DMA_READ' ? count : 0));
    if (error) client.send(message(name, undefined, { id: found.id, flags: FLAG.REPLY | FLAG.ERROR, error: 5 }));
    else client.send(message(name, body, { id: found.id, flags: FLAG.REPLY }));
    return;
  }
}

function play(bench: Bench, steps: readonly Step[]): void {
  const client = bench.connect();
  const memory = memfd('guest', 0x8000);
  const event = eventfd(0, EFD_NONBLOCK);
  const fds = { memory, event, other: client.stream.fd };
  const calls: number[] = [];
  for (const one of steps) {
    if (one.kind === 'send') client.send(one.bytes, one.bytes.length > 0 ? one.fds.map((name) => fds[name]) : []);
    else if (one.kind === 'negotiate') client.send(message('VERSION', versionPayload(QEMU_CAPABILITIES)));
    else if (one.kind === 'interrupt') bench.function.ports.interrupt('msi', one.vector);
    else if (one.kind === 'reply') answer(client, one.error);
    else {
      const at = calls.push(0) - 1;
      bench.function.ports.dma[one.access](one.address, new Uint8Array(one.length), () => {
        calls[at] = (calls[at] as number) + 1;
      });
    }
    bench.turn();
    if (client.ended) break;
  }
  for (let found = client.receive(); found; found = client.receive()) for (const fd of found.fds) close(fd);
  client.close();
  close(memory);
  close(event);
  assert.ok(!bench.server.connected);
  assert.deepEqual(
    calls,
    calls.map(() => 1),
    'every access is done exactly once',
  );
}

test(
  `any messages: answered or closed, nothing left (seed ${SEED}, ${RUNS} runs)`,
  withBench((bench) => {
    const outside = mmap(0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, bench.function.memory.fd, 0);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        play(bench, steps);
        const next = bench.client();
        assert.equal(next.readRegion(0, 0, 4).length, 4);
        next.close();
      }),
      { seed: SEED, numRuns: RUNS },
    );
    release(outside);
    assert.deepEqual(
      bench.logged.filter((line) => line.includes('defect')),
      [],
    );
  }),
);

test(
  `random bytes (seed ${SEED}, ${RUNS} runs)`,
  withBench((bench) => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }),
        fc.boolean(),
        (chunks, negotiated) => {
          const client = negotiated ? bench.client() : bench.connect();
          for (const chunk of chunks) {
            client.send(chunk);
            bench.turn();
          }
          client.close();
          const next = bench.client();
          assert.equal(next.readRegion(0, 0, 4).length, 4);
          next.close();
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
  }),
);

test(`structures survive encoding and decoding (seed ${SEED})`, () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(0xffff_ffff), fc.maxSafeNat(), (id, size, address) => {
      const header = HEADER.encode({ id, size, flags: 1 });
      const decoded = HEADER.decode(new DataView(header.buffer), 0);
      assert.deepEqual(decoded, { id, command: 0, size, flags: 1, error: 0 });
      const access = DMA_ACCESS.encode({ address, count: 1 });
      const view = new DataView(access.buffer);
      assert.equal(view.getBigUint64(0, true), BigInt(address));
      assert.equal(DMA_ACCESS.decode(view, 0).address, address);
    }),
    { seed: SEED },
  );
});
