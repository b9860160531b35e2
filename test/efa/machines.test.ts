import assert from 'node:assert/strict';
import { test } from 'node:test';
import { efa } from '../../src/efa/device.ts';
import { gaudi } from '../../src/gaudi/device.ts';
import {
  buildMachine,
  countOf,
  kernelArguments,
  machineDescription,
  qemuDeviceArguments,
} from '../../src/machine/machines.ts';
import { ModelMachine } from '../../src/machine/model.ts';
import { ArrayMemory } from '../../src/sim/memory.ts';

const memory = (_name: string, size: number) => new ArrayMemory(Math.min(size, 0x100_0000));
const make = {
  gaudi: (name: string) => gaudi({ name, memory }),
  efa: (name: string) => efa({ name, memory }),
};

test('a NIC reaches the card under its switch across the switch, and one elsewhere only through the root complex', () => {
  const route = (name: string) => {
    const { topology, functions } = buildMachine(machineDescription(name), make);
    const [card, nic] = functions;
    assert.ok(card && nic);
    const result = topology.route(nic, card);
    for (const fn of functions) fn.close();
    return result;
  };
  assert.equal(route('gaudi-efa'), 'switch');
  assert.equal(route('gaudi-efa-board'), 'switch');
  assert.notEqual(route('gaudi-efa-apart'), 'switch');
});

test('devices of one board are functions of one slot for QEMU', () => {
  const args = qemuDeviceArguments(machineDescription('gaudi-efa-board'), (device) => device);
  const devices = args.filter((arg) => arg.startsWith('{')).map((arg) => JSON.parse(arg) as Record<string, unknown>);
  assert.deepEqual(
    devices
      .filter(({ driver }) => driver === 'vfio-user-pci')
      .map(({ id, bus, addr, multifunction }) => [id, bus, addr, multifunction]),
    [
      ['gaudi0', 'rp0', '0.0', true],
      ['efa0', 'rp0', '0.1', true],
    ],
  );
});

test('a machine whose devices nobody makes is refused', () => {
  assert.throws(() => buildMachine(machineDescription('efa'), { gaudi: make.gaudi }), /efa0/);
});

test('NICs are not counted where the size of cards matters', () => {
  const machine = machineDescription('gaudi-x2-efa-x2');
  assert.deepEqual([countOf(machine, 'gaudi'), countOf(machine, 'efa')], [2, 2]);
  assert.deepEqual(kernelArguments(machine), []);
});

test('the model of a machine with NICs brings its cards up', () => {
  using machine = new ModelMachine({ machine: 'gaudi-efa' });
  assert.equal(machine.cards.length, 1);
  assert.deepEqual(machine.takeRefusals(), []);
});
