/** Several threads in the verbs interface at once: who waits for whom, and who is refused. */

import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import type { Call } from '../../../src/driver/driver.ts';
import { RDMA_VERBS_IOCTL } from '../../../src/uapi/rdma/ioctl.ts';
import { errno, machineWith, type RawAttribute, RawVerbs, rawArgument } from './raw.ts';

const PD = 1;
const DEVICE = 0;

describe('threads', () => {
  const machine = machineWith();
  const { driver, nic } = machine;
  const nothing = { ...nic.objects() };
  let verbs: RawVerbs;
  beforeEach(() => {
    verbs = new RawVerbs(driver).context();
  });
  afterEach(() => {
    verbs.close();
    assert.deepEqual(nic.objects(), nothing);
    assert.deepEqual(machine.takeRefusals(), []);
  });
  after(() => machine[Symbol.dispose]());

  /** Begins a call in a thread of its own. */
  const begin = (object: number, method: number, attributes: readonly RawAttribute[]): Call => {
    const { argument } = rawArgument(verbs.memory, object, method, attributes);
    return driver.thread().ioctl(verbs.fd, RDMA_VERBS_IOCTL.request, argument);
  };
  const command = (value: number, bytes: Uint8Array, at: bigint): Call =>
    begin(DEVICE, 0, [
      { id: 2, value, length: 8 },
      { id: 0, bytes },
      { id: 1, room: 64, at },
    ]);

  test('more commands at once than the admin queue holds: all are done', () => {
    const answers = driver.allocate(64 * 64);
    const calls = Array.from({ length: 64 }, (_, i) => command(3, new Uint8Array(8), answers.address + BigInt(64 * i)));
    for (const call of calls) assert.equal(call.finish(), 0);
    assert.equal(nic.objects().pds, 64);
    const words = new Uint32Array(answers.bytes.buffer, answers.bytes.byteOffset, answers.bytes.length / 4);
    const handles = new Set(Array.from({ length: 64 }, (_, i) => words[16 * i]));
    assert.equal(handles.size, 64);
    answers.unmap();
  });

  test('one context for two that ask for it at once', () => {
    const other = new RawVerbs(driver);
    const { argument } = rawArgument(other.memory, DEVICE, 3, [{ id: 0x1000, bytes: new Uint8Array(8) }]);
    const calls = [0, 1].map(() => driver.thread().ioctl(other.fd, RDMA_VERBS_IOCTL.request, argument.slice()));
    assert.deepEqual(calls.map((call) => errno(() => call.finish())).sort(), ['EINVAL', 'ok']);
    assert.equal(nic.objects().uars, 2);
    other.close();
  });

  test('what one destroys another does not find, and what one uses another does not destroy', () => {
    const pd = verbs.pd();
    const both = [0, 1].map(() => begin(PD, 0, [{ id: 0, value: pd, length: 0 }]));
    const results = both.map((call) => errno(() => call.finish())).sort();
    assert.ok(results[1] === 'ok', results.join());
    assert.ok(results[0] === 'EBUSY' || results[0] === 'ENOENT', results.join());
    const next = verbs.pd();
    const region = new Uint8Array(40);
    const view = new DataView(region.buffer);
    [verbs.memory.address, 4096n, verbs.memory.address].forEach((value, i) => {
      view.setBigUint64(8 + 8 * i, value, true);
    });
    view.setUint32(32, next, true);
    view.setUint32(36, 7, true);
    const answer = driver.allocate(64);
    const [using, ending] = [command(9, region, answer.address), begin(PD, 0, [{ id: 0, value: next, length: 0 }])];
    assert.equal(
      errno(() => using.finish()),
      'ok',
    );
    assert.equal(
      errno(() => ending.finish()),
      'EBUSY',
    );
    answer.unmap();
  });

  test('a thread that waits for an event is woken when another kills its process', () => {
    const child = driver.process();
    const own = new RawVerbs(child).context();
    const channel = own.channel();
    const call = child.thread().read(channel, new Uint8Array(8));
    driver.sleep(1000);
    assert.equal(call.blocked, true);
    child.kill();
    assert.equal(call.done, true);
    assert.equal(nic.objects().uars, 1);
  });
});
