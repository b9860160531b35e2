/** The fuzzer with targets that follow a script, and with the model of the driver. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Course, Request } from '../../../src/exercise/fuzz/course.ts';
import { type Found, Fuzzer, type FuzzOptions } from '../../../src/exercise/fuzz/fuzzer.ts';
import { parseSequence } from '../../../src/exercise/fuzz/program.ts';
import { ModelStation } from '../../../src/exercise/fuzz/stations.ts';
import { Store } from '../../../src/exercise/fuzz/store.ts';
import { type Station, Target } from '../../../src/exercise/fuzz/target.ts';

/** What a scripted target makes of a sequence: a course, or how it comes to no end. */
type Script = (lines: readonly string[], request: Request) => Partial<Course> | Stuck;

/** In a step. */
interface Stuck {
  readonly stuck: 'hang' | 'death';
  readonly at: number;
}

const ok = (lines: readonly string[]) => lines.map((text) => ({ text, outcome: 'ok' }));

class Scripted implements Station {
  readonly name: string;
  readonly #script: Script;
  #onLine: (line: string) => void = () => {};
  #die: (reason: string) => void = () => {};
  starts = 0;
  requests = 0;

  constructor(name: string, script: Script) {
    this.name = name;
    this.#script = script;
  }

  get system(): string {
    return `${this.name} of a test, with more`;
  }

  async start(onLine: (line: string) => void): Promise<{ ended: Promise<string> }> {
    this.starts++;
    this.#onLine = onLine;
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    this.#die = resolve;
    setImmediate(() => onLine('{"type":"ready","coverage":"a script"}'));
    return { ended };
  }

