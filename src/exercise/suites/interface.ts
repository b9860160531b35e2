/** What is asked of the rows of the interface one by one: each question, each flag, each limit that no other suite has a use for. */

import assert from 'node:assert/strict';
import { type Mapping, SystemError } from '../../driver/driver.ts';
import type { ControlDevice, Device } from '../../runtime/device.ts';
import { Importer } from '../../runtime/peer.ts';
import { DRM_IOCTL_HL_INFO, type InfoName, type InfoOperation, infoOperations } from '../../uapi/habanalabs/info.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { calls } from './interface-calls.ts';
import { faults } from './interface-faults.ts';
import { duringResets } from './interface-resets.ts';
import { assertErrno, call, KiB, MiB } from './lib.ts';
import { control } from './reset-lib.ts';

const NOWHERE = 0x1000n;
/** What is in memory that nobody is to write. */
const UNTOUCHED = 0xa5;
const rows: Readonly<Record<InfoName, InfoOperation>> = infoOperations;
const names = Object.keys(rows) as InfoName[];

/** Records that are not written while there is none. */
const recorded: readonly InfoName[] = [
  'HL_INFO_RAZWI_EVENT',
  'HL_INFO_PAGE_FAULT_EVENT',
  'HL_INFO_USER_MAPPINGS',
  'HL_INFO_HW_ERR_EVENT',
  'HL_INFO_FW_ERR_EVENT',
  'HL_INFO_USER_ENGINE_ERR_EVENT',
];
/** Questions that are answered without being refused, and have an answer. */
const answered = names.filter((name) => rows[name].refused === undefined && rows[name].nodes === 'both');

/** Any question with any pointer. @throws SystemError */
function ask(node: Device | ControlDevice, driver: TestContext['target']['driver'], name: InfoName, place: Room): void {
  const { return_pointer, return_size, ...more } = place;
  const value = { return_pointer, return_size, op: rows[name].value, ...more };
  driver.ioctl(node.fd, DRM_IOCTL_HL_INFO.request, DRM_IOCTL_HL_INFO.argument.encode(value));
}

interface Room {
  readonly return_pointer: bigint;
  readonly return_size: number;
  readonly pll_index?: number;
  readonly fw_sub_opcode?: number;
}

function memory(t: TestContext, size: number): Mapping {
  const mapping = t.target.driver.allocate(size);
  t.use({ [Symbol.dispose]: () => mapping.unmap() });
  return mapping;
}

