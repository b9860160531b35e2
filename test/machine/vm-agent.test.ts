import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { Agent, type AgentEvents, type CommandOptions } from '../../src/machine/vm/agent.ts';
import { seed } from '../seed.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'agent-test-'));
after(() => rmSync(folder, { recursive: true }));

let count = 0;

/** An agent and the guest's end of its stream. */
async function pair(events: Partial<AgentEvents> = {}): Promise<{ agent: Agent; guest: Socket; end(): void }> {
  const file = path.join(folder, String(count++));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(file, resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const guest = connect(file);
  const socket = await accepted;
  const nothing = () => {};
  const agent = new Agent(socket, {
    hello: nothing,
    log: nothing,
    ready: nothing,
    failed: nothing,
    bye: nothing,
    pong: nothing,
    ...events,
  });
  return {
    agent,
    guest,
    end() {
      guest.destroy();
      socket.destroy();
      server.close();
    },
  };
}

function frame(kind: number, session: number, payload: Uint8Array | string = ''): Buffer {
  const body = Buffer.from(payload);
  const header = Buffer.alloc(8);
  header.writeUInt32LE(body.length, 0);
  header.writeUInt16LE(session, 4);
  header.writeUInt16LE(kind, 6);
  return Buffer.concat([header, body]);
}

/** Waits for `length` bytes from the host. */
async function receive(guest: Socket, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let have = 0;
  for await (const piece of guest.iterator({ destroyOnReturn: false })) {
    pieces.push(piece as Buffer);
    have += (piece as Buffer).length;
    if (have >= length) break;
  }
  return Buffer.concat(pieces);
}

const STDOUT = 20;
const STDERR = 21;
const EXIT = 22;
const TAKEN = 23;
const REFUSED = 24;

function options(rest: Partial<CommandOptions> = {}): CommandOptions {
  const none = () => undefined;
  return { cwd: '/', env: {}, onStdout: none, onStderr: none, onRefused: none, ...rest };
}

const status = (n: number) => Buffer.from(Uint32Array.of(n).buffer);

test('a message that is too long ends the guest, and a command that runs is told', async () => {
  let reason = '';
  const { agent, guest, end } = await pair({
    failed: (text) => {
      reason = text;
      agent.abandon(new Error(text));
    },
  });
  const command = agent.start(['x'], options());
  guest.write(frame(STDOUT, 1).fill(0xff, 0, 4));
  await assert.rejects(command.status, /a message of 4294967295 bytes/);
  assert.match(reason, /4294967295/);
  assert.throws(() => agent.start(['y'], options()), /a message of/);
  end();
});

test('unknown frames, and frames of sessions that are over, change nothing', async () => {
  const { agent, guest, end } = await pair();
  const command = agent.start(['x'], options());
  guest.write(Buffer.concat([frame(99, 1), frame(STDOUT, 7, 'a'), frame(EXIT, 7, status(1)), frame(EXIT, 1, 'xx')]));
  guest.write(frame(EXIT, 1, status(5)));
  assert.equal(await command.status, 5);
  guest.write(frame(EXIT, 1, status(6)));
  end();
});

test('a command whose words do not fit is refused before anything is sent', async () => {
  const { agent, end } = await pair();
  assert.throws(() => agent.start(['x'.repeat(300_000)], options()), RangeError);
  end();
});

test('output and status arrive whole and in order, however the stream is cut', async () => {
  const sends = fc.array(fc.record({ error: fc.boolean(), data: fc.uint8Array({ minLength: 1, maxLength: 300 }) }), {
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(
      sends,
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 }),
      async (out, cuts) => {
        const { agent, guest, end } = await pair();
        const got: Buffer[] = [];
        const errors: Buffer[] = [];
        const command = agent.start(
          ['x'],
          options({
            onStdout: (d) => void got.push(Buffer.from(d)),
            onStderr: (d) => void errors.push(Buffer.from(d)),
          }),
        );
        const frames = out.map(({ error, data }) => frame(error ? STDERR : STDOUT, 1, data));
        const stream = Buffer.concat([...frames, frame(EXIT, 1, status(3))]);
        for (let at = 0, i = 0; at < stream.length; i++) {
          const cut = cuts[i % cuts.length] ?? 1;
          guest.write(stream.subarray(at, at + cut));
          at += cut;
        }
        assert.equal(await command.status, 3);
        const expected = (error: boolean) =>
          Buffer.concat(out.filter((o) => o.error === error).map((o) => Buffer.from(o.data)));
        assert.deepEqual(Buffer.concat(got), expected(false));
        assert.deepEqual(Buffer.concat(errors), expected(true));
        end();
      },
    ),
    { seed: seed(), numRuns: 40 },
  );
});

