/**
 * The machines: which devices, behind which ports. The one place to add a machine. The same description becomes the
 * arguments of QEMU, which then owns ports and addresses, and the fabric by which the devices reach each other.
 */

import { suggestion } from '../isa/diagnostics.ts';
import type { PortType } from '../pci/capabilities.ts';
import { Fabric } from '../pci/fabric.ts';
import type { PciFunction } from '../pci/function.ts';
import type { Ids } from '../pci/header.ts';
import { type Port, type RootComplex, Topology } from '../pci/topology.ts';
import { UserError } from '../sim/errors.ts';

/** A kind of device; whoever builds a machine says how each is made. */
export type Model = 'gaudi' | 'efa';

interface DevicePlace {
  readonly device: string;
  readonly model: Model;
}

interface SwitchPlace {
  readonly switch: string;
  readonly devices: readonly DevicePlace[];
}

/** Devices that are the functions of one slot, as on one board. */
interface BoardPlace {
  readonly board: readonly DevicePlace[];
}

export interface MachineDescription {
  readonly doc: string;
  /** Each behind a root port of its own. */
  readonly rootPorts: readonly (DevicePlace | SwitchPlace | BoardPlace)[];
}

/** A switch with so many Gaudis under it. @param first number of the first */
function switchOfGaudis(name: string, first: number, count: number): SwitchPlace {
  return { switch: name, devices: gaudis(first, count) };
}

function gaudis(first: number, count: number): DevicePlace[] {
  return Array.from({ length: count }, (_, i) => ({ device: `gaudi${first + i}`, model: 'gaudi' }));
}

function nics(first: number, count: number): DevicePlace[] {
  return Array.from({ length: count }, (_, i) => ({ device: `efa${first + i}`, model: 'efa' }));
}

const MACHINES = {
  none: { doc: 'no device: to try the VM itself', rootPorts: [] },
  gaudi: {
    doc: 'one Gaudi behind a root port',
    rootPorts: [{ device: 'gaudi0', model: 'gaudi' }],
  },
  'gaudi-x2': {
    doc: 'two Gaudis under one PCIe switch, so that each may reach the memory of the other',
    rootPorts: [switchOfGaudis('switch0', 0, 2)],
  },
  'gaudi-x2-apart': {
    doc: 'two Gaudis behind root ports of their own, so that the kernel lets neither reach the other',
    rootPorts: [
      { device: 'gaudi0', model: 'gaudi' },
      { device: 'gaudi1', model: 'gaudi' },
    ],
  },
  'gaudi-x8': {
    doc: 'eight Gaudis, four under each of two PCIe switches: each reaches the three beside it',
    rootPorts: [switchOfGaudis('switch0', 0, 4), switchOfGaudis('switch1', 4, 4)],
  },
  efa: {
    doc: 'one EFA NIC behind a root port',
    rootPorts: [{ device: 'efa0', model: 'efa' }],
  },
  'efa-x2': {
    doc: 'two EFA NICs behind root ports of their own, in one network',
    rootPorts: [
      { device: 'efa0', model: 'efa' },
      { device: 'efa1', model: 'efa' },
    ],
  },
  'gaudi-efa': {
    doc: 'a Gaudi and an EFA NIC under one PCIe switch, so that the NIC may reach the memory of the card',
    rootPorts: [{ switch: 'switch0', devices: [...gaudis(0, 1), ...nics(0, 1)] }],
  },
  'gaudi-efa-apart': {
    doc: 'a Gaudi and an EFA NIC behind root ports of their own, so that the kernel lets neither reach the other',
    rootPorts: [...gaudis(0, 1), ...nics(0, 1)],
  },
  'gaudi-efa-board': {
    doc: 'a Gaudi and an EFA NIC as two functions of one board: the port above may be told to keep them apart (ACS)',
    rootPorts: [{ board: [...gaudis(0, 1), ...nics(0, 1)] }],
  },
  'gaudi-x2-efa-x2': {
    doc: 'two Gaudis and two EFA NICs under one PCIe switch, the NICs in one network',
    rootPorts: [{ switch: 'switch0', devices: [...gaudis(0, 2), ...nics(0, 2)] }],
  },
} satisfies Record<string, MachineDescription>;

export type MachineName = keyof typeof MACHINES;

/** @returns name and one line about each machine. */
export function listMachines(): readonly { readonly name: MachineName; readonly doc: string }[] {
  return (Object.keys(MACHINES) as MachineName[]).map((name) => ({ name, doc: MACHINES[name].doc }));
}

/** @throws UserError for a name that is no machine's */
export function machineDescription(name: string): MachineDescription {
  if (Object.hasOwn(MACHINES, name)) return MACHINES[name as MachineName];
  const names = Object.keys(MACHINES);
  throw new UserError(`no machine "${name}"${suggestion(name, names)} (machines: ${names.join(', ')})`);
}

/** Names of the devices of a machine, in order of their places, and what they are. */
export function machineDevices(
  machine: MachineDescription,
): readonly { readonly name: string; readonly model: Model }[] {
  return machine.rootPorts
    .flatMap((p) => ('switch' in p ? p.devices : 'board' in p ? p.board : [p]))
    .map((d) => ({ name: d.device, model: d.model }));
}

/** How many devices of a kind a machine has. */
export function countOf(machine: MachineDescription, model: Model): number {
  return machineDevices(machine).filter((device) => device.model === model).length;
}

/** QEMU's machine type q35. It forwards everything everywhere; Linux does not know that (8086:29c0 is not in its list). */
const Q35: RootComplex = { name: 'q35', forwardsPeerToPeer: true, whitelisted: false };

