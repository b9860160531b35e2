/**
 * The command packets of Gaudi's queue managers (QMAN): what a command processor (CP) fetches and executes. Of the
 * sources below only [T] has every field; [K] has those that the kernel uses, at the same places.
 */

import { packetSet } from '../src/isa/packet-codec.ts';
import { bit, bits, type FieldsOf, format, type InputOf, packet, payload } from '../src/isa/packets.ts';

const eb = bit(61, 'engine barrier: wait until the engine has done its earlier work');
const rb = bit(62, 'register barrier: wait until earlier writes to registers of the engine are done');
const mb = bit(63, 'message barrier: wait until earlier messages have been answered');
const barriers = { eb, rb, mb };
/** [T] says of some packets that this bit must be set. */
const barriersRb1 = { eb, rb: bit(62, rb.doc, { default: 1, required: 1 }), mb };

const pred = bits(32, 36, 'predicate that must be set for the packet to do anything; 0 = always', { default: 0 });
const value = bits(0, 31, 'what is written', { radix: 16 });
const regOffset = bits(40, 55, "byte offset of the register within the engine's own 64 KiB, e.g. DMA_CORE.COMMIT", {
  radix: 16,
});
const messageOrder = {
  weakly_ordered: bit(48, 'the write may pass others', {
    unverified: 'only the name is public; the ordering it relaxes is not',
  }),
  no_snoop: bit(49, "the write does not snoop the host's caches", {
    unverified: 'only the name is public; by it, the PCIe attribute of that name',
  }),
};
const op = bits(52, 53, 'what is written: the value or a time stamp', {
  default: 0,
  names: { value: 0, timestamp: 1 },
  unverified: '[T] names 0 and 1 only, and not which time the stamp tells',
});
const address = bits(64, 127, 'device address, 4-byte aligned');

