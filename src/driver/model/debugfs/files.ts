/** A card's files in debugfs. Source: common/debugfs.c (add_files_to_device, add_secured_nodes, hl_debugfs_list). */

import { MONITOR_DUMP } from '../../../../specs/gaudi/cpucp.ts';
import { ModelError } from '../../../sim/errors.ts';
import type { Steps } from '../../../sim/process.ts';
import type { Card } from '../card.ts';
import { errnoOf, negative, refuse } from '../errno.ts';
import { access, readByDma, translation } from './access.ts';
import { type DebugFile, numberOf, parseNumber } from './file.ts';
import { addressSpaces, commandBuffers, jobs, lookUp, submissions, userPointers } from './tables.ts';

/** The longest transaction on an I2C bus, bytes. */
const LONGEST_I2C = 8;
/** Longer texts are no addresses (MMU_KBUF_SIZE). */
const MMU_TEXT = 49;
/** What of a text numbers are looked for in (simple_attr_write). */
const ATTRIBUTE_TEXT = 23;
/** And words for a card (hl_device_write). */
const DEVICE_TEXT = 29;
/** jiffies_to_msecs of no limit, in seconds, where a second has 250 ticks. */
const NO_LIMIT = 4_294_967;

/** A number that is read and written (debugfs_create_u8 and its like). */
function numeric(
  name: string,
  bits: 8 | 16 | 32 | 64,
  form: 'decimal' | 'hex',
  get: () => bigint | number,
  set?: (value: bigint) => void,
): DebugFile {
  const digits = bits / 4;
  return {
    name,
    show: () => `${form === 'hex' ? `0x${get().toString(16).padStart(digits, '0')}` : get()}\n`,
    store(text) {
      if (!set) refuse('EACCES', 'write');
      set(BigInt.asUintN(bits, parseNumber(text.slice(0, ATTRIBUTE_TEXT), 0, 64)));
    },
  };
}

/** What is not read while the card is reset. */
function unlessInReset(card: Card, what: string, body: () => string): string {
  if (!card.inReset) return body();
  card.log('warn', `Can't ${what} during reset`);
  return '';
}

/** What is not done then: nothing of what is written is taken. */
function* doneUnlessInReset(card: Card, what: string, body: () => Steps<unknown>): Steps<number | undefined> {
  if (card.inReset) {
    card.log('warn', `Can't ${what} during reset`);
    return 0;
  }
  yield* body();
  return undefined;
}

function data(card: Card, bits: 32 | 64): DebugFile {
  const bytes = new Uint8Array(bits / 8);
  const view = new DataView(bytes.buffer);
  return {
    name: `data${bits}`,
    once: true,
    show: () =>
      unlessInReset(card, 'read', () => {
        access(card, card.debugfs.address, bytes, 'read');
        const value = bits === 32 ? view.getUint32(0, true) : view.getBigUint64(0, true);
        return `0x${value.toString(16).padStart(bits / 4, '0')}\n`;
      }),
    store: (text) =>
      doneUnlessInReset(card, 'write', function* () {
        const value = numberOf(text, 16, bits);
        if (bits === 32) view.setUint32(0, Number(value), true);
        else view.setBigUint64(0, value, true);
        access(card, card.debugfs.address, bytes, 'write');
        yield* [];
      }),
  };
}

/** hl_debugfs_i2c_read, hl_debugfs_i2c_write. */
function* i2c(card: Card, way: 'read' | 'write', value = 0n): Steps<bigint> {
  const { bus, address, register, length } = card.debugfs.i2c;
  try {
    if (!card.operational()) refuse('EBUSY');
    if (length > LONGEST_I2C) {
      card.log('err', `I2C transaction length ${length}, exceeds maximum of ${LONGEST_I2C}`);
      refuse('EINVAL');
    }
    const index = (bus | (address << 8) | (register << 16) | (length << 24)) >>> 0;
    return yield* way === 'read'
      ? card.firmware.send('I2C_RD', { index })
      : card.firmware.send('I2C_WR', { index, value });
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EIO' || code === 'ETIMEDOUT')
      card.log('err', `Failed to ${way} ${way === 'read' ? 'from' : 'to'} I2C, error ${negative(code)}`);
    const what = way === 'read' ? 'read from' : `write 0x${value.toString(16)} to`;
    card.log('err', `Failed to ${what} I2C bus ${bus}, addr ${address}, reg ${register}, len ${length}`);
    throw error;
  }
}

