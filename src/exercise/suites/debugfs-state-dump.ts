/** What the driver writes down of the card when work takes too long. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Submission } from '../../runtime/submission.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare, TestContext } from '../suite.ts';
import { debugText, writeDebug } from './debugfs-lib.ts';
import { counted } from './events-lib.ts';
import { assertErrno, run } from './lib.ts';
import { hold, release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const TOO_LONG = [
  /Command submission \d+ has not finished in \d+ seconds!/,
  /Command submission \d+ completed after \d+ \(s\)/,
];
const CORNERS = ['E_N', 'W_N', 'E_S', 'W_S'] as const;

/** Has `stream` take too long, without a reset; the dump of that. */
async function dumped(t: TestContext, queue: QueueName, stream: CommandStream) {
  const before = debugText(t, 'state_dump');
  const work: Submission = t.device.submit({ queue, stream }, { timeout: 1, skipResetOnTimeout: true });
  let text = before;
  while (text === before) {
    t.signal.throwIfAborted();
    t.target.driver.sleep(20_000_000);
    await setImmediate();
    text = debugText(t, 'state_dump');
  }
  return { work, text };
}

/** Lines of a dump by its sections, and where there are such, by sync manager. */
function parse(text: string) {
  const [, taken, objects = '', monitors = '', fences] =
    /^Timestamp taken on: (\d+)\n\n(Non zero sync objects:\n[\s\S]*)\n(Valid \(armed\) monitor objects:\n[\s\S]*)\nValid \(armed\) fences:\n([\s\S]*)\n$/.exec(
      text,
    ) ?? [];
  assert.ok(taken !== undefined, `no dump: ${JSON.stringify(text.slice(0, 200))}`);
  const byManager = (section: string) => {
    const parts = section.split(/^SYNC_MGR_(\w+)\n/m).slice(1);
    const names = parts.filter((_, i) => i % 2 === 0);
    assert.deepEqual(names, CORNERS);
    return new Map(
      names.map((name, i) => [name, (parts[2 * i + 1] as string).split('\n').filter((line) => line !== '')]),
    );
  };
  return {
    taken: BigInt(taken),
    objects: byManager(objects),
    monitors: byManager(monitors),
    fences: (fences ?? '').split('\n').filter((line) => line !== ''),
  };
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

export function debugStateDump(test: Declare): void {
  test('work that takes too long leaves a dump: what it waits for, and what it has reached', async (t) => {
    t.expectMessages(...TOO_LONG);
    const { device } = t;
    for (const dcore of CORNERS) {
      const manager = device.sync(dcore);
      const objects = manager.syncObjects(8);
      const [first, second, third] = objects as [(typeof objects)[0], (typeof objects)[0], (typeof objects)[0]];
      const monitor = manager.monitor();
      const reached = 5 + CORNERS.indexOf(dcore);
      await run(t, UP, new CommandStream().set(second, reached));
      const { work, text } = await dumped(t, DOWN, hold(DOWN, monitor, [first, second, third], 6, { id: 2 }));
      const dump = parse(text);
      const lines = dump.objects.get(dcore) ?? [];
      // the second has a name in every manager; in the first manager an engine tells it of its transfers (gaudi_restore_dma_registers)
      const name = second.index === 1 ? ' SYNC_OBJ_DMA_UP_FEEDBACK' : '';
      const engine = second.index === 1 && dcore === 'E_N' ? ', Engine: DMA1' : '';
      const line = `sync id: ${second.index}${name}, value: ${reached}${engine}`;
      assert.ok(lines.includes(line), `${line} in\n${lines.join('\n')}`);
      assert.ok(!lines.some((line) => new RegExp(`^sync id: ${first.index}\\b`).test(line)), 'one that is zero');
      // those whose condition is met are no longer pending
      const pending = reached >= 6 ? '0b101' : '0b111';
      assert.deepEqual(
        dump.monitors.get(dcore)?.filter((line) => line.startsWith(`Mon id: ${monitor.index},`)),
        [
          `Mon id: ${monitor.index}, wait for group id: ${first.index >> 3} mask 0b11111000 to reach val: 6 and write ` +
            `1 to address ${hex(fenceAddress(DOWN, 2))}. Pending: ${pending}. ` +
            `Means sync objects [${first.index}, ${second.index}, ${third.index}] are being monitored.`,
        ],
      );
      const [fence, ...others] = dump.fences;
      assert.deepEqual(others, []);
      const address = fenceAddress(DOWN, 2);
      // the counters are 80 bytes behind the registers that add to them (specs, CP_FENCE_RDATA and CP_FENCE_CNT)
      assert.match(
        fence ?? '',
        new RegExp(
          `^DMA0, stream 0: fence id 2 cnt = ${hex(address + 80n)} \\(DMA0_QM\\.CP_FENCE2_CNT_0\\) ` +
            `rdata = ${hex(address)} \\(DMA0_QM\\.CP_FENCE2_RDATA_0\\) value = 0, cp_status = \\d+$`,
        ),
      );
      const status = Number(/cp_status = (\d+)$/.exec(fence ?? '')?.[1]);
      assert.equal((status >> 20) & 7, 6, 'waits in fence 2');
      await run(t, UP, new CommandStream().set(first, 6).set(second, 6).set(third, 6));
      await device.wait(work, { signal: t.signal });
    }
  });

  test('an error of a sync manager leaves a dump, of its value then', async (t) => {
    t.expectMessages(/DMA_IF_SEI/, /SEI Error: SOB Group \d+ overflow/);
    const { device } = t;
    const before = debugText(t, 'state_dump');
    const counts = device.info.hwEventsAggregate();
    const object = device.sync('E_S').syncObject();
    await run(t, UP, new CommandStream().set(object, 0x7fff).add(object, 5));
    await counted(t, device, 'DMA_IF_SEI_1', counts);
    // the event is counted before it is written down
    while (debugText(t, 'state_dump') === before) {
      t.signal.throwIfAborted();
      t.target.driver.sleep(1_000_000);
      await setImmediate();
    }
    const dump = parse(debugText(t, 'state_dump'));
    assert.match(
      dump.objects.get('E_S')?.join('\n') ?? '',
      new RegExp(`^sync id: ${object.index}\\b.*, value: 4$`, 'm'),
    );
    assert.deepEqual(dump.fences, []);
  });

  test('the newest dump is shown, and those before it once it is skipped', async (t) => {
    t.expectMessages(...TOO_LONG, /Invalid number of dumps to skip/);
    const texts: string[] = [];
    for (const id of [0, 1, 3]) {
      const { work, text } = await dumped(t, DOWN, new CommandStream().fence(id));
      assert.match(parse(text).fences.join('\n'), new RegExp(`^DMA0, stream 0: fence id ${id} `));
      texts.push(text);
      await release(t, DOWN, UP, 1, id);
      await t.device.wait(work, { signal: t.signal });
    }
    const times = texts.map((text) => parse(text).taken);
    assert.ok(times.every((time, i) => i === 0 || time > (times[i - 1] as bigint)));
    for (const text of ['0', '5', 'x', '-1', '0x1']) assertErrno('EINVAL', () => writeDebug(t, 'state_dump', text));
    assertErrno('ERANGE', () => writeDebug(t, 'state_dump', '4294967296'));
    assert.equal(debugText(t, 'state_dump'), texts[2], 'what is refused skips nothing');
    writeDebug(t, 'state_dump', '1');
    assert.equal(debugText(t, 'state_dump'), texts[1]);
    writeDebug(t, 'state_dump', '1\n');
    assert.equal(debugText(t, 'state_dump'), texts[0]);
    // five are kept: behind the four next there is none
    writeDebug(t, 'state_dump', '4');
    assert.equal(debugText(t, 'state_dump'), '');
    writeDebug(t, 'state_dump', '1');
    assert.equal(debugText(t, 'state_dump'), '', 'where there is none nothing is skipped');
  });
}
