/**
 * What a device model is made of: a PCI function with its registers, interrupts and DMA, in wall time or virtual time, served to QEMU.
 *
 *   import { Endpoint, registerBlock, serve } from 'sagrada/device';
 *
 * docs/add-a-device-model.md goes through one.
 */

export { Endpoint, type EndpointOptions } from './pci/endpoint.ts';
export type { DmaPort, FunctionPorts } from './pci/ports.ts';
export { registerRegion } from './pci/register-region.ts';
export { type Clock, type Timer, VirtualClock, WallClock } from './sim/clock.ts';
export { ErrorLog, ModelError } from './sim/errors.ts';
export { Condition, completion, Process, type Steps } from './sim/process.ts';
export { active, RegisterBlock, registerBlock, storage } from './sim/registers.ts';
export { Reactor } from './vfio-user/reactor.ts';
export { serve } from './vfio-user/server.ts';
