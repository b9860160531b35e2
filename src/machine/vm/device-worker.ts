/** The thread that serves a machine's devices: builds them, connects them with each other, and runs the reactor. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Efa, efa } from '../../efa/device.ts';
import { Network } from '../../efa/network.ts';
import { type Gaudi, gaudi } from '../../gaudi/device.ts';
import { defaultDmaTiming } from '../../gaudi/dma-core.ts';
import { WallClock } from '../../sim/clock.ts';
import { UserError } from '../../sim/errors.ts';
import { Reactor } from '../../vfio-user/reactor.ts';
import { serve } from '../../vfio-user/server.ts';
import { buildMachine, machineDescription } from '../machines.ts';
import type { DeviceReport, FromWorker, ToWorker, WorkerInput } from './device-server.ts';

/** Nanoseconds between keep-alive notifications of a NIC. */
const KEEP_ALIVE = 1e9;

function main(port: MessagePort, input: WorkerInput): void {
  const { delays = {}, firmware = 'comms', seed = 1, slowdown = 1, nicLimits } = input.options;
  const { latency, host, chip } = defaultDmaTiming;
  const dma = { latency: latency * slowdown, host: host * slowdown, chip: chip * slowdown };
  const send = (message: FromWorker) => port.postMessage(message);
  const messages: string[] = [];
  const cards: Gaudi[] = [];
  const nics: Efa[] = [];
  const clock = new WallClock();
  const network = new Network({ seed });
  const machine = buildMachine(machineDescription(input.machine), {
    gaudi: (name) => {
      const card = gaudi({ name, firmware, seed, delays, timing: { dma }, location: cards.length });
      cards.push(card);
      return card;
    },
    efa: (name) => {
      const nic = efa({ name, network, seed, keepAlive: KEEP_ALIVE, ...(nicLimits && { limits: nicLimits }) });
      nics.push(nic);
      return nic;
    },
  });
  const report = (): DeviceReport => ({
    devices: [...cards, ...nics].map((device) => ({
      name: device.name,
      errors: device.errors.entries(),
      registers: device.registerUses(),
      stats: 'stats' in device ? device.stats() : { ...device.counters(), ...device.objects(), ...device.commands() },
    })),
    traffic: machine.fabric.traffic().map((moved) => ({ ...moved })),
    cpu: threadCpu(),
    messages,
  });
  const reactor = new Reactor(clock, {
    port,
    onMessage: (message) => {
      const command = message as ToWorker;
      if (command.type === 'report') send({ type: 'report', report: report() });
      else reactor.stop();
    },
  });
  try {
    for (const device of machine.functions) {
      reactor.add(
        serve({
          function: device,
          path: input.sockets[device.name] ?? '',
          clock,
          log: (message) => messages.push(message),
          wrapDma: (host) => machine.fabric.portFor(device, host),
        }),
      );
    }
    send({ type: 'ready', wakeFd: reactor.wakeFd });
    reactor.run();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    send({ type: 'failed', message: error.message });
  } finally {
    reactor.close();
    for (const device of machine.functions) device.close();
  }
}

/** Microseconds. */
function threadCpu(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

if (parentPort) main(parentPort, workerData as WorkerInput);
