/** A tensor core on a bus without a chip: what it takes from its registers, and how it meets memory. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CAUSE, tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { Tpc, type TpcEnginePorts } from '../../src/gaudi/tpc.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { ErrorLog, type ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { CFG_BASE, chip, HOST_BASE, pattern, run, SRAM_BASE, VIRTUAL_BASE } from './bus-fixture.ts';

type Row = keyof typeof tpcCfg.rows;
const SOB = CFG_BASE + 0x4f_2000;
const CODE = 0x2000;
const NOPS = 'nop\n'.repeat(8);
const END = 'halt\nnop\nnop\nnop\n';
/** AD1: address of element 0 of a tensor. */
const locate = (tensor: number, register = 'AD1') =>
  `nop; set_indx I2, b11111, 0\n${NOPS}gen_addr ${register}, ${tensor}, I2\n${NOPS}`;
const COPY_VECTOR = `nop; set_indx I2, b11111, 0\n${NOPS}ld_tnsr V1, 0, I2\n${NOPS}nop; nop; nop; st_tnsr 1, I2, V1\n${END}`;
const COPY_WORD = `${locate(0)}${locate(1, 'AD2')}ld_g S1, AD1\n${NOPS}nop; nop; nop; st_g AD2, S1\n${END}`;

const assemble = (text: string) => assembleVliw(tpcGaudi, text, { hazards: false }).bytes;

function bench(options: Partial<TpcEnginePorts> & { readonly hostSize?: number } = {}) {
  const c = chip(options);
  const refused: ModelError[] = [];
  const interrupts: number[] = [];
  const core = new Tpc(2, {
    clock: c.clock,
    bus: c.bus,
    errors: new ErrorLog((error) => refused.push(error)),
    hertz: () => 1e9,
    onInterrupt: () => interrupts.push(read('TPC_INTR_CAUSE')),
    ...options,
  });
  const write = (row: Row, value: number, ...index: number[]) =>
    core.block.write32(core.block.offsetOf(row, ...index), value >>> 0);
  const read = (row: Row, ...index: number[]) => core.block.read32(core.block.offsetOf(row, ...index));
  const wide = (low: Row, high: Row, value: number, ...index: number[]) => {
    write(low, value % 2 ** 32, ...index);
    write(high, Math.floor(value / 2 ** 32), ...index);
  };
  /** Tensor `n` of 64 words. */
  const tensor = (n: number, address: number, size = 64) => {
    wide('QM_TENSOR_BASE_ADDR_LOW', 'QM_TENSOR_BASE_ADDR_HIGH', address, n);
    write('QM_TENSOR_TENSOR_CONFIG', 0x102, n);
    write('QM_TENSOR_DIM_SIZE', size, n, 0);
    write('QM_TENSOR_DIM_STRIDE', 1, n, 0);
  };
  const program = (text: string | Uint8Array, address = CODE) => {
    const bytes = typeof text === 'string' ? assemble(text) : text;
    if (address >= SRAM_BASE) c.sram.bytes.set(bytes, address - SRAM_BASE);
    else c.hbm.bytes.set(bytes, address);
    wide('QM_KERNEL_BASE_ADDRESS_LOW', 'QM_KERNEL_BASE_ADDRESS_HIGH', address);
  };
  const execute = () => write('TPC_EXECUTE', 1);
  const idle = () => read('STATUS') === 0xee;
  const finish = () => {
    for (let n = 0; n < 100_000 && !idle(); n++) assert.ok(c.clock.step(c.clock.now() + 1e9), 'nothing will happen');
    assert.ok(idle(), 'it has not ended');
  };
  // as the driver leaves it
  write('TPC_INTR_MASK', 0x8ffe);
  write('SM_BASE_ADDRESS_HIGH', Math.floor(SOB / 2 ** 32));
  write('QM_SYNC_OBJECT_ADDR', SOB % 2 ** 32);
  write('QM_SYNC_OBJECT_MESSAGE', 0x8000_0001);
  write('ARUSER_LO', 1);
  write('AWUSER_LO', 1);
  c.tables.enable(1);
  const messages = () => c.registers.filter((w) => w.offset === SOB - CFG_BASE).map((w) => w.value);
  return { ...c, core, refused, interrupts, write, read, wide, tensor, program, execute, idle, finish, messages };
}

