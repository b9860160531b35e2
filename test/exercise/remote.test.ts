import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AgentConfig } from '../../src/exercise/agent.ts';
import type { Result, RunEvent } from '../../src/exercise/events.ts';
import { ASK_TRAFFIC, EXPLAIN, runRemotely, type Station } from '../../src/exercise/remote.ts';
import type { Moved } from '../../src/exercise/suite.ts';
import { result } from './scripted.ts';

const config: AgentConfig = { suites: [], seed: 1, timeout: 60 };
const ids = ['s: a', 's: b', 's: c', 's: d'];

/** What an agent does in one life: it is given the lines it may print, and its standard input. */
type Life = (agent: Agent) => Promise<number> | number;

class Agent {
  readonly config: AgentConfig;
  readonly print: (line: string) => void;
  readonly #input: AsyncIterator<Uint8Array>;

  constructor(config_: AgentConfig, print: (line: string) => void, input: AsyncIterable<Uint8Array>) {
    this.config = config_;
    this.print = print;
    this.#input = input[Symbol.asyncIterator]();
  }

  get tests(): readonly string[] {
    return this.config.only ?? ids;
  }

  say(event: RunEvent): void {
    this.print(JSON.stringify(event));
  }

  /** Asks in the middle of a test. */
  async traffic(): Promise<unknown> {
    this.print(JSON.stringify(ASK_TRAFFIC));
    const { value } = await this.#input.next();
    return JSON.parse(Buffer.from(value).toString());
  }

  plan(): void {
    this.say({ type: 'plan', tests: this.tests.map((id) => result(id)) });
  }

  start(id: string, timeout = 60): void {
    this.say({ type: 'start', id, timeout });
  }

  /** Runs a test, and waits until the next may begin. */
  async run(id: string, more: Partial<Result> = {}): Promise<void> {
    this.start(id);
    this.say({ type: 'result', result: result(id, more) });
    for (;;) {
      const { value } = await this.#input.next();
      if (value[0] !== EXPLAIN) return;
      this.say({ type: 'explanation', explanation: { programs: ['a program'], events: [`what ${id} did last`] } });
    }
  }

  /** Runs all that is left, and ends as it should. */
  async finish(but: readonly string[] = []): Promise<number> {
    for (const id of this.tests) if (!but.includes(id)) await this.run(id);
    this.say({ type: 'end' });
    return 0;
  }
}

class ScriptedStation implements Station {
  readonly system = 'the guest';
  readonly lives: Life[];
  readonly configs: AgentConfig[] = [];
  restarts = 0;
  examined: string[] = [];
  examineResult: (r: Result) => Promise<Result> = (r) => Promise.resolve(r);

  constructor(...lives: Life[]) {
    this.lives = lives;
  }

  async launch(
    config_: AgentConfig,
    onLine: (line: string) => void,
    input: AsyncIterable<Uint8Array>,
  ): Promise<number> {
    this.configs.push(config_);
    const life = this.lives.shift();
    assert.ok(life, 'the agent was launched once too often');
    return life(new Agent(config_, onLine, input));
  }

  examine(r: Result): Promise<Result> {
    this.examined.push(r.id);
    return this.examineResult(r);
  }

  async restart(): Promise<void> {
    this.restarts++;
  }

  async traffic(): Promise<readonly Moved[]> {
    return [{ from: 'efa0', to: 'gaudi0', route: 'switch', read: 1, written: 2 }];
  }

  lastWords(): readonly string[] {
    return ['the last words'];
  }
}

const whole: Life = (agent) => {
  agent.plan();
  return agent.finish();
};

async function outcome(station: Station, of = config): Promise<{ results: readonly Result[]; events: RunEvent[] }> {
  const events: RunEvent[] = [];
  const results = await runRemotely(station, of, (event) => void events.push(event));
  return { results, events };
}

function statuses(results: readonly Result[]): Record<string, string> {
  return Object.fromEntries(results.map(({ id, status }) => [id, status]));
}

const passed = Object.fromEntries(ids.map((id) => [id, 'passed']));

