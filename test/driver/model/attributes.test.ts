/** Numbers as attributes take them, and files of sysfs that go and come back with their card. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../../../src/driver/driver.ts';
import { signed, unsigned } from '../../../src/driver/model/attribute-file.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { seed } from '../../seed.ts';

const U64 = { min: 0n, max: 2n ** 64n - 1n };
const S64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

test('numbers without a sign: of 64 bits, in three bases, with at most one end of a line', () => {
  for (const text of ['', '\n', '-1', '- 1', '++1', '1\n\n', '0x', '0xg', '08', '1_000', '1n', '0b1', '0o7', '１'])
    assert.equal(unsigned(text), undefined, JSON.stringify(text));
  fc.assert(
    fc.property(fc.bigInt(U64), fc.constantFrom('', '+'), fc.constantFrom('', '\n'), (value, plus, end) => {
      assert.equal(unsigned(`${plus}${value}${end}`), value);
      assert.equal(unsigned(`${plus}0x${value.toString(16)}${end}`), value);
      assert.equal(unsigned(`${plus}0X${value.toString(16).toUpperCase()}${end}`), value);
      assert.equal(unsigned(`${plus}0${value.toString(8)}${end}`), value);
      assert.equal(unsigned(`${U64.max + 1n + value}`), undefined);
    }),
    { seed: seed() },
  );
});

test('numbers with a sign: of 64 bits, of base ten; what is too large is said to be that', () => {
  for (const text of ['', '\n', '-', '--1', '-+1', '+-1', '1\n\n', '0x10', '1.5', ' 1'])
    assert.equal(signed(text), 'EINVAL', JSON.stringify(text));
  fc.assert(
    fc.property(fc.bigInt(S64), fc.constantFrom('', '\n'), (value, end) => {
      assert.equal(signed(`${value}${end}`), value);
      const beyond = value < 0n ? S64.min - 1n + value : S64.max + 1n + value;
      assert.equal(signed(`${beyond}`), 'ERANGE');
    }),
    { seed: seed() },
  );
  // beyond 64 bits before it is seen that it is no number, within them after
  assert.equal(signed('18446744073709551616x'), 'ERANGE');
  assert.equal(signed('18446744073709551615x'), 'EINVAL');
});

test('attributes and sensors go with their card, and come back with the lowest number that is free', () => {
  using machine = new ModelMachine({ machine: 'gaudi-x2' });
  const { driver } = machine;
  const write = (path: string, text: string) => {
    const fd = driver.open(path, O_WRONLY);
    driver.write(fd, new TextEncoder().encode(text));
    driver.close(fd);
  };
  const read = (path: string) => {
    const fd = driver.open(path, O_RDONLY);
    const bytes = new Uint8Array(4096);
    const text = new TextDecoder().decode(bytes.subarray(0, driver.read(fd, bytes)));
    driver.close(fd);
    return text;
  };
  const [first, second] = driver.accelerators();
  assert.ok(first && second);
  const card = `/sys/bus/pci/devices/${first.pciAddress}`;
  assert.deepEqual(
    [first.sensors(), second.sensors()].map((path) => path?.split('/').at(-1)),
    ['hwmon0', 'hwmon1'],
  );
  write(`${card}/max_power`, '300000');
  write(`${card}/remove`, '1');
  for (const path of [`${card}/max_power`, `${card}/eeprom`, `${card}/hwmon/hwmon0/temp1_input`])
    assert.throws(() => driver.open(path, O_RDONLY), { code: 'ENOENT' });
  write('/sys/bus/pci/rescan', '1');
  assert.equal(driver.accelerators()[0]?.sensors(), `${card}/hwmon/hwmon0`);
  assert.match(read(`${card}/hwmon/hwmon0/temp1_input`), /^\d+\n$/);
  assert.equal(read(`${card}/max_power`), '350000\n', 'what was written is forgotten with the card');
});

test('whoever it is, what nobody may do with a file of sysfs is refused', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const card = `/sys/bus/pci/devices/${driver.accelerators()[0]?.pciAddress}`;
  for (const [name, flags] of [
    ['hard_reset', O_RDONLY],
    ['hard_reset', O_RDWR],
    ['status', O_WRONLY],
    ['status', O_RDWR],
    ['resource', O_WRONLY],
  ] as const)
    assert.throws(() => driver.open(`${card}/${name}`, flags), { code: 'EACCES' }, name);
});