describe('bad kernels', () => {
  it('a program that cannot be read raises its cause, and the core stands still until it is reset', () => {
    const b = bench();
    b.wide('QM_KERNEL_BASE_ADDRESS_LOW', 'QM_KERNEL_BASE_ADDRESS_HIGH', VIRTUAL_BASE);
    b.execute();
    b.clock.runUntil(1e9);
    assert.ok(b.core.busy());
    assert.deepEqual(b.interrupts, [1 << CAUSE.HBW_RRESP_ERR]);
    assert.deepEqual(b.faults, ['page-fault']);
    assert.deepEqual(b.messages(), []);
    b.core.reset();
    assert.ok(b.idle() && !b.core.busy());
  });

  it('an illegal instruction raises its cause and names its place', () => {
    const b = bench();
    b.program(new Uint8Array(64).fill(0xff));
    b.execute();
    b.clock.runUntil(1e9);
    assert.ok(b.core.busy());
    assert.deepEqual(b.interrupts, [1 << 13]);
    assert.match(b.refused.map(({ message }) => message).join(), /TPC bundle 0x2000/);
  });

  it('a program at an address that is no bundle’s is refused', () => {
    const b = bench();
    b.program(END, CODE + 4);
    b.execute();
    b.clock.runUntil(1e9);
    assert.equal(b.refused[0]?.category, 'guest');
    assert.ok(b.core.busy());
  });

  it('reads that fail give zeros, writes that fail are lost, and the kernel goes on', () => {
    const b = bench();
    b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
    b.host.bytes.set(pattern(256, 1), 0xf80);
    b.program(COPY_VECTOR);
    // the second half of the vector is on a page that is not mapped
    b.tensor(0, VIRTUAL_BASE + 0xf80);
    b.tensor(1, SRAM_BASE);
    b.sram.bytes.fill(7, 0, 256);
    b.execute();
    b.finish();
    assert.deepEqual(b.sram.bytes.slice(0, 128), pattern(256, 1).slice(0, 128));
    assert.deepEqual(b.sram.bytes.slice(128, 256), new Uint8Array(128));
    b.tensor(0, SRAM_BASE);
    b.tensor(1, VIRTUAL_BASE + 0x1_0000);
    b.execute();
    b.finish();
    assert.equal(b.read('TPC_INTR_CAUSE'), (1 << CAUSE.HBW_RRESP_ERR) | (1 << CAUSE.HBW_BRESP_ERR));
    assert.equal(b.interrupts.length, 2);
    assert.deepEqual(b.messages(), [0x8000_0001, 0x8000_0001]);
    assert.deepEqual(b.refused, []);
  });

  it('causes that are masked are not told', () => {
    const b = bench();
    b.write('TPC_INTR_MASK', 0xf_ffff);
    b.program(COPY_VECTOR);
    b.tensor(0, VIRTUAL_BASE);
    b.tensor(1, SRAM_BASE);
    b.execute();
    b.finish();
    assert.equal(b.read('TPC_INTR_CAUSE'), 0);
    assert.deepEqual(b.interrupts, []);
  });

  it('a completion that nothing takes raises its cause', () => {
    const b = bench();
    b.program(END);
    b.write('QM_SYNC_OBJECT_ADDR', (SOB + 2) % 2 ** 32);
    b.execute();
    b.finish();
    assert.equal(b.read('TPC_INTR_CAUSE'), 1 << CAUSE.LBW_BRESP_ERR);
  });

  it('a kernel too many from the host is refused, those accepted are run', () => {
    const b = bench();
    b.program(END);
    for (let n = 0; n < 4; n++) b.execute();
    assert.equal(b.read('STATUS') & 0x80, 0, 'not ready for more');
    assert.throws(() => b.execute(), /undefined: TPC2_CFG.TPC_EXECUTE/);
    b.finish();
    assert.equal(b.messages().length, 4);
  });

  for (const [what, text] of [
    ['does nothing', 'here:\nnop; jmpr here\nnop\n'],
    ['counts', `here:\nnop; add.i32 S1, S1, 1\n${NOPS}nop; jmpr here\nnop\n`],
    ['polls', `${locate(0)}here:\nld_g S1, AD1\n${NOPS}nop; jmpr here\nnop\n`],
  ] as const) {
    it(`an endless loop that ${what} lets a second pass in little time, and ends with a reset`, () => {
      const b = bench();
      b.tensor(0, SRAM_BASE);
      b.program(text + END);
      b.execute();
      let steps = 0;
      while (b.clock.now() < 5e8 && b.clock.step(5e8)) steps++;
      assert.ok(steps < 20_000, `${steps} steps`);
      assert.ok(b.core.busy());
      b.core.reset();
      b.clock.runUntil(b.clock.now() + 1e6);
      assert.ok(b.idle());
      assert.deepEqual(b.messages(), []);
    });
  }
});