function questions(test: Declare): void {
  test('both nodes answer every question, in full and cut to the smallest room', (t) => {
    const { address } = memory(t, 64 * KiB);
    for (const node of [t.device, control(t)])
      for (const name of answered) {
        const { answer, limits } = rows[name];
        const whole = answer?.size ?? 64 * KiB;
        ask(node, t.target.driver, name, { return_pointer: address, return_size: whole });
        const least = limits?.return_size?.least;
        if (least !== undefined && rows[name].beyond?.['return_size smallest'] === undefined)
          ask(node, t.target.driver, name, { return_pointer: address, return_size: least });
      }
  });

  test('no answer is longer than its room, nor than itself', (t) => {
    t.expectMessages(/Engines data size .* is bigger than allocated size/);
    const { address, bytes } = memory(t, 64 * KiB);
    const driver = t.target.driver;
    for (const node of [t.device, control(t)])
      for (const name of answered) {
        const { answer, limits } = rows[name];
        const whole = answer?.size ?? KiB;
        const rooms = [
          1,
          limits?.return_size?.least ?? 1,
          whole >> 1,
          whole - 1,
          whole,
          ...(answer ? [whole + 64] : []),
        ];
        for (const room of rooms.filter((size) => size > 0)) {
          bytes.fill(UNTOUCHED, 0, room + 4 * KiB);
          try {
            ask(node, driver, name, { return_pointer: address, return_size: room });
          } catch (error) {
            if (!(error instanceof SystemError) || !['EINVAL', 'ENOMEM'].includes(error.code)) throw error;
          }
          const end = Math.min(room, answer?.size ?? room);
          const written = bytes.subarray(end, room + 4 * KiB).findIndex((byte) => byte !== UNTOUCHED);
          assert.equal(written, -1, `${name} with a room of ${room} bytes has written to byte ${end + written}`);
        }
      }
  });

  test('an answer that cannot be written is refused, whatever is asked', (t) => {
    for (const node of [t.device, control(t)])
      for (const name of answered.filter((each) => !recorded.includes(each))) {
        const return_size = rows[name].answer?.size ?? 64 * KiB;
        assertErrno('EFAULT', () => ask(node, t.target.driver, name, { return_pointer: NOWHERE, return_size }));
      }
  });

  test('the state of all engines fits into the largest room, and not into the smallest', (t) => {
    t.expectMessages(/Engines data size .* is bigger than allocated size/);
    const { address } = memory(t, MiB);
    const name = 'HL_INFO_ENGINE_STATUS';
    ask(t.device, t.target.driver, name, { return_pointer: address, return_size: MiB });
    assertErrno('ENOMEM', () => ask(t.device, t.target.driver, name, { return_pointer: address, return_size: KiB }));
  });

  test('this card’s firmware does not attest, and says so', (t) => {
    t.expectMessages(/attest|Failed|signed|device CPU packet|cpucp/i);
    const { address } = memory(t, 64 * KiB);
    for (const node of [t.device, control(t)])
      for (const name of ['HL_INFO_SECURED_ATTESTATION', 'HL_INFO_DEV_SIGNED'] as const) {
        const return_size = rows[name].answer?.size ?? 0;
        assertErrno('EIO', () => ask(node, t.target.driver, name, { return_pointer: address, return_size }));
      }
  });

  test('the firmware is asked for its versions in rooms of a byte to a mebibyte', (t) => {
    t.expectMessages(/device CPU packet|generic|cpucp|FW/i);
    const { address } = memory(t, MiB);
    const name = 'HL_INFO_FW_GENERIC_REQ';
    for (const return_size of [1, 4 * KiB, MiB])
      ask(t.device, t.target.driver, name, { return_pointer: address, return_size });
    assertErrno('ENOMEM', () => ask(t.device, t.target.driver, name, { return_pointer: address, return_size: 0 }));
  });

  test('no memory has been repaired', ({ device }) => {
    assert.equal(device.info.dramPendingRows(), 0);
    const { row_addr, replaced_row_cause } = device.info.dramReplacedRow();
    assert.deepEqual([row_addr, replaced_row_cause], [0, 0]);
  });

  test('a user sees itself in the open statistics', ({ device }) => {
    const { open_counter, is_compute_ctx_active } = device.info.openStats();
    assert.ok(open_counter > 0n);
    assert.equal(is_compute_ctx_active, 1);
  });

  test('the driver counts more DCOREs than this chip has', ({ device }) => {
    for (const dcore_id of [3, 4, 7]) device.info.raw('HL_INFO_SYNC_MANAGER', 12, { dcore_id });
    for (const dcore_id of [8, 0xffff_ffff])
      assertErrno('EINVAL', () =>
        call(device, DRM_IOCTL_HL_INFO, {
          return_pointer: NOWHERE,
          return_size: 12,
          op: infoOperations.HL_INFO_SYNC_MANAGER.value,
          dcore_id,
        }),
      );
  });

  test(
    'the importer tells what the kernel can do',
    (t) => {
      using importer = new Importer(t.target.driver);
      assert.equal(typeof importer.features().peerToPeer, 'boolean');
    },
    { needs: 'importer' },
  );
}

export const interfaces = suite('interface', 'Questions, flags and limits, one by one.', (test) => {
  questions(test);
  calls(test);
  faults(test);
  duringResets(test);
});
