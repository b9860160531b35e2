/** A network that loses, doubles and reorders: each message arrives once, whatever the receiver has ready. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMP } from '../../specs/efa/io.ts';
import { type Impairments, Network } from '../../src/efa/network.ts';
import { Driver, Host, Process } from './host.ts';

const SEEDS = Array.from({ length: 25 }, (_, i) => i + 1);
const LENGTH = 64;
const MESSAGES = 60;
/** Turns of both sides, of 20 us and more, in which all must be done. */
const TURNS = 5000;

function pair(seed: number, impairments: Impairments) {
  const host = new Host(0x200_0000);
  const network = new Network({ seed });
  const first = new Driver(host, { network });
  const second = new Driver(host, { network });
  first.start();
  second.start();
  const a = new Process(first);
  const b = new Process(second);
  const ah = a.handle(second.nic.address);
  b.handle(first.nic.address);
  network.impair(impairments);
  return { a, b, ah, host, network };
}

/**
 * Sends messages one window after the other. @param late nanoseconds after which a receive is posted for each message
 * @returns numbers of the messages in the order in which they came
 */
function exchange({ a, b, ah, host }: ReturnType<typeof pair>, late: number): number[] {
  const came: number[] = [];
  const window = 4;
  const take = () => {
    for (const { status, imm, length } of b.pollAll()) {
      assert.deepEqual([status, length], [COMP.OK, LENGTH]);
      came.push(imm);
    }
  };
  for (let sent = 0, received = 0, done = 0, turn = 0; done < MESSAGES; turn++) {
    assert.ok(turn < TURNS, `${done} of ${MESSAGES} are done, ${came.length} have arrived`);
    for (; sent < Math.min(done + window, MESSAGES); sent++)
      a.send(sent, ah, b, [{ at: a.buffer, length: LENGTH }], sent);
    if (late > 0) host.run(late);
    // As many as there are messages, and not one more than there is room for.
    for (; received < Math.min(MESSAGES, came.length + 8); received++)
      b.receive(received, [{ at: b.buffer, length: LENGTH }]);
    host.run(20_000);
    for (const { status } of a.pollAll()) {
      assert.equal(status, COMP.OK);
      done++;
    }
    take();
  }
  // What was doubled, and is still on its way.
  for (let i = 0; i < 8; i++) b.receive(MESSAGES + i, [{ at: b.buffer, length: LENGTH }]);
  host.run();
  take();
  return came;
}

const EACH_ONCE = [...Array(MESSAGES).keys()];
const sorted = (list: readonly number[]) => [...list].sort((x, y) => x - y);

describe('a network that impairs', () => {
  it('reorders what it holds back, and loses nothing', () => {
    const setup = pair(3, { reorder: 0.3 });
    const came = exchange(setup, 0);
    assert.deepEqual(sorted(came), EACH_ONCE);
    assert.notDeepEqual(came, EACH_ONCE);
    assert.equal(setup.network.lost, 0);
  });

  for (const [what, impairments] of [
    ['doubles and reorders', { duplicate: 0.3, reorder: 0.3 }],
    ['loses, doubles and reorders', { loss: 0.1, duplicate: 0.3, reorder: 0.3, jitter: 30_000 }],
  ] as const) {
    for (const late of [0, 70_000]) {
      it(`${what}: each message arrives once at a receiver that is ${late === 0 ? 'ready' : 'late'}`, () => {
        for (const seed of SEEDS)
          assert.deepEqual(sorted(exchange(pair(seed, impairments), late)), EACH_ONCE, `seed ${seed}`);
      });
    }
  }

  it('a NIC that is gone for good ends what is sent to it', () => {
    const { a, b, ah, host } = pair(1, { loss: 0.01, reorder: 0.1 });
    b.driver.nic.close();
    a.send(1, ah, b, [{ at: a.buffer, length: LENGTH }]);
    host.run();
    assert.equal(a.poll()?.status, COMP.UNREACH_REMOTE);
  });
});
