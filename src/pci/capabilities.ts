/**
 * Capabilities without interrupts: power management, PCI Express, access control. Register names are those of
 * linux/pci_regs.h without PCI_; sections are of PCI Express Base 5.0.
 */

import { activeRegister, type Capability, ConfigBlock, register } from './config-space.ts';

export interface PowerManagement extends Capability {
  /** D0 = 0, D3hot = 3. Outside D0 a function answers configuration requests only, and requests nothing. */
  state(): number;
}

export interface PowerManagementOptions {
  readonly at?: number;
  /** False: going from D3hot to D0 resets the function. Default true. */
  readonly noSoftReset?: boolean;
  /** Performs that reset. */
  readonly reset?: () => void;
}

const PM_CTRL_STATE_MASK = 0x3;
const PM_CTRL_NO_SOFT_RESET = 0x8;
const PM_CAP_VERSION_3 = 3;

/** Power Management (7.5.2), with the states D0 and D3hot and no wake-up event. */
export function powerManagement(options: PowerManagementOptions = {}): PowerManagement {
  const noSoftReset = options.noSoftReset ?? true;
  const block = new ConfigBlock(
    'PM',
    { size: 8, source: 'PCI Express Base 5.0, 7.5.2; linux/pci_regs.h PCI_PM_*' },
    {
      PMC: register(2, 2, 'Capabilities: version 3, no D1, D2 or PME', { reset: PM_CAP_VERSION_3 }),
      CTRL: activeRegister(2, 4, 'Control/Status: power state', {
        reset: noSoftReset ? PM_CTRL_NO_SOFT_RESET : 0,
        rw: PM_CTRL_STATE_MASK,
      }),
    },
    {
      CTRL: {
        written(value, before) {
          const state = value & PM_CTRL_STATE_MASK;
          const from = before & PM_CTRL_STATE_MASK;
          // A write of a state that the function does not have is discarded (7.5.2.2).
          if (state === 1 || state === 2) block.set('CTRL', before);
          else if (from === 3 && state === 0 && !noSoftReset) options.reset?.();
        },
      },
    },
  );
  return {
    id: 0x01,
    ...(options.at === undefined ? {} : { at: options.at }),
    block,
    state: () => block.get('CTRL') & PM_CTRL_STATE_MASK,
  };
}

/** Device/Port type (7.5.3.2). */
const PORT_TYPE = { endpoint: 0x0, 'root-port': 0x4, upstream: 0x5, downstream: 0x6 } as const;
export type PortType = keyof typeof PORT_TYPE;

export interface PcieOptions {
  readonly at?: number;
  readonly type: PortType;
  /** Generation: 1 = 2.5 GT/s to 5 = 32 GT/s. */
  readonly linkSpeed: 1 | 2 | 3 | 4 | 5;
  /** Lanes. */
  readonly linkWidth: 1 | 2 | 4 | 8 | 16;
  /** Performs a function-level reset; without it the function has none. */
  readonly flr?: () => void;
}

const FLAGS_VERSION_2 = 2;
const FLAGS_SLOT = 0x100;
const DEVCAP_PAYLOAD_256 = 1;
const DEVCAP_EXT_TAG = 0x20;
const DEVCAP_RBER = 0x8000;
const DEVCAP_FLR = 0x1000_0000;
const DEVCTL_PAYLOAD = 0xe0;
const DEVCTL_FLR = 0x8000;
const DEVCAP2_COMP_TMOUT_DIS = 0x10;
const SLTSTA_PDS = 0x40;

