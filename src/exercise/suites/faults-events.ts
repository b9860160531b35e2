/** What the card tells of by itself: memories, clocks, bridges, the firmware. */

import assert from 'node:assert/strict';
import { events } from '../../../specs/gaudi/events.ts';
import type { Device } from '../../runtime/device.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../uapi/habanalabs/info.ts';
import { hl_info_fw_err_type } from '../../uapi/habanalabs/info-results.ts';
import type { Declare, TestContext } from '../suite.ts';
import { EVENT, told } from './events-lib.ts';
import { happened, INTERRUPT, logged, RESETTING, withFaults } from './faults-lib.ts';
import { assertErrno, call, KiB } from './lib.ts';
import { asNew, control, recovered, resets, SLOW, untouched } from './reset-lib.ts';
import { beginWait, blocked, errnoOf, held, thread } from './threads-lib.ts';

const HARDWARE = EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR;
const CRITICAL = HARDWARE | EVENT.HL_NOTIFIER_EVENT_CRITICL_HW_ERR | EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
const USER = EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR;
const RESET = EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;

interface Case {
  readonly fault: string;
  /** All that programs are told. */
  readonly tells: number;
  /** What the driver says of it. */
  readonly says: readonly RegExp[];
}

/** After these the card works on. */
const harmless: readonly Case[] = [
  {
    fault: 'ecc-single:SRAM3',
    tells: HARDWARE,
    says: [/SRAM3_SERR/, /ECC error detected. address: 0x1234. Syndrom: 0x5a/],
  },
  {
    fault: 'ecc-single:TPC4',
    tells: HARDWARE,
    says: [/TPC4_SERR/, /ECC error detected. address: 0x1234. Syndrom: 0x5a. block id 7/],
  },
  { fault: 'ecc-single:DMA1', tells: HARDWARE, says: [/DMA1_SERR_ECC/, /ECC error detected/] },
  {
    fault: 'ecc-single:MME2_ACC',
    tells: HARDWARE,
    says: [/MME2_ACC_SERR/, /ECC error detected. address: 0x1234. Syndrom: 0x5a. block id 7/],
  },
  {
    fault: 'hbm-error:single.2.9',
    tells: HARDWARE,
    says: [/HBM2_SPI_1/, /HBM2 pc9 interrupts info: .*SERR=1, DERR=0/, /SEC_CNT=1/],
  },
  { fault: 'axi-error:PCIE_DEC', tells: HARDWARE, says: [/PCIE_DEC/] },
  { fault: 'axi-error:CPU_AXI_SPLITTER', tells: HARDWARE, says: [/CPU_AXI_SPLITTER/] },
  { fault: 'axi-error:PSOC_AXI_DEC', tells: HARDWARE, says: [/PSOC_AXI_DEC/] },
  { fault: 'axi-error:MME0_WBC_RSP', tells: USER | RESET, says: [/MME0_WBC_RSP/] },
  { fault: 'axi-error:MMU_WR_PERM', tells: USER, says: [/MMU_WR_PERM/] },
  {
    fault: 'axi-error:TPC3_DEC',
    tells: USER | RESET | EVENT.HL_NOTIFIER_EVENT_TPC_ASSERT,
    says: [/TPC3_DEC/],
  },
  { fault: 'sync-manager-error:W_N.response.3', tells: USER, says: [/W_N SEI Error: AXI ID 3 response error/] },
  { fault: 'sync-manager-error:E_S.unaligned.18', tells: USER, says: [/E_S SEI Error: Unaligned 4B LBW access/] },
  { fault: 'sync-manager-error:W_S.overflow.5', tells: USER, says: [/W_S SEI Error: SOB Group 5 overflow/] },
  { fault: 'nic-error:2.TXE', tells: USER, says: [/NIC2_TXE0/] },
  { fault: 'overheating:7', tells: USER, says: [/high temp H\/W interrupt \d+ \(cause 7\)/] },
  { fault: 'event:TPC1_BMON_SPMU', tells: USER, says: [/TPC1_BMON_SPMU/] },
];

