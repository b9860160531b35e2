import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRecord, isAlarm, parseRecord, unexpected } from '../../src/machine/vm/kernel-log.ts';

const record = (level: number, text: string) => ({ level, seconds: 1, text });

test('what is no record of /dev/kmsg is not taken for one', () => {
  for (const text of ['', 'hello', '6,1', '6,1,2;no flags', 'x,1,2,-;text']) assert.equal(parseRecord(text), undefined);
});

test('a record has level, time and text; its dictionary and facility are left out, escapes are undone', () => {
  const parsed = parseRecord('30,339,5140900,-;a\\x0ab; c\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n');
  assert.deepEqual(parsed, { level: 6, seconds: 5.1409, text: 'a\nb; c' });
});

test('a continued record is read too', () => {
  assert.equal(parseRecord('6,12,345,c;more')?.text, 'more');
});

test('time stamps look as on the console', () => {
  assert.equal(formatRecord({ level: 6, seconds: 5.1409, text: 'x' }), '[    5.140900] x');
});

test("error levels and the kernel's warnings about itself are unexpected, information is not", () => {
  const bad = [
    record(3, 'habanalabs 0000:01:00.0: Failed to initialize the H/W'),
    record(4, 'WARNING: CPU: 1 PID: 7 at mm/slab.c:1 kfree+0x1/0x2'),
    record(1, 'BUG: kernel NULL pointer dereference, address: 0000000000000010'),
    record(6, 'INFO: task node:77 blocked for more than 120 seconds.'),
    record(3, 'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'),
    record(5, 'list_del corruption. prev->next should be ffff888'),
  ];
  const good = [
    record(6, 'habanalabs 0000:01:00.0: habanalabs device found [1da3:1000] (rev 1)'),
    record(4, 'sagrada_helper: loading out-of-tree module taints kernel.'),
    record(6, 'PM: DEBUG hints'),
  ];
  assert.deepEqual(unexpected([...good, ...bad], { helper: true, loaded: 100 }), bad);
});

test('the warning of finding 0001 is expected on a bare kernel only', () => {
  const old = record(4, 'WARNING: CPU: 0 PID: 91 at drivers/gpu/drm/drm_file.c:312 drm_open_helper+0x135/0x150 [drm]');
  const recent = record(
    4,
    'WARNING: drivers/gpu/drm/drm_file.c:329 at drm_open_helper+0x150/0x160 [drm], CPU#1: cat/91',
  );
  assert.deepEqual(unexpected([old, recent], { helper: false, loaded: 0 }), []);
  assert.deepEqual(unexpected([old, recent], { helper: true, loaded: 0 }), [old, recent]);
});

test('once the device is up, what a program did wrong is expected, what the card failed to do is not', () => {
  const driver = (text: string) => record(3, `habanalabs 0000:01:00.0: ${text}`);
  const program = [
    driver('CB handle 0x1 invalid'),
    driver('MMU page fault on va 0x1234'),
    driver('mapping already exists for virt_addr 0x1000'),
  ];
  const card = [
    driver('Device CPU packet timeout (status = 0x0)'),
    driver('Device heartbeat failed! PCI link is healthy'),
    driver('Timeout while waiting for device to reset 0x0'),
    record(3, 'pcieport 0000:00:10.0: AER: error'),
  ];
  assert.deepEqual(unexpected([...program, ...card], { helper: true, loaded: 0 }), card);
  assert.deepEqual(unexpected(program, { helper: true, loaded: 3 }), program);
});

test('what programs cause by their mistakes is no alarm: a call that a driver refuses, a command that a NIC refuses', () => {
  for (const text of ['habanalabs 0000:01:00.0: CB size 5 is invalid', 'efa 0000:06:00.0: Failed to process command'])
    assert.equal(isAlarm({ level: 3, text }), false, text);
  for (const text of [
    'WARNING: CPU: 1 PID: 7 at mm/slab.c:1 efa_create_qp+0x1/0x2',
    'Device CPU packet timeout',
    'a line',
  ])
    assert.equal(isAlarm({ level: 3, text }), true, text);
  assert.equal(isAlarm({ level: 6, text: 'a line' }), false);
});