test('no more input is on its way than the command has room for', async () => {
  const { agent, guest, end } = await pair();
  async function* input() {
    for (let i = 0; i < 10; i++) yield Buffer.alloc(30_000, i);
  }
  const command = agent.start(['x'], options({ stdin: input() }));
  let received = 0;
  let largest = 0;
  let unacknowledged = 0;
  let pending = Buffer.alloc(0);
  let ended = false;
  guest.on('data', (data: Buffer) => {
    pending = Buffer.concat([pending, data]);
    while (pending.length >= 8) {
      const length = pending.readUInt32LE(0);
      if (pending.length < 8 + length) return;
      if (pending.readUInt16LE(6) === 2) {
        received += length;
        unacknowledged += length;
        largest = Math.max(largest, unacknowledged);
        if (length === 0) ended = true;
        else
          setImmediate(() => {
            unacknowledged -= length;
            guest.write(frame(TAKEN, 1, status(length)));
          });
      }
      pending = pending.subarray(8 + length);
    }
    if (ended) guest.write(frame(EXIT, 1, status(0)));
  });
  assert.equal(await command.status, 0);
  assert.equal(received, 300_000);
  assert.ok(largest <= 65_536, `${largest} bytes were on their way`);
  end();
});

test('when the consumer of output is slow, the guest is made to wait', async () => {
  const { agent, guest, end } = await pair();
  let release = () => {};
  let calls = 0;
  const command = agent.start(
    ['x'],
    options({
      onStdout: () => {
        calls++;
        return new Promise<void>((resolve) => {
          release = resolve;
        });
      },
    }),
  );
  guest.write(frame(STDOUT, 1, 'one'));
  while (calls === 0) await new Promise(setImmediate);
  guest.write(Buffer.concat([frame(STDOUT, 1, 'two'), frame(EXIT, 1, status(0))]));
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  assert.equal(calls, 1);
  release();
  assert.equal(await command.status, 0);
  assert.equal(calls, 2);
  end();
});

test('why a command could not be started is told, and its status follows', async () => {
  const { agent, guest, end } = await pair();
  let reason = '';
  const command = agent.start(
    ['nope'],
    options({
      onRefused: (text) => {
        reason = text;
      },
    }),
  );
  guest.write(Buffer.concat([frame(REFUSED, 1, 'nope: No such file or directory'), frame(EXIT, 1, status(127))]));
  assert.equal(await command.status, 127);
  assert.equal(reason, 'nope: No such file or directory');
  end();
});

test('what is sent has the form that guest/init reads', async () => {
  const { agent, guest, end } = await pair();
  const command = agent.start(['a', 'b c'], options({ cwd: '/w', env: { X: 'y' } }));
  command.signal(15);
  command.resize({ rows: 24, columns: 80 });
  const strings = Buffer.from('/w\0a\0b c\0X=y\0');
  const start = frame(1, 1, Buffer.concat([Buffer.from(Uint16Array.of(2, 0, 0, 2, 1).buffer), strings]));
  const expected = Buffer.concat([
    start,
    frame(3, 1, status(15)),
    frame(4, 1, Buffer.from(Uint16Array.of(24, 80).buffer)),
  ]);
  assert.deepEqual(await receive(guest, expected.length), expected);
  agent.abandon(new Error('over'));
  await assert.rejects(command.status, /over/);
  end();
});
