import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commands, STATUS, UNADVERTISED } from '../../specs/efa/admin.ts';
import { crc16 } from '../../src/efa/crc16.ts';
import { Driver, Host, Process } from './host.ts';

function started(options = {}): Driver {
  return new Driver(new Host(), options).start();
}

describe('registers', () => {
  it('a register that does not exist reads as ones', () => {
    assert.equal(started().read(0x500), 0xffff_ffff);
  });

  it('after a reset nobody answers until the address of answers is written again', () => {
    const driver = started();
    driver.write('DEV_CTL', 1);
    assert.equal(driver.read(0x58), undefined);
  });

  it('reset forgets every object and tells its reason', () => {
    const driver = started();
    new Process(driver).handle(driver.nic.address);
    assert.equal(driver.nic.objects().qps, 1);
    driver.write('DEV_CTL', 0x6000_0001);
    assert.deepEqual(Object.values(driver.nic.objects()), [0, 0, 0, 0, 0, 0, 0]);
    assert.equal(driver.nic.resetReason(), 6);
  });

  it('tells the version of the protocol that was asked for', () => {
    for (const apiVersion of [1, 2, 3] as const) assert.equal(started({ apiVersion }).read(0), apiVersion);
  });

  it('a function that is not bus master answers no register read', () => {
    const driver = started();
    driver.nic.config.write(4, Uint8Array.of(2, 0));
    assert.equal(driver.read(0), undefined);
  });
});

describe('admin queue', () => {
  it('the checksum is the one of the driver', () => {
    // CRC-16 with polynomial 0x8005 reflected, initial and final 0xffff, is CRC-16/USB: its check value.
    assert.equal(crc16(new TextEncoder().encode('123456789')), 0xb4c8);
  });

  for (const apiVersion of [1, 2, 3] as const) {
    describe(`version 0.${apiVersion}`, () => {
      it('refuses opcodes that do not exist, and those that are not offered', () => {
        const driver = started({ apiVersion });
        for (const opcode of [0, 22, 30, 255]) {
          assert.equal(driver.raw(opcode, new Uint8Array(60)).status, STATUS.BAD_OPCODE);
        }
        for (const opcode of Object.values(UNADVERTISED)) {
          assert.equal(driver.raw(opcode, new Uint8Array(60)).status, STATUS.UNSUPPORTED_OPCODE);
        }
      });

      it('refuses a command of the wrong phase, and goes on', () => {
        const driver = started({ apiVersion });
        const spoil = (entry: Uint8Array) => {
          entry[3] = 0;
        };
        assert.equal(driver.raw(14, new Uint8Array(60), 0, spoil).status, STATUS.MALFORMED_REQUEST);
        assert.equal(driver.try('ALLOC_PD').status, STATUS.SUCCESS);
      });

      it('refuses every command with a reserved bit', () => {
        const driver = started({ apiVersion });
        for (const [name, row] of Object.entries(commands)) {
          for (let byte = 0; byte < row.request.size; byte++) {
            const payload = new Uint8Array(60);
            payload[byte] = 0xff;
            if (!row.request.reservedBits(payload)) continue;
            assert.equal(driver.raw(row.opcode, payload).status, STATUS.MALFORMED_REQUEST, `${name} byte ${byte}`);
          }
        }
      });

      it('answers more commands than the rings have entries, in order, several at a time', () => {
        const driver = started({ apiVersion });
        for (let round = 0; round < 10; round++) {
          const ids = Array.from({ length: 20 }, () => driver.put(14, new Uint8Array(60)));
          driver.ring();
          driver.host.run(0);
          for (const id of ids) assert.equal(driver.take()?.command, id);
          assert.equal(driver.take(), undefined);
        }
        assert.equal(driver.nic.objects().pds, 200);
      });
    });
  }

  it('refuses a command whose checksum is wrong', () => {
    const driver = started();
    const id = driver.put(14, new Uint8Array(60));
    // The entry is the first: the payload is changed after the checksum was made.
    const entry = [...Array(driver.host.bytes.length / 4096).keys()]
      .map((page) => page * 4096)
      .find((at) => {
        const bytes = driver.host.view(at, 4);
        return (
          bytes[2] === 14 && (bytes[3] as number) === 1 && ((bytes[0] as number) | ((bytes[1] as number) << 8)) === id
        );
      }) as number;
    driver.host.bytes[entry + 100] = 1;
    driver.ring();
    driver.host.run(0);
    assert.equal(driver.take()?.status, STATUS.MALFORMED_REQUEST);
  });

  it('a doorbell beyond the ring does nothing and is recorded', () => {
    const driver = started();
    driver.write('AQ_PROD_DB', 33);
    driver.host.run(0);
    assert.equal(driver.take(), undefined);
    assert.equal(driver.nic.errors.entries().length, 1);
    assert.equal(driver.try('ALLOC_PD').status, STATUS.SUCCESS);
  });

  it('a ring that cannot be reached is a fatal error that a reset ends', () => {
    const driver = started();
    driver.write64('AQ_BASE_LO', 0x7fff_0000_0000);
    driver.write('AQ_CAPS', (128 << 16) | 32);
    driver.write('AQ_PROD_DB', 1);
    driver.host.run(0);
    assert.equal(driver.status & 0x20, 0x20);
    driver.start();
    assert.equal(driver.status & 0x20, 0);
    assert.equal(driver.try('ALLOC_PD').status, STATUS.SUCCESS);
  });

  it('a restart begins both rings anew and keeps the objects', () => {
    const driver = started();
    driver.do('ALLOC_PD');
    driver.write('DEV_CTL', 2);
    assert.equal(driver.status & 6, 2);
    driver.write('DEV_CTL', 0);
    assert.equal(driver.status & 6, 4);
    assert.equal(driver.nic.objects().pds, 1);
  });

  it('raises its vector for each answer, unless masked', () => {
    const driver = started();
    driver.do('ALLOC_PD');
    assert.deepEqual(driver.interrupts, [0]);
    driver.write('INTR_MASK', 1);
    driver.do('ALLOC_PD');
    assert.deepEqual(driver.interrupts, [0]);
  });

  it('works where host memory is reached by messages only', () => {
    const driver = new Driver(new Host(0x100_0000, false)).start();
    assert.equal(driver.try('ALLOC_PD').status, STATUS.SUCCESS);
  });
});

