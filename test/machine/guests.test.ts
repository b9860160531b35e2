/** Several guests: the switch between them, and what the command line refuses. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { EthernetSwitch } from '../../src/machine/vm/ethernet.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'guests-'));
after(() => rmSync(folder, { recursive: true }));
const program = path.join(import.meta.dirname, '..', '..', 'bin/sagrada.js');

const ALL = 0xff;
const frame = (to: number, from: number, text: string) => {
  const address = (n: number) => (n === ALL ? Buffer.alloc(6, ALL) : Buffer.from([0x52, 0x54, 0, 0, 0, n]));
  const body = Buffer.concat([address(to), address(from), Buffer.from([8, 0]), Buffer.from(text)]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
};

async function port(at: string): Promise<{ socket: Socket; received(bytes: number): Promise<Buffer> }> {
  const socket = connect(at);
  await once(socket, 'connect');
  let all: Buffer = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    all = Buffer.concat([all, data]);
  });
  return {
    socket,
    async received(bytes) {
      while (all.length < bytes) await once(socket, 'data');
      return all;
    },
  };
}

test('a port that sends a length that no frame has is closed, and the others go on', async () => {
  const at = path.join(folder, 'bad');
  const net = await EthernetSwitch.listen(at);
  for (const length of [0, 13, 0xffff_ffff]) {
    const { socket } = await port(at);
    const message = Buffer.alloc(4);
    message.writeUInt32BE(length);
    socket.write(message);
    await once(socket, 'close');
  }
  const [a, b] = [await port(at), await port(at)];
  const hello = frame(ALL, 1, 'hello');
  a.socket.write(hello);
  assert.deepEqual(await b.received(hello.length), hello);
  net.close();
});

test('a frame for an address that was seen goes there alone, in whatever pieces it comes', async () => {
  const at = path.join(folder, 'switch');
  const net = await EthernetSwitch.listen(at);
  const [a, b, c] = [await port(at), await port(at), await port(at)];
  const announced = frame(ALL, 2, 'I am 2');
  b.socket.write(announced);
  await a.received(announced.length);
  await c.received(announced.length);
  const direct = frame(2, 1, 'for 2');
  for (const byte of direct) a.socket.write(Buffer.from([byte]));
  assert.deepEqual(await b.received(direct.length), direct);
  const last = frame(ALL, 1, 'for all');
  a.socket.write(last);
  assert.deepEqual(await c.received(announced.length + last.length), Buffer.concat([announced, last]));
  net.close();
});

for (const [options, reason] of [
  [['--guests', '0'], /whole number/],
  [['--guests', '17'], /at most 16/],
  [['--network', 'loss=1.5'], /"loss=1.5" is not known/],
  [['--network', 'delay=50'], /"delay=50" is not known/],
  [['--network', 'loss=0.1,,seed=1'], /"" is not known/],
  [['--network', 'toString=1'], /"toString=1" is not known/],
] as const) {
  test(`refused: ${options.join(' ')}`, () => {
    const { status, stderr } = spawnSync(process.execPath, [program, 'vm', 'run', ...options, '--', 'true'], {
      encoding: 'utf8',
    });
    assert.notEqual(status, 0);
    assert.match(stderr, reason);
  });
}

test('several guests are refused where there is no guest', () => {
  const args = [program, 'run', '--on', 'model', '--guests', '2', import.meta.filename];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr, /--guests is about the guest: it goes with --on vm/);
});
