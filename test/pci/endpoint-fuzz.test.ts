/**
 * Everything that a host and a device may do to a function, in random order and with resets in between, against a
 * model that states the rules in a few lines.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { msix } from '../../src/pci/interrupts.ts';
import { composeRegion, memoryRegion } from '../../src/pci/register-region.ts';
import { ErrorLog } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';
import { findCapability, HostMemory, peek, poke, testFunction } from './helpers.ts';

const seed = 0x0f2e;
const HOST_SIZE = 4096;
const MSI_VECTORS = 4;
const MSIX_VECTORS = 3;
const TABLE = 0x1000;
const PBA = 0x2000;

/** What the rules say the function is. */
class Rules {
  command = 0;
  bar = 0;
  power = 0;
  msi = { flags: 0, mask: 0, pending: 0 };
  msix = { flags: 0, masked: [true, true, true], pending: [false, false, false] };
  readonly sent: string[] = [];
  readonly resets: string[] = [];
  readonly host = new Uint8Array(HOST_SIZE);
  readonly device = new Uint8Array(0x1000);

  get master(): boolean {
    return this.power === 0 && (this.command & 4) !== 0;
  }

  get address(): number | undefined {
    return this.power === 0 && (this.command & 2) !== 0 && this.bar !== 0 ? this.bar : undefined;
  }

  reset(kind: string): void {
    this.command = 0;
    this.bar = 0;
    this.power = 0;
    this.msi = { flags: 0, mask: 0, pending: 0 };
    this.msix = { flags: 0, masked: [true, true, true], pending: [false, false, false] };
    this.resets.push(kind);
  }

  raise(vector: number): void {
    if (this.msix.flags & 0x8000) {
      this.msix.pending[vector] = true;
    } else if (this.msi.flags & 1) {
      this.msi.pending |= 1 << (vector % this.allocated);
    }
    this.deliver();
  }

  get allocated(): number {
    return Math.min(2 ** ((this.msi.flags >> 4) & 7), MSI_VECTORS);
  }

  /** Sends what is pending and not masked; without bus mastering it is lost. */
  deliver(): void {
    if (this.msi.flags & 1) {
      for (let vector = 0; vector < this.allocated; vector++) {
        if (!(this.msi.pending & ~this.msi.mask & (1 << vector))) continue;
        this.msi.pending &= ~(1 << vector);
        if (this.master) this.sent.push(`msi${vector}`);
      }
    }
    if ((this.msix.flags & 0xc000) === 0x8000) {
      for (let vector = 0; vector < MSIX_VECTORS; vector++) {
        if (!this.msix.pending[vector] || this.msix.masked[vector]) continue;
        this.msix.pending[vector] = false;
        if (this.master) this.sent.push(`msix${vector}`);
      }
    }
  }
}

class Real {
  readonly host = new HostMemory(HOST_SIZE, false);
  readonly memory = new ArrayMemory(0x1000);
  readonly errors = new ErrorLog();
  readonly region;
  readonly fn;
  readonly at;
  /** How often each transfer was told that it is done, and whether it failed. */
  readonly transfers: { calls: number; failed: boolean; expected: boolean }[] = [];

  constructor() {
    const interrupts = msix({
      vectors: MSIX_VECTORS,
      table: { bar: 0, offset: TABLE },
      pba: { bar: 0, offset: PBA },
      errors: this.errors,
    });
    const filler = new ArrayMemory(0x2000);
    const tableEnd = TABLE + interrupts.table.size;
    const pbaEnd = PBA + interrupts.pba.size;
    this.region = composeRegion([
      { offset: 0, region: memoryRegion(this.memory, { mappable: true }) },
      { offset: TABLE, region: interrupts.table },
      { offset: tableEnd, region: memoryRegion(filler, { size: PBA - tableEnd, mappable: false }) },
      { offset: PBA, region: interrupts.pba },
      { offset: pbaEnd, region: memoryRegion(filler, { size: 0x4000 - pbaEnd, mappable: false }) },
    ]);
    this.fn = testFunction(this.host, {
      bars: [{ index: 2, kind: 'memory64', prefetchable: true, region: this.region }],
      msi: { vectors: MSI_VECTORS, maskable: true },
      msix: interrupts,
    });
    const { config } = this.fn.endpoint;
    this.at = {
      pm: findCapability(config, 0x01),
      msi: findCapability(config, 0x05),
      pcie: findCapability(config, 0x10),
      msix: findCapability(config, 0x11),
    };
  }

  poke(offset: number, width: number, value: number): void {
    poke(this.fn.endpoint.config, offset, width, value);
  }

  /** Counts the answers of one transfer. */
  done(expected: boolean): (error?: Error) => void {
    const transfer = { calls: 0, failed: false, expected };
    this.transfers.push(transfer);
    return (error) => {
      transfer.calls++;
      transfer.failed = error !== undefined;
    };
  }

  check(rules: Rules): void {
    const { endpoint, interrupts, resets } = this.fn;
    assert.equal(endpoint.barAddress(2), rules.address);
    assert.equal(endpoint.isMaster(), rules.master);
    assert.deepEqual(
      interrupts.map((i) => `${i.kind}${i.vector}`),
      rules.sent,
    );
    assert.deepEqual(resets, rules.resets);
    assert.equal(peek(endpoint.config, 4, 2), rules.command);
    assert.equal(peek(endpoint.config, this.at.msi + 20, 4), rules.msi.pending);
    assert.equal(
      peek(this.region, PBA, 4),
      rules.msix.pending.reduce((bits, p, i) => bits | (p ? 1 << i : 0), 0),
    );
    assert.deepEqual(this.memory.bytes, rules.device);
  }
}

