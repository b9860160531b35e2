import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { close } from '../../src/os/libc.ts';
import { bind, connect, listen, UnixStream } from '../../src/os/socket.ts';
import { WallClock } from '../../src/sim/clock.ts';
import { UserError } from '../../src/sim/errors.ts';
import { FLAG, HEADER, REGION_ACCESS } from '../../src/vfio-user/messages.ts';
import { Reactor, wake } from '../../src/vfio-user/reactor.ts';
import { serve } from '../../src/vfio-user/server.ts';
import { mapPayload, message, openDescriptors, versionPayload, withBench } from './raw-client.ts';
import { ToyFunction } from './toy-function.ts';

const read = (count: number) => message('REGION_READ', REGION_ACCESS.encode({ region: 2, offset: 0, count }));

/** Tries to serve at a path. @returns the message of the UserError, or undefined when it worked */
function attempt(path: string): string | undefined {
  const pciFunction = new ToyFunction();
  try {
    serve({ function: pciFunction, path, clock: new WallClock(), log: () => {} }).close();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error.message;
  } finally {
    pciFunction.close();
  }
}

test('a path where no socket can be made is one clear line, and leaves nothing', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sagrada-vfio-user-'));
  const before = openDescriptors();
  assert.match(attempt(join(directory, 'x'.repeat(108))) ?? '', /1 to 107 bytes/);
  assert.match(attempt(join(directory, 'missing', 'socket')) ?? '', /cannot make the socket .*ENOENT/);
  const file = join(directory, 'file');
  writeFileSync(file, 'precious');
  assert.match(attempt(file) ?? '', /exists and is not a socket/);
  assert.ok(existsSync(file));
  const busy = join(directory, 'busy');
  const listener = bind(busy);
  listen(listener, 1);
  assert.match(attempt(busy) ?? '', /another process serves/);
  close(listener);
  assert.equal(attempt(busy), undefined, 'a socket nobody listens on any more is replaced');
  assert.ok(!existsSync(busy));
  rmSync(directory, { recursive: true });
  assert.deepEqual(openDescriptors(), before);
});

test(
  'the socket is for this user alone, and gone after close',
  withBench((bench) => {
    assert.equal(statSync(bench.path).mode & 0o777, 0o600);
    bench.reactor.close();
    assert.ok(!existsSync(bench.path));
  }),
);

test(
  'a second client waits until the first has gone, and finds the function reset',
  withBench((bench) => {
    const first = bench.client();
    first.writeRegion(0, 0, Uint8Array.of(1));
    const second = bench.connect();
    second.send(message('VERSION', versionPayload()));
    assert.equal(second.receive(), undefined);
    assert.ok(!second.ended);
    first.close();
    assert.equal(second.receive()?.flags, FLAG.REPLY);
    assert.deepEqual([...second.readRegion(0, 0, 1)], [0]);
    assert.deepEqual(bench.function.resets, ['conventional']);
  }),
);

test(
  'a hundred clients one after the other',
  withBench((bench) => {
    for (let i = 0; i < 100; i++) {
      const client = bench.client();
      client.readRegion(2, 0, 4096);
      client.close();
    }
    assert.equal(bench.function.resets.length, 100);
  }),
);

test(
  'a client that sends requests and reads no replies costs bounded memory, and is served when it reads',
  withBench((bench) => {
    const client = bench.client();
    const size = 0x10000;
    let sent = 0;
    const one = read(size);
    // Until nothing more is taken for a while: the server has stopped reading.
    for (let idle = 0; idle < 20; ) {
      const taken = client.stream.send(one, 0, one.length);
      if (taken === one.length) {
        sent++;
        idle = 0;
      } else {
        assert.equal(taken, -1);
        idle++;
      }
      bench.turn();
      assert.ok(sent < 5000, 'the server reads without end');
    }
    let received = 0;
    for (let reply = client.receive(); reply; reply = client.receive()) {
      assert.equal(reply.payload.length, REGION_ACCESS.size + size);
      received++;
    }
    assert.equal(received, sent);
    client.readRegion(0, 0, 4);
  }),
);

test(
  'a client that goes away without reading its replies leaves nothing',
  withBench((bench) => {
    const client = bench.client();
    for (let i = 0; i < 20; i++) client.send(read(0x10000));
    bench.turn();
    client.close();
    assert.equal(bench.server.connected, false);
    bench.client().readRegion(0, 0, 4);
  }),
);

test(
  'events that are due take turns with requests',
  withBench((bench) => {
    const client = bench.client();
    let events = 0;
    const again = () => {
      events++;
      bench.clock.at(0, again);
    };
    bench.clock.at(0, again);
    for (let i = 0; i < 20; i++) {
      const before = events;
      client.readRegion(0, 0, 4);
      assert.ok(events > before);
    }
  }),
);

