/**
 * Sagrada as a library: a program that uses Gaudi cards through the interface of the Linux driver.
 *
 *   import { CommandStream, connect, Device } from 'sagrada';
 *
 * `connect()` gives a driver, `Device.open` a card, `device.submit` hands it work. Run with `node` or `sagrada run` a
 * program has modelled cards and a model of the driver in its own process; with `sagrada run --on vm` it speaks with the
 * driver of a Linux kernel.
 */

export { type Accelerator, type Driver, type RdmaDevice, SystemError } from './driver/driver.ts';
export { type ConnectOptions, connect } from './machine/connect.ts';
export { CommandBuffer, type CommandBufferOptions, MAX_CB_SIZE } from './runtime/command-buffer.ts';
export {
  type ArmOptions,
  type Barriers,
  CommandStream,
  type DmaOptions,
  type Place,
} from './runtime/command-stream.ts';
export { ControlDevice, Device, type OpenOptions } from './runtime/device.ts';
export {
  DeviceGoneError,
  DeviceInUseError,
  DisposedError,
  DriverError,
  ExhaustedError,
  InvalidArgumentError,
  NoDeviceError,
  NotOperationalError,
  NotPermittedError,
  OutOfMemoryError,
  QueueFullError,
  SubmissionAbortedError,
  SubmissionTimeoutError,
  WaitTimeoutError,
} from './runtime/errors.ts';
export type { EventNotifier } from './runtime/events.ts';
export { floatWord, Kernel, type KernelFacts } from './runtime/kernel.ts';
export type {
  Core,
  Launch,
  LaunchOptions,
  Step,
  StepOptions,
  TableBases,
} from './runtime/launch.ts';
export type {
  DeviceMemory,
  DeviceMemorySpace,
  DmaBuf,
  HostMapping,
  HostMemory,
  HostMemoryOptions,
  MapOptions,
  TimestampBuffer,
} from './runtime/memory.ts';
export type { WaitOptions } from './runtime/patience.ts';
export type { ImportedEntry, PeerMemory } from './runtime/peer.ts';
export type {
  Chunk,
  Completion,
  CompletionOfSeveral,
  Queue,
  Reservation,
  Signal,
  Submission,
  SubmitOptions,
} from './runtime/submission.ts';
export { fenceAddress, Monitor, type SyncManager, SyncObject } from './runtime/sync.ts';
export {
  type RmwOperation,
  Tensor,
  type TensorOptions,
  type TensorType,
  tensorBytes,
} from './runtime/tensor.ts';
export type { WorkCompletion, WorkOperation, WorkStatus } from './runtime/verbs/completion.ts';
export type { CompletionChannel, CompletionQueue, CompletionQueueOptions } from './runtime/verbs/completion-queue.ts';
export { type AsyncEvents, type RdmaAttributes, RdmaContext, type RdmaOpenOptions } from './runtime/verbs/device.ts';
export {
  CompletionTimeoutError,
  NotSupportedError,
  ObjectInUseError,
  WorkError,
  WorkQueueFullError,
} from './runtime/verbs/errors.ts';
export type {
  Access,
  AddressHandle,
  DmaBufRegistration,
  HostRegion,
  MemoryRegion,
  ProtectionDomain,
} from './runtime/verbs/protection-domain.ts';
export type {
  QueuePair,
  QueuePairChange,
  QueuePairOptions,
  QueuePairState,
  Target,
} from './runtime/verbs/queue-pair.ts';
export type { Piece, RdmaWork, SendWork } from './runtime/verbs/work-request.ts';
export { type Box, cutIndexSpace } from './tpc/index-space.ts';