function led(card: Card, number: number): DebugFile {
  return {
    name: `led${number}`,
    *store(text) {
      const value = numberOf(text, 10, 32) === 0n ? 0n : 1n;
      if (!card.operational()) return;
      try {
        yield* card.firmware.send('LED_SET', { index: number, value });
      } catch (error) {
        const code = errnoOf(error);
        if (code !== 'EAGAIN') card.log('err', `Failed to set LED ${number}, error ${negative(code)}`);
      }
    },
  };
}

/** What is done to a card by a word (hl_device_write). */
const WORDS = ['disable', 'enable', 'suspend', 'resume', 'cpu_timeout'] as const;
const HELP = `Valid values: ${WORDS.join(', ')}\n`;

function device(card: Card): DebugFile {
  const actions: Readonly<Record<(typeof WORDS)[number], () => Steps | undefined>> = {
    disable() {
      card.disable();
    },
    enable() {
      card.enable();
    },
    // gaudi_suspend, gaudi_resume
    *suspend() {
      try {
        yield* card.firmware.send('DISABLE_PCI_ACCESS');
      } catch {
        // nobody is told
      }
    },
    resume() {
      card.pci.enable();
    },
    cpu_timeout: () => {
      card.firmware.answers = false;
    },
  };
  return {
    name: 'device',
    room: DEVICE_TEXT,
    show: () => HELP,
    *store(text) {
      const word = WORDS.find((known) => text.startsWith(known));
      if (!word) {
        card.log('err', HELP.trimEnd());
        refuse('EINVAL', 'write');
      }
      yield* actions[word]() ?? [];
    },
  };
}

function mmu(card: Card): DebugFile {
  return {
    name: 'mmu',
    show: () => translation(card, card.debugfs.asid, card.debugfs.virtual),
    store(text) {
      const [, asid, address] = (text.length <= MMU_TEXT && /^([^ ]*) 0x(.*)$/s.exec(text)) || [];
      try {
        // the one is taken even where the other is no number
        const space = asid === undefined || address === undefined ? refuse('EINVAL') : parseNumber(asid, 10, 32);
        card.debugfs.asid = space;
        card.debugfs.virtual = parseNumber(address as string, 16, 64);
      } catch {
        card.log('err', 'usage: echo <asid> <0xaddr> > mmu');
        refuse('EINVAL', 'write');
      }
    },
  };
}

function mmuError(card: Card): DebugFile {
  return {
    name: 'mmu_error',
    show() {
      if (card.debugfs.errors === 0n) card.log('err', 'mmu_cap_mask is not set');
      // nor does this chip acknowledge any (gaudi_ack_mmu_page_fault_or_access_error)
      refuse('EINVAL', 'read');
    },
    store(text) {
      try {
        card.debugfs.errors =
          text.length <= MMU_TEXT && text.startsWith('0x') ? parseNumber(text, 16, 64) : refuse('EINVAL');
      } catch {
        card.log('err', 'usage: echo <0xmmu_cap_mask > > mmu_error');
        refuse('EINVAL', 'write');
      }
    },
  };
}

/** @throws SystemError EIO, EBUSY */
function scrub(card: Card): never {
  if (!card.operational()) {
    card.log('warn', "Can't scrub memory, device is not operational");
    refuse('EIO', 'write');
  }
  if (card.context) {
    card.log('err', "can't scrub dram, context exist");
    refuse('EBUSY', 'write');
  }
  throw new ModelError('unimplemented', `${card.name} memory_scrub`, 'all of the memory would be written');
}

function* dumpMonitors(card: Card, text: string): Steps {
  if (numberOf(text, 10, 32) !== 1n) {
    card.log('err', 'Must write 1 to trigger monitor dump');
    refuse('EINVAL', 'write');
  }
  card.debugfs.monitors = new Uint8Array(0);
  try {
    const { bytes } = yield* card.firmware.ask('MONITOR_DUMP_GET', MONITOR_DUMP.SIZE);
    card.debugfs.monitors = bytes;
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EAGAIN') card.log('err', `Failed to handle CPU-CP monitor-dump packet, error ${negative(code)}`);
    card.log('err', 'Failed to dump monitors');
    refuse('EIO', 'write');
  }
}

function timeLimit(card: Card): DebugFile {
  return {
    name: 'timeout_locked',
    // in the kernel with all of it, whatever there is room for (docs/findings/0022)
    once: true,
    show() {
      const limit = card.debugfs.timeLimit;
      return `${Number.isFinite(limit) ? limit : NO_LIMIT}\n\0`;
    },
    store(text) {
      const seconds = Number(numberOf(text, 10, 32));
      card.debugfs.timeLimit = seconds === 0 ? Number.POSITIVE_INFINITY : seconds;
    },
  };
}

