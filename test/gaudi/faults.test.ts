import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type FaultRow, faults } from '../../specs/gaudi/faults.ts';
import { Faults } from '../../src/gaudi/faults/injector.ts';
import { parseFault } from '../../src/gaudi/faults/parse.ts';
import { VirtualClock } from '../../src/sim/clock.ts';
import { UserError } from '../../src/sim/errors.ts';

const rows = Object.entries(faults) as [string, FaultRow][];

describe('faults as they are written', () => {
  const wrong: readonly [text: string, says: RegExp][] = [
    ['', /no fault ""/],
    ['mis-lost', /no fault "mis-lost".*msi-lost.*sagrada faults/],
    ['constructor', /no fault "constructor"/],
    ['MSI-LOST:1', /no fault "MSI-LOST"/],
    ['msi-lost:0', /times is a number of at least 1, or all, not "0"/],
    ['msi-lost:1.2', /has times, not "1\.2"/],
    ['reset-request:now', /has no parameter, not "now"/],
    ['ecc-double:SRAN3', /memory is one of \d+.*SRAM3/],
    ['hbm-error:triple', /kind is one of single, double/],
    ['msi-late:20', /by is a time such as 20ms, not "20"/],
    ['msi-late:1.5ms', /by is a time such as 20ms, not "1"/],
    ['msi-lost@', /after @ comes boot, reset, a time such as 20ms, or a number, not ""/],
    ['msi-lost@0', /after @ comes/],
    ['msi-lost@-1s', /after @ comes/],
    ['msi-lost@2s@3', /after @ comes/],
    ['ecc-double@3', /waits for nothing that could be counted/],
  ];
  for (const [text, says] of wrong)
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(
        () => parseFault(text),
        (error) => error instanceof UserError && says.test(error.message),
      );
    });

  it('refuses anything else in one line, and never breaks', () => {
    const parts = fc.array(
      fc.constantFrom('msi-lost', 'ecc-double', ':', '.', '@', 'all', '3', '20ms', 'boot', 'é', ' '),
    );
    const text = fc.oneof(
      fc.string(),
      parts.map((list) => list.join('')),
    );
    fc.assert(
      fc.property(text, (written) => {
        try {
          assert.equal(parseFault(written).text, written);
        } catch (error) {
          assert.ok(
            error instanceof UserError && !error.message.includes('\n') === !written.includes('\n'),
            String(error),
          );
        }
      }),
      { seed: 6, numRuns: 2000 },
    );
  });

  it('takes every row by its name alone, and with every word that it has', () => {
    for (const [name, row] of rows) {
      assert.equal(parseFault(name).name, name);
      const all = Object.values(row.words).map(({ initial }) => initial);
      if (all.length > 0) assert.deepEqual(parseFault(`${name}:${all.join('.')}`).words, parseFault(name).words);
      for (const [i, { values }] of Object.values(row.words).entries()) {
        if (typeof values === 'string') continue;
        for (const value of values) {
          const text = `${name}:${all.with(i, value).join('.')}`;
          assert.equal(parseFault(text).words[Object.keys(row.words)[i] as string], value, text);
        }
      }
    }
  });

  it('leaves out words, and takes them in any case', () => {
    assert.deepEqual(parseFault('hbm-error:.2').words, { kind: 'single', stack: '2', channel: 5 });
    assert.deepEqual(parseFault('ecc-single:sram3').words, { memory: 'SRAM3', number: '7' });
    assert.deepEqual(parseFault('msi-late:5us.all').words, { by: 5000, times: Number.POSITIVE_INFINITY });
    assert.deepEqual(parseFault('msi-lost@20ms').when, { kind: 'after', ns: 20e6 });
    assert.deepEqual(parseFault('msi-lost@20').when, { kind: 'occasion', n: 20 });
  });
});

