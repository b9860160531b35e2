import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Result, RunEvent } from '../../src/exercise/events.ts';
import { type RunOptions, runTests, select } from '../../src/exercise/runner.ts';
import { type Suite, suite, type Test } from '../../src/exercise/suite.ts';
import { suites } from '../../src/exercise/suites/index.ts';
import { ScriptedTarget } from './scripted.ts';

const options: RunOptions = { seed: 1, timeout: 60 };

/** A suite `s` with one test `t`. */
function one(run: Test['run'], settings: Test['options'] = {}): Suite {
  return suite('s', '', (declare) => declare('t', run, settings));
}

async function results(of: Suite, target = new ScriptedTarget(), how: Partial<RunOptions> = {}): Promise<Result[]> {
  const list: Result[] = [];
  await runTests(of.tests, target, { ...options, ...how }, (event) => {
    if (event.type === 'result') list.push(event.result);
  });
  return list;
}

async function only(run: Test['run'], target?: ScriptedTarget, settings?: Test['options']): Promise<Result> {
  const [result] = await results(one(run, settings), target);
  assert.ok(result);
  return result;
}

test('two tests of one name are a mistake', () => {
  assert.throws(
    () => suite('s', '', (declare) => [declare('a', () => {}), declare('a', () => {})]),
    /two tests named "s: a"/,
  );
});

test('what a test throws fails it', async () => {
  for (const thrown of [new Error('why'), 'why', { toString: () => 'why' }]) {
    const result = await only(() => {
      throw thrown;
    });
    assert.equal(result.status, 'failed');
    assert.equal(result.failure?.message, 'why');
  }
});

test('a test that throws nothing has failed too', async () => {
  for (const nothing of [undefined, null]) {
    const { status } = await only(() => {
      throw nothing;
    });
    assert.equal(status, 'failed');
  }
});

test('a rejection fails the test, and the next one runs', async () => {
  const of = suite('s', '', (declare) => {
    declare('bad', () => Promise.reject(new Error('late')));
    declare('good', () => {});
  });
  assert.deepEqual(
    (await results(of)).map(({ status }) => status),
    ['failed', 'passed'],
  );
});

test('a test that takes too long has failed, and is told so', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let reason: unknown;
  const running = only((context) => {
    context.signal.addEventListener('abort', () => {
      reason = context.signal.reason;
    });
    return new Promise(() => {});
  });
  await Promise.resolve();
  t.mock.timers.tick(60_000);
  const { status, failure } = await running;
  assert.equal(status, 'failed');
  assert.equal(failure?.message, 'not done after 60 s');
  assert.equal((reason as Error).message, 'not done after 60 s');
});

test('a test may ask for more time than others', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let finish = () => {};
  const running = only(() => new Promise<void>((resolve) => (finish = resolve)), undefined, { timeout: 100 });
  await Promise.resolve();
  t.mock.timers.tick(99_000);
  finish();
  assert.equal((await running).status, 'passed');
});

test('a warning that was not expected fails the test', async () => {
  const target = new ScriptedTarget();
  const result = await only(() => {
    target.log.push({ level: 6, text: 'information' }, { level: 4, text: 'warning' }, { level: 3, text: 'error' });
  }, target);
  assert.equal(result.status, 'failed');
  assert.match(result.failure?.message ?? '', /does not expect:\n {2}warning\n {2}error$/);
  assert.deepEqual(result.messages, ['warning', 'error']);
});

test('a warning that was expected does not', async () => {
  const target = new ScriptedTarget();
  const result = await only((context) => {
    context.expectMessages(/first/, /second/);
    target.log.push({ level: 3, text: 'the first' }, { level: 3, text: 'the second' });
  }, target);
  assert.equal(result.status, 'passed');
  assert.deepEqual(result.messages, ['the first', 'the second']);
  assert.deepEqual(result.expects, ['first', 'second']);
});

test('one line that was not expected among those that were fails the test', async () => {
  const target = new ScriptedTarget();
  const { failure } = await only((context) => {
    context.expectMessages(/expected/);
    target.log.push({ level: 3, text: 'expected' }, { level: 2, text: 'surprise' });
  }, target);
  assert.match(failure?.message ?? '', /:\n {2}surprise$/);
});

test('how many lines the kernel held back is no complaint', async () => {
  const target = new ScriptedTarget();
  const { status } = await only(() => {
    target.log.push({ level: 4, text: 'hl_cs_rollback_all: 6 callbacks suppressed' });
  }, target);
  assert.equal(status, 'passed');
});

test('what was logged before the run is nobody’s', async () => {
  const target = new ScriptedTarget();
  target.log.push({ level: 3, text: 'old' });
  assert.equal((await only(() => {}, target)).status, 'passed');
});

