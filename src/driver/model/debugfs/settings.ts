import { StateDumps } from './state-dump.ts';

/** What root has set in debugfs, from the driver's taking of the card on until it gives it up. */
export interface DebugSettings {
  /** Of the next transfer on the card's I2C buses. */
  readonly i2c: { bus: number; address: number; register: number; length: number };
  /** Device address of what is read and written. */
  address: bigint;
  /** What memory of the card would be filled with. */
  scrub: bigint;
  /** Address of a program, to be looked up. */
  lookUp: bigint;
  /** Address space and address to be translated. */
  asid: bigint;
  virtual: bigint;
  /** MMUs whose errors are acknowledged, as bits. */
  errors: bigint;
  /** Seconds that submissions may take which do not say; infinite for no limit. */
  timeLimit: number;
  /** Not 0: what takes longer does not have the card reset. */
  skipReset: number;
  /** Seconds that who listens for events has to give the card back. */
  watchdog: number;
  /** What an engine has read last, and what the monitors were. */
  data: Uint8Array;
  monitors: Uint8Array;
  /** What has been written down of the card. */
  readonly dumps: StateDumps;
  /** Whether queues and engines stop at errors, from the next reset on. */
  stopOnError: boolean;
}

export function initialDebugSettings(): DebugSettings {
  return {
    i2c: { bus: 0, address: 0, register: 0, length: 0 },
    address: 0n,
    // device.c, MEM_SCRUB_DEFAULT_VAL
    scrub: 0x1122_3344_5566_7788n,
    lookUp: 0n,
    asid: 0n,
    virtual: 0n,
    errors: 0n,
    // habanalabs_drv.c, GAUDI_DEFAULT_TIMEOUT_LOCKED
    timeLimit: 600,
    skipReset: 0,
    // device.c, HL_DEVICE_RELEASE_WATCHDOG_TIMEOUT_SEC
    watchdog: 30,
    data: new Uint8Array(0),
    monitors: new Uint8Array(0),
    dumps: new StateDumps(),
    // habanalabs_drv.c, set_driver_behavior_per_device
    stopOnError: true,
  };
}
