import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { agreement } from '../../src/exercise/agreement/compare.ts';
import { normalised } from '../../src/exercise/agreement/differences.ts';
import { operations } from '../../src/exercise/agreement/operations.ts';
import type { TraceEntry } from '../../src/exercise/agreement/recorder.ts';
import { type Contender, runAgreement } from '../../src/exercise/agreement/run.ts';
import { LENGTH, lineOf, nameOf, parseName, sequence, sequenceSuite } from '../../src/exercise/agreement/sequences.ts';
import type { Result, RunEvent, Step } from '../../src/exercise/events.ts';
import { runTests } from '../../src/exercise/runner.ts';
import { ModelMachine } from '../../src/machine/model.ts';
import { seed } from '../seed.ts';
import { failed, result } from './scripted.ts';

function trace(...calls: readonly [key: string, outcome: string][]): TraceEntry[] {
  return calls.map(([key, outcome], i) => ({ call: i + 1, key, outcome }));
}

function compare(a: Partial<Result>, b: Partial<Result>): Result {
  const of = (more: Partial<Result>) => result('s: t', { trace: [], ...more });
  return agreement({ target: 'model', result: of(a) }, { target: 'vm', result: of(b) });
}

describe('two results', () => {
  test('an errno that differs is named with its call and both outcomes', () => {
    const { status, failure } = compare(
      { trace: trace(['open', 'ok'], ['CS', 'EINVAL']) },
      { trace: trace(['open', 'ok'], ['CS', 'EPERM']) },
    );
    assert.equal(status, 'failed');
    assert.equal(failure?.message, 'model and vm differ:\n  call 2, CS: model EINVAL, vm EPERM');
  });

  test('a call that only one of them makes', () => {
    const { failure } = compare({ trace: trace(['open', 'ok']) }, { trace: trace(['open', 'ok'], ['CS', 'ok']) });
    assert.match(failure?.message ?? '', /call 2, CS: model does not call it, vm ok/);
  });

  test('waiting for what has ended already may be left out, a wait that ends otherwise may not', () => {
    const wait = (outcome: string) => ({ trace: trace(['accel0: WAIT_CS HL_WAIT_CS_FLAGS_NONE seq 2', outcome]) });
    assert.equal(compare({ trace: [] }, wait('ok')).status, 'passed');
    assert.equal(compare(wait('EIO'), wait('ok')).status, 'failed');
  });

  test('events may come with one look or with several, if all have come in the end; refusals are compared each', () => {
    const looks = (...outcomes: string[]) => ({
      trace: trace(...outcomes.map((outcome) => ['accel0: INFO HL_INFO_GET_EVENTS', outcome] as [string, string])),
    });
    assert.equal(compare(looks('ok {value: 128}', 'ok {value: 160}'), looks('ok {value: 160}')).status, 'passed');
    assert.match(
      compare(looks('ok {value: 128}'), looks('ok {value: 128}', 'ok {value: 160}')).failure?.message ?? '',
      /GET_EVENTS: model ok {value: 128}, vm ok {value: 160}/,
    );
    assert.equal(compare(looks('EINVAL', 'ok {value: 0}'), looks('ok {value: 0}')).status, 'failed');
  });

  test('passed here and failed there tells both', () => {
    const { failure } = agreement(
      { target: 'model', result: result('s: t') },
      { target: 'vm', result: failed('s: t', 'why') },
    );
    assert.match(failure?.message ?? '', /model passed\n {2}vm failed: why/);
  });

  test('failed on both is failed', () => {
    const both = failed('s: t', 'why');
    const merged = agreement({ target: 'model', result: both }, { target: 'vm', result: both });
    assert.equal(merged.failure?.message, 'failed on both: why');
  });

  test('a line of the log that one of them lacks; how often it comes, and where the card is, does not matter', () => {
    const line = 'habanalabs 0000:03:00.0: CB size 5 invalid';
    assert.equal(compare({ messages: [line.replace('03:', '01:')] }, { messages: [line, line] }).status, 'passed');
    assert.match(compare({}, { messages: [line] }).failure?.message ?? '', /only vm logged: CARD: CB size 5 invalid/);
    assert.equal(compare({ messages: [line] }, { messages: [line.replace('5', '6')] }).status, 'failed');
  });

  test('skipped on one only is a difference', () => {
    assert.match(
      compare({ status: 'skipped', reason: 'r' }, {}).failure?.message ?? '',
      /model skips it \(r\), vm does/,
    );
    assert.equal(compare({ status: 'skipped' }, { status: 'skipped' }).status, 'skipped');
  });

  test('traces do not go on to the reports', () => {
    assert.equal(compare({ trace: trace(['open', 'ok']) }, { trace: trace(['open', 'ok']) }).trace, undefined);
  });

  test('numbers that are no addresses of processes are left alone', () => {
    for (const text of ['CB address 0x0000000000000000 + 0x40', 'Queue index 200 is invalid', 'size 0x20000000'])
      assert.equal(normalised(text), text);
  });
});

