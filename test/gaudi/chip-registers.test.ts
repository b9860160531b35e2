import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blocks, instances } from '../../specs/gaudi/blocks.ts';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { TraceReader } from '../../src/trace/reader.ts';
import { TraceRecorder } from '../../src/trace/recorder.ts';
import { MS, REG, TestHost } from './test-host.ts';

describe('configuration space', () => {
  it('gives zero for what it does not know, and names it', () => {
    using host = new TestHost().enable();
    assert.equal(host.read(0x1f0_0000), 0);
    host.write(0xc4_b1fc + 0x8, 1);
    assert.deepEqual(
      host.errors.map(({ category, where }) => `${category} ${where}`),
      ['unsupported CFG+0x1f00000'],
      'the second is SEMAPHORE[1], which is known',
    );
    host.read(0xc4_bffc);
    host.read(0xc4_b3f0);
    assert.deepEqual(
      host.errors.slice(1).map(({ category, where }) => `${category} ${where}`),
      ['unimplemented PSOC_GLOBAL_CONF+0x3f0'],
      'the protection bits of the same page are known',
    );
  });

  it('has protection bits at the end of every 4 KiB of every block but the debug components', () => {
    using host = new TestHost().enable();
    for (const { name, base } of blocks.flatMap(instances).filter((block) => block.base < 0x200_0000)) {
      if (name === 'PSOC_TIMESTAMP') continue;
      host.write(base + 0xf80, 0xffff_0000);
      assert.equal(host.read(base + 0xf80), 0xffff_0000, name);
    }
    assert.deepEqual(host.errors, []);
  });

  it('accounts for what was touched, by name and kind', () => {
    using host = new TestHost().enable();
    host.write(REG.HW_STATE, 1);
    host.read(REG.HW_STATE);
    host.read(REG.BTM_FSM);
    const use = (name: string) => host.gaudi.registerUses().find((u) => u.name === name);
    assert.deepEqual(use('PSOC_GLOBAL_CONF.HW_STATE'), {
      name: 'PSOC_GLOBAL_CONF.HW_STATE',
      kind: 'storage',
      reads: 1,
      writes: 1,
    });
    assert.equal(use('PSOC_GLOBAL_CONF.BTM_FSM')?.kind, 'active');
    assert.equal(use('PSOC_GLOBAL_CONF.RDWR_TEST'), undefined);
  });

  it('traces accesses in their order', () => {
    const reader = new TraceReader();
    const sink = { write: (chunk: Uint8Array) => reader.append(chunk.slice()) };
    const trace = new TraceRecorder({ sink, sequence: 1, root: 'test', now: () => 0 });
    using host = new TestHost({ trace }).enable();
    const before = trace.events;
    host.write(0xc4_b178, 0xabc);
    host.read(0xc4_b178);
    trace.flush();
    const { name, category } = reader.columns();
    const told = Array.from({ length: reader.count - before }, (_, i) => {
      const event = before + i;
      const value = reader.fields(event).value as number;
      const kind = reader.categories[category[event] as number];
      return `${kind} ${reader.names[name[event] as number]} 0x${value.toString(16)}`;
    });
    assert.deepEqual(told, [
      'register_write PSOC_GLOBAL_CONF.RDWR_TEST 0xabc',
      'register_read PSOC_GLOBAL_CONF.RDWR_TEST 0xabc',
    ]);
  });
});

describe('units in reset', () => {
  it('forget their registers, and others do not', () => {
    using host = new TestHost().enable();
    const ARB = 0xa0c;
    const qm = (n: number) => 0x50_8000 + n * 0x2_0000 + ARB;
    for (const n of [0, 1]) host.write(qm(n), 0x3);
    const stored = [host.read(qm(0)), host.read(qm(1))];
    // UNIT_RST_H_DMA_0 holds the even channels.
    host.write(0xc4_b4b8, 0x3f_ffff & ~(1 << 18));
    assert.deepEqual([host.read(qm(0)), host.read(qm(1))], stored, 'not before UNIT_RST_N says so');
    host.write(0xc4_b4b0, 0);
    assert.notEqual(stored[0], 0);
    assert.deepEqual([host.read(qm(0)), host.read(qm(1))], [0, stored[1]]);
  });
});