test('an agent that never says what it will run is an error, with what it said', async () => {
  const station = new ScriptedStation((agent) => {
    agent.print('node: cannot execute');
    return 127;
  });
  await assert.rejects(outcome(station), /did not start: .*status 127.*\nnode: cannot execute/);
});

test('an agent that cannot be launched is an error', async () => {
  const station = new ScriptedStation(() => Promise.reject(new Error('no such socket')));
  await assert.rejects(outcome(station), /did not start: the guest is gone: no such socket/);
});

test('a run without trouble', async () => {
  const station = new ScriptedStation(whole);
  const { results, events } = await outcome(station);
  assert.deepEqual(statuses(results), passed);
  assert.equal(station.restarts, 0);
  assert.deepEqual(station.examined, ids);
  const order = ids.flatMap(() => ['start', 'result']);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['plan', ...order, 'end'],
  );
});

test('an agent is told in the middle of a test what devices have moved', async () => {
  let told: unknown;
  const station = new ScriptedStation(async (agent) => {
    agent.plan();
    agent.start('s: a');
    told = await agent.traffic();
    return agent.finish();
  });
  const { results } = await outcome(station);
  assert.deepEqual(statuses(results), passed);
  assert.deepEqual(told, await station.traffic());
});

test('an agent that dies in a test: that test failed, the others run after a restart', async () => {
  const station = new ScriptedStation(async (agent) => {
    agent.plan();
    await agent.run('s: a');
    agent.start('s: b');
    agent.print('FATAL ERROR: heap');
    return 134;
  }, whole);
  const { results, events } = await outcome(station);
  assert.deepEqual(statuses(results), { ...passed, 's: b': 'failed' });
  const failure = results.find(({ id }) => id === 's: b') as Result;
  assert.match(failure.failure?.message ?? '', /status 134 in the middle of a test\nFATAL ERROR: heap/);
  assert.deepEqual(failure.messages, ['the last words']);
  assert.equal(station.restarts, 1);
  assert.deepEqual(station.configs[1]?.only, ['s: c', 's: d']);
  assert.equal(events.filter(({ type }) => type === 'plan').length, 1);
  assert.equal(events.filter(({ type }) => type === 'end').length, 1);
  assert.equal(events.at(-1)?.type, 'end');
});

test('an agent that dies between two tests: the next one is blamed', async () => {
  const station = new ScriptedStation(async (agent) => {
    agent.plan();
    await agent.run('s: a');
    return 1;
  }, whole);
  assert.deepEqual(statuses((await outcome(station)).results), { ...passed, 's: b': 'failed' });
});

test('an agent that dies in every test: every test failed, and the run ends', async () => {
  const die: Life = (agent) => {
    agent.plan();
    agent.start(agent.tests[0] as string);
    return 1;
  };
  const station = new ScriptedStation(die, die, die, die);
  const { results } = await outcome(station);
  assert.deepEqual(
    results.map(({ id, status }) => [id, status]),
    ids.map((id) => [id, 'failed']),
  );
  assert.equal(station.restarts, 3, 'nothing is left to restart for after the last');
});

test('a guest that goes away in a test', async () => {
  const station = new ScriptedStation((agent) => {
    agent.plan();
    agent.start('s: a');
    return Promise.reject(new Error('kernel panic'));
  }, whole);
  const { results } = await outcome(station);
  assert.equal(results[0]?.failure?.message, 'the guest is gone: kernel panic');
  assert.deepEqual(statuses(results), { ...passed, 's: a': 'failed' });
});

/** Makes time stand still but for `pass`. */
function clock(t: TestContext): { pass(seconds: number): void } {
  let now = 0;
  t.mock.timers.enable({ apis: ['setInterval'] });
  t.mock.method(performance, 'now', () => now);
  return {
    pass(seconds) {
      now += seconds * 1000;
      t.mock.timers.tick(seconds * 1000);
    },
  };
}