describe('registers', () => {
  it('EXECUTE takes a copy of the descriptor: the next can be written while the kernel waits', () => {
    const b = bench();
    b.sram.bytes.set(pattern(512, 2));
    b.program(COPY_VECTOR);
    b.tensor(0, SRAM_BASE);
    b.tensor(1, SRAM_BASE + 0x1000);
    b.write('TPC_STALL', 1);
    b.execute();
    b.tensor(0, SRAM_BASE + 256);
    b.tensor(1, SRAM_BASE + 0x2000);
    b.execute();
    b.tensor(0, 0);
    b.tensor(1, 0);
    b.clock.runUntil(1e8);
    assert.deepEqual(b.messages(), []);
    b.write('TPC_STALL', 0);
    b.finish();
    assert.deepEqual(b.sram.bytes.slice(0x1000, 0x1100), pattern(512, 2).slice(0, 256));
    assert.deepEqual(b.sram.bytes.slice(0x2000, 0x2100), pattern(512, 2).slice(256));
    assert.equal(b.read('KERNEL_TENSOR_BASE_ADDR_LOW', 1), (SRAM_BASE + 0x2000) % 2 ** 32);
  });

  it('a queue manager that writes EXECUTE waits for room, and for the end by its barrier', () => {
    const b = bench();
    b.program(END);
    const at = 0x6000 + tpcCfg.rows.TPC_EXECUTE.offset;
    for (let n = 0; n < 10; n++) run(b.clock, b.core.writeRegister(at, 1));
    run(b.clock, b.core.drain());
    assert.equal(b.messages().length, 10);
    assert.equal(b.core.drain(), undefined);
  });

  it('I0, I1 and the scalars are as the descriptor says, and no more scalars than it counts', () => {
    const b = bench();
    const store = (n: number, what: string) =>
      `nop; set_indx I2, b00001, ${n}\n${NOPS}gen_addr AD1, 0, I2; ${what}\n${NOPS}nop; nop; nop; st_g AD1, S20\n`;
    b.program(
      `nop; set_indx I2, b11111, 0\n${NOPS}` +
        [0, 1, 2, 3, 4].map((d) => store(d, `mov_irf_dim ${d} S20, I0`)).join('') +
        [0, 1, 2, 3, 4].map((d) => store(5 + d, `mov_irf_dim ${d} S20, I1`)).join('') +
        [0, 1, 2].map((n) => store(10 + n, `mov.i32 S20, S${n}`)).join('') +
        END,
    );
    b.tensor(0, SRAM_BASE);
    for (let d = 0; d < 5; d++) {
      b.write('QM_TID_BASE_DIM', 10 + d, d);
      b.write('QM_TID_SIZE_DIM', 20 + d, d);
    }
    for (let n = 0; n < 3; n++) b.write('QM_SRF', 0x8000_0000 + n, n);
    b.write('QM_KERNEL_CONFIG', 2 << 2);
    b.execute();
    b.finish();
    assert.deepEqual(
      [...b.sram.words.subarray(0, 13)],
      [10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 0x8000_0000, 0x8000_0001, 0],
    );
  });

  it('reads go by the address space of ARUSER, writes by that of AWUSER', () => {
    const b = bench();
    b.tables.enable(1, 2);
    b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
    b.tables.map(2, VIRTUAL_BASE, HOST_BASE + 0x5000, 0x1000);
    b.host.bytes.set(pattern(256, 3));
    b.write('AWUSER_LO', 2);
    b.program(COPY_VECTOR);
    b.tensor(0, VIRTUAL_BASE);
    b.tensor(1, VIRTUAL_BASE);
    b.execute();
    b.finish();
    assert.deepEqual(b.host.bytes.slice(0x5000, 0x5100), pattern(256, 3));
    assert.deepEqual(b.faults, []);
  });

  it('a reset in the middle of a kernel ends it: no message, and the next kernel is as the first', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5_000 }), (ns) => {
        const b = bench();
        b.sram.bytes.set(pattern(256, 4));
        const setUp = () => {
          b.write('TPC_INTR_MASK', 0x8ffe);
          b.write('SM_BASE_ADDRESS_HIGH', Math.floor(SOB / 2 ** 32));
          b.write('QM_SYNC_OBJECT_ADDR', SOB % 2 ** 32);
          b.write('QM_SYNC_OBJECT_MESSAGE', 5);
          b.program(COPY_VECTOR);
          b.tensor(0, SRAM_BASE);
          b.tensor(1, SRAM_BASE + 0x1000);
        };
        setUp();
        b.execute();
        b.clock.runUntil(b.clock.now() + ns);
        const before = b.messages().length;
        b.core.reset();
        b.clock.runUntil(b.clock.now() + 1e6);
        assert.equal(b.messages().length, before);
        setUp();
        b.execute();
        b.finish();
        assert.equal(b.messages().length, before + 1);
        assert.deepEqual(b.sram.bytes.slice(0x1000, 0x1100), pattern(256, 4));
      }),
      { seed: seed(), numRuns: 30 },
    );
  });
});

