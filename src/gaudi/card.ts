/** What is stored on the card: versions, serial number, the EEPROM. The same seed and place give the same card. */

import { addressMap } from '../../specs/gaudi/address-map.ts';
import { CARD_TYPE, COMPONENT_VERSIONS, INFO, NIC_INFO, SENSOR_TYPE } from '../../specs/gaudi/cpucp.ts';
import { plls } from '../../specs/gaudi/plls.ts';
import { Random } from '../sim/random.ts';

/** Versions as the driver parses them (common/firmware_if.c, extract_fw_ver_from_str): "fw-", the version, a blank. */
const RELEASE = 'hl-gaudi-1.15.0-fw-48.0.1';
export const versions = {
  preboot: `Preboot version ${RELEASE}-sec-5 (model)`,
  bootFit: `U-Boot 2021.04-${RELEASE} (model)`,
  linux: `Linux gaudi 5.10.18-${RELEASE} #1 (model)`,
  cpucp: `${RELEASE} (model)`,
  fuse: 'C0-fuse',
  thermal: '2.0.0',
} as const;

/** When the programmable logic of the board was made: the hour, day, month and year as digits. */
const CPLD_TIMESTAMP = 0x0914_0321;
const EEPROM_SIZE = 256;

export interface CardOptions {
  readonly seed: number;
  /** Slot of the card in its server. */
  readonly location: number;
}

/** Writes `text`, zero-terminated, into `length` bytes at `offset`. */
export function putString(bytes: Uint8Array, offset: number, length: number, text: string): void {
  const encoded = new TextEncoder().encode(text).subarray(0, length - 1);
  bytes.fill(0, offset, offset + length);
  bytes.set(encoded, offset);
}

export class Card {
  readonly serial: string;
  readonly location: number;
  /** Content of the EEPROM; the device CPU can write it through I2C. */
  readonly eeprom: Uint8Array;
  readonly #macBase: number;

  constructor(options: CardOptions) {
    const random = new Random(options.seed * 8191 + options.location);
    this.location = options.location;
    this.serial = `SA${random.next().toString(16).padStart(8, '0').toUpperCase()}`;
    this.#macBase = random.next();
    this.eeprom = new Uint8Array(EEPROM_SIZE);
    putString(this.eeprom, 0, 16, 'HL-205');
    putString(this.eeprom, 16, 32, this.serial);
    putString(this.eeprom, 48, 16, 'rev A1');
  }

  /**
   * struct cpucp_info.
   * @param sensors kinds and attribute bits, in order
   */
  info(sensors: readonly { kind: keyof typeof SENSOR_TYPE; flags: number }[]): Uint8Array {
    const bytes = new Uint8Array(INFO.SIZE);
    const view = new DataView(bytes.buffer);
    sensors.slice(0, INFO.MAX_SENSORS).forEach(({ kind, flags }, i) => {
      view.setUint32(INFO.sensors + 8 * i, SENSOR_TYPE[kind], true);
      view.setUint32(INFO.sensors + 8 * i + 4, flags, true);
    });
    putString(bytes, INFO.kernel_version, 128, versions.linux);
    view.setUint32(INFO.card_type, CARD_TYPE.PMC, true);
    view.setUint32(INFO.card_location, this.location, true);
    view.setUint32(INFO.cpld_version, 0x10, true);
    view.setUint32(INFO.cpld_timestamp, CPLD_TIMESTAMP, true);
    view.setUint32(INFO.infineon_version, 0x0a, true);
    putString(bytes, INFO.fuse_version, 128, versions.fuse);
    putString(bytes, INFO.thermal_version, 128, versions.thermal);
    putString(bytes, INFO.cpucp_version, 128, versions.cpucp);
    view.setBigUint64(INFO.dram_size, BigInt(addressMap.HBM_SIZE), true);
    putString(bytes, INFO.card_name, INFO.CARD_NAME_LEN, 'HL205');
    for (const { index } of plls) {
      const at = INFO.pll_map + (index >>> 3);
      bytes[at] = (bytes[at] ?? 0) | (1 << (index & 7));
    }
    putString(bytes, INFO.fw_os_version, 128, versions.linux);
    return bytes;
  }

  /** struct cpucp_nic_info: the addresses of the ports; no link is connected. */
  nicInfo(ports: number): Uint8Array {
    const bytes = new Uint8Array(NIC_INFO.SIZE);
    for (let port = 0; port < ports; port++) {
      // Locally administered.
      const low = (this.#macBase + port) >>> 0;
      bytes.set([0x02, 0x48, low >>> 24, low >>> 16, low >>> 8, low], NIC_INFO.mac_addrs + 6 * port);
    }
    return bytes;
  }

  /** struct hl_component_versions without modules. */
  componentVersions(): Uint8Array {
    const bytes = new Uint8Array(COMPONENT_VERSIONS.SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint16(COMPONENT_VERSIONS.struct_size, COMPONENT_VERSIONS.SIZE, true);
    view.setUint16(COMPONENT_VERSIONS.modules_offset, COMPONENT_VERSIONS.SIZE, true);
    putString(bytes, COMPONENT_VERSIONS.component, 128, versions.cpucp);
    putString(bytes, COMPONENT_VERSIONS.fw_os, 128, versions.linux);
    putString(bytes, COMPONENT_VERSIONS.comp_name, COMPONENT_VERSIONS.NAME_LEN, 'cpucp');
    return bytes;
  }
}