/** Lets what is due happen. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('an agent that says nothing for longer than a test may take is given up', async (t) => {
  const time = clock(t);
  const station = new ScriptedStation((agent) => {
    agent.plan();
    agent.start('s: a', 30);
    return new Promise(() => {});
  }, whole);
  const running = outcome(station);
  await settle();
  time.pass(30);
  await settle();
  assert.equal(station.restarts, 0, 'the test’s own time, and some for the way');
  time.pass(25);
  const { results } = await running;
  assert.match(results[0]?.failure?.message ?? '', /no sign of life for 55 s/);
  assert.deepEqual(statuses(results), { ...passed, 's: a': 'failed' });
});

test('what an agent says that was given up does not count', async (t) => {
  const time = clock(t);
  let late: Agent | undefined;
  const station = new ScriptedStation(
    (agent) => {
      late = agent;
      agent.plan();
      agent.start('s: a', 30);
      return new Promise(() => {});
    },
    async (agent) => {
      agent.plan();
      await agent.run('s: b');
      late?.say({ type: 'result', result: result('s: a') });
      late?.say({ type: 'end' });
      await settle();
      return agent.finish(['s: b']);
    },
  );
  const running = outcome(station);
  await settle();
  time.pass(60);
  const { results, events } = await running;
  assert.deepEqual(
    results.map(({ id, status }) => `${id} ${status}`),
    ['s: a failed', 's: b passed', 's: c passed', 's: d passed'],
  );
  assert.equal(events.filter(({ type }) => type === 'result').length, 4);
});

test('lines that are no events are noise, whatever they look like', async () => {
  const station = new ScriptedStation(async (agent) => {
    agent.print('Debugger attached.');
    agent.plan();
    for (const line of ['', '{"type":"result"', '{"type":', '{}', 'null', '[1]', '{"kind":"result"}'])
      agent.print(line);
    return agent.finish();
  });
  assert.deepEqual(statuses((await outcome(station)).results), passed);
});

test('what the devices say of a test counts', async () => {
  const station = new ScriptedStation(whole);
  station.examineResult = async (r) =>
    r.id === 's: c' ? { ...r, status: 'failed', failure: { message: 'the device model refused' } } : r;
  const { results, events } = await outcome(station);
  assert.deepEqual(statuses(results), { ...passed, 's: c': 'failed' });
  const told = events.flatMap((event) => (event.type === 'result' ? [event.result.status] : []));
  assert.deepEqual(told, ['passed', 'passed', 'failed', 'passed']);
  const { failure } = results.find(({ id }) => id === 's: c') as Result;
  assert.deepEqual(failure?.programs, ['a program'], 'the agent is asked, for it saw nothing wrong');
  assert.deepEqual(failure?.events, ['what s: c did last']);
});

test('the next test waits until the devices were looked at', async () => {
  const order: string[] = [];
  const station = new ScriptedStation(async (agent) => {
    agent.plan();
    for (const id of ids) {
      order.push(`begins ${id}`);
      await agent.run(id);
    }
    agent.say({ type: 'end' });
    return 0;
  });
  station.examineResult = async (r) => {
    await settle();
    order.push(`examined ${r.id}`);
    return r;
  };
  await outcome(station);
  assert.deepEqual(
    order,
    ids.flatMap((id) => [`begins ${id}`, `examined ${id}`]),
  );
});

test('devices that cannot be looked at fail the test, and the run goes on', async () => {
  const station = new ScriptedStation(async (agent) => {
    agent.plan();
    await agent.run('s: a');
    await agent.run('s: b');
    return 1;
  }, whole);
  station.examineResult = (r) =>
    r.id === 's: a' ? Promise.reject(new Error('the device server is gone')) : Promise.resolve(r);
  const { results } = await outcome(station);
  assert.equal(statuses(results)['s: a'], 'failed');
  assert.match(results.find(({ id }) => id === 's: a')?.failure?.message ?? '', /the device server is gone/);
  assert.equal(results.length, ids.length);
});

test('only the tests that were asked for are run', async () => {
  const station = new ScriptedStation(whole);
  const { results } = await outcome(station, { ...config, only: ['s: b'] });
  assert.deepEqual(statuses(results), { 's: b': 'passed' });
});

test('a system that cannot be brought up again ends the run with that error', async () => {
  const station = new ScriptedStation((agent) => {
    agent.plan();
    agent.start('s: a');
    return 1;
  });
  station.restart = () => Promise.reject(new Error('no disk space'));
  await assert.rejects(outcome(station), /no disk space/);
});