describe('a run on two targets', () => {
  const contender = (target: string, results: readonly Result[], planned: readonly Result[]): Contender => ({
    target,
    async run(emit) {
      emit({ type: 'plan', tests: planned });
      for (const one of results) emit({ type: 'result', result: one });
      return results;
    },
  });
  const merged = async (a: readonly Result[], b: readonly Result[]) => {
    const told: RunEvent[] = [];
    const planned = [...new Set([...a, ...b])];
    const results = await runAgreement(
      contender('model', a, planned),
      contender('vm', b, planned),
      (e) => void (e.type === 'result' && told.push(e)),
      () => {},
    );
    assert.equal(told.length, results.length, 'every result is told once');
    return Object.fromEntries(results.map(({ id, status, failure }) => [id, failure?.message ?? status]));
  };

  test('a test that only one of them has run has failed', async () => {
    const [a, b] = [result('s: a'), result('s: b')];
    assert.deepEqual(await merged([a], [a, b]), { 's: a': 'passed', 's: b': 'model did not run it' });
    assert.deepEqual(await merged([a, b], [a]), { 's: a': 'passed', 's: b': 'vm did not run it' });
  });

  test('the first runs what the second has planned, however late it is', async () => {
    const [a, b] = [result('s: a'), result('s: b')];
    let asked: readonly string[] | undefined;
    const late: Contender = {
      target: 'model',
      async run(emit, only) {
        asked = only;
        await setImmediate();
        emit({ type: 'result', result: { ...b, status: 'failed' } });
        return [];
      },
    };
    const told: string[] = [];
    await runAgreement(
      late,
      contender('vm', [b], [b]),
      (e) => void told.push(e.type),
      () => {},
    );
    assert.deepEqual(asked, [b.id], `not ${a.id}, which the second leaves out`);
    assert.deepEqual(told, ['plan', 'result']);
  });

  test('what the first cannot run, for want of what it needs, counts as the second tells', async () => {
    const [a, b] = [result('s: a'), failed('s: b', 'why')];
    const lacking: Contender = {
      target: 'model',
      async run(emit) {
        emit({ type: 'plan', tests: [], leftOut: [{ reason: 'it reaches its peer', tests: [a.id, b.id] }] });
        return [];
      },
    };
    const results = await runAgreement(
      lacking,
      contender('vm', [a, b], [a, b]),
      () => {},
      () => {},
    );
    assert.deepEqual(
      results.map(({ status, failure }) => failure?.message ?? status),
      ['passed', 'why'],
    );
  });

  test('what one of them throws ends the run', async () => {
    const broken: Contender = { target: 'x', run: () => Promise.reject(new Error('why')) };
    const sound = contender('y', [result('s: a')], [result('s: a')]);
    for (const [first, second] of [
      [broken, sound],
      [sound, broken],
    ] as const)
      await assert.rejects(
        runAgreement(
          first,
          second,
          () => {},
          () => {},
        ),
        { message: 'why' },
      );
  });
});