describe('timestamp counter', () => {
  const [CNTCR, LOW, HIGH] = [0xc4_9000, 0xc4_9008, 0xc4_900c];

  it('counts output 2 of the CPU PLL while it is enabled', () => {
    using host = new TestHost().enable().boot('comms');
    host.write(LOW, 0);
    host.write(HIGH, 0);
    host.run(1 * MS);
    assert.equal(host.read(LOW), 0);
    host.write(CNTCR, 1);
    host.run(1000 * MS);
    assert.equal(host.read(LOW), 200_000_000);
    host.write(LOW, 5);
    assert.equal(host.read(LOW), 200_000_000, 'not writable while it runs');
    host.write(CNTCR, 0);
    host.run(1000 * MS);
    assert.equal(host.read(LOW), 200_000_000);
    host.write(HIGH, 1);
    host.write(LOW, 0xffff_ffff);
    host.write(CNTCR, 1);
    host.run(1 * MS);
    assert.equal(host.read(HIGH), 2);
  });
});

describe('TPC', () => {
  const CFG = 0xe0_6000;
  const [STATUS, SM_BASE_HIGH, CMD, EXECUTE, STALL] = [0x91c, 0x92c, 0x930, 0x938, 0x93c];
  const [SYNC_OBJECT, KERNEL_LOW, KERNEL_HIGH] = [0xd84, 0xd88, 0xd8c];
  const idle = (host: TestHost) => host.read(CFG + STATUS) === 0xee;

  const HALT = assembleVliw(tpcGaudi, 'halt\nnop\nnop\nnop\n').bytes;

  it('runs a kernel, and is busy meanwhile', () => {
    using host = new TestHost().enable();
    host.bar(0).write(0x2000, HALT);
    host.write(CFG + KERNEL_LOW, 0xf000_2000);
    host.write(CFG + KERNEL_HIGH, 0x7f);
    host.write(CFG + SM_BASE_HIGH, 0x7f);
    host.write(CFG + SYNC_OBJECT, 0xfc4f_2000);
    host.write(CFG + CMD, 0x11);
    assert.ok(!idle(host));
    host.until('prefetch', () => idle(host));
    host.write(CFG + STALL, 1);
    host.write(CFG + EXECUTE, 1);
    host.run(100 * MS);
    assert.ok(!idle(host), 'a stalled core does not finish');
    assert.deepEqual(host.gaudi.busyEngines(), ['TPC0']);
    host.write(CFG + STALL, 0);
    host.until('the kernel', () => idle(host));
    assert.deepEqual(host.gaudi.busyEngines(), []);
    assert.deepEqual(host.errors, []);
  });
});

describe('MME', () => {
  it('does not execute descriptors', () => {
    using host = new TestHost().enable();
    host.write(0x6_0280, 1);
    assert.equal(host.errors[0]?.where, 'MME0_CTRL.CMD');
    assert.equal(host.read(0x6_0000), 0x1180);
  });
});

describe('debug components', () => {
  const ETR = 0x2c4_3000;

  it('flush when they are told to, and say when they are ready', () => {
    using host = new TestHost().enable();
    host.write(ETR + 0x20, 1);
    assert.equal(host.read(ETR + 0x0c) & 4, 0, 'capturing');
    host.write(ETR + 0x304, 0x1000);
    host.write(ETR + 0x304, 0x1040);
    assert.equal(host.read(ETR + 0x304) & 0x40, 0, 'the flush is over');
    assert.equal(host.read(ETR + 0x0c) & 4, 4, 'and has stopped the capture');
    host.write(ETR + 0x20, 0);
    assert.equal(host.read(ETR + 0x0c) & 4, 4);
  });

  it('count cycles; events only as long as there are none', () => {
    using host = new TestHost().enable().boot('comms');
    for (const spmu of [0x300_1000, 0x250_4000]) {
      host.write(spmu + 0xe04, 6);
      host.write(spmu + 0xe04, 1);
      host.write(spmu + 0xc00, 0x8000_0001);
      host.run(1 * MS);
      assert.equal(host.read(spmu + 0xf8), 2_200_000);
      assert.equal(host.read(spmu), 0, 'an engine without work has no events');
    }
    assert.deepEqual(host.errors, []);
    // One descriptor for DMA0, whatever becomes of it.
    host.write(0x50_0078, 8);
    host.read(0x250_4000);
    assert.ok(host.errors.some(({ where }) => where === 'DMA_CH_0_CS_SPMU.PMEVCNTR[0]'));
  });
});