test(
  'a server can be removed and added while others are served',
  withBench((bench) => {
    const client = bench.client();
    const other = new ToyFunction();
    const path = `${bench.path}2`;
    const server = serve({ function: other, path, clock: bench.clock, log: () => {} });
    bench.reactor.add(server);
    const stream = new UnixStream(connect(path), 4096);
    bench.turn();
    assert.ok(server.connected);
    client.readRegion(0, 0, 4);
    bench.reactor.remove(server);
    client.readRegion(0, 0, 4);
    assert.equal(stream.receive(0, 16, []), 0);
    assert.ok(!existsSync(path));
    stream.close();
    other.close();
  }),
);

test('commands from another thread reach a reactor that waits', async () => {
  const before = openDescriptors();
  const { port1, port2 } = new MessageChannel();
  const received: unknown[] = [];
  const clock = new WallClock();
  const reactor: Reactor = new Reactor(clock, {
    port: port1,
    onMessage: (found) => {
      received.push(found);
      if (found === 'stop') reactor.stop();
    },
  });
  // The other thread posts and wakes while this one sits in poll without a timeout.
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    workerData.port.postMessage('hello');
    workerData.port.postMessage('stop');
    require('node:fs').writeSync(workerData.wakeFd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
    workerData.port.close();
  `;
  const worker = new Worker(source, {
    eval: true,
    workerData: { port: port2, wakeFd: reactor.wakeFd },
    transferList: [port2],
  });
  reactor.run();
  assert.deepEqual(received, ['hello', 'stop']);
  reactor.close();
  await new Promise((resolve) => worker.once('exit', resolve));
  port1.close();
  assert.deepEqual(openDescriptors(), before);
});

test('wake ends a wait, and a turn without anything to do returns', () => {
  const reactor = new Reactor(new WallClock());
  reactor.turn(0);
  wake(reactor.wakeFd);
  reactor.turn(Number.POSITIVE_INFINITY);
  reactor.close();
});

test('a worker that serves ends on command and leaves no socket', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sagrada-vfio-user-'));
  const path = join(directory, 'socket');
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { path } });
  const [wakeFd] = await new Promise<[number]>((resolve) => worker.once('message', (fd) => resolve([fd])));
  const stream = new UnixStream(connect(path), 4096);
  const request = message('VERSION', versionPayload());
  assert.equal(stream.send(request, 0, request.length), request.length);
  let have = 0;
  while (have < HEADER.size) {
    const count = stream.receive(have, HEADER.size - have, []);
    if (count > 0) have += count;
    else await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(
    HEADER.fields.flags.get(new DataView(stream.received.buffer, stream.received.byteOffset), 0),
    FLAG.REPLY,
  );
  worker.postMessage('stop');
  wake(wakeFd);
  assert.equal(await new Promise((resolve) => worker.once('exit', resolve)), 0);
  assert.ok(!existsSync(path));
  stream.close();
  rmSync(directory, { recursive: true });
});

test(
  'a function that throws when it is told of a failure does not keep the next client out',
  withBench((bench) => {
    const client = bench.client();
    client.ask('DMA_MAP', mapPayload({ size: 0x1000 }));
    let second = 0;
    bench.function.ports.dma.read(0, new Uint8Array(4), () => {
      throw new Error('first');
    });
    bench.function.ports.dma.read(0, new Uint8Array(4), () => {
      second++;
    });
    client.close();
    assert.equal(second, 1);
    assert.deepEqual(bench.function.resets, ['conventional']);
    assert.deepEqual(bench.function.resets, ['conventional']);
    assert.match(bench.logged.at(-1) ?? '', /defect: Error: first/);
    bench.client().readRegion(0, 0, 4);
  }),
);

test(
  'a lone client is served by turns without a limit, and others are not forgotten',
  withBench((bench) => {
    const { reactor, clock } = bench;
    const client = bench.client();
    const forever = Number.POSITIVE_INFINITY;
    const ask = () => {
      client.send(read(4));
      reactor.turn(forever);
      assert.equal(client.receive()?.flags, FLAG.REPLY);
    };
    for (let i = 0; i < 200; i++) ask();
    const resets = Array.from({ length: 131 }, (_, id) => [...message('DEVICE_RESET', undefined, { id })]);
    client.send(Uint8Array.from(resets.flat()));
    for (let i = 0; bench.function.resets.length < 131; i++) {
      assert.ok(i < 131, 'a turn that serves nothing');
      reactor.turn(forever);
    }
    for (let id = 0; id < 131; id++) assert.equal(client.receive()?.id, id);
    ask();
    let due = 0;
    clock.at(clock.now() + 1e6, () => {
      due++;
    });
    while (due === 0) reactor.turn(1);
    ask();
    wake(reactor.wakeFd);
    reactor.turn(forever);
    client.close();
    assert.equal(bench.server.connected, false);
  }),
);
