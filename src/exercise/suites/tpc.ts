/** Tensor cores: kernels launched by command streams, on one to eight of them, against what JavaScript computes. */

import assert from 'node:assert/strict';
import { STATUS } from '../../../specs/gaudi/registers/tpc-cfg.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import { floatWord } from '../../runtime/kernel.ts';
import { corePackets, type StepOptions } from '../../runtime/launch.ts';
import { Tensor } from '../../runtime/tensor.ts';
import { lookupTables } from '../../tpc/tables/index.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { assertSame, fill, KiB, MiB, run } from './lib.ts';
import { runBeside } from './queues-internal.ts';
import { hold } from './sync-lib.ts';
import { faults } from './tpc-faults.ts';
import {
  assertNumbers,
  DOWN,
  floats,
  fromDevice,
  type HostTensor,
  hostTensor,
  kernel,
  members,
  small,
  toDevice,
  UP,
} from './tpc-lib.ts';

/** Elements that the program `descriptor` stores: two for each register. */
const DESCRIPTOR = 16;

/** Bits of a core's status that are set while nothing is in its pipes (tpc0_cfg_masks.h, STATUS). */
const { SCALAR_PIPE_EMPTY, VECTOR_PIPE_EMPTY } = STATUS;
const EMPTY = SCALAR_PIPE_EMPTY | VECTOR_PIPE_EMPTY;

/** The status of a core, as the driver tells it in its text about all engines. */
function statusOf(device: Device, core: number): number {
  const text = device.info.engineStatus();
  const table = text.slice(text.indexOf('TPC  is_idle'), text.indexOf('MME  is_idle'));
  const row = table.split(/[\n\0]+/).find((line) => line.startsWith(`${core} `));
  const status = row?.trim().split(/\s+/).at(-1);
  assert.ok(status, text);
  return Number(status);
}

async function launch(t: TestContext, name: string, operands: readonly HostTensor[], options: StepOptions) {
  const tensors = operands.map(({ tensor }) => tensor);
  await t.device.launch(kernel(name), { tensors, ...options, signal: t.signal });
}

/** Kernels that do the same to every element: members of 256 elements, operands in `x`, the last tensor the result. */
const elementwise: readonly {
  readonly name: string;
  readonly inputs: number;
  readonly scalars?: readonly number[];
  readonly f: (x: readonly number[]) => number;
  readonly tolerance?: number;
}[] = [
  { name: 'relu', inputs: 1, f: ([x = 0]) => Math.max(x, 0) },
  { name: 'leaky-relu', inputs: 1, scalars: [floatWord(0.25)], f: ([x = 0]) => (x >= 0 ? x : x * 0.25) },
  { name: 'relu-gradient', inputs: 2, f: ([x = 0, dy = 0]) => (x > 0 ? dy : 0) },
  { name: 'add', inputs: 2, f: ([x = 0, y = 0]) => x + y },
  { name: 'mac', inputs: 3, f: ([a = 0, b = 0, c = 0]) => Math.fround(c + a * b) },
];

function shared(test: Declare): void {
  for (let cores = 1; cores <= 8; cores++) {
    test(`relu on ${cores === 1 ? 'one core' : `${cores} cores`}`, async (t) => {
      const count = 5000;
      const [x, y] = [floats(t, [count], () => small(t)), floats(t, [count], () => 99)];
      await launch(t, 'relu', [x, y], { indexSpace: [members(count, 256)], cores });
      assertNumbers(y.memory.floats, count, (n) => Math.max(x.memory.floats[n] as number, 0));
    });
  }

  test('each core alone', async (t) => {
    const x = floats(t, [300], () => small(t));
    for (const core of [0, 1, 2, 3, 4, 5, 6, 7] as const) {
      const y = floats(t, [300], () => 99);
      await launch(t, 'relu', [x, y], { indexSpace: [2], cores: [core] });
      assertNumbers(y.memory.floats, 300, (n) => Math.max(x.memory.floats[n] as number, 0));
    }
  });

  test('cores do the members that they are given, and no others', async (t) => {
    const [x, y] = [floats(t, [2048], () => small(t)), floats(t, [2048], () => 99)];
    await launch(t, 'relu', [x, y], { indexSpace: [5], cores: 3 });
    assertNumbers(y.memory.floats, 2048, (n) => (n < 5 * 256 ? Math.max(x.memory.floats[n] as number, 0) : 99));
  });

  test('all streams of a core', async (t) => {
    const x = floats(t, [300], () => small(t));
    for (const stream of [0, 1, 2, 3] as const) {
      const y = floats(t, [300], () => 99);
      await launch(t, 'relu', [x, y], { indexSpace: [2], stream });
      assertNumbers(y.memory.floats, 300, (n) => Math.max(x.memory.floats[n] as number, 0));
    }
  });
}