/** After these the card is reset. */
const fatal: readonly Case[] = [
  { fault: 'ecc-double:SRAM5', tells: CRITICAL, says: [/SRAM5_DERR/, /ECC error detected. address: 0x1234/] },
  { fault: 'ecc-double:TPC2', tells: CRITICAL, says: [/TPC2_DERR/, /ECC error detected. .*block id 7/] },
  {
    fault: 'hbm-error:double.1.3',
    tells: CRITICAL,
    says: [/HBM1_SPI_0/, /HBM1 pc3 interrupts info: .*SERR=0, DERR=1/],
  },
  { fault: 'hbm-error:read-parity', tells: CRITICAL, says: [/HBM0 pc5 interrupts info: WR_PAR=0, RD_PAR=1/] },
  { fault: 'pll-unlocked:9', tells: CRITICAL, says: [/PLL9/] },
  { fault: 'axi-error:AXI_ECC', tells: CRITICAL, says: [/AXI_ECC/] },
  { fault: 'axi-error:RAZWI_OR_ADC_SW', tells: USER | RESET, says: [/RAZWI_OR_ADC_SW/] },
  { fault: 'reset-request', tells: CRITICAL, says: [/DEV_RESET_REQ/] },
  {
    fault: 'queue-out-of-sync',
    tells: CRITICAL,
    says: [/PKT_QUEUE_OUT_SYNC/, /Out of sync with FW, FW: pi=17, ci=16/],
  },
  {
    fault: 'firmware-report:critical',
    tells: EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR | RESET,
    says: [/FW_ALIVE_S/, /FW alive report: severity=Critical, process_id=4321, thread_id=4322, uptime=3600 seconds/],
  },
];

export function eventFaults(test: Declare): void {
  // in turns: while a card is reset the driver may say again what the kernel holds back where it is said too often
  const twoEach = Array.from({ length: Math.ceil(harmless.length / 2) }, (_, i) => harmless.slice(2 * i, 2 * i + 2));
  for (let i = 0; i < Math.max(twoEach.length, fatal.length); i++) {
    for (const one of twoEach[i] ?? []) harmlessTest(test, one);
    const one = fatal[i];
    if (one) fatalTest(test, one);
  }

  test('ecc-single of two parts of a memory, one after the other: each is told of as itself', (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(INTERRUPT);
      const device = t.open(0);
      const events = device.notifyEvents();
      // the second only if the first has been cleared: the driver looks for the lowest
      for (const part of [3, 40, 3]) {
        const fault = `ecc-single:TPC6.${part}`;
        await faults.inject(fault);
        await happened(t, faults, fault);
        await told(t, events, HARDWARE);
        await logged(t, new RegExp(`address: 0x1234. Syndrom: 0x5a. block id ${part}$`));
      }
    }));

  test(
    'of two reports of the firmware the first is on record',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, ...RESETTING);
        const node = control(t);
        const before = resets(node);
        const device = t.open(0);
        try {
          const events = device.notifyEvents();
          const records = [];
          for (const severity of ['minor', 'critical']) {
            await faults.inject(`firmware-report:${severity}`);
            await told(t, events, EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR | RESET);
            await logged(t, new RegExp(`severity=${severity}`, 'i'));
            records.push(device.info.firmwareError());
          }
          assert.ok(records[0]);
          assert.deepEqual(records[1], records[0]);
        } finally {
          device.close();
        }
        assert.equal(await recovered(t, node, before), before + 1);
        await asNew(t);
      }),
    SLOW,
  );

  test(
    'what resets a card that nobody uses does so once',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(INTERRUPT, ...RESETTING, /ECC error detected/);
        const node = control(t);
        const before = resets(node);
        const { id } = events.find(({ name }) => name === 'SRAM1_DERR') as (typeof events)[number];
        const counts = () => [node.info.hwEvents()[id] ?? 0, node.info.hwEventsAggregate()[id] ?? 0] as const;
        const [, all] = counts();
        await faults.inject('ecc-double:SRAM1');
        assert.equal(await recovered(t, node, before), before + 1);
        assert.deepEqual(counts(), [0, all + 1], 'events since the reset, and since the driver is there');
        await asNew(t);
      }),
    SLOW,
  );

  test('the clock is slowed for power and for heat, and driver and programs know it while it lasts', (t) =>
    withFaults(t, async (faults) => {
      const device = t.open(0);
      const events = device.notifyEvents();
      for (const [fault, reason, says] of [
        ['power-throttling:2s', 1, /Clock throttling due to power consumption/],
        ['thermal-throttling:2s', 2, /Clock throttling due to overheating/],
      ] as const) {
        assert.equal(device.info.throttle().clk_throttling_reason, 0);
        await faults.inject(fault);
        await logged(t, says);
        assert.equal(device.info.throttle().clk_throttling_reason, reason);
        await logged(t, /envelop is safe, back to optimal clock/);
        const after = device.info.throttle();
        assert.equal(after.clk_throttling_reason, 0);
        t.target.driver.sleep(1_000_000);
        assert.deepEqual(device.info.throttle(), after, 'what is over has ended');
      }
      assert.equal(await told(t, events, USER), USER, 'of heat, not of power');
    }));
}