describe('sequences', () => {
  test('a name and what it means', () => {
    for (const [number, without] of [
      [1, []],
      [7, [0]],
      [12, [3, 4, 39]],
    ] as const)
      assert.deepEqual(parseName(nameOf(number, without)), { number, without });
    for (const name of ['', 'x', '1 without', '1 without x', '-1', '1,2']) assert.equal(parseName(name), undefined);
  });

  test('what is taken was made before, by an operation that makes it', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(10_000), (of, number) => {
        const steps = sequence(of, number);
        assert.equal(steps.length, LENGTH);
        for (const [index, { operation, takes }] of steps.entries())
          takes.forEach((step, i) => {
            if (step === undefined) return;
            assert.ok(step < index);
            assert.equal(operations[steps[step]?.operation ?? '']?.makes, operations[operation]?.takes[i]);
          });
        assert.deepEqual(sequence(of, number), steps, 'it is the same again');
      }),
      { seed: seed(), numRuns: 50 },
    );
  });

  test('every operation comes up', () => {
    const drawn = new Set(Array.from({ length: 40 }, (_, i) => sequence(1, i).map((step) => step.operation)).flat());
    const all = Object.entries(operations).filter(([, { needs }]) => needs === undefined);
    assert.deepEqual([...drawn].sort(), all.map(([name]) => name).sort());
  });

  test('a step is a line', () => {
    const step = { operation: 'cb_info', takes: [0, undefined], numbers: { flags: 65536 } };
    assert.equal(lineOf(step, 3), 'cb_info(r0, no cb) {flags: 0x10000}');
  });

  /** Steps of a sequence on a fresh model. */
  async function steps(name: string): Promise<readonly Step[]> {
    using machine = new ModelMachine({ machine: 'gaudi-x2' });
    const [chosen] = sequenceSuite(1, 0, [name]).tests;
    let found: readonly Step[] = [];
    const { driver } = machine;
    const target = { driver, devices: 2, messages: () => driver.messages(), features: new Set<never>() };
    await runTests(chosen ? [chosen] : [], target, { seed: 1, timeout: 60, trace: true }, (event) => {
      if (event.type !== 'result') return;
      assert.equal(event.result.status, 'passed', event.result.failure?.message ?? '');
      found = event.result.steps ?? [];
    });
    return found;
  }

  test('the model answers twice the same, and left out steps are left out', async () => {
    const all = await steps('2');
    assert.equal(all.length, LENGTH);
    assert.deepEqual(await steps('2'), all);
    const fewer = await steps('2 without 5 6');
    assert.deepEqual(
      fewer.map(({ text }) => text),
      all.map(({ text }) => text).filter((_, i) => i !== 5 && i !== 6),
    );
  });
});

describe('shrinking', () => {
  /** A sequence with a signal after a command buffer. */
  const number = [...Array(100).keys()].find((i) => {
    const names = sequence(1, i).map(({ operation }) => operation);
    const created = names.indexOf('cb_create');
    return created >= 0 && names.lastIndexOf('signal') > created;
  });
  const id = `sequences: ${number}`;

  /** A target of which one answers otherwise once a signal has been made after a command buffer. */
  const target = (name: string, wrong: boolean): Contender => ({
    target: name,
    async run(emit, only = [id]) {
      emit({ type: 'plan', tests: only.map((each) => result(each)) });
      const results = only.map((asked) => {
        const parsed = parseName(asked.slice('sequences: '.length));
        const left = sequence(1, parsed?.number ?? 0)
          .entries()
          .filter(([i]) => !parsed?.without.includes(i));
        let created = false;
        const told = [...left].map(([i, step]): Step => {
          created ||= step.operation === 'cb_create';
          const differs = wrong && created && step.operation === 'signal';
          return { text: lineOf(step, i), outcome: differs ? 'EIO' : 'ok' };
        });
        return result(asked, { steps: told });
      });
      for (const one of results) emit({ type: 'result', result: one });
      return results;
    },
  });

  test('the shortest sequence that differs is told, with both outcomes', async () => {
    const [one] = await runAgreement(
      target('model', false),
      target('vm', true),
      () => {},
      () => {},
    );
    const lines = (one?.failure?.message ?? '').split('\n').slice(2);
    assert.equal(one?.id, id);
    assert.equal(lines.length, 2, one?.failure?.message ?? '');
    assert.match(lines[0] ?? '', /cb_create\(.*: ok$/);
    assert.match(lines[1] ?? '', /> .* = signal\(.*: model ok, vm EIO$/);
  });
});
