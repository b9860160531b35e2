/** The guest's first root: our init, the modules, firmware files, and what the init is to do. */

import { readFile } from 'node:fs/promises';
import { tpcFirmware } from '../tpc-firmware.ts';
import { Cpio } from './cpio.ts';
import type { Module } from './modules.ts';

export interface Initramfs {
  /** Path of the init's binary. */
  readonly init: string;
  readonly early: readonly Module[];
  readonly files: readonly Module[];
  /** In order; with the parameters of each. */
  readonly drivers: readonly { readonly module: Module; readonly parameters: string }[];
  /** The last of the drivers is bound to its devices one after the other, instead of to all at once (docs/findings/0002). */
  readonly oneByOne?: boolean;
  /** Tags and paths of the folders that are shared for writing. */
  readonly binds: readonly { readonly tag: string; readonly path: string }[];
  readonly hugePages: number;
  /** Where several guests are in one network: address and name of this one, and the list of all (hosts(5)). */
  readonly network?: { readonly address: string; readonly name: string; readonly hosts: string } | undefined;
  /** The kernel takes down which functions of this module are called. */
  readonly trace?: string | undefined;
  /** Whether the host's root is shared; default true. */
  readonly root?: boolean;
}

/** KiB for each processor: of half a million calls, what a test makes. */
const TRACE_BUFFER = 16384;

/** Mount tag of the host's root. */
export const ROOT_TAG = 'root';

/**
 * Firmware files that the driver asks for (gaudi.c: GAUDI_BOOT_FIT_FILE, GAUDI_LINUX_FW_FILE). The modelled chip needs nothing
 * from them. Their length must be a multiple of 4 (firmware_if.c, hl_request_fw).
 */
const FIRMWARE = ['gaudi-boot-fit.itb', 'gaudi-fit.itb'];
/** The program for tensor cores (GAUDI_TPC_FW_FILE), which they run. */
const TPC_FIRMWARE = 'gaudi_tpc.bin';
const FIRMWARE_FOLDER = '/lib/firmware/habanalabs/gaudi';
const FIRMWARE_TEXT = 'Sagrada: the modelled chip needs no firmware; this file is here to be found.\n';

export async function buildInitramfs(parts: Initramfs): Promise<Buffer> {
  const archive = new Cpio();
  const steps: string[] = [];
  const add = (step: string, module: Module, parameters = '') => {
    const path = `/modules/${module.name}.ko`;
    archive.file(path, module.bytes);
    steps.push(`${step} ${path} ${parameters}`);
  };
  archive.file('/init', await readFile(parts.init), 0o755);
  archive.characterDevice('/dev/console', 5, 1);
  const firmware = FIRMWARE_TEXT.padEnd(Math.ceil(FIRMWARE_TEXT.length / 4) * 4, '\n');
  for (const name of FIRMWARE) archive.file(`${FIRMWARE_FOLDER}/${name}`, firmware);
  archive.file(`${FIRMWARE_FOLDER}/${TPC_FIRMWARE}`, tpcFirmware());
  const early = new Set(parts.early.map((module) => module.name));
  for (const module of parts.early) add('early', module);
  steps.push(`hugepages ${parts.hugePages}`);
  if (parts.trace !== undefined) steps.push(`trace ${parts.trace} ${TRACE_BUFFER}`);
  for (const module of parts.files) if (!early.has(module.name)) add('module', module);
  if (parts.root !== false) steps.push(`root ${ROOT_TAG}`);
  if (parts.network) {
    archive.file('/etc/hosts', parts.network.hosts);
    steps.push(`network ${parts.network.address} ${parts.network.name}`);
  }
  for (const { tag, path } of parts.binds) steps.push(`bind ${tag} ${path}`);
  const last = parts.oneByOne ? parts.drivers.at(-1) : undefined;
  if (last) steps.push('autoprobe 0');
  for (const { module, parameters } of parts.drivers) add('module', module, parameters);
  if (last) steps.push(`attach ${last.module.name}`, 'autoprobe 1');
  archive.file('/sagrada.conf', steps.map((step) => `${step}\n`).join(''));
  return archive.bytes();
}
