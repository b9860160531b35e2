/** Packets that only internal queues take from programs: the driver refuses them in command buffers, and nobody checks these queues. */

import assert from 'node:assert/strict';
import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { SyncObject } from '../../runtime/sync.ts';
import type { Declare, TestContext } from '../suite.ts';
import { KiB } from './lib.ts';
import { runBeside } from './queues-internal.ts';
import { assertValue } from './sync-lib.ts';

const QUEUE = 'DMA_2_0';

/** Has the upper command processor of an internal queue execute packets, of which the last counts up `object`. */
async function execute(t: TestContext, object: SyncObject, stream: CommandStream): Promise<void> {
  const memory = t.use(t.device.allocHost(KiB));
  memory.bytes.set(stream.bytes);
  await runBeside(t, object, [{ queue: QUEUE, place: memory, size: stream.size }]);
}

export function internalPackets(test: Declare): void {
  test('WAIT adds to a fence counter later, and a FENCE takes from it', async (t) => {
    const object = t.device.sync('E_N').syncObject();
    const stream = new CommandStream();
    for (const [id, inc] of [
      [1, 3],
      [3, 15],
      [0, 1],
    ] as const) {
      stream.packet('WAIT', { cycles: 500, inc, id }).packet('FENCE', { id, target: inc, dec: inc });
    }
    await execute(t, object, stream.add(object, 1));
    await assertValue(t, object, 1);
  });

  test('scalars are executed as packets, whole or their upper half', async (t) => {
    const { device } = t;
    const object = device.sync('E_N').syncObject();
    const [host, result] = [t.use(device.allocHost(4 * KiB)), t.use(device.allocHost(4 * KiB))];
    const whole = gaudiQman.encode('MSG_LONG', { addr: result.deviceAddress, value: 0x1234_5678, mb: true });
    const upper = gaudiQman.encode('MSG_SHORT', {
      base: 1,
      offset: 4 * object.index,
      value: gaudiQman.format('sob', { value: 1, add: true }),
      rb: true,
      mb: true,
    });
    // a lower half that would be noticed
    const lower = gaudiQman.encode('FENCE', { id: 2, target: 1, dec: 1 });
    host.bytes.set(whole);
    host.bytes.set(lower, 128);
    host.bytes.set(upper, 128 + lower.length);
    const stream = new CommandStream()
      .packet('LOAD_AND_EXE', { dst: 1, load: true, exe: true, src: host.deviceAddress, mb: true })
      .packet('LOAD_AND_EXE', { dst: 1, load: true, src: host.deviceAddress + 128n, mb: true })
      .packet('LOAD_AND_EXE', { exe: true, etype: 1, src: 0n, mb: true });
    await execute(t, object, stream);
    assert.equal(result.words[0], 0x1234_5678);
    await assertValue(t, object, 1);
  });
}