describe('memory', () => {
  for (const mode of ['direct', 'messages'] as const) {
    it(`tensors in memory of the host, ${mode}`, () => {
      const b = bench();
      b.host.mode = mode;
      b.host.piece = 96;
      b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
      b.tables.map(1, VIRTUAL_BASE + 0x1000, HOST_BASE + 0x8000, 0x1000);
      b.host.bytes.set(pattern(128, 5), 0xf80);
      b.host.bytes.set(pattern(128, 6), 0x8000);
      b.program(COPY_VECTOR);
      b.tensor(0, VIRTUAL_BASE + 0xf80);
      b.tensor(1, VIRTUAL_BASE + 0x1100);
      b.execute();
      b.finish();
      assert.deepEqual(b.host.bytes.slice(0x8100, 0x8180), pattern(128, 5));
      assert.deepEqual(b.host.bytes.slice(0x8180, 0x8200), pattern(128, 6));
      assert.deepEqual(b.refused, []);
      assert.equal(b.read('WQ_INFLIGHT_CNTR'), 0);
    });

    it(`a program in memory of the host, ${mode}`, () => {
      const b = bench();
      b.host.mode = mode;
      b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
      b.host.bytes.set(assemble(COPY_VECTOR));
      b.sram.bytes.set(pattern(256, 7));
      b.wide('QM_KERNEL_BASE_ADDRESS_LOW', 'QM_KERNEL_BASE_ADDRESS_HIGH', VIRTUAL_BASE);
      b.tensor(0, SRAM_BASE);
      b.tensor(1, SRAM_BASE + 0x100);
      b.execute();
      b.finish();
      assert.deepEqual(b.sram.bytes.slice(0x100, 0x200), pattern(256, 7));
    });
  }

  it('a lone word goes to the host as one store, before the completion', () => {
    const b = bench();
    b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
    b.sram.words[0] = 0xcafe;
    b.program(COPY_WORD);
    b.tensor(0, SRAM_BASE);
    b.tensor(1, VIRTUAL_BASE + 0x10);
    b.execute();
    b.finish();
    assert.deepEqual(b.host.stores, [{ address: 0x10, value: 0xcafe }]);
  });

  it('a word of a register is a message', () => {
    const b = bench();
    b.sram.words[0] = 0x8000_0003;
    b.program(COPY_WORD);
    b.tensor(0, SRAM_BASE);
    b.tensor(1, SOB + 4);
    b.execute();
    b.finish();
    assert.deepEqual(
      b.registers.filter((w) => w.offset === SOB + 4 - CFG_BASE).map((w) => w.value),
      [0x8000_0003],
    );
  });

  it('what was written by messages is read back by the same kernel', () => {
    const b = bench();
    b.host.mode = 'messages';
    b.host.delay = 5_000;
    b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
    b.sram.words[0] = 77;
    b.program(
      `${locate(0)}${locate(1, 'AD2')}${locate(2, 'AD3')}ld_g S1, AD1\n${NOPS}nop; nop; nop; st_g AD2, S1\n` +
        `ld_g S2, AD2\n${NOPS}nop; nop; nop; st_g AD3, S2\n${END}`,
    );
    b.tensor(0, SRAM_BASE);
    b.tensor(1, VIRTUAL_BASE);
    b.tensor(2, SRAM_BASE + 0x40);
    b.execute();
    b.finish();
    assert.equal(b.sram.words[0x10], 77);
  });

  it('a program that was changed between two launches is the new one', () => {
    const b = bench();
    b.sram.bytes.set(pattern(64 * 4, 8));
    b.tensor(0, SRAM_BASE);
    b.tensor(1, SRAM_BASE + 0x1000);
    b.program(END);
    b.execute();
    b.finish();
    b.program(COPY_VECTOR);
    b.execute();
    b.finish();
    assert.deepEqual(b.sram.bytes.slice(0x1000, 0x1100), pattern(256, 8));
  });

  it('time passes as the cycles do', () => {
    const duration = (bundles: number) => {
      const b = bench();
      b.program('nop\n'.repeat(bundles) + END);
      const from = b.clock.now();
      b.execute();
      b.finish();
      return b.clock.now() - from;
    };
    assert.equal(duration(2_000) - duration(1_000), 1_000);
  });
});

