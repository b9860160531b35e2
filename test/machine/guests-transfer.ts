/**
 * Runs in each of two guests: moves memory of its Gaudi into that of the other's and the other way round, and says what came of
 * it. It goes on where a line comes on its standard input, so that what was moved can be counted in between.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { LinuxDriver } from '../../src/driver/linux/driver.ts';
import { CommandStream, type Place } from '../../src/runtime/command-stream.ts';
import { Device } from '../../src/runtime/device.ts';
import { RdmaContext } from '../../src/runtime/verbs/device.ts';
import type { Target } from '../../src/runtime/verbs/queue-pair.ts';
import { Random } from '../../src/sim/random.ts';

const PORT = 7471;
const QKEY = 0x1111;
/** Milliseconds. */
const PATIENCE = 120_000;
const guest = Number(process.env.SAGRADA_GUEST);
const size = Number(process.argv[2]);

const say = (text: string) => console.log(text);
const steps = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The lines that guests tell each other over the ordinary network. */
class Other {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: Socket) {
    this.#socket = socket;
    // The other's power may fail.
    socket.on('error', () => {});
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async meet(): Promise<Other> {
    if (guest === 0) {
      const server = createServer().listen(PORT, '0.0.0.0');
      const [socket] = (await once(server, 'connection')) as [Socket];
      server.close();
      return new Other(socket);
    }
    for (;;) {
      const socket = connect(PORT, 'guest0');
      try {
        await once(socket, 'connect');
        return new Other(socket);
      } catch {
        // It does not listen yet.
        await setTimeout(100);
      }
    }
  }

  /** Both say a line; @returns that of the other */
  async exchange(line: string): Promise<string> {
    this.#socket.write(`${line}\n`);
    const { value } = await this.#lines.next();
    assert.ok(value !== undefined, 'the other guest has gone');
    return value;
  }

  end(): void {
    this.#socket.destroy();
  }
}

function noise(seed: number): Uint8Array {
  const random = new Random(seed);
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = random.below(256);
  return bytes;
}

const driver = new LinuxDriver();
using card = Device.open({ driver, index: 0 });
using nic = RdmaContext.open({ driver, index: 0 });
const host = card.allocHost(size);
const copy = (queue: 'DMA_0_0' | 'DMA_1_0', to: Place, from: Place) =>
  card.wait(card.submit({ queue, stream: new CommandStream().dma(to, from, size) }));

// Three parts of the card's memory: its own bytes, what the other writes, and what is read from the other.
const { base } = card.dram;
const [OWN, WRITTEN, READ] = [0, size, 2 * size];
host.bytes.set(noise(guest));
await copy('DMA_0_0', base, host);
const shared = card.exportDmaBuf(base, 3 * size);
const pd = nic.allocatePd();
const region = pd.registerDmaBuf(shared.fd, 3 * size);
const cq = nic.createCq();
const qp = pd.createQueuePair({ sendCq: cq });
qp.activate(QKEY);

const other = await Other.meet();
const { address, rkey } = region.at();
const mine = { gid: Buffer.from(nic.address()).toString('hex'), qp: qp.number, rkey, address: String(address) };
const theirs = JSON.parse(await other.exchange(JSON.stringify(mine))) as typeof mine;
const there: Target = { ah: pd.createAddressHandle(Buffer.from(theirs.gid, 'hex')), qp: theirs.qp, qkey: QKEY };
const remote = (at: number) => ({ address: BigInt(theirs.address) + BigInt(at), rkey: theirs.rkey });
await other.exchange('both know each other');
say('ready');
await steps.next();

qp.write(there, { local: region.piece(OWN, size), remote: remote(WRITTEN), id: 1 });
qp.read(there, { local: region.piece(READ, size), remote: remote(OWN), id: 2 });
cq.expect(2, PATIENCE);
await other.exchange('both have moved');
say('moved');
await steps.next();

const expected = Buffer.from(noise(1 - guest));
for (const [name, at] of [
  ['written', WRITTEN],
  ['read', READ],
] as const) {
  host.bytes.fill(0);
  await copy('DMA_1_0', host, base + BigInt(at));
  say(`${name} ${expected.equals(host.bytes) ? 'equal' : 'differs'}`);
}
await other.exchange('both have looked');
say('running');

// Until the other has gone.
const DEPTH = 16;
const piece = 65536;
let inFlight = 0;
let failure: string | undefined;
for (let id = 0; failure === undefined || inFlight > 0; ) {
  for (; failure === undefined && inFlight < DEPTH; inFlight++, id++) {
    const at = (id % (size / piece)) * piece;
    if (id % 2 === 0) qp.write(there, { local: region.piece(OWN + at, piece), remote: remote(WRITTEN + at), id });
    else qp.read(there, { local: region.piece(READ + at, piece), remote: remote(OWN + at), id });
  }
  for (const { status } of cq.take(1, PATIENCE)) {
    inFlight--;
    if (status !== 'OK') failure ??= status;
  }
}
say(`failed ${failure}`);
other.end();

// The same queue pair, to itself.
const here: Target = { ah: pd.createAddressHandle(nic.address()), qp: qp.number, qkey: QKEY };
const self = (at: number) => ({ address: address + BigInt(at), rkey });
qp.write(here, { local: region.piece(OWN, size), remote: self(WRITTEN) });
cq.expect(1, PATIENCE);
await copy('DMA_1_0', host, base + BigInt(WRITTEN));
say(`itself ${Buffer.from(noise(guest)).equals(host.bytes) ? 'equal' : 'differs'}`);
process.exit(0);
