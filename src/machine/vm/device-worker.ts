/** The thread that serves the devices of machines: builds them, connects them with each other, and runs the reactor. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Efa, efa } from '../../efa/device.ts';
import { Network } from '../../efa/network.ts';
import { type Gaudi, gaudi } from '../../gaudi/device.ts';
import { defaultDmaTiming } from '../../gaudi/dma-core.ts';
import { WallClock } from '../../sim/clock.ts';
import { UserError } from '../../sim/errors.ts';
import { Reactor } from '../../vfio-user/reactor.ts';
import { serve } from '../../vfio-user/server.ts';
import { type FaultOrder, faultsOf, orderFaults } from '../faults.ts';
import { buildMachine, type Machine, machineDescription } from '../machines.ts';
import { MachineTrace, type TracePlace, wallTime } from '../trace.ts';
import type { DeviceReport, DeviceServerOptions, FromWorker, ToWorker, WorkerInput } from './device-server.ts';

/** Nanoseconds between keep-alive notifications of a NIC. */
const KEEP_ALIVE = 1e9;

/** The machine of one guest. */
interface GuestMachine {
  readonly machine: Machine;
  readonly sockets: Readonly<Record<string, string>>;
  readonly messages: string[];
  report(): Pick<DeviceReport, 'devices' | 'traffic' | 'messages'>;
  readonly cards: readonly Gaudi[];
  readonly trace: MachineTrace | undefined;
}

function build(
  machineName: string,
  sockets: Readonly<Record<string, string>>,
  network: Network,
  options: DeviceServerOptions & { readonly seed: number },
  trace: MachineTrace | undefined,
): GuestMachine {
  const { delays = {}, firmware = 'comms', seed, slowdown = 1, nicLimits } = options;
  const { latency, host, chip } = defaultDmaTiming;
  const dma = { latency: latency * slowdown, host: host * slowdown, chip: chip * slowdown };
  const messages: string[] = [];
  const cards: Gaudi[] = [];
  const nics: Efa[] = [];
  const recorder = trace?.recorder;
  const description = machineDescription(machineName);
  const machine = buildMachine(description, {
    gaudi: (name) => {
      const faults = faultsOf(options.faults ?? [], machineName, name);
      const card = gaudi({
        name,
        firmware,
        seed,
        delays,
        timing: { dma },
        location: cards.length,
        trace: recorder,
        faults,
      });
      cards.push(card);
      return card;
    },
    efa: (name) => {
      const limits = nicLimits && { limits: nicLimits };
      const nic = efa({ name, network, seed, keepAlive: KEEP_ALIVE, trace: recorder, ...limits });
      nics.push(nic);
      return nic;
    },
  });
  machine.fabric.trace = recorder;
  trace?.describe(description, machine.topology);
  const report = () => ({
    devices: [...cards, ...nics].map((device) => ({
      name: device.name,
      errors: device.errors.entries(),
      registers: device.registerUses(),
      stats: 'stats' in device ? device.stats() : { ...device.counters(), ...device.objects(), ...device.commands() },
    })),
    traffic: machine.fabric.traffic().map((moved) => ({ ...moved })),
    messages,
  });
  return { machine, sockets, messages, report, cards, trace };
}

function main(port: MessagePort, input: WorkerInput): void {
  const { seed = 1, network: impairments = {} } = input.options;
  const send = (message: FromWorker) => port.postMessage(message);
  const clock = new WallClock();
  const network = new Network({ seed: impairments.seed ?? seed });
  network.impair(impairments);
  // What is random differs from guest to guest, the addresses of the NICs among it.
  const guests = input.sockets.map((sockets, guest) =>
    build(
      input.machine,
      sockets,
      network,
      { ...input.options, seed: seed + guest },
      traceOf(input, guest, seed + guest, clock),
    ),
  );
  const reports = (): DeviceReport[] => {
    const { carried, lost } = network;
    return guests.map((guest) => ({ ...guest.report(), network: { carried, lost }, cpu: threadCpu() }));
  };
  const reactor = new Reactor(clock, {
    port,
    onMessage: (message) => {
      const command = message as ToWorker;
      if (command.type === 'report') send({ type: 'report', reports: reports() });
      else if (command.type === 'faults') send(ordered(guests[command.guest]?.cards ?? [], command.order));
      else reactor.stop();
    },
  });
  try {
    for (const { machine, sockets, messages } of guests) {
      for (const device of machine.functions) {
        reactor.add(
          serve({
            function: device,
            path: sockets[device.name] ?? '',
            clock,
            log: (message) => messages.push(message),
            wrapDma: (host) => machine.fabric.portFor(device, host),
          }),
        );
      }
    }
    send({ type: 'ready', wakeFd: reactor.wakeFd });
    reactor.run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    send({ type: 'failed', message: error.message });
  } finally {
    reactor.close();
    for (const { machine, trace } of guests) {
      for (const device of machine.functions) device.close();
      trace?.[Symbol.dispose]();
    }
  }
}

/** Nanoseconds until what was recorded is written: a viewer may look on. */
const FLUSH_NS = 2e8;

function traceOf(input: WorkerInput, guest: number, seed: number, clock: WallClock): MachineTrace | undefined {
  const { trace } = input.options;
  if (!trace) return undefined;
  const { file, sequence, root, began = 0 } = trace;
  const name = input.sockets.length > 1 ? `${root} ${guest}` : root;
  const offset = wallTime(began) - clock.now();
  return new MachineTrace({
    place: { file, sequence: sequence + guest, root: name, began } satisfies TracePlace,
    clock: 'wall',
    now: () => clock.now() + offset,
    later: (flush) => void clock.at(clock.now() + FLUSH_NS, flush),
    target: 'vm',
    machine: input.machine,
    seed,
  });
}

function ordered(cards: readonly Gaudi[], order: FaultOrder): FromWorker {
  try {
    return { type: 'faults', happened: orderFaults(cards, order) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { type: 'faults', happened: [], refused: error.message };
  }
}

/** Microseconds. */
function threadCpu(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

if (parentPort) main(parentPort, workerData as WorkerInput);