function kernels(test: Declare): void {
  for (const { name, inputs, scalars = [], f, tolerance = 0 } of elementwise) {
    test(`${name}, in three dimensions of odd sizes`, async (t) => {
      const shape = [277, 3, 5];
      const x = Array.from({ length: inputs }, () => floats(t, shape, () => small(t)));
      const y = floats(t, shape, () => 99);
      await launch(t, name, [...x, y], { indexSpace: [2, 3, 5], cores: 4, scalars });
      const at = (n: number) => x.map(({ memory }) => memory.floats[n] as number);
      assertNumbers(y.memory.floats, y.tensor.elements, (n) => f(at(n)), tolerance);
    });
  }

  for (const type of ['u8', 'i16', 'bf16', 'f32'] as const) {
    test(`copy of ${type}`, async (t) => {
      const shape = [1030, 3];
      const [x, y] = [hostTensor(t, { type, shape }), hostTensor(t, { type, shape })];
      fill(x.memory.bytes, t.random);
      const step = 1024 / (x.tensor.bytes / x.tensor.elements);
      await launch(t, 'copy', [x, y], { indexSpace: [members(1030, step), 3], cores: 2 });
      assertSame(y.memory.bytes, x.memory.bytes, type);
    });
  }

  test('cast to bf16 and back', async (t) => {
    const shape = [333, 2];
    const x = floats(t, shape, () => small(t) / 3);
    const narrow = hostTensor(t, { type: 'bf16', shape });
    const y = floats(t, shape, () => 99);
    await launch(t, 'cast-f32-bf16', [x, narrow], { indexSpace: [3, 2], cores: 2 });
    const halves = new Uint16Array(narrow.memory.bytes.buffer, narrow.memory.bytes.byteOffset, narrow.tensor.elements);
    assertNumbers(halves, narrow.tensor.elements, (n) => bf16Bits(x.memory.floats[n] as number));
    await launch(t, 'cast-bf16-f32', [narrow, y], { indexSpace: [3, 2], cores: 2 });
    assertNumbers(y.memory.words, y.tensor.elements, (n) => ((halves[n] as number) << 16) >>> 0);
  });

  test('exp, by a lookup table of the runtime', async (t) => {
    const count = 200;
    const x = floats(t, [count], () => small(t));
    const y = floats(t, [count], () => 99);
    // the function tables are put into the device's memory by the launch
    await launch(t, 'exp', [x, y], { indexSpace: [members(count, 64)], cores: 3 });
    assertNumbers(y.memory.floats, count, (n) => Math.exp(x.memory.floats[n] as number), 5e-7);
  });

  test('max-rows: the greatest of each row', async (t) => {
    const [x, y] = [floats(t, [150, 9], () => small(t)), floats(t, [1, 9], () => 99)];
    await launch(t, 'max-rows', [x, y], { indexSpace: [1, 9], cores: 4 });
    assertNumbers(y.memory.floats, 9, (n) => Math.max(...x.memory.floats.subarray(150 * n, 150 * (n + 1))));
  });

  test('softmax over rows, with lookup tables of the program', async (t) => {
    const width = 100;
    const [x, y] = [floats(t, [width, 6], () => small(t) / 8), floats(t, [width, 6], () => 99)];
    const { bases, regions } = lookupTables(0);
    const last = Math.max(...regions.map(({ address, bytes }) => address + bytes.length));
    const staging = t.device.allocHost(last);
    for (const { address, bytes } of regions) staging.bytes.set(bytes, address);
    const memory = t.use(t.device.dram.allocate(last));
    await toDevice(t, memory, staging);
    const at = (n: number) => memory.at(bases[n] as number);
    const tables = { 32: at(0), 64: at(1), 128: at(2), 256: at(3) };
    await launch(t, 'softmax', [x, y], { indexSpace: [1, 6], cores: 3, tables });
    assertNumbers(
      y.memory.floats,
      width * 6,
      (n) => {
        const row = x.memory.floats.subarray(n - (n % width), n - (n % width) + width);
        const sum = row.reduce((total, value) => total + Math.exp(value), 0);
        return Math.exp(x.memory.floats[n] as number) / sum;
      },
      3e-6,
    );
  });

  test('matmul', async (t) => {
    const [n, k, m] = [70, 13, 9];
    const [a, b] = [floats(t, [k, m], () => small(t)), floats(t, [n, k], () => small(t))];
    const c = floats(t, [n, m], () => 99);
    await launch(t, 'matmul', [a, b, c], { indexSpace: [members(n, 64), members(m, 4)], cores: 5 });
    // halves of small numbers: no product or sum is rounded
    assertNumbers(c.memory.floats, n * m, (at) => {
      const [column, row] = [at % n, Math.floor(at / n)];
      let sum = 0;
      for (let i = 0; i < k; i++)
        sum += (a.memory.floats[row * k + i] as number) * (b.memory.floats[i * n + column] as number);
      return sum;
    });
  });

  test('gather: rows by their number, and padding for those that are not there', async (t) => {
    const [width, rows, count] = [100, 7, 12];
    const x = floats(t, [width, rows], () => small(t));
    const padded = new Tensor(x.memory, { type: 'f32', shape: [width, rows], padding: -3.5 });
    const index = hostTensor(t, { type: 'i32', shape: [count] });
    const y = floats(t, [width, count], () => 99);
    const chosen = index.memory.words;
    for (let j = 0; j < count; j++) chosen[j] = j === 5 ? 100 : t.random.below(rows);
    await launch(t, 'gather', [{ memory: x.memory, tensor: padded }, index, y], { indexSpace: [2, count], cores: 8 });
    assertNumbers(y.memory.floats, width * count, (n) => {
      const row = chosen[Math.floor(n / width)] as number;
      return row < rows ? (x.memory.floats[row * width + (n % width)] as number) : -3.5;
    });
  });

  test('memory-clear on all cores, as the driver runs it', async (t) => {
    await launch(t, 'memory-clear', [], { cores: 8, indexSpace: [8] });
    assert.deepEqual(t.device.info.idle().busy, []);
  });
}