function harmlessTest(test: Declare, { fault, tells, says }: Case): void {
  test(`${fault}: is told of, and the card works on`, (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(INTERRUPT, ...says);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      // twice: the driver has let the firmware tell of it again
      for (let i = 0; i < 2; i++) {
        await faults.inject(fault);
        await happened(t, faults, fault);
        assert.equal(await told(t, events, tells), tells);
        await logged(t, ...says);
      }
      device.close();
      await untouched(t, node, before);
    }));
}

function fatalTest(test: Declare, { fault, tells, says }: Case): void {
  test(
    `${fault}: is told of, ends all waits, and the card is reset`,
    (t) => withFaults(t, (faults) => resetBy(t, { fault, tells, says }, () => faults.inject(fault))),
    SLOW,
  );
}

/** A record is given whole or not at all. */
function tooLittleRoom(t: TestContext, device: Device, name: 'HL_INFO_HW_ERR_EVENT' | 'HL_INFO_FW_ERR_EVENT'): void {
  const { value: op, answer } = infoOperations[name];
  const memory = t.target.driver.allocate(4 * KiB);
  try {
    const asked = { return_pointer: memory.address, return_size: answer.size - 1, op };
    assertErrno('ENOMEM', () => call(device, DRM_IOCTL_HL_INFO, asked));
    assert.ok(memory.bytes.every((byte) => byte === 0));
  } finally {
    memory.unmap();
  }
}

/** A fault that makes the driver reset the card: a program that listens is told, its wait ends, and it gives the card back. */
async function resetBy(t: TestContext, { tells, says }: Case, bring: () => Promise<void>): Promise<void> {
  t.expectMessages(INTERRUPT, ...RESETTING, ...says);
  const node = control(t);
  const before = resets(node);
  const device = t.open(0);
  try {
    const events = device.notifyEvents();
    const { call, answer } = beginWait(t, thread(t), device, held(device));
    await blocked(t, call);
    await bring();
    assert.equal(await told(t, events, tells), tells);
    await logged(t, ...says);
    assert.equal(await errnoOf(answer()), 'EIO');
    if ((tells & EVENT.HL_NOTIFIER_EVENT_CRITICL_HW_ERR) !== 0) {
      assert.ok(device.info.hardwareError());
      tooLittleRoom(t, device, 'HL_INFO_HW_ERR_EVENT');
    }
    if ((tells & EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR) !== 0) {
      assert.equal(device.info.firmwareError()?.err_type, hl_info_fw_err_type.HL_INFO_FW_REPORTED_ERR.value);
      tooLittleRoom(t, device, 'HL_INFO_FW_ERR_EVENT');
    }
  } finally {
    device.close();
  }
  assert.equal(await recovered(t, node, before), before + 1);
  await asNew(t);
}