describe('commands', () => {
  it('names of objects that do not exist are illegal in every command', () => {
    const driver = started();
    const cases = [
      driver.try('DESTROY_QP', { qp_handle: 5 }),
      driver.try('QUERY_QP', { qp_handle: 0xffff_ffff }),
      driver.try('MODIFY_QP', { qp_handle: 0x1_0000 }),
      driver.try('CREATE_AH', { pd: 9 }),
      driver.try('DESTROY_AH', { ah: 0xffff }),
      driver.try('DEREG_MR', { l_key: 0 }),
      driver.try('DESTROY_CQ', { cq_idx: 0xffff }),
      driver.try('DESTROY_EQ', { eqn: 0 }),
      driver.try('DEALLOC_PD', { pd: 1 }),
      driver.try('DEALLOC_UAR', { uar: 77 }),
      driver.try('GET_FEATURE', { feature_id: 63 }),
      driver.try('SET_FEATURE', { feature_id: 1 }),
      driver.try('SET_FEATURE', { feature_id: 6 }),
      driver.try('GET_STATS', { type: 5 }),
      driver.try('GET_STATS', { scope: 1 }),
    ];
    for (const { status } of cases) assert.equal(status, STATUS.ILLEGAL_PARAMETER);
  });

  it('what is in use is not taken back, and a number is not given again at once', () => {
    const driver = started();
    const process = new Process(driver);
    const busy = [
      driver.try('DEALLOC_PD', { pd: process.pd }),
      driver.try('DEALLOC_UAR', { uar: process.uar }),
      driver.try('DESTROY_CQ', { cq_idx: process.cq.index }),
    ];
    for (const { status } of busy) assert.equal(status, STATUS.RESOURCE_BUSY);
    process.destroy();
    driver.do('DEALLOC_PD', { pd: process.pd });
    assert.equal(driver.try('DESTROY_QP', { qp_handle: process.qp }).status, STATUS.ILLEGAL_PARAMETER);
    assert.deepEqual(Object.values(driver.nic.objects()), [0, 0, 0, 0, 0, 0, 0]);
    assert.notEqual(driver.do('ALLOC_PD').pd, process.pd);
  });

  it('all of a kind being taken is a failed allocation, and freeing one helps', () => {
    const driver = started({ limits: { maxPd: 3 } });
    const pds = [1, 2, 3].map(() => driver.do('ALLOC_PD').pd);
    assert.equal(driver.try('ALLOC_PD').status, STATUS.RESOURCE_ALLOCATION_FAILURE);
    driver.do('DEALLOC_PD', { pd: pds[1] as number });
    assert.equal(driver.try('ALLOC_PD').status, STATUS.SUCCESS);
  });

  it('tells attributes that the driver can work with', () => {
    const driver = started();
    const device = driver.feature('DEVICE_ATTR', 1);
    assert.equal(device.supported_features & 0x3c, 0x3c);
    assert.equal(device.db_bar, 4);
    const queues = driver.feature('QUEUE_ATTR_1', 4);
    assert.ok(queues.max_llq_size >= queues.max_sq_depth * 64);
    assert.equal(driver.feature('EVENT_QUEUE_ATTR', 7).event_bitmask, 1);
    assert.equal(driver.feature('AENQ_CONFIG', 2).supported_groups, 0x1e);
    const network = driver.try('GET_FEATURE', { feature_id: 3 });
    assert.deepEqual(network.data.slice(0, 16), driver.nic.address);
  });

  it('tells all five kinds of counters, zero at first', () => {
    const driver = started();
    for (let type = 0; type < 5; type++) {
      for (const [name, value] of Object.entries(driver.counters(type))) assert.equal(value, 0, name);
    }
  });

  it('takes what the driver says about its host', () => {
    const driver = started();
    const at = driver.host.allocate(4096);
    driver.host.view(at, 180).set(new TextEncoder().encode('Linux'), 132);
    const set = (length: number, address: number) =>
      driver.try('SET_FEATURE', { feature_id: 6, buffer_length: length, buffer_lo: address }, undefined, 2).status;
    assert.equal(set(179, at), STATUS.ILLEGAL_PARAMETER);
    assert.equal(set(180, 0xf000_0000), STATUS.ILLEGAL_PARAMETER);
    assert.equal(set(180, at), STATUS.SUCCESS);
    assert.equal(driver.nic.host()?.kernel, 'Linux');
  });

  it('queue pairs: sizes, types and states that there are not are illegal', () => {
    const driver = started();
    const { pd, uar, cq, qp } = new Process(driver);
    const good = {
      pd,
      uar,
      qp_type: 2,
      send_cq_idx: cq.index,
      recv_cq_idx: cq.index,
      sq_depth: 16,
      sq_ring_size: 1024,
      rq_ring_size: 256,
      rq_base_addr: 0x1000,
    };
    const bad = [
      { qp_type: 0 },
      { qp_type: 3 },
      { send_cq_idx: 0x10000 },
      { sq_depth: 15 },
      { sq_ring_size: 1000 },
      { sq_ring_size: 0 },
      { sq_depth: 0 },
      { sq_depth: 8192, sq_ring_size: 8192 * 64 },
      { rq_ring_size: 24 },
      { rq_ring_size: 0x10_0000 },
      { rq_base_addr: 0x1001 },
      { rq_base_addr: 2 ** 60 },
      { rq_virt: 1, rq_l_key: 0x123 },
      { sq_virt: 1 },
      { sq_64_bit_req_id: 1 },
      { sl: 1 },
      { uar: 99 },
    ];
    for (const wrong of bad) {
      assert.equal(
        driver.try('CREATE_QP', { ...good, ...wrong }).status,
        STATUS.ILLEGAL_PARAMETER,
        JSON.stringify(wrong),
      );
    }
    assert.equal(driver.try('CREATE_QP', good).status, STATUS.SUCCESS);
    const modify = (v: object) => driver.try('MODIFY_QP', { qp_handle: qp, ...v }).status;
    assert.equal(modify({ mask_qp_state: 1, qp_state: 7 }), STATUS.ILLEGAL_PARAMETER);
    assert.equal(modify({ mask_cur_qp_state: 1, cur_qp_state: 6 }), STATUS.ILLEGAL_PARAMETER);
    assert.equal(modify({ mask_rnr_retry: 1, rnr_retry: 8 }), STATUS.ILLEGAL_PARAMETER);
    assert.equal(modify({ mask_qkey: 1, qkey: 7, mask_sq_psn: 1, sq_psn: 9 }), STATUS.SUCCESS);
    const state = driver.do('QUERY_QP', { qp_handle: qp });
    assert.deepEqual([state.qp_state, state.qkey, state.sq_psn], [3, 7, 9]);
  });

  it('memory for send queues runs out, and is zero when it is given again', () => {
    const driver = started();
    const { pd, uar, cq } = new Process(driver);
    const create = () =>
      driver.try('CREATE_QP', {
        pd,
        uar,
        qp_type: 2,
        send_cq_idx: cq.index,
        recv_cq_idx: cq.index,
        sq_depth: 4096,
        sq_ring_size: 4096 * 128,
      });
    const made: number[] = [];
    for (let answer = create(); ; answer = create()) {
      if (answer.status !== 0) {
        assert.equal(answer.status, STATUS.RESOURCE_ALLOCATION_FAILURE);
        break;
      }
      made.push(answer.values.qp_handle);
    }
    assert.equal(made.length, 31);
    driver.do('DESTROY_QP', { qp_handle: made[3] as number });
    assert.equal(create().status, STATUS.SUCCESS);
  });

  it('event and completion queues: what cannot be is illegal', () => {
    const driver = started();
    const { uar } = driver.do('ALLOC_UAR');
    const eq = { depth: 16, msix_vec: 1, entry_size_words: 4, completion_events: 1, ba_lo: 0x1000 };
    for (const wrong of [
      { depth: 0 },
      { depth: 3 },
      { depth: 0x8000 },
      { msix_vec: 0 },
      { msix_vec: 9 },
      { entry_size_words: 8 },
      { ba_lo: 8 },
      { completion_events: 0 },
      { ba_hi: 0x10_0000 },
    ]) {
      assert.equal(
        driver.try('CREATE_EQ', { ...eq, ...wrong }).status,
        STATUS.ILLEGAL_PARAMETER,
        JSON.stringify(wrong),
      );
    }
    const cq = { uar, sub_cq_depth: 64, entry_size_words: 8, num_sub_cqs: 1, ba_lo: 0x1000 };
    for (const wrong of [
      { uar: 9 },
      { sub_cq_depth: 0 },
      { sub_cq_depth: 63 },
      { entry_size_words: 5 },
      { entry_size_words: 4, set_src_addr: 1 },
      { sq_comp_64_bit_req_id: 1 },
      { num_sub_cqs: 2 },
      { num_sub_cqs: 0 },
      { interrupt_mode_enabled: 1, eqn: 3 },
      { ba_lo: 0x1004 },
      { ba_hi: 0x10_0000 },
      { virt: 1, l_key: 1 },
    ]) {
      assert.equal(
        driver.try('CREATE_CQ', { ...cq, ...wrong }).status,
        STATUS.ILLEGAL_PARAMETER,
        JSON.stringify(wrong),
      );
    }
  });
});

