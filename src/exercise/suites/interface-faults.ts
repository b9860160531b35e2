/** Answers of the interface that only a fault or a reset brings about. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import { DRM_IOCTL_HL_INFO, type InfoName, infoOperations } from '../../uapi/habanalabs/info.ts';
import type { Declare } from '../suite.ts';
import { FAULT, told } from './events-lib.ts';
import { assertErrno, call, KiB } from './lib.ts';
import {
  asNew,
  control,
  KILLING,
  LATE_EVENT,
  REQUESTED,
  recovered,
  resets,
  SLOW,
  writeHardReset,
} from './reset-lib.ts';
import { beginWaitAny, blocked, errnoOf, held, letGo, thread } from './threads-lib.ts';

const NOWHERE = 0x1000n;
const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';

export function faults(test: Declare): void {
  test(
    'records of a fault that cannot be written are refused',
    async (t) => {
      t.expectMessages(/page fault/, /RAZWI/, /H\/W interrupt/, /DMA\d?_?(CORE|QM)/i, /MMU/, KILLING, LATE_EVENT);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        const events = device.notifyEvents();
        // others stay mapped beside it, so that the fault is found at the last level
        device.allocHost(4 * KiB);
        const gone = device.allocHost(64 * KiB);
        const from = gone.deviceAddress;
        device.allocHost(4 * KiB);
        gone[Symbol.dispose]();
        const to = device.sram.allocate(4 * KiB);
        device.submit({ queue: DOWN, stream: new CommandStream().dma(to, from, 4 * KiB) });
        await told(t, events, FAULT);
        const ask = (name: InfoName) => () =>
          call(device, DRM_IOCTL_HL_INFO, {
            return_pointer: NOWHERE,
            return_size: 64 * KiB,
            op: infoOperations[name].value,
          });
        for (const name of ['HL_INFO_RAZWI_EVENT', 'HL_INFO_PAGE_FAULT_EVENT', 'HL_INFO_USER_MAPPINGS'] as const)
          assertErrno('EFAULT', ask(name));
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'who waits for several learns that one took longer than its limit',
    async (t) => {
      t.expectMessages(
        /Command submission \d+ has not finished in \d+ seconds!/,
        KILLING,
        /CS \d+ has timed-out/,
        /wait_for_fence error/,
        /multi-CS completion context \d+ still waiting/,
      );
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        // its limit begins when the work before it has ended, so that the thread waits by then
        const gate = held(device, DOWN);
        const work = device.submit({ queue: DOWN, stream: new CommandStream().fence(1) }, { timeout: 1 });
        const { call: waiting, answer } = beginWaitAny(t, thread(t), device, [work]);
        await blocked(t, waiting);
        await letGo(t, device, DOWN, UP);
        await device.wait(gate, { signal: t.signal });
        assert.equal(await errnoOf(answer()), 'ETIMEDOUT');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'units cannot be touched during a reset',
    async (t) => {
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      writeHardReset(t, '1');
      try {
        assertErrno('EBUSY', () => device.debug('HL_DEBUG_OP_SET_MODE', { enable: 1 }));
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}
