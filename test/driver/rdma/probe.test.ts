/** How a NIC is found, and what becomes of the driver when it does not answer any more. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VERSION } from '../../../specs/efa/admin.ts';
import { ModelDriver } from '../../../src/driver/model/driver.ts';
import { type Efa, type EfaOptions, efa } from '../../../src/efa/device.ts';
import { buildMachine, machineDescription } from '../../../src/machine/machines.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { ArrayMemory } from '../../../src/sim/memory.ts';
import { errno, RawVerbs } from './raw.ts';

const SECOND = 1e9;

/** A machine whose NIC is as `options` say. */
function machineOf(options: Partial<EfaOptions> = {}): { readonly driver: ModelDriver; readonly nic: Efa } {
  let nic: Efa | undefined;
  const { fabric } = buildMachine(machineDescription('efa'), {
    gaudi: () => assert.fail('there is none'),
    efa: (name) => {
      nic = efa({ name, memory: (_name, size) => new ArrayMemory(size), ...options });
      return nic;
    },
  });
  const made = nic as unknown as Efa;
  return {
    nic: made,
    driver: new ModelDriver({ clock: new VirtualClock(), cards: [], nics: [made], fabric, firmware: {} }),
  };
}

function texts(driver: ModelDriver): string[] {
  return driver.messages().map(({ text }) => text);
}