/** PCI Express (7.5.3), version 2. */
export function pcie(options: PcieOptions): Capability {
  const { type, linkSpeed, linkWidth, flr } = options;
  const port = type !== 'endpoint';
  const slot = type === 'root-port' || type === 'downstream';
  const link = linkSpeed | (linkWidth << 4);
  const block = new ConfigBlock(
    'PCIE',
    { size: 0x3c, source: 'PCI Express Base 5.0, 7.5.3; linux/pci_regs.h PCI_EXP_*' },
    {
      FLAGS: register(2, 0x02, 'Capabilities: version, device/port type, slot', {
        reset: FLAGS_VERSION_2 | (PORT_TYPE[type] << 4) | (slot ? FLAGS_SLOT : 0),
      }),
      DEVCAP: register(4, 0x04, 'Device Capabilities', {
        reset: DEVCAP_PAYLOAD_256 | DEVCAP_EXT_TAG | DEVCAP_RBER | (flr ? DEVCAP_FLR : 0),
      }),
      // Relaxed ordering and no snoop are enabled after reset, the read request size is 512 bytes (7.5.3.4).
      DEVCTL: activeRegister(2, 0x08, 'Device Control; bit 15 initiates a function-level reset and reads zero', {
        reset: port ? 0x2000 : 0x2810,
        rw: port ? 0x71ef : 0x79ff,
        keptByFlr: DEVCTL_PAYLOAD,
      }),
      DEVSTA: register(2, 0x0a, 'Device Status', { rw1c: 0xf }),
      LNKCAP: register(4, 0x0c, 'Link Capabilities', { reset: link }),
      LNKCTL: register(2, 0x10, 'Link Control', { rw: 0x01cb, keptByFlr: 0x01cb }),
      LNKSTA: register(2, 0x12, 'Link Status: the link runs as fast and wide as it can', { reset: link }),
      SLTCAP: register(4, 0x14, 'Slot Capabilities'),
      SLTCTL: register(2, 0x18, 'Slot Control'),
      SLTSTA: register(2, 0x1a, 'Slot Status: a card is present', { reset: slot ? SLTSTA_PDS : 0 }),
      RTCTL: register(2, 0x1c, 'Root Control', { rw: type === 'root-port' ? 0xf : 0 }),
      RTCAP: register(2, 0x1e, 'Root Capabilities'),
      RTSTA: register(4, 0x20, 'Root Status', { rw1c: type === 'root-port' ? 0x1_0000 : 0 }),
      DEVCAP2: register(4, 0x24, 'Device Capabilities 2', { reset: DEVCAP2_COMP_TMOUT_DIS }),
      DEVCTL2: register(2, 0x28, 'Device Control 2: completion timeout disable', { rw: 0x10 }),
      DEVSTA2: register(2, 0x2a, 'Device Status 2'),
      LNKCAP2: register(4, 0x2c, 'Link Capabilities 2: speeds', { reset: (2 ** linkSpeed - 1) << 1 }),
      LNKCTL2: register(2, 0x30, 'Link Control 2: target speed', { reset: linkSpeed, rw: 0xf, keptByFlr: 0xf }),
      LNKSTA2: register(2, 0x32, 'Link Status 2'),
      SLTCAP2: register(4, 0x34, 'Slot Capabilities 2'),
      SLTCTL2: register(2, 0x38, 'Slot Control 2'),
      SLTSTA2: register(2, 0x3a, 'Slot Status 2'),
    },
    {
      DEVCTL: {
        written(_value, _before, data) {
          if (data & DEVCTL_FLR) flr?.();
        },
      },
    },
  );
  return { id: 0x10, ...(options.at === undefined ? {} : { at: options.at }), block };
}

/** Redirections of ACS Control (7.7.8.3): peer-to-peer requests go up to the root complex instead of across. */
const ACS_REDIRECT = { REQUEST: 0x04, COMPLETION: 0x08, EGRESS_CONTROL: 0x20 } as const;

export interface AccessControl extends Capability {
  /** True while the port sends peer-to-peer requests upstream. */
  redirects(): boolean;
}

/** Access Control Services (7.7.8) of a root port or a switch's downstream port, without egress control vector. */
export function accessControl(at?: number): AccessControl {
  // Source validation, translation blocking, P2P request and completion redirect, upstream forwarding, direct translated.
  const offered = 0x5f;
  const block = new ConfigBlock(
    'ACS',
    { size: 8, source: 'PCI Express Base 5.0, 7.7.8; linux/pci_regs.h PCI_ACS_*' },
    {
      CAP: register(2, 4, 'ACS Capability', { reset: offered }),
      CTRL: register(2, 6, 'ACS Control', { rw: offered }),
    },
    {},
  );
  const redirects = ACS_REDIRECT.REQUEST | ACS_REDIRECT.COMPLETION | ACS_REDIRECT.EGRESS_CONTROL;
  return {
    id: 0x0d,
    extended: { version: 1 },
    ...(at === undefined ? {} : { at }),
    block,
    redirects: () => (block.get('CTRL') & redirects) !== 0,
  };
}