function tensors(test: Declare): void {
  test('tensors in HBM and in SRAM', async (t) => {
    const count = 3000;
    const [x, y] = [floats(t, [count], () => small(t)), floats(t, [count], () => 99)];
    for (const space of ['dram', 'sram'] as const) {
      const [from, to] = [t.device[space].allocate(x.memory.size), t.device[space].allocate(x.memory.size)];
      await toDevice(t, from, x.memory);
      const options = { type: 'f32', shape: [count] } as const;
      await t.device.launch(kernel('relu'), {
        tensors: [new Tensor(from, options), new Tensor(to, options)],
        indexSpace: [members(count, 256)],
        cores: 6,
        signal: t.signal,
      });
      await fromDevice(t, y.memory, to);
      assertNumbers(y.memory.floats, count, (n) => Math.max(x.memory.floats[n] as number, 0));
    }
  });

  test('five dimensions', async (t) => {
    const shape = [65, 2, 3, 2, 3];
    const [x, y, z] = [floats(t, shape, () => small(t)), floats(t, shape, () => small(t)), floats(t, shape, () => 99)];
    await launch(t, 'add', [x, y, z], { indexSpace: [1, 2, 3, 2, 3], cores: 7 });
    assertNumbers(
      z.memory.floats,
      z.tensor.elements,
      (n) => (x.memory.floats[n] as number) + (y.memory.floats[n] as number),
    );
  });

  test('a part of a larger tensor, by strides', async (t) => {
    // rows 1, 3 and 5, columns 8 to 107 of a matrix of 150 columns
    const whole = floats(t, [150, 7], () => small(t));
    const before = whole.memory.floats.slice();
    const part = new Tensor(whole.memory.deviceAddress + BigInt(4 * (150 + 8)), {
      type: 'f32',
      shape: [100, 3],
      strides: [1, 300],
    });
    const operand = { memory: whole.memory, tensor: part };
    await launch(t, 'relu', [operand, operand], { indexSpace: [1, 3], cores: 3 });
    assertNumbers(whole.memory.floats, 150 * 7, (n) => {
      const [column, row] = [n % 150, Math.floor(n / 150)];
      const inside = row % 2 === 1 && column >= 8 && column < 108;
      return inside ? Math.max(before[n] as number, 0) : (before[n] as number);
    });
  });

  test('nothing is written beyond a tensor', async (t) => {
    const x = floats(t, [1000], () => small(t));
    const y = floats(t, [1000], () => 99);
    const short = { memory: y.memory, tensor: new Tensor(y.memory, { type: 'f32', shape: [601] }) };
    await launch(t, 'relu', [x, short], { indexSpace: [4], cores: 4 });
    assertNumbers(y.memory.floats, 1000, (n) => (n < 601 ? Math.max(x.memory.floats[n] as number, 0) : 99));
  });

  test('stores that add: no core loses what another has counted', async (t) => {
    const count = hostTensor(t, { type: 'i32', shape: [64], rmw: 'add' });
    await launch(t, 'tally', [count], { indexSpace: [37], cores: 8 });
    assertNumbers(count.memory.words, 64, () => 37);
  });

  test('all 32 scalars', async (t) => {
    const y = hostTensor(t, { type: 'i32', shape: [32] });
    const scalars = Array.from({ length: 32 }, () => t.random.next() >>> 0);
    await launch(t, 'scalars', [y], { scalars });
    assertNumbers(y.memory.words, 32, (n) => scalars[n] as number);
  });

  test('a kernel reads and writes the descriptor that it was started by', async (t) => {
    const y = hostTensor(t, { type: 'i32', shape: [DESCRIPTOR] });
    await launch(t, 'descriptor', [y], { scalars: [77], indexSpace: [3] });
    const { words } = y.memory;
    for (let n = 0; n < DESCRIPTOR; n += 2)
      assert.equal(words[n + 1], ((words[n] as number) + 1) >>> 0, `register ${n / 2}, which was ${words[n]}`);
    assert.equal(words[10], 3, 'members in the first dimension');
    assert.equal(words[14], 77, 'the first scalar');
  });

  test('scalars that are not given are 0, also after others were', async (t) => {
    const y = hostTensor(t, { type: 'i32', shape: [32] });
    await launch(t, 'scalars', [y], { scalars: Array.from({ length: 32 }, () => 7) });
    await launch(t, 'scalars', [y], { scalars: [1, 2, 3] });
    assertNumbers(y.memory.words, 32, (n) => (n < 3 ? n + 1 : 0));
  });
}