describe('probe', () => {
  for (const [name, apiVersion] of Object.entries(VERSION)) {
    test(`protocol ${name}: all commands that a probe makes, in their order`, () => {
      const { driver, nic } = machineOf({ apiVersion });
      assert.deepEqual(nic.commands(), { GET_FEATURE: 6, CREATE_EQ: 2, SET_FEATURE: 2, GET_STATS: 5 });
      assert.deepEqual(nic.host()?.flags, 1, 'a driver of the kernel itself');
      assert.deepEqual(texts(driver), [
        'efa 0000:01:00.0: Setup irq:24 name:efa-mgmnt@pci:0000:01:00.0',
        'efa 0000:01:00.0 efa_0: IB device registered',
      ]);
      const verbs = new RawVerbs(driver).context();
      verbs.qp(verbs.pd(), verbs.cq().handle);
      verbs.close();
      assert.deepEqual(nic.errors.entries(), []);
    });
  }

  test('a device that offers less is asked for less', () => {
    const { driver, nic } = machineOf({ limits: { caps: 0, maxEq: 1, subCqs: 2, pageSizes: 0x20_0000 } });
    assert.equal(nic.commands().GET_STATS, 4, 'no counters of writes');
    assert.equal(nic.objects().eqs, 1);
    const verbs = new RawVerbs(driver).context();
    const pd = verbs.pd();
    const { address } = driver.allocate(8192);
    assert.equal(
      errno(() => verbs.mr(pd, address, 8192, 1)),
      'EOPNOTSUPP',
      'pages of 2 MiB alone',
    );
    assert.equal(
      errno(() => verbs.mr(pd, address, 8192, 5)),
      'EOPNOTSUPP',
      'nobody may read',
    );
    const huge = driver.allocate(2 * 1024 * 1024, { hugePages: true });
    assert.equal(
      errno(() => verbs.mr(pd, huge.address, 2 * 1024 * 1024, 1)),
      'ok',
    );
    assert.equal(
      errno(() => verbs.cq()),
      'EINVAL',
      'one ring where it has two',
    );
    assert.equal(
      errno(() => verbs.cq({ driver: { num_sub_cqs: 2 } })),
      'ok',
    );
    verbs.close();
  });

  test('a device that has no room for one more address: the kernel says for which', () => {
    const { driver } = machineOf({ limits: { maxAh: 1 } });
    const verbs = new RawVerbs(driver).context();
    const pd = verbs.pd();
    const create = (first: number) => {
      const grh = { dgid: Array.from({ length: 16 }, (_, i) => (i === 0 ? first : i)) };
      verbs.command('IB_USER_VERBS_CMD_CREATE_AH', { pd_handle: pd, attr: { grh, is_global: 1, port_num: 1 } });
    };
    create(1);
    create(1);
    texts(driver);
    assert.equal(
      errno(() => create(2)),
      'ENOMEM',
    );
    assert.equal(
      texts(driver)[1],
      'efa 0000:01:00.0 efa_0: Failed to create ah for 0201:0203:0405:0607:0809:0a0b:0c0d:0e0f [-12]',
    );
    verbs.close();
  });

  test('a device that has no event queue has one vector for completions all the same', () => {
    const { driver } = machineOf({ limits: { maxEq: 0 } });
    const verbs = new RawVerbs(driver);
    const answer = verbs.raw(0, 3, [
      { id: 0, room: 4 },
      { id: 0x1000, bytes: new Uint8Array(8) },
    ]);
    assert.deepEqual(answer.bytes(0), Uint8Array.of(1, 0, 0, 0));
    verbs.close();
  });

  test('counters of the driver and of the port are in sysfs', () => {
    const { driver } = machineOf();
    const read = (path: string) => {
      const fd = driver.open(`/sys/class/infiniband/efa_0/${path}`, 0);
      const bytes = new Uint8Array(32);
      const length = driver.read(fd, bytes);
      driver.close(fd);
      return Number(new TextDecoder().decode(bytes.subarray(0, length)));
    };
    assert.equal(read('hw_counters/submitted_cmds'), 15);
    const verbs = new RawVerbs(driver).context();
    assert.equal(
      errno(() => verbs.mr(verbs.pd(), 0x1000n, 4096)),
      'EFAULT',
    );
    assert.equal(
      errno(() => verbs.cq({ entries: 17 })),
      'EINVAL',
    );
    assert.equal(read('hw_counters/reg_mr_err'), 1);
    assert.equal(read('hw_counters/create_cq_err'), 1);
    assert.equal(read('hw_counters/cmds_err'), 1, 'memory that is not there is refused before the device is asked');
    assert.equal(read('ports/1/hw_counters/tx_bytes'), 0);
    assert.equal(read('ports/1/hw_counters/rdma_write_wrs'), 0);
    assert.equal(
      errno(() => read('ports/1/hw_counters/qkey_viol')),
      'ENOENT',
      'the device tells it, the driver does not',
    );
    verbs.close();
  });

  test('notifications: the driver counts those that say that it lives, and knows no others', () => {
    const { driver, nic } = machineOf();
    texts(driver);
    for (let i = 0; i < 40; i++) {
      nic.notify('KEEP_ALIVE');
      driver.sleep(1000);
    }
    assert.deepEqual(texts(driver), []);
    nic.notify('WARNING');
    driver.sleep(1000);
    const text = 'Unknown event was received or event with unimplemented handler';
    assert.deepEqual(texts(driver), [`efa 0000:01:00.0 efa_0: ${text}`]);
  });
});

describe('a device that does not answer any more', () => {
  test('the command waits for half a minute, then nothing is asked any more', () => {
    const { driver, nic } = machineOf();
    const verbs = new RawVerbs(driver).context();
    verbs.mr(verbs.pd(), verbs.memory.address, 4096);
    texts(driver);
    nic.reset('function-level');
    const before = driver.now();
    assert.equal(
      errno(() => verbs.pd()),
      'ETIME',
    );
    const waited = driver.now() - before;
    assert.ok(waited >= 30 * SECOND && waited < 31 * SECOND, `${waited} ns`);
    assert.match(texts(driver)[0] ?? '', /The device didn't send any completion for admin cmd ALLOC_PD\(14\) status 2/);
    assert.equal(
      errno(() => verbs.pd()),
      'ENODEV',
    );
    assert.ok(texts(driver).some((text) => text.includes('Admin queue is closed')));
    verbs.close();
    const warning = texts(driver).filter((text) => text.startsWith('WARNING'));
    assert.deepEqual(warning, ['WARNING: uverbs_destroy_ufile_hw'], 'the region could not be taken back');
  });
});
