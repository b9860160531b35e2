/** What root says in debugfs of errors of queues and engines. */

import assert from 'node:assert/strict';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { blocks, instances } from '../../../specs/gaudi/blocks.ts';
import { dmaCore } from '../../../specs/gaudi/registers/dma-core.ts';
import { qmanRegisters } from '../../../specs/gaudi/registers/qman.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import type { Declare, TestContext } from '../suite.ts';
import { debugText, setDebug, writeDebug } from './debugfs-lib.ts';
import { counted } from './events-lib.ts';
import { RESETTING } from './faults-lib.ts';
import { assertErrno, run } from './lib.ts';
import { overflow } from './queues-errors.ts';
import { asNew, control, recovered, resets, SLOW } from './reset-lib.ts';

const bases = new Map(blocks.flatMap(instances).map(({ name, base }) => [name, base]));
/** Registers, and what the driver writes there when errors are only told of, and when they stop what is theirs (gaudi_masks.h). */
const REGISTERS = [
  { block: 'DMA0_QM', offset: qmanRegisters.rows.GLBL_ERR_CFG.offset, tells: 0x1eff, stops: 0x9eff_1eff },
  { block: 'DMA5_QM', offset: qmanRegisters.rows.GLBL_ERR_CFG.offset, tells: 0x3fff, stops: 0xbfff_3fff },
  { block: 'MME2_QM', offset: qmanRegisters.rows.GLBL_ERR_CFG.offset, tells: 0x3fff, stops: 0xbfff_3fff },
  { block: 'TPC7_QM', offset: qmanRegisters.rows.GLBL_ERR_CFG.offset, tells: 0x3fff, stops: 0xbfff_3fff },
  { block: 'DMA3_CORE', offset: dmaCore.rows.ERR_CFG.offset, tells: 1, stops: 3 },
] as const;

/** Reads of each register what the driver has written. */
function configured(t: TestContext): number[] {
  using _ = setDebug(t, 'addr', '0');
  return REGISTERS.map(({ block, offset }) => {
    writeDebug(t, 'addr', `0x${(addressMap.CFG_BASE + (bases.get(block) as number) + offset).toString(16)}`);
    return Number(debugText(t, 'data32'));
  });
}

export function debugErrors(test: Declare): void {
  test(
    'queues and engines stop at errors, or go on, as root says: that resets the card',
    async (t) => {
      t.expectMessages(/H\/W interrupt/, /err cause: FENCE 3 inc over max/, ...RESETTING);
      const node = control(t);
      const before = resets(node);
      for (const text of ['x', '-1', '0x1', '', '4294967296'])
        assertErrno(text === '4294967296' ? 'ERANGE' : 'EINVAL', () => writeDebug(t, 'stop_on_err', text));
      assert.equal(resets(node), before, 'what is no number resets nothing');
      const stops = REGISTERS.map((row) => row.stops);
      assert.deepEqual(configured(t), stops);
      try {
        writeDebug(t, 'stop_on_err', '0');
        assert.equal(await recovered(t, node, before), before + 1);
        assert.equal(debugText(t, 'stop_on_err'), '0\n\0');
        assert.deepEqual(
          configured(t),
          REGISTERS.map((row) => row.tells),
        );
        const device = t.open(0);
        const counts = device.info.hwEventsAggregate();
        // the counter is full: whatever is added is an error. The driver clears what it is told of, so that it is told again
        const further = new CommandStream().write(fenceAddress('TPC_1_3', 3), 1);
        for (const [i, packets] of [overflow('TPC_1_3'), further, further].entries()) {
          await run(t, 'DMA_0_0', packets, device);
          assert.equal(await counted(t, device, 'TPC1_QM', counts, i + 1), i + 1);
        }
        device.close();
        assert.equal(resets(node), before + 1, 'nothing has stopped');
      } finally {
        const soFar = resets(node);
        writeDebug(t, 'stop_on_err', '7');
        await recovered(t, node, soFar);
      }
      assert.equal(debugText(t, 'stop_on_err'), '1\n\0');
      assert.deepEqual(configured(t), stops);
      await asNew(t);
    },
    SLOW,
  );

  test('a card that root has put out of order is not reset by what it is to do at errors', (t) => {
    const node = control(t);
    const before = resets(node);
    t.use({ [Symbol.dispose]: () => writeDebug(t, 'device', 'enable') });
    writeDebug(t, 'device', 'disable');
    writeDebug(t, 'stop_on_err', '1');
    assert.equal(node.info.status(), 'MALFUNCTION');
    writeDebug(t, 'device', 'enable');
    assert.equal(node.info.status(), 'OPERATIONAL');
    assert.equal(resets(node), before);
  });
}