  send(line: string): void {
    this.requests++;
    const request = JSON.parse(line) as Request;
    const lines = request.text.split('\n');
    const answer = this.#script(lines, request);
    if ('stuck' in answer) {
      this.#onLine(`{"type":"step","index":${answer.at}}`);
      if (answer.stuck === 'death') this.#die('killed');
      return;
    }
    const none = { steps: ok(lines), messages: [], alarms: [], refusals: [], features: [], ms: 1 };
    setImmediate(() => this.#onLine(JSON.stringify({ type: 'course', course: { ...none, ...answer } })));
  }

  async examine() {
    return { refusals: [], alarms: [] };
  }

  async stop(): Promise<void> {}
}

const description = { seed: 1, target: 'model,vm', system: 'a test', machine: 'gaudi', version: '0' };

async function fuzz(
  stations: readonly Station[],
  options: Partial<FuzzOptions> & { readonly store?: Store; readonly earlier?: boolean } = {},
) {
  const store = options.store ?? new Store(':memory:', true);
  store.begin(description);
  const found: Found[] = [];
  const told = { sequences: 0, restarts: 0 };
  const { signal } = new AbortController();
  const fuzzer = new Fuzzer(
    store,
    { seed: 1, only: [], sequences: 40, signal, ...options },
    {
      found: (one) => void found.push(one),
      progress: (sequences) => {
        told.sequences = sequences;
      },
      restarting: () => void told.restarts++,
    },
    options.earlier,
  );
  const lane = stations.map((station) => new Target(station, 0.3));
  await Promise.all(lane.map((target) => target.start()));
  await fuzzer.run([lane]);
  return { store, found, ...told };
}

const agree: Script = () => ({});
const stuck =
  (how: Stuck['stuck'], what: string): Script =>
  (lines) => {
    const at = lines.findIndex((line) => line.includes(what));
    return at < 0 ? agree(lines, { text: '' }) : { stuck: how, at };
  };
/** Answers EINVAL where a line matches, if one before it does too. */
const refuses =
  (before: RegExp, pattern: RegExp): Script =>
  (lines) => ({
    steps: lines.map((text, i) => {
      const is = pattern.test(text) && lines.slice(0, i).some((line) => before.test(line));
      return { text, outcome: is ? 'EINVAL' : 'ok' };
    }),
  });

describe('a difference', () => {
  test('that needs two calls is found, once, and told with these two', async () => {
    const { found, store } = await fuzz([
      new Scripted('model', agree),
      new Scripted('vm', refuses(/make_eventfd/, /^r\d+ = allocate\(\)/)),
    ]);
    const fresh = found.filter(({ isNew }) => isNew);
    assert.equal(fresh.length, 1);
    assert.equal(found.length > 1, true, 'it comes again in other sequences');
    const [one] = store.findings();
    assert.equal(one?.kind, 'difference');
    assert.equal(one.title, 'allocate: model ok, vm EINVAL');
    assert.equal(one.count, found.length);
    assert.deepEqual(
      parseSequence(one.steps).map(({ operation }) => operation),
      ['make_eventfd', 'allocate'],
    );
    assert.match(one.detail, /model and vm differ:\n {2}step by step\n.*make_eventfd\(\): ok\n.*> r1 = allocate\(\)/);
  });

  test('is told with the first of what a call may take, if that does as well', async () => {
    const [model, vm] = [new Scripted('model', agree), new Scripted('vm', refuses(/open_control/, /^r\d+ = dup\(/))];
    const { store } = await fuzz([model, vm], { only: ['open_control', 'dup'] });
    assert.deepEqual(
      store.findings().map(({ steps }) => parseSequence(steps).map(({ operation }) => operation)),
      [['open_control', 'dup']],
    );
  });

  test('in the log is tried again with the log at rest, for the kernel limits its rate', async () => {
    const rests: (number | undefined)[] = [];
    const held: Script = (lines, { rest }) => {
      rests.push(rest);
      return lines.some((line) => line.includes('dup(')) && rest === undefined ? {} : { messages: ['habanalabs x: 5'] };
    };
    const { found } = await fuzz([
      new Scripted('model', () => ({ messages: ['habanalabs x: 5'] })),
      new Scripted('vm', held),
    ]);
    assert.ok(rests.some((rest) => rest !== undefined && rest > 5000));
    assert.deepEqual([...new Set(found.map(({ finding }) => finding.steady))], [false]);
  });

  test('that does not come again is said not to be steady, and does not hide one that is', async () => {
    let times = 0;
    const once: Script = (lines) => {
      const at = lines.findIndex((line) => line.includes('allocate'));
      if (at < 0 || times++ > 0) return {};
      return { steps: ok(lines).with(at, { text: lines[at] as string, outcome: 'ENOMEM' }) };
    };
    const { store } = await fuzz([new Scripted('model', agree), new Scripted('vm', once)]);
    assert.deepEqual(
      store.findings().map(({ steady, about }) => [steady, about]),
      [[false, 'allocate: model ok, vm ENOMEM (not steady)']],
    );
    assert.equal(store.again('difference', 'allocate: model ok, vm ENOMEM'), undefined);
  });

  test('is none where numbers are not, and none between what did not come to its end', async () => {
    const { found } = await fuzz([new Scripted('model', agree), new Scripted('vm', agree)]);
    assert.deepEqual(found, []);
  });
});

describe('what is found on one target', () => {
  test('a hang: all targets are started anew, and the step is named', async () => {
    const hangs = stuck('hang', 'cb_create(');
    const [model, vm] = [new Scripted('model', agree), new Scripted('vm', hangs)];
    const { store, restarts } = await fuzz([model, vm], { sequences: 24, seed: 3 });
    const [one] = store.findings();
    assert.equal(one?.kind, 'hang');
    assert.match(one.title, /^vm: no sign of life for 0\.3 s in step \d+, r\d+ = cb_create\(r\d+\)/);
    assert.equal(parseSequence(one.steps).length, 2, 'what the call takes, and no more');
    assert.ok(restarts > 0);
    assert.deepEqual([model.starts, vm.starts], [1 + restarts, 1 + restarts]);
  });

  test('a death is a crash, after which the next sequences are performed', async () => {
    const { store, sequences, restarts } = await fuzz([new Scripted('vm', stuck('death', 'dup('))]);
    const crashes = store.findings().filter(({ kind }) => kind === 'crash');
    assert.ok(crashes.length > 0 && crashes[0]?.title.startsWith('vm: killed in step '));
    assert.ok(restarts > 0 && sequences > 1);
  });

  test('lines of the kernel that tell of a defect, and what a device model does not do', async () => {
    const complains: Script = (lines) => ({
      alarms: lines.some((line) => line.includes('signal(')) ? ['WARNING: at mm/slub.c:123', 'more'] : [],
      refusals: lines.some((line) => line.includes('reserve(')) ? ['card: unimplemented: SM.7: no such thing'] : [],
    });
    const { store } = await fuzz([new Scripted('model', agree), new Scripted('vm', complains)]);
    const told = store.findings().map(({ kind, title, steps }) => ({ kind, title, length: steps.split('\n').length }));
    assert.deepEqual(
      told.sort((a, b) => (a.kind < b.kind ? -1 : 1)),
      [
        { kind: 'alarm', title: 'vm: WARNING: at mm/slub.c:123', length: 1 },
        { kind: 'refusal', title: 'vm: card: unimplemented: SM.7: no such thing', length: 1 },
      ],
    );
  });
});

describe('the corpus', () => {
  /** Reaches something new with every operation that no sequence had. */
  const reaches: Script = (lines) => ({ features: lines.map((line) => /(\w+)\(/.exec(line)?.[1] ?? '') });

  test('grows by what reaches something new, and by nothing else', async () => {
    const { store } = await fuzz([new Scripted('vm', reaches)]);
    const reached = store.reached('vm of a test');
    assert.ok(store.corpus.length > 1 && store.corpus.length <= reached.size);
    const all = new Set(store.corpus.flat().map(({ operation }) => operation));
    assert.deepEqual([...reached].sort(), [...all].sort());
    const { store: none } = await fuzz([new Scripted('vm', agree)]);
    assert.equal(none.corpus.length, 0);
  });

  test('of earlier runs is performed first where a kernel has not seen it', async () => {
    const { store } = await fuzz([new Scripted('vm', reaches)]);
    const kept = store.corpus.length;
    const seen: string[] = [];
    const other: Script = (lines) => {
      seen.push(lines.join('\n'));
      return {};
    };
    await fuzz([new Scripted('other', other)], { store, earlier: true, sequences: kept });
    assert.equal(new Set(seen).size, kept);
  });

  test('the same seed makes the same sequences', async () => {
    const performed = async () => {
      const seen: string[] = [];
      const notes: Script = (lines, request) => {
        seen.push(request.text);
        return reaches(lines, request);
      };
      await fuzz([new Scripted('vm', notes)], { only: ['allocate', 'mem_map'], seed: 9 });
      return seen;
    };
    const [first, second] = [await performed(), await performed()];
    assert.equal(first.length, 40);
    assert.deepEqual(second, first);
    assert.doesNotMatch(first.join('\n'), /cb_create/);
  });
});

test('an abort ends it, whatever the targets are at', async () => {
  const { signal, abort } = (() => {
    const controller = new AbortController();
    return { signal: controller.signal, abort: () => controller.abort(new Error('enough')) };
  })();
  const hangs: Script = () => {
    setImmediate(abort);
    return { stuck: 'hang', at: 0 };
  };
  await assert.rejects(fuzz([new Scripted('vm', hangs)], { signal }), /enough/);
});

test('the model of the driver: no exception, nothing that it does not do (seed 1)', async () => {
  const station = new ModelStation({ machine: 'gaudi-x2' });
  try {
    const store = new Store(':memory:', true);
    store.begin(description);
    const found: Found[] = [];
    const listener = { found: (one: Found) => void found.push(one), progress: () => {}, restarting: () => {} };
    const target = new Target(station);
    await target.start();
    const options = { seed: 1, only: [], sequences: 40, signal: new AbortController().signal };
    await new Fuzzer(store, options, listener).run([[target]]);
    assert.deepEqual(found, []);
    const reached = [...store.reached(target.place)];
    assert.ok(reached.includes('point CS SIGNAL success'));
    assert.ok(reached.some((name) => name.startsWith('block driver/model/')));
    assert.ok(store.corpus.length > 5 && store.corpus.length < 40);
  } finally {
    await station.stop();
  }
});