describe('notifications', () => {
  it('come only in groups that were enabled, with a phase that tells new ones', () => {
    const driver = started();
    driver.nic.notify('WARNING', 3);
    driver.host.run(0);
    assert.equal(driver.notification(0)[4], 0);
    assert.equal(
      driver.try('SET_FEATURE', { feature_id: 2, aenq_enabled_groups: 0x3f }).status,
      STATUS.ILLEGAL_PARAMETER,
    );
    driver.do('SET_FEATURE', { feature_id: 2, aenq_enabled_groups: 0x1e });
    for (let i = 0; i < 20; i++) {
      driver.nic.notify('WARNING', i);
      driver.host.run(0);
    }
    // Sixteen fit; four were lost, as nobody took any.
    assert.equal(driver.notification(15)[4], 1);
    assert.deepEqual([...driver.notification(0).subarray(0, 5)], [2, 0, 0, 0, 1]);
    driver.write('AENQ_CONS_DB', 16);
    driver.nic.notify('NOTIFICATION', 0x55, Uint8Array.of(1, 2, 3));
    driver.host.run(0);
    assert.deepEqual([...driver.notification(0).subarray(0, 5)], [3, 0, 0x55, 0, 0]);
    assert.deepEqual([...driver.notification(0).subarray(16, 19)], [1, 2, 3]);
  });

  it('keep-alives come by themselves where they were asked for', () => {
    const driver = started({ keepAlive: 1_000_000 });
    driver.do('SET_FEATURE', { feature_id: 2, aenq_enabled_groups: 0x10 });
    driver.host.run(3_500_000);
    assert.equal(driver.notification(2)[0], 4);
  });
});