export const gaudiQman = packetSet({
  name: 'gaudi-qman',
  title: 'Gaudi queue manager packets',
  doc: 'Command packets that the command processors of Gaudi1 queue managers execute, in order, from command buffers.',
  sources: {
    K: 'Linux, drivers/accel/habanalabs: include/gaudi/gaudi_packets.h, gaudi/gaudi.c',
    T: 'hl-thunk-open: include/specs/gaudi/gaudi_packets.h, tests',
    S: 'SynapseAI_Core: synapse_backend/low_level_driver/gaudi/gaudi_packet_gen.cpp',
  },
  opcode: [56, 60],
  unitWords: 2,
  padding: 'NOP',
  rows: {
    WREG_32: packet(
      0x1,
      'Write one register of the engine that the queue manager serves.',
      { value, pred, reg_offset: regOffset, ...barriersRb1 },
      {
        operands: 'reg_offset, value',
        source: '[T] struct packet_wreg32',
        example: 'wreg_32 DMA_CORE.DST_TSIZE_0, 4096',
      },
    ),
    WREG_BULK: packet(
      0x2,
      'Write consecutive registers of the engine: the packet is followed by size64 pairs of 32-bit values.',
      {
        size64: bits(0, 15, 'number of 64-bit words that follow'),
        pred,
        reg_offset: bits(40, 55, 'byte offset of the first register', { radix: 16 }),
        ...barriersRb1,
        values: payload('size64', 2, 'the values, for the first register first'),
      },
      {
        operands: 'reg_offset, values',
        source: '[T] struct packet_wreg_bulk',
        example: 'wreg_bulk DMA_CORE.SRC_BASE_LO, {lo(SRAM_BASE), hi(SRAM_BASE), 0x2000, 0}',
      },
    ),
    MSG_LONG: packet(
      0x3,
      'Write one 32-bit value to any device address.',
      { value, pred, ...messageOrder, op, ...barriers, addr: address },
      {
        operands: '[addr], value',
        source: '[T] struct packet_msg_long; [K] gaudi_memset_registers',
        example: 'msg_long [SOB_E_N(12)], sob(1, add), eb, mb',
      },
    ),
    MSG_SHORT: packet(
      0x4,
      'Write one 32-bit value to an address near one of four bases (registers CP_MSG_BASE0 to 3 of the stream). ' +
        'With the usual bases it sets or adds to a sync object (format sob) or arms a monitor (format mon_arm).',
      {
        value: bits(0, 31, 'what is written; formats sob and mon_arm name its fields for sync objects and monitors', {
          radix: 16,
        }),
        offset: bits(32, 47, 'byte offset from the base', { radix: 16 }),
        ...messageOrder,
        op,
        base: bits(
          54,
          55,
          'which base register; the kernel driver points 0, 1 at monitors, sync objects E_N and 2, 3 at W_S',
        ),
        ...barriers,
      },
      {
        operands: '[base, offset], value',
        source: '[T] struct packet_msg_short; [K] gaudi_gen_signal_cb, gaudi_add_arm_monitor_pkt',
        example: 'msg_short [3, 4 * 12], sob(1, add), rb, mb',
      },
    ),
    CP_DMA: packet(
      0x5,
      'Have the lower command processor execute the packets in a piece of memory.',
      {
        tsize: bits(0, 31, 'bytes of packets'),
        pred,
        ...barriersRb1,
        src: bits(64, 127, 'device address of the packets'),
      },
      {
        operands: '[src], tsize',
        source: '[T] struct packet_cp_dma',
        example: 'cp_dma [0x20000000], 256, mb',
      },
    ),
    REPEAT: packet(
      0x6,
      'Begin or end a loop over packets of the command buffer.',
      {
        start: bit(0, 'sore: 1 = start of the loop, 0 = its end', {
          unverified: '[S] calls the value 1 start; that 0 is the end follows from the name',
        }),
        outer: bit(1, 'o: the outer of two nested loops'),
        jump: bits(16, 31, 'jmp_ptr: where the loop goes back to', {
          unverified: 'neither unit nor origin of the pointer is public, nor where the number of rounds comes from',
        }),
        pred,
        ...barriersRb1,
      },
      {
        operands: 'jump',
        source: '[T] struct packet_repeat; [S] RepeatGen2',
        example: 'repeat 2, start',
        unverified: 'only the fields are public; how often and from where the loop runs is not',
      },
    ),
    MSG_PROT: packet(
      0x7,
      'MSG_LONG with the privileges of the kernel driver, which appends it and refuses it in command buffers of users.',
      { value, pred, ...messageOrder, op, ...barriers, addr: address },
      {
        operands: '[addr], value',
        source: '[T] struct packet_msg_prot; [K] gaudi_add_end_of_cb_packets',
        example: 'msg_prot [PCIE_CORE.MSI_REQ], 1, mb',
      },
    ),
    FENCE: packet(
      0x8,
      'Wait until one of the four fence counters of the command processor has reached a value, then subtract.',
      {
        dec: bits(0, 3, 'subtracted from the counter once it has been reached'),
        target: bits(16, 23, 'value that the counter must reach'),
        id: bits(30, 31, 'which counter (registers CP_FENCE0 to 3)'),
        pred,
        ...barriers,
      },
      {
        operands: 'id, target, dec',
        source: '[T] struct packet_fence; [K] gaudi_add_fence_pkt',
        example: 'fence 2, 1, 1, rb, mb',
      },
    ),
    LIN_DMA: packet(
      0x9,
      'Copy bytes, or fill with a 64-bit pattern, on the DMA engine that the queue manager serves.',
      {
        tsize: bits(0, 31, 'bytes'),
        wrcomp: bit(32, 'wr_comp_en: when done, write WR_COMP_WDATA to WR_COMP_ADDR of the DMA core'),
        transpose: bit(33, 'transpose', { unverified: 'only the name is public' }),
        dtype: bit(34, 'element type of the transposition', { unverified: 'only the name is public' }),
        linear: bit(35, 'the transfer is linear', { default: 1, required: 1 }),
        memset: bit(36, 'fill: src is not an address but the pattern'),
        compress: bit(37, 'compress', { unverified: 'only the name is public' }),
        decompress: bit(38, 'decompress', { unverified: 'only the name is public' }),
        context_id_low: bits(48, 55, 'low bits of the context id, for traces', { default: 0 }),
        ...barriersRb1,
        src: bits(64, 127, 'device address of the first byte read, or the pattern'),
        dst: bits(128, 183, 'device address of the first byte written'),
        context_id_high: bits(184, 191, 'high bits of the context id', { default: 0 }),
      },
      {
        operands: '[dst], [src], tsize',
        source: '[T] struct packet_lin_dma; [K] gaudi_memset_device_memory',
        example: 'lin_dma [SRAM_BASE + 0x1000], [VIRTUAL_BASE + 0x2000], 64 * 1024, eb, mb',
      },
    ),
    NOP: packet(
      0xa,
      'Do nothing; with barriers, wait.',
      {
        unused: bits(0, 31, 'anything: the padding of the kernel driver keeps what was there', { default: 0 }),
        ...barriers,
      },
      { source: '[T] struct packet_nop; [K] gaudi_add_end_of_cb_packets', example: 'nop mb' },
    ),
    STOP: packet(
      0xb,
      'Stop the command processor.',
      { eb, rb: bit(62, rb.doc, { required: 0 }), mb: bit(63, mb.doc, { required: 0 }) },
      { source: '[T] struct packet_stop', example: 'stop' },
    ),
    ARB_POINT: packet(
      0xc,
      "Ask for the engine, where the queue manager's arbiter is on: until the release, packets of other streams wait.",
      {
        priority: bits(0, 7, 'priority of what follows, higher first'),
        release: bit(31, 'rls: give the engine back'),
        pred,
        ...barriers,
      },
      {
        operands: 'priority',
        source: '[T] struct packet_arb_point, tests/gaudi_tests (arbitration)',
        example: 'arb_point 3',
      },
    ),
    WAIT: packet(
      0xd,
      'After a number of cycles, add to a fence counter; a FENCE on it makes the delay.',
      {
        cycles: bits(0, 23, 'num_cycles_to_wait'),
        inc: bits(24, 27, 'inc_val: added to the counter'),
        id: bits(28, 29, 'which counter (registers CP_FENCE0 to 3)'),
        eb,
        rb: bit(62, rb.doc, { required: 0, unverified: '[T] says that it must be 0, [S] sets it' }),
        mb,
      },
      {
        operands: 'id, inc, cycles',
        source: '[T] struct packet_wait',
        example: 'wait 1, 1, 1000',
        unverified:
          'the clock that the cycles count is not public; that the CP goes on at once follows from its use before a FENCE',
      },
    ),
    LOAD_AND_EXE: packet(
      0xf,
      'Load the predicates (bit 0 of each of 32 words) or the scalars (16 bytes) of the command processor from memory, ' +
        'execute one half of the scalars as a packet, or both.',
      {
        dst: bits(0, 0, 'what is loaded; the kernel driver refuses scalars in command buffers of users', {
          default: 0,
          names: { predicates: 0, scalars: 1 },
        }),
        load: bit(8, 'load'),
        exe: bit(9, 'execute what the scalars hold'),
        etype: bits(10, 10, 'which half of the scalars is executed', {
          default: 0,
          names: { lower: 0, upper: 1 },
          unverified:
            'that the two values choose lower and upper half is taken from registers CP_CURRENT_INST_LO and HI',
        }),
        pred,
        ...barriersRb1,
        src: bits(64, 127, 'device address of what is loaded'),
      },
      {
        operands: '[src]',
        source: '[T] struct packet_load_and_exe, tests (load predicates); [K] gaudi_validate_load_and_exe_pkt',
        example: 'load_and_exe [SRAM_BASE + 0x400], load, mb',
      },
    ),
  },
  formats: {
    sob: format(
      'What is written to a sync object: its new value, or a number to add to it.',
      {
        value: bits(0, 14, 'value, or number to add in two’s complement'),
        te: bit(30, 'te', { unverified: 'only the name is public' }),
        add: bit(31, 'mode: add instead of set'),
      },
      { source: '[T] struct packet_msg_short.so_upd; [K] gaudi_gen_signal_cb' },
    ),
    mon_arm: format(
      'What is written to a monitor to arm it.',
      {
        group: bits(0, 7, 'group of eight sync objects: index of the first / 8'),
        mask: bits(8, 15, 'which of the eight do not take part, one bit each', { radix: 16 }),
        equal: bit(16, 'mode: wait for equal, instead of greater or equal'),
        value: bits(17, 31, 'value that the sync objects must have reached'),
      },
      { source: '[T] struct packet_msg_short.mon_arm_register; [K] gaudi_add_arm_monitor_pkt' },
    ),
  },
});

type Rows = typeof gaudiQman.rows;
export type PacketName = keyof Rows & string;
/** The fields of a decoded packet. */
export type Fields<N extends PacketName> = FieldsOf<Rows[N]>;
/** The fields that an encoder needs. */
export type Input<N extends PacketName> = InputOf<Rows[N]>;
/** One body per packet: a row without its body, or a body without its row, does not compile. */
export type PacketBodies<Result = void, Context extends unknown[] = []> = {
  readonly [N in PacketName]: (fields: Fields<N>, ...context: Context) => Result;
};