const BRIDGE_CLASS = 0x060400;

/** The ports as QEMU models them (hw/pci-bridge): identity, and whether they have Access Control Services. */
const PORTS: Record<Exclude<PortType, 'endpoint'>, { driver: string; ids: Ids; acs: boolean }> = {
  'root-port': {
    driver: 'pcie-root-port',
    ids: { vendor: 0x1b36, device: 0x000c, revision: 0, classCode: BRIDGE_CLASS },
    acs: true,
  },
  upstream: {
    driver: 'x3130-upstream',
    ids: { vendor: 0x104c, device: 0x8232, revision: 2, classCode: BRIDGE_CLASS },
    acs: false,
  },
  downstream: {
    driver: 'xio3130-downstream',
    ids: { vendor: 0x104c, device: 0x8233, revision: 1, classCode: BRIDGE_CLASS },
    acs: false,
  },
};

interface PortPlace {
  readonly name: string;
  readonly type: Exclude<PortType, 'endpoint'>;
  /** Name of the port above; undefined on the root bus. */
  readonly above: string | undefined;
  /** Several: functions of one device. */
  readonly devices: readonly DevicePlace[];
}

/** All ports of a machine, each after the one above it. */
function portPlaces(machine: MachineDescription): PortPlace[] {
  return machine.rootPorts.flatMap((place, i): PortPlace[] => {
    const root = `rp${i}`;
    if (!('switch' in place)) {
      return [{ name: root, type: 'root-port', above: undefined, devices: 'board' in place ? place.board : [place] }];
    }
    const up = `${place.switch}-up`;
    return [
      { name: root, type: 'root-port', above: undefined, devices: [] },
      { name: up, type: 'upstream', above: root, devices: [] },
      ...place.devices.map(
        (device, j): PortPlace => ({ name: `${place.switch}-d${j}`, type: 'downstream', above: up, devices: [device] }),
      ),
    ];
  });
}

/**
 * A card's BARs (32 GiB and two small ones) make the firmware give its port a window of 64 GiB. It has 512 GiB for them on an
 * emulated processor (40 bits of physical addresses), RAM included: four cards fit, eight do not.
 */
const FIRMWARE_CARDS = 4;
/** Where the firmware fails the kernel places the windows: in a larger space, and with as much room as the firmware wants. */
const LARGE = { space: '800G', window: '64G' } as const;

/** What a machine needs on the kernel's command line (Documentation/admin-guide/kernel-parameters.txt). */
export function kernelArguments(machine: MachineDescription): string[] {
  return isLarge(machine) ? [`pci=hpmmioprefsize=${LARGE.window}`] : [];
}

function isLarge(machine: MachineDescription): boolean {
  return countOf(machine, 'gaudi') > FIRMWARE_CARDS;
}

/** Slots of the root bus from here on are for the machine's root ports; QEMU gives the lower ones to other devices. */
const FIRST_ROOT_SLOT = 0x10;

/**
 * Arguments that give QEMU (10.1 or later, q35) the machine's ports and devices.
 * @param socket path of the UNIX socket that serves a device, by its name
 */
export function qemuDeviceArguments(machine: MachineDescription, socket: (device: string) => string): string[] {
  const args = isLarge(machine) ? ['-global', `q35-pcihost.pci-hole64-size=${LARGE.space}`] : [];
  const add = (device: Record<string, unknown>) => args.push('-device', JSON.stringify(device));
  let chassis = 0;
  let rootSlot = FIRST_ROOT_SLOT;
  const downstreamSlots = new Map<string, number>();
  for (const { name, type, above, devices } of portPlaces(machine)) {
    const { driver } = PORTS[type];
    if (type === 'root-port') {
      chassis++;
      add({ driver, id: name, bus: 'pcie.0', addr: `0x${(rootSlot++).toString(16)}`, chassis, slot: 0 });
    } else if (type === 'upstream') add({ driver, id: name, bus: above });
    else {
      const slot = downstreamSlots.get(above as string) ?? 0;
      downstreamSlots.set(above as string, slot + 1);
      chassis++;
      add({ driver, id: name, bus: above, chassis, slot });
    }
    for (const [i, { device }] of devices.entries()) {
      const path = socket(device);
      const place = devices.length > 1 ? { addr: `0.${i}`, multifunction: true } : {};
      add({ driver: 'vfio-user-pci', id: device, bus: name, ...place, rombar: 0, socket: { type: 'unix', path } });
    }
  }
  return args;
}

export interface Machine {
  /** In order of their places. */
  readonly functions: readonly PciFunction[];
  readonly topology: Topology;
  /** By which the functions reach each other: `fabric.portFor(function, hostMemory)`. */
  readonly fabric: Fabric;
}

type Make = (name: string) => PciFunction;

/**
 * Makes the devices of a machine and puts them into their places. The functions are not connected yet.
 * @throws Error where the machine has a kind of device that is not made
 */
export function buildMachine(
  machine: MachineDescription,
  make: Readonly<Record<'gaudi', Make> & Partial<Record<Model, Make>>>,
): Machine {
  const topology = new Topology(Q35);
  const ports = new Map<string, Port>();
  for (const { name, type, above, devices } of portPlaces(machine)) {
    const { ids, acs } = PORTS[type];
    const port = topology.addPort({ name, type, ids, acs }, above === undefined ? undefined : ports.get(above));
    ports.set(name, port);
    for (const { device, model } of devices) {
      const made = make[model]?.(device);
      if (!made) throw new Error(`no one makes ${device}`);
      topology.place(made, port);
    }
  }
  return { functions: topology.functions(), topology, fabric: new Fabric(topology) };
}