function together(test: Declare): void {
  test('kernels in turn on two cores, by a sync object', async (t) => {
    const shape = [2000];
    const x = floats(t, shape, () => small(t));
    const [y, z] = [floats(t, shape, () => 99), floats(t, shape, () => 99)];
    const indexSpace = [members(2000, 256)];
    using both = t.device.beginInTurn([
      { kernel: kernel('relu'), tensors: [x.tensor, y.tensor], indexSpace, cores: [3] },
      { kernel: kernel('add'), tensors: [y.tensor, y.tensor, z.tensor], indexSpace, cores: [5] },
    ]);
    await both.wait({ signal: t.signal });
    assertNumbers(z.memory.floats, 2000, (n) => 2 * Math.max(x.memory.floats[n] as number, 0));
  });

  test('a chain of kernels on changing numbers of cores', async (t) => {
    const shape = [1500];
    const [x, y] = [floats(t, shape, (n) => n), floats(t, shape, () => 0)];
    const add = kernel('add');
    const step = { kernel: add, indexSpace: [members(1500, 256)] };
    using chain = t.device.beginInTurn(
      [8, 1, 4, 2].map((cores, n) => {
        const [from, to] = n % 2 === 0 ? [x, y] : [y, x];
        return { ...step, cores, tensors: [from.tensor, from.tensor, to.tensor] };
      }),
    );
    await chain.wait({ signal: t.signal });
    assertNumbers(x.memory.floats, 1500, (n) => 16 * n);
  });

  test('a kernel waits for what another core writes', async (t) => {
    const [flag, answer] = [hostTensor(t, { type: 'i32', shape: [1] }), hostTensor(t, { type: 'i32', shape: [1] })];
    const follower = t.device.begin(kernel('follow'), {
      tensors: [flag.tensor, answer.tensor],
      scalars: [1000],
      cores: [0],
      queue: 'DMA_0_2',
    });
    await run(t, 'DMA_1_1', new CommandStream().nop());
    assert.equal(t.device.poll(follower.submission), undefined, 'it did not wait');
    await t.device.launch(kernel('linger'), {
      tensors: [flag.tensor],
      scalars: [100, 234],
      cores: [1],
      queue: 'DMA_0_3',
      signal: t.signal,
    });
    await follower.wait({ signal: t.signal });
    assert.equal(answer.memory.words[0], 1234);
  });

  test('a kernel waits for what the host writes', async (t) => {
    const [flag, answer] = [hostTensor(t, { type: 'i32', shape: [1] }), hostTensor(t, { type: 'i32', shape: [1] })];
    const { device } = t;
    const follower = device.begin(kernel('follow'), {
      tensors: [flag.tensor, answer.tensor],
      scalars: [1],
      cores: [6],
    });
    await run(t, DOWN, new CommandStream().nop());
    flag.memory.words[0] = 41;
    await follower.wait({ signal: t.signal });
    assert.equal(answer.memory.words[0], 42);
  });

  test('launches on different cores at the same time', async (t) => {
    const { device } = t;
    const queues = ['DMA_0_0', 'DMA_0_1', 'DMA_0_2', 'DMA_0_3', 'DMA_1_0', 'DMA_1_1', 'DMA_1_2', 'DMA_1_3'] as const;
    const x = floats(t, [700], () => small(t));
    const relu = kernel('relu');
    const launches = queues.map((queue, n) => {
      const y = floats(t, [700], () => 99);
      const tensors = [x.tensor, y.tensor];
      return { y, launch: device.begin(relu, { tensors, indexSpace: [3], cores: [n as 0], queue }) };
    });
    for (const { y, launch: one } of launches) {
      await one.wait({ signal: t.signal });
      assertNumbers(y.memory.floats, 700, (n) => Math.max(x.memory.floats[n] as number, 0));
    }
  });

  test('many launches on one core, one behind the other', async (t) => {
    const { device } = t;
    const relu = kernel('relu');
    const x = floats(t, [256], () => small(t));
    const launches = Array.from({ length: 20 }, () => {
      const y = floats(t, [256], () => 99);
      return { y, launch: device.begin(relu, { tensors: [x.tensor, y.tensor] }) };
    });
    for (const { y, launch: one } of launches) {
      await one.wait({ signal: t.signal });
      assertNumbers(y.memory.floats, 256, (n) => Math.max(x.memory.floats[n] as number, 0));
    }
  });

  test('DMA goes on beside a kernel', async (t) => {
    const { device } = t;
    const [source, result] = [device.allocHost(MiB), device.allocHost(MiB)];
    const memory = t.use(device.dram.allocate(MiB));
    fill(source.bytes, t.random);
    const y = hostTensor(t, { type: 'i32', shape: [1] });
    const kernelWork = device.begin(kernel('linger'), { tensors: [y.tensor], scalars: [50_000, 5], cores: [2] });
    await run(t, DOWN, new CommandStream().dma(memory, source, MiB));
    await run(t, 'DMA_1_0', new CommandStream().dma(result, memory, MiB));
    assertSame(result.bytes, source.bytes, 'copied beside a kernel');
    await kernelWork.wait({ signal: t.signal });
    assert.equal(y.memory.words[0], 5);
  });

  test('the card says that a core is busy while a kernel runs', async (t) => {
    const { device } = t;
    const [flag, answer] = [hostTensor(t, { type: 'i32', shape: [1] }), hostTensor(t, { type: 'i32', shape: [1] })];
    const work = device.begin(kernel('follow'), { tensors: [flag.tensor, answer.tensor], cores: [4] });
    await run(t, DOWN, new CommandStream().nop());
    while (!device.info.idle().busy.includes('TPC_4')) t.signal.throwIfAborted();
    assert.notEqual(statusOf(device, 4) & EMPTY, EMPTY, 'a core that works has something in its pipes');
    flag.memory.words[0] = 1;
    await work.wait({ signal: t.signal });
    assert.ok(!device.info.idle().busy.includes('TPC_4'));
    assert.equal(statusOf(device, 4) & EMPTY, EMPTY);
  });

  test('an engine barrier waits for the kernel before it', async (t) => {
    const { device } = t;
    const y = hostTensor(t, { type: 'i32', shape: [1] });
    const object = device.sync('E_N').syncObject();
    const packets = t.use(device.allocHost(KiB));
    const stream = new CommandStream().nop({ eb: true }).add(object, 1);
    packets.bytes.set(stream.bytes);
    const kernelWork = device.begin(kernel('linger'), {
      tensors: [y.tensor],
      scalars: [3000, 5],
      cores: [6],
      stream: 0,
    });
    await runBeside(t, object, [{ queue: 'TPC_6_0', place: packets, size: stream.size }]);
    assert.equal(y.memory.words[0], 5, 'the kernel had not ended');
    await kernelWork.wait({ signal: t.signal });
  });

  test('a kernel that waits for its turn has the descriptor that it was started with', async (t) => {
    const { device } = t;
    const linger = kernel('linger');
    const code = t.use(device.dram.allocate(linger.code.length, 128));
    const program = t.use(device.allocHost(linger.code.length));
    program.bytes.set(linger.code);
    await toDevice(t, code, program);
    using done = device.sync('E_N').syncObject();
    const results = [3, 4, 5].map((answer) => ({ answer, ...hostTensor(t, { type: 'i32', shape: [1] }) }));
    const stream = new CommandStream();
    const box = { offset: [0, 0, 0, 0, 0], size: [1, 1, 1, 1, 1] };
    for (const { answer, tensor } of results) {
      // the first runs long, the others are there by then
      const scalars = [answer === 3 ? 3000 : 3, answer];
      const packets = corePackets(linger, code.address, box, done, { tensors: [tensor], scalars });
      // without the barrier that a launch begins with
      stream.raw(packets.bytes.subarray(new CommandStream().nop().size));
    }
    const place = t.use(device.allocHost(stream.size));
    place.bytes.set(stream.bytes);
    using monitor = device.sync('E_N').monitor();
    const work = device.submit([
      { queue: UP, stream: hold(UP, monitor, [done], results.length) },
      { queue: 'TPC_3_0', place, size: stream.size },
    ]);
    await device.wait(work, { signal: t.signal });
    for (const { answer, memory } of results) assert.equal(memory.words[0], answer);
  });

  test('a program is copied once, and another takes its own place', async (t) => {
    const { device } = t;
    const relu = kernel('relu');
    const [x, y] = [floats(t, [256], () => small(t)), floats(t, [256], () => 99)];
    for (const program of [relu, kernel('copy'), relu]) {
      await device.launch(program, { tensors: [x.tensor, y.tensor], signal: t.signal });
      const f = program === relu ? (value: number) => Math.max(value, 0) : (value: number) => value;
      assertNumbers(y.memory.floats, 256, (n) => f(x.memory.floats[n] as number));
    }
  });

  test('what no descriptor can hold is refused before anything is done', (t) => {
    const { device } = t;
    const memory = device.allocHost(4 * KiB);
    const halt = kernel('halt');
    const tensor = new Tensor(memory, { type: 'f32', shape: [4] });
    const refuse = (options: StepOptions) => assert.throws(() => device.begin(halt, options), RangeError);
    refuse({ tensors: Array.from({ length: 17 }, () => tensor) });
    refuse({ scalars: Array.from({ length: 33 }, () => 0) });
    refuse({ scalars: [0.5] });
    refuse({ indexSpace: [] });
    refuse({ indexSpace: [1, 1, 1, 1, 1, 1] });
    refuse({ indexSpace: [0] });
    refuse({ cores: 9 });
    refuse({ cores: [] });
    refuse({ cores: [1, 1] });
    assert.throws(() => new Tensor(memory, { type: 'f32', shape: [1, 1, 1, 1, 1, 1] }), RangeError);
    assert.throws(() => new Tensor(memory, { type: 'f32', shape: [-1] }), RangeError);
  });
}

/** The bits of a bf16, rounded to nearest, halves to even. */
function bf16Bits(value: number): number {
  const word = floatWord(value);
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

export const tpc = suite('tpc', 'Tensor cores: kernels launched by command streams.', (test) => {
  shared(test);
  kernels(test);
  tensors(test);
  together(test);
  faults(test);
});