describe('when faults happen', () => {
  function injector() {
    const clock = new VirtualClock();
    const raised: string[] = [];
    const refuse = () => assert.fail('not asked for');
    const made = new Faults(clock, {
      clock,
      raiseEvent: (name) => void raised.push(name),
      eccError: () => false,
      queueError: refuse,
      arbiterError: refuse,
      kernelError: refuse,
      powerCycle: () => void raised.push('power'),
      boot: () => void raised.push('boot'),
      setLink: (up) => void raised.push(up ? 'up' : 'down'),
    });
    const interrupts = (count: number) =>
      Array.from({ length: count }, () => made.points.interrupt.ask({ vector: 0 }) ?? 'sent').join(' ');
    return { clock, made, raised, interrupts };
  }

  it('at the next occasion, once', () => {
    const { made, interrupts } = injector();
    made.inject('msi-lost');
    assert.equal(interrupts(3), 'lost sent sent');
    assert.deepEqual(made.takeHappened(), ['msi-lost']);
    assert.deepEqual(made.takeHappened(), []);
  });

  it('at the n-th, and as often as it says', () => {
    const { made, interrupts } = injector();
    made.inject('msi-lost:2@3');
    assert.equal(interrupts(6), 'sent sent lost lost sent sent');
  });

  it('on and on, until all are ended', () => {
    const { made, interrupts } = injector();
    made.inject('msi-lost:all');
    assert.equal(interrupts(3), 'lost lost lost');
    made.clear();
    assert.equal(interrupts(2), 'sent sent');
  });

  it('of two the first that is left', () => {
    const { made, interrupts } = injector();
    made.inject('msi-late:7us');
    made.inject('msi-lost');
    assert.equal(interrupts(3), '7000 lost sent');
  });

  it('only at occasions that concern it', () => {
    const { made } = injector();
    made.inject('firmware-refuses:TEST@2');
    const ask = (packet: string) => made.points.request.ask({ packet });
    assert.deepEqual([ask('TEST'), ask('INFO_GET'), ask('INFO_GET')], [undefined, undefined, undefined]);
    assert.notEqual(ask('TEST'), undefined);
    assert.equal(ask('TEST'), undefined);
  });

  it('after a time, unless it was ended before', () => {
    const { clock, made, raised } = injector();
    made.inject('pll-unlocked:3@20ms');
    clock.runUntil(19e6);
    assert.deepEqual(raised, []);
    clock.runUntil(20e6);
    assert.deepEqual(raised, ['PLL3']);
    made.inject('pll-unlocked:4@20ms');
    made.clear();
    clock.runUntil(60e6);
    assert.deepEqual(raised, ['PLL3']);
  });

  it('of a card that is not up, once its driver takes events', () => {
    const { made, raised } = injector();
    made.inject('pll-unlocked', true);
    made.signal('boot');
    assert.deepEqual(raised, []);
    made.signal('ready');
    made.signal('ready');
    assert.deepEqual(raised, ['PLL0']);
  });

  it('of a boot at the first, before the driver can be ready', () => {
    const { made } = injector();
    made.inject('boot-stuck:linux', true);
    assert.equal(made.points.boot.ask({ stage: 'rom' }), undefined);
    assert.equal(made.points.boot.ask({ stage: 'linux' }), 'stuck');
    assert.equal(made.points.boot.ask({ stage: 'linux' }), undefined);
  });

  it('from a reset on; what a reset ends does not outlive it', () => {
    const { made } = injector();
    const silent = () => made.points.request.ask({ packet: 'TEST' });
    made.inject('firmware-silent@reset');
    assert.equal(silent(), undefined);
    made.signal('reset');
    assert.equal(silent(), 'silent');
    made.signal('reset');
    assert.equal(silent(), undefined);
  });

  it('what stands still boots when that is ended, unless it has been reset meanwhile', () => {
    for (const reset of ['reset', 'boot', undefined] as const) {
      const { made, raised } = injector();
      made.inject('boot-stuck:rom');
      made.clear();
      assert.deepEqual(raised, [], 'it has not happened');
      made.inject('boot-stuck:rom');
      assert.equal(made.points.boot.ask({ stage: 'rom' }), 'stuck');
      if (reset) made.signal(reset);
      made.clear();
      made.clear();
      assert.deepEqual(raised, reset ? [] : ['boot'], reset ?? 'ended');
    }
  });

  it('a card that is put back has lost its power', () => {
    const { clock, made, raised } = injector();
    made.inject('surprise-removal:1ms');
    clock.runUntil(2e6);
    made.clear();
    assert.deepEqual(raised, ['down', 'power', 'up']);
  });

  it('a lost link comes back after its time, or when all are ended', () => {
    const { clock, made, raised } = injector();
    made.inject('link-down:1ms');
    clock.runUntil(2e6);
    made.inject('link-down');
    made.clear();
    clock.runUntil(8000e9);
    assert.deepEqual(raised, ['down', 'up', 'down', 'up']);
  });
});