/** One step: what is done, and what the rules say of it. */
class Step implements fc.Command<Rules, Real> {
  readonly name: string;
  readonly act: (rules: Rules, real: Real) => void;

  constructor(name: string, act: (rules: Rules, real: Real) => void) {
    this.name = name;
    this.act = act;
  }

  check(): boolean {
    return true;
  }

  run(rules: Rules, real: Real): void {
    this.act(rules, real);
    real.check(rules);
  }

  toString(): string {
    return this.name;
  }
}

const bytes = (n: number) => fc.uint8Array({ minLength: 1, maxLength: n });

const resets = [
  fc.constant(
    new Step('function-level reset', (rules, real) => {
      real.poke(real.at.pcie + 8, 2, 0x8000);
      rules.reset('function-level');
    }),
  ),
  fc.constant(
    new Step('conventional reset', (rules, real) => {
      real.fn.endpoint.reset('conventional');
      rules.reset('conventional');
    }),
  ),
];

const steps = [
  fc.constant(
    new Step('command = memory and master', (rules, real) => {
      real.poke(4, 2, 6);
      rules.command = 6;
    }),
  ),
  fc.nat(0xffff).map((value) => {
    return new Step(`command = ${value.toString(16)}`, (rules, real) => {
      real.poke(4, 2, value);
      rules.command = value & 0x546;
    });
  }),
  fc.nat(0xff).map((value) => {
    return new Step(`BAR at ${value} * 16 KiB and 4 GiB`, (rules, real) => {
      real.poke(0x18, 4, value * 0x4000 + 0x3fff);
      real.poke(0x1c, 4, value);
      rules.bar = value * 0x1_0000_0000 + value * 0x4000;
    });
  }),
  fc.nat(3).map((state) => {
    return new Step(`D${state}`, (rules, real) => {
      real.poke(real.at.pm + 4, 2, state);
      if (state === 0 || state === 3) rules.power = state;
    });
  }),
  fc.record({ enable: fc.boolean(), size: fc.nat(7) }).map(({ enable, size }) => {
    return new Step(`MSI ${enable} ${size}`, (rules, real) => {
      const flags = (enable ? 1 : 0) | (size << 4);
      real.poke(real.at.msi + 2, 2, flags);
      rules.msi.flags = flags;
      rules.deliver();
    });
  }),
  fc.nat(15).map((mask) => {
    return new Step(`MSI mask ${mask}`, (rules, real) => {
      real.poke(real.at.msi + 16, 4, mask);
      rules.msi.mask = mask;
      rules.deliver();
    });
  }),
  fc.constantFrom(0, 0x4000, 0x8000, 0xc000).map((flags) => {
    return new Step(`MSI-X ${flags.toString(16)}`, (rules, real) => {
      real.poke(real.at.msix + 2, 2, flags);
      rules.msix.flags = flags;
      rules.deliver();
    });
  }),
  fc.record({ vector: fc.nat(MSIX_VECTORS - 1), masked: fc.boolean() }).map(({ vector, masked }) => {
    return new Step(`MSI-X vector ${vector} ${masked ? 'masked' : 'unmasked'}`, (rules, real) => {
      poke(real.region, TABLE + 16 * vector + 12, 4, masked ? 1 : 0);
      rules.msix.masked[vector] = masked;
      rules.deliver();
    });
  }),
  fc.nat(MSIX_VECTORS - 1).map((vector) => {
    return new Step(`raise ${vector}`, (rules, real) => {
      real.fn.endpoint.raise(vector);
      rules.raise(vector);
    });
  }),
  fc.record({ offset: fc.nat(0xfc0), source: bytes(64) }).map(({ offset, source }) => {
    return new Step(`host writes BAR+${offset}`, (rules, real) => {
      real.region.write(offset, source);
      rules.device.set(source, offset);
    });
  }),
  fc.record({ address: fc.nat(HOST_SIZE + 64), source: bytes(64) }).map(({ address, source }) => {
    return new Step(`DMA writes ${source.length} at ${address}`, (rules, real) => {
      const possible = rules.master && address + source.length <= HOST_SIZE;
      real.fn.dma().write(address, source, real.done(possible));
      if (possible) rules.host.set(source, address);
    });
  }),
  fc.record({ address: fc.nat(HOST_SIZE + 64), length: fc.integer({ min: 1, max: 64 }) }).map(({ address, length }) => {
    return new Step(`DMA reads ${length} at ${address}`, (rules, real) => {
      real.fn.dma().read(address, new Uint8Array(length), real.done(rules.master && address + length <= HOST_SIZE));
    });
  }),
  fc.record({ word: fc.nat(HOST_SIZE / 4 + 4), value: fc.nat(0xffff_ffff) }).map(({ word, value }) => {
    return new Step(`DMA stores word ${word}`, (rules, real) => {
      const possible = rules.master && word * 4 < HOST_SIZE;
      real.fn.dma().store32(word * 4, value, real.done(possible));
      if (possible) new DataView(rules.host.buffer).setUint32(word * 4, value, true);
    });
  }),
  fc.constant(new Step('host answers', (_rules, real) => real.host.settle())),
];

test('a function keeps the rules whatever host and device do, and whenever it is reset', () => {
  fc.assert(
    fc.property(
      fc.commands([...steps, ...steps, ...steps, ...resets], { maxCommands: 120, size: 'max' }),
      (commands) => {
        const rules = new Rules();
        const real = new Real();
        fc.modelRun(() => ({ model: rules, real }), commands);
        real.host.settle();
        assert.deepEqual(real.host.memory.bytes, rules.host);
        for (const t of real.transfers) assert.deepEqual(t, { calls: 1, failed: !t.expected, expected: t.expected });
        assert.deepEqual(real.errors.entries(), []);
      },
    ),
    { seed, numRuns: 400 },
  );
});