describe('compiled loops', () => {
  /** y[n] = x[n] + x[n + 1]..., a vector from each element on; rounds x 9 bundles. */
  const SLIDE = `nop; set_indx I2, b11111, 0\n${NOPS}loop 0, 2000, 1, <, end\nnop\nld_tnsr V1, 0, I2\n${'nop\n'.repeat(4)}nop; nop; add.f32 V2, V2, V1\n${'nop\n'.repeat(4)}nop; add.i32 b00001 I2, 1, I2; nop; st_tnsr 1, I2, V2\n${'nop\n'.repeat(4)}end: nop\n${END}`;
  const POLL = `${locate(0)}loop 0, 4000, 1, <, end\nnop\nld_g S1, AD1\n${NOPS}end: nop\n${END}`;

  const outcome = (compile: boolean, program: string, x: number, y: number, size: number) => {
    const b = bench({ compile });
    b.tables.map(1, VIRTUAL_BASE, HOST_BASE, 0x1000);
    b.tables.map(1, VIRTUAL_BASE + 0x1000, HOST_BASE + 0x1000, 0x1000);
    b.hbm.bytes.set(pattern(0x3000, 3), 0x8000);
    b.host.bytes.set(pattern(0x2000, 5), 0);
    b.program(program);
    b.tensor(0, x, size);
    b.tensor(1, y, size);
    b.execute();
    b.finish();
    return {
      compiled: b.core.compiledRounds,
      rest: {
        time: b.clock.now(),
        messages: b.messages(),
        interrupts: b.interrupts,
        faults: b.faults,
        refused: b.refused.map(({ message }) => message),
        hbm: b.hbm.bytes.slice(0x8000, 0x10000),
        sram: b.sram.bytes.slice(0, 0x4000),
        host: b.host.bytes.slice(0, 0x3000),
      },
    };
  };
  const both = (program: string, x: number, y: number, size: number) => {
    const compiled = outcome(true, program, x, y, size);
    const interpreted = outcome(false, program, x, y, size);
    assert.deepEqual(compiled.rest, interpreted.rest);
    assert.equal(interpreted.compiled, 0);
    return compiled;
  };

  it('a loop whose loads cannot wait is compiled: memory and time are as without', () => {
    for (const [x, y, size] of [
      [0x8000, SRAM_BASE, 2064],
      [0x8000, SRAM_BASE, 1500],
      [0x8000, 0x8000, 2064],
      [VIRTUAL_BASE, 0xc000, 2048],
      [0x8000, VIRTUAL_BASE, 1900],
    ] as const) {
      const { compiled } = both(SLIDE, x, y, size);
      assert.ok(compiled > 1000, `${compiled} rounds for tensors at 0x${x.toString(16)}, 0x${y.toString(16)}`);
    }
  });

  it('one that loads what is not mapped, or anything but tensors, is interpreted: faults are as without', () => {
    assert.equal(both(SLIDE, VIRTUAL_BASE, SRAM_BASE, 2049).compiled, 0);
    assert.equal(both(SLIDE, VIRTUAL_BASE + 0x8000, SRAM_BASE, 2049).compiled, 0);
    assert.equal(both(POLL, 0x8000, SRAM_BASE, 64).compiled, 0);
  });

  it('one that stores what is not mapped has the faults that it has without', () => {
    both(SLIDE, 0x8000, VIRTUAL_BASE, 2064);
    both(SLIDE, 0x8000, VIRTUAL_BASE + 0x8000, 100);
  });
});
