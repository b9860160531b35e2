/** What a reset means to several threads that use the card. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Declare } from '../suite.ts';
import { asNew, control, KILLING, REQUESTED, recovered, SLOW, writeHardReset } from './reset-lib.ts';
import { beginWait, beginWaitAny, blocked, errnoOf, held, Prepared, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** The driver finds waits that it has to end, and says so (command_submission.c, force_complete_multi_cs). */
const FORCED = /multi-CS completion context \d still waiting when calling force completion/;
const ABORTED = /has been aborted while user process is waiting/;

export function resets(test: Declare): void {
  test(
    'a reset ends the waits of all threads',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING, ABORTED);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const device = t.open(0);
      const works = [held(device, DOWN), held(device, UP)];
      const waits = [...works, ...works].map((work) => beginWait(t, thread(t), device, work));
      for (const { call } of waits) await blocked(t, call);
      writeHardReset(t, '1');
      try {
        for (const { answer } of waits) assert.equal(await errnoOf(answer()), 'EIO');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a reset ends waits for several',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING, ABORTED, /wait_for_fence error :-5 for CS seq/, FORCED);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const device = t.open(0);
      const works = [held(device, DOWN), held(device, UP)];
      const wait = beginWaitAny(t, thread(t), device, works);
      await blocked(t, wait.call);
      writeHardReset(t, '1');
      try {
        assert.equal(await errnoOf(wait.answer()), 'EIO');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'during a reset every thread is refused',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const device = t.open(0);
      const prepared = new Prepared(t, device, DOWN, new CommandStream().nop());
      const ended = (await prepared.begin(thread(t)).answer()).out.seq;
      await device.wait(ended, { signal: t.signal });
      const [submitter, waiter] = [thread(t), thread(t)];
      writeHardReset(t, '1');
      try {
        assert.equal(await errnoOf(prepared.begin(submitter).answer()), 'EBUSY');
        assert.equal(await errnoOf(beginWait(t, waiter, device, { sequence: ended }).answer()), 'EBUSY');
      } finally {
        device.close();
      }
      await recovered(t, node);
      await asNew(t);
    },
    SLOW,
  );
}