test('what the test threw matters more than what was logged', async () => {
  const target = new ScriptedTarget();
  const { failure } = await only(() => {
    target.log.push({ level: 3, text: 'noise' });
    throw new Error('the reason');
  }, target);
  assert.equal(failure?.message, 'the reason');
});

test('a test that needs more cards than there are is skipped, and not begun', async () => {
  const target = new ScriptedTarget();
  const result = await only(() => assert.fail('it was begun'), target, { devices: 2 });
  assert.equal(result.status, 'skipped');
  assert.equal(result.reason, 'needs 2 cards, this machine has 1');
});

test('resources go in the reverse order, also when the test fails', async () => {
  for (const fails of [false, true]) {
    const gone: number[] = [];
    const { status } = await only((context) => {
      for (const i of [1, 2, 3]) context.use({ [Symbol.dispose]: () => void gone.push(i) });
      if (fails) throw new Error('why');
    });
    assert.equal(status, fails ? 'failed' : 'passed');
    assert.deepEqual(gone, [3, 2, 1]);
  }
});

test('a resource that cannot be disposed of fails the test; the others still go', async () => {
  const gone: number[] = [];
  const { status, failure } = await only((context) => {
    context.use({ [Symbol.dispose]: () => void gone.push(1) });
    context.use({
      [Symbol.dispose]: () => {
        throw new Error('stuck');
      },
    });
  });
  assert.equal(status, 'failed');
  assert.equal(failure?.message, 'stuck');
  assert.deepEqual(gone, [1]);
});

test('a card that a test did not close is closed', async () => {
  const target = new ScriptedTarget();
  const { status } = await only((context) => {
    context.open(0);
    assert.equal(target.driver.open_.size, 1);
  }, target);
  assert.equal(status, 'passed');
  assert.equal(target.driver.open_.size, 0);
});

test('the card is opened once, when it is first used', async () => {
  const target = new ScriptedTarget();
  await only((context) => {
    assert.equal(target.driver.open_.size, 0);
    assert.equal(context.device, context.device);
    assert.equal(target.driver.open_.size, 1);
  }, target);
});

test('random numbers follow from seed and name, not from what else is run', async () => {
  const drawn = async (names: readonly string[], seed: number) => {
    const numbers = new Map<string, number>();
    const of = suite('s', '', (declare) => {
      for (const name of names) declare(name, ({ random }) => void numbers.set(name, random.next()));
    });
    await results(of, new ScriptedTarget(), { seed });
    return numbers;
  };
  const all = await drawn(['a', 'b', 'c'], 1);
  assert.equal((await drawn(['b'], 1)).get('b'), all.get('b'));
  assert.notEqual((await drawn(['b'], 2)).get('b'), all.get('b'));
  assert.equal(new Set(all.values()).size, 3);
});

test('events come in their order, and the next test waits for the gate', async () => {
  const seen: string[] = [];
  const of = suite('s', '', (declare) => {
    declare('a', () => void seen.push('a runs'));
    declare('b', () => void seen.push('b runs'), { timeout: 5 });
  });
  const note = (event: RunEvent) => {
    if (event.type === 'start') seen.push(`start ${event.id} ${event.timeout}`);
    else if (event.type === 'result') seen.push(`result ${event.result.id}`);
    else seen.push(event.type);
  };
  await runTests(of.tests, new ScriptedTarget(), options, note, async () => {
    await Promise.resolve();
    seen.push('gate');
  });
  assert.deepEqual(seen, [
    'plan',
    'start s: a 60',
    'a runs',
    'result s: a',
    'gate',
    'start s: b 5',
    'b runs',
    'result s: b',
    'gate',
    'end',
  ]);
});

test('tests are selected by suite, by pattern, by name', () => {
  const [a, b] = ['a', 'b'].map((name) =>
    suite(name, '', (declare) => {
      for (const n of ['one', 'two']) declare(n, () => {});
    }),
  ) as [Suite, Suite];
  const ids = (selection: Parameters<typeof select>[1]) => select([a, b], selection).map(({ id }) => id);
  assert.deepEqual(ids({ suites: [] }), ['a: one', 'a: two', 'b: one', 'b: two']);
  assert.deepEqual(ids({ suites: ['b'] }), ['b: one', 'b: two']);
  assert.deepEqual(ids({ suites: [], grep: /^b.*two/ }), ['b: two']);
  assert.deepEqual(ids({ suites: [], only: ['b: one', 'a: two', 'gone: away'] }), ['a: two', 'b: one']);
  assert.deepEqual(ids({ suites: ['a'], grep: /two/, only: ['b: two'] }), []);
});

test('no two tests of the exerciser have one name, and each is a line', () => {
  const ids = suites.flatMap((s) => s.tests).map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[a-z0-9]+: [^\n#]+$/);
});