/** The files of a card, without their folder. */
export function debugFilesOf(card: Card): readonly DebugFile[] {
  const debug = () => card.debugfs;
  const byte = (name: string, key: 'bus' | 'address' | 'register' | 'length') =>
    numeric(
      name,
      8,
      'decimal',
      () => debug().i2c[key],
      (value) => {
        debug().i2c[key] = Number(value);
      },
    );
  return [
    { name: 'name', show: () => `habanalabs dev=${card.name} unique=${card.name}\n` },
    numeric(
      'memory_scrub_val',
      64,
      'hex',
      () => debug().scrub,
      (value) => {
        debug().scrub = value;
      },
    ),
    { name: 'memory_scrub', store: () => scrub(card) },
    numeric(
      'addr',
      64,
      'hex',
      () => debug().address,
      (value) => {
        debug().address = value;
      },
    ),
    data(card, 32),
    data(card, 64),
    {
      name: 'set_power_state',
      once: true,
      show: () => 'current power state: 1\n1 - D0\n2 - D3hot\n3 - Unknown\n',
      store(text) {
        const state = numberOf(text, 10, 32);
        if (state !== 1n && state !== 2n) refuse('EINVAL', 'write');
        throw new ModelError('unimplemented', `${card.name} set_power_state`, 'states of power');
      },
    },
    device(card),
    { name: 'clk_gate', show: () => '', store: () => {} },
    stopOnError(card),
    // neither does anything on this chip
    { name: 'dump_security_violations', show: () => '' },
    { name: 'dump_razwi_events', show: () => '' },
    {
      name: 'dma_size',
      store: (text) =>
        doneUnlessInReset(card, 'DMA', function* () {
          const size = Number(numberOf(text, 16, 32));
          debug().data = yield* readByDma(card, debug().address, size, () => {
            debug().data = new Uint8Array(0);
          });
        }),
    },
    { name: 'data_dma', show: () => debug().data },
    {
      name: 'monitor_dump_trig',
      store: (text) => doneUnlessInReset(card, 'dump monitors', () => dumpMonitors(card, text)),
    },
    { name: 'monitor_dump', show: () => debug().monitors },
    numeric(
      'skip_reset_on_timeout',
      8,
      'hex',
      () => debug().skipReset,
      (value) => {
        debug().skipReset = Number(value);
      },
    ),
    {
      name: 'state_dump',
      show: () => debug().dumps.newest,
      store(text) {
        if (debug().dumps.skip(numberOf(text, 10, 32))) return;
        card.log('err', 'Invalid number of dumps to skip');
        refuse('EINVAL', 'write');
      },
    },
    timeLimit(card),
    numeric(
      'device_release_watchdog_timeout',
      32,
      'decimal',
      () => debug().watchdog,
      (value) => {
        debug().watchdog = Number(value);
      },
    ),
    numeric('server_type', 16, 'decimal', () => 0),
    byte('i2c_bus', 'bus'),
    byte('i2c_addr', 'address'),
    byte('i2c_reg', 'register'),
    byte('i2c_len', 'length'),
    {
      name: 'i2c_data',
      once: true,
      *show() {
        const value = yield* i2c(card, 'read');
        return `0x${value.toString(16)}\n`;
      },
      *store(text) {
        yield* i2c(card, 'write', numberOf(text, 16, 64));
      },
    },
    led(card, 0),
    led(card, 1),
    led(card, 2),
    { name: 'command_buffers', show: () => commandBuffers(card) },
    { name: 'command_submission', show: () => submissions(card) },
    { name: 'command_submission_jobs', show: () => jobs(card) },
    { name: 'userptr', show: () => userPointers(card) },
    { name: 'vm', show: () => addressSpaces(card) },
    {
      name: 'userptr_lookup',
      show: () => lookUp(card, debug().lookUp),
      store(text) {
        debug().lookUp = numberOf(text, 16, 64);
      },
    },
    mmu(card),
    mmuError(card),
    {
      name: 'engines',
      show: () => unlessInReset(card, 'check device idle', () => card.idleness().text),
    },
  ];
}

function stopOnError(card: Card): DebugFile {
  return {
    name: 'stop_on_err',
    once: true,
    show: () => `${card.debugfs.stopOnError ? 1 : 0}\n\0`,
    store: (text) =>
      doneUnlessInReset(card, 'change stop on error', function* () {
        card.debugfs.stopOnError = numberOf(text, 10, 32) !== 0n;
        // there are no resets of engines only on this chip, and none is tried on a card that is out of order (hl_device_reset)
        if (card.operational()) yield* card.reset({ untold: true });
      }),
  };
}
