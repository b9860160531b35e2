import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildMachine,
  kernelArguments,
  listMachines,
  machineDescription,
  machineDevices,
  qemuDeviceArguments,
} from '../../src/machine/machines.ts';
import { Endpoint } from '../../src/pci/endpoint.ts';
import { memoryRegion } from '../../src/pci/register-region.ts';
import { UserError } from '../../src/sim/errors.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';

function device(name: string): Endpoint {
  return new Endpoint({
    name,
    ids: { vendor: 0x1da3, device: 0x1000, revision: 1, classCode: 0x120000 },
    bars: [
      {
        index: 0,
        kind: 'memory64',
        prefetchable: true,
        region: memoryRegion(new ArrayMemory(4096), { mappable: false }),
      },
    ],
    pcie: { linkSpeed: 4, linkWidth: 16, flr: true },
    reset() {},
  });
}

function qemu(name: string): Record<string, unknown>[] {
  const args = qemuDeviceArguments(machineDescription(name), (d) => `/run/${d}.sock`);
  return args.flatMap((arg, i) => {
    if (i % 2 === 0) assert.ok(arg === '-device' || arg === '-global');
    if (args[i - 1] !== '-device') return [];
    return [JSON.parse(arg) as Record<string, unknown>];
  });
}

test('an unknown machine is the user’s mistake, told in one line with the names there are', () => {
  for (const name of ['gaudi-x3', 'Gaudi', '', 'toString', '__proto__']) {
    assert.throws(
      () => machineDescription(name),
      (error) => {
        assert.ok(error instanceof UserError);
        assert.doesNotMatch(error.message, /\n/);
        for (const { name: known } of listMachines()) assert.ok(error.message.includes(known));
        return true;
      },
    );
  }
  assert.throws(() => machineDescription('gaudi-x3'), /did you mean "gaudi-x2"/);
});

test('every device of a machine has a name of its own, and its socket is on the command line', () => {
  for (const { name } of listMachines()) {
    const devices = machineDevices(machineDescription(name)).map((d) => d.name);
    assert.equal(new Set(devices).size, devices.length);
    const served = qemu(name).flatMap((d) => (d.driver === 'vfio-user-pci' ? [d.socket] : []));
    assert.deepEqual(
      served,
      devices.map((d) => ({ type: 'unix', path: `/run/${d}.sock` })),
    );
  }
});

test('every bus on the command line was made before, and no chassis and slot are used twice', () => {
  for (const { name } of listMachines()) {
    const buses = new Set(['pcie.0']);
    const slots = new Set<string>();
    for (const d of qemu(name)) {
      assert.ok(buses.has(d.bus as string), `${name}: ${d.bus}`);
      assert.ok(!buses.has(d.id as string));
      buses.add(d.id as string);
      if (d.chassis === undefined) continue;
      assert.ok(!slots.has(`${d.chassis}.${d.slot}`));
      slots.add(`${d.chassis}.${d.slot}`);
    }
  }
});

test('the two cards of gaudi-x2 reach each other across their switch', () => {
  const machine = buildMachine(machineDescription('gaudi-x2'), { gaudi: device });
  const [a, b] = machine.functions;
  assert.ok(a && b);
  assert.deepEqual([a.name, b.name], ['gaudi0', 'gaudi1']);
  assert.equal(machine.topology.distance(a, b), 4);
  assert.equal(machine.topology.route(b, a), 'switch');
  assert.deepEqual(
    qemu('gaudi-x2').map((d) => d.driver),
    ['pcie-root-port', 'x3130-upstream', 'xio3130-downstream', 'vfio-user-pci', 'xio3130-downstream', 'vfio-user-pci'],
  );
});

test('gaudi-x8: a card reaches those of its own switch only, as Linux sees it', () => {
  const { functions, topology } = buildMachine(machineDescription('gaudi-x8'), { gaudi: device });
  assert.deepEqual(
    functions.map(({ name }) => name),
    Array.from({ length: 8 }, (_, i) => `gaudi${i}`),
  );
  functions.forEach((a, i) => {
    functions.forEach((b, j) => {
      const expected = i === j ? 0 : Math.floor(i / 4) === Math.floor(j / 4) ? 4 : -1;
      assert.equal(topology.distance(a, b), expected, `${a.name} to ${b.name}`);
    });
  });
  assert.equal(topology.route(functions[0] as Endpoint, functions[7] as Endpoint), 'root-complex');
});

test('more cards than the firmware has room for are placed by the kernel', () => {
  const args = (name: string) => qemuDeviceArguments(machineDescription(name), (d) => d);
  assert.ok(args('gaudi-x8').includes('q35-pcihost.pci-hole64-size=800G'));
  assert.deepEqual(kernelArguments(machineDescription('gaudi-x8')), ['pci=hpmmioprefsize=64G']);
  assert.ok(!args('gaudi-x2').includes('-global'));
  assert.deepEqual(kernelArguments(machineDescription('gaudi-x2')), []);
});

test('a machine of one card, and one of none', () => {
  assert.equal(buildMachine(machineDescription('gaudi'), { gaudi: device }).functions.length, 1);
  assert.deepEqual(buildMachine(machineDescription('none'), { gaudi: device }).functions, []);
  assert.deepEqual(qemu('none'), []);
});
