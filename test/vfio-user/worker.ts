/** Serves a toy function in a worker thread until it is told to stop. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { WallClock } from '../../src/sim/clock.ts';
import { Reactor } from '../../src/vfio-user/reactor.ts';
import { serve } from '../../src/vfio-user/server.ts';
import { ToyFunction } from './toy-function.ts';

const port = parentPort as MessagePort;
const clock = new WallClock();
const pciFunction = new ToyFunction();
const reactor: Reactor = new Reactor(clock, { port, onMessage: () => reactor.stop() });
reactor.add(serve({ function: pciFunction, path: workerData.path, clock, log: () => {} }));
port.postMessage(reactor.wakeFd);
reactor.run();
reactor.close();
pciFunction.close();
