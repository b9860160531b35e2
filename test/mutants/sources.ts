/** Mistakes that no row knows: each is a piece of source that is replaced (mutant.ts says what a piece must look like). */

import type { Mutant } from './mutant.ts';

type Change = readonly [what: string, find: string, replace: string];

export function within(family: string, file: string, changes: readonly Change[]): Mutant[] {
  return changes.map(([what, find, replace]) => ({ name: `${family}: ${what}`, edit: { file, find, replace } }));
}

export const sourceMutants: readonly Mutant[] = [
  ...within('queue', 'src/gaudi/packet-bodies.ts', [
    ['a fence never blocks', "block.get('CP_FENCE_CNT', fields.id, cp.index) < fields.target", 'false'],
    [
      'a fence lets go at one more than its target',
      "block.get('CP_FENCE_CNT', fields.id, cp.index) < fields.target",
      "block.get('CP_FENCE_CNT', fields.id, cp.index) <= fields.target",
    ],
    ['a fence takes nothing', 'cp.takeFromFence(fields.id, fields.dec);', ''],
    [
      'WAIT adds at once',
      'cp.after(fields.cycles, () => cp.addToFence(fields.id, fields.inc));',
      'cp.addToFence(fields.id, fields.inc);',
    ],
    ['STOP goes on', 'cp.stop();', ''],
    [
      'all registers of WREG_BULK are the first',
      'writeRegister(cp, offset + 4 * i, values[i] as number)',
      'writeRegister(cp, offset, values[i] as number)',
    ],
    [
      'WREG_BULK leaves the last out',
      'for (let i = 0; i < values.length; i++) yield* writeRegister(cp, offset + 4 * i, values[i] as number);',
      'for (let i = 0; i < Math.max(1, values.length - 1); i++) yield* writeRegister(cp, offset + 4 * i, values[i] as number);',
    ],
    ['predicates are taken from bit 1', '((words[n] as number) & 1) === 1', '((words[n] as number) & 2) === 2'],
    [
      'predicate 31 is not loaded',
      'for (let n = 1; n < 32; n++) if (((words[n] as number) & 1) === 1) predicates |= 1 << n;',
      'for (let n = 1; n < 31; n++) if (((words[n] as number) & 1) === 1) predicates |= 1 << n;',
    ],
    ['scalars are executed from the first on, whatever the type', 'type === 0 ? 0 : 2', '0'],
    ['an arbitration point lets go never', 'cp.peers.arbiter.release(cp.index);', ''],
    [
      'a register write error is not told',
      'cp.qm.errors.report(error);\n    cp.fault(qmanError.registerWrite);\n  } finally {\n    leave();\n  }\n}\n\nfunction isLocal(cp: CommandProcessor, offset: number): boolean {',
      'cp.qm.errors.report(error);\n  } finally {\n    leave();\n  }\n}\n\nfunction isLocal(cp: CommandProcessor, offset: number): boolean {',
    ],
  ]),
  ...within('queue', 'src/gaudi/command-processor.ts', [
    ['predicates are ignored', "'pred' in fields && ((this.predicates >>> fields.pred) & 1) === 0", 'false'],
    [
      'predicates are the other way round',
      '((this.predicates >>> fields.pred) & 1) === 0',
      '((this.predicates >>> fields.pred) & 1) !== 0',
    ],
    [
      'engine barriers do not wait for the engine',
      'const drained = this.qm.engine.drain();',
      'const drained = undefined as Steps | undefined;',
    ],
    ['message barriers do not wait', 'if (fields.mb !== 0) while (this.#messages.length > 0) yield this.#arrived;', ''],
    [
      'messages leave in the wrong order',
      'const message = this.#messages[0];',
      'const message = this.#messages.reverse()[0];',
    ],
    ['a message in a row is not waited for', 'if (!advance(message.due)) break;', ''],
    ['a row goes on with other headers', 'data[from + 1] !== header', 'false'],
    [
      'a message that fails is not told',
      'if (error instanceof ModelError) this.#report(error);\n    else if (!(error instanceof BusError)) throw error;\n    this.fault(qmanError.messageWrite);',
      'if (error instanceof ModelError) this.#report(error);\n    else if (!(error instanceof BusError)) throw error;',
    ],
    [
      'an undefined opcode is not told',
      'this.fault(qmanError.undefinedOpcode);\n    return undefined;',
      'return undefined;',
    ],
    [
      'a fence adds one too few',
      "const count = block.get('CP_FENCE_CNT', fence, this.index) + amount;",
      "const count = block.get('CP_FENCE_CNT', fence, this.index) + amount - 1;",
    ],
    ['a fence overflow is not told', 'if (count > FENCE_MAX) this.fault(qmanError.fenceOverflow << fence);', ''],
    [
      'a fence counter wraps',
      "block.set('CP_FENCE_CNT', Math.min(count, FENCE_MAX), fence, this.index);",
      "block.set('CP_FENCE_CNT', count & FENCE_MAX, fence, this.index);",
    ],
    [
      'a message to an odd address is rounded',
      '!Number.isSafeInteger(target) || target % 4 !== 0',
      '!Number.isSafeInteger(target)',
    ],
    ['predicates outlive a reset', 'this.predicates = 1;', ''],
  ]),
  ...within('sync', 'src/gaudi/sync-manager.ts', [
    ['an add sets', 'const sum = operand + (this.#objects[index] as number);', 'const sum = operand;'],
    ['a sync object does not wrap', 'next = sum & SOB.VALUE;', 'next = Math.min(sum, SOB.VALUE);'],
    ['an overflow is not told', 'sum > SOB.VALUE && operand < SOB.SIGN', 'false'],
    ['a count down is taken for an overflow', 'sum > SOB.VALUE && operand < SOB.SIGN', 'sum > SOB.VALUE'],
    [
      'monitor modes are swapped',
      'arm & ARM.SOP ? value === wanted : value >= wanted',
      'arm & ARM.SOP ? value >= wanted : value === wanted',
    ],
    ['at least is more than', 'value >= wanted', 'value > wanted'],
    [
      'objects that are there already do not count',
      'pending & (1 << i) && this.#meets(monitor, group * GROUP_SIZE + i)',
      'false',
    ],
    [
      'the mask of a monitor is the other way round',
      '~((value & ARM.MASK) >>> ARM.MASK_SHIFT) & ALL',
      '((value & ARM.MASK) >>> ARM.MASK_SHIFT) & ALL',
    ],
    [
      'one object of several is enough',
      '((this.#status[monitor] as number) & STATUS.PENDING) !== 0',
      '((this.#status[monitor] as number) & STATUS.PENDING) === STATUS.PENDING',
    ],
    [
      'a monitor fires again and again',
      'this.#status[monitor] = status & ~bit;\n    this.#fireIfMet(monitor);',
      'this.#status[monitor] = status & ~bit; this.#fireIfMet(monitor); this.#status[monitor] = status; this.#armed[Math.floor(index / GROUP_SIZE)]?.add(monitor);',
    ],
    [
      'of several monitors the highest is first',
      '[...group].sort((a, b) => a - b)',
      '[...group].sort((a, b) => b - a)',
    ],
    ['a payload to an odd address is written', 'low % 4 !== 0', 'false'],
    ['a payload goes to the low half of its address', "registers.get('MON_PAY_ADDRH', monitor) * 2 ** 32 + low", 'low'],
    ['a reset leaves monitors armed', 'for (const group of this.#armed) group.clear();', ''],
    ['a write that fails is not told', 'this.#ports.onInterrupt(SEI_CAUSE.AXI_RESPONSE_ERR, 0)', 'Number()'],
    ['disarming leaves the monitor waiting', 'if ((value & STATUS.VALID) === 0) return;', ''],
  ]),
  ...within('dma', 'src/gaudi/dma-transfer.ts', [
    [
      'the last byte of a row is lost',
      "if (linear) return { base, row: registers.get('DST_TSIZE_0'), counts: [], strides: [] };",
      "if (linear) return { base, row: Math.max(0, registers.get('DST_TSIZE_0') - 1), counts: [], strides: [] };",
    ],
    [
      'the last byte of long rows is lost',
      "if (linear) return { base, row: registers.get('DST_TSIZE_0'), counts: [], strides: [] };",
      "if (linear) return { base, row: registers.get('DST_TSIZE_0') - (registers.get('DST_TSIZE_0') > 4096 ? 1 : 0), counts: [], strides: [] };",
    ],
    ['the completion is not written', 'commit & COMMIT.WR_COMP_EN', '0'],
    ['the source is within 4 GiB', "registers.get('SRC_BASE_HI') * 2 ** 32", '0'],
    ['a memset writes zeros', "view.setUint32(0, registers.get('SRC_BASE_LO'), true);", ''],
    [
      'a memset repeats its low half',
      "view.setUint32(4, registers.get('SRC_BASE_HI'), true);",
      "view.setUint32(4, registers.get('SRC_BASE_LO'), true);",
    ],
    ['a memset copies', 'const memset = (commit & COMMIT.MEM_SET) !== 0;', 'const memset = false;'],
    [
      'strides of the source are those of the destination',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
      'registers.get(`${side}_STRIDE`, d)',
      'registers.get(`DST_STRIDE`, d)',
    ],
    [
      'the fifth dimension has no stride',
      '(position[i] as number) * (strides[i] as number)',
      '(i === 3 ? 0 : (position[i] as number) * (strides[i] as number))',
    ],
    ['planes are rows', 'position[d++] = 0;', 'd++;'],
    ['the pattern begins anew with each slice', 'phase = (phase + length) % 8;', 'phase = 0;'],
  ]),
  ...within('dma', 'src/gaudi/dma-mover.ts', [
    ['after an error nothing more is read', 'if (error.address > from) return error.address - from;', ''],
    ['zeroed memory keeps what it held', 'if (this.#bus.zero(this.#who, to, target.length) === 0) target.fill(0);', ''],
  ]),
  ...within('dma', 'src/gaudi/dma-core.ts', [
    [
      'the completion goes nowhere',
      'const steps = bus.write32(this.#who, work.completion.address, work.completion.value);',
      'const steps = undefined as Steps | undefined; bus;',
    ],
  ]),
  ...within('mmu', 'src/gaudi/stlb.ts', [
    [
      'an invalidation leaves small pages',
      'this.#small.clear();\n      this.#large.clear();\n      if (producer !== undefined) this.#consumerIndex = producer;',
      'this.#large.clear();\n      if (producer !== undefined) this.#consumerIndex = producer;',
    ],
    [
      'an invalidation leaves large pages',
      'this.#large.clear();\n      if (producer !== undefined) this.#consumerIndex = producer;',
      'if (producer !== undefined) this.#consumerIndex = producer;',
    ],
  ]),
  ...within('mmu', 'src/gaudi/mmu.ts', [
    ['pages that are not present are', '(flags & PRESENT) === 0', 'false'],
    ['pages of all address spaces are one', 'const asid = who.asid();', 'const asid = 1;'],
    [
      'large pages are small',
      'this.#size = LARGE_PAGE;\n        this.stlb.insertLarge(asid, virtual, this.#page);',
      'this.#size = SMALL_PAGE;\n        this.stlb.insertLarge(asid, virtual, this.#page);',
    ],
    [
      'a page fault is not told',
      "if (this.registers.get('SPI_MASK') & SPI.PAGE_FAULT) this.#ports.onFault('page-fault');",
      '',
    ],
    ['every page fault is told', "this.registers.get('PAGE_ERROR_CAPTURE') === 0", 'true'],
    [
      'the address of a page fault is of the page',
      "this.registers.set('PAGE_ERROR_CAPTURE_VA', virtual >>> 0);",
      "this.registers.set('PAGE_ERROR_CAPTURE_VA', (virtual & ~0xfff) >>> 0);",
    ],
    ['pages are joined that do not follow each other', 'this.#page === address + known', 'true'],
    [
      'the first access that was refused is forgotten',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
      'id === undefined || this.registers.get(`RAZWI_${kind}_VLD`) !== 0',
      'id === undefined',
    ],
  ]),
  ...within('mmu', 'src/driver/model/mmu.ts', [
    ['the driver does not invalidate', "card.write(stlbAt('INV_PS'), 2);", ''],
    ['the driver clears no entries', 'this.#write(table, indexAt(virtual, last), 0);', ''],
    ['tables that are empty are not given back', 'this.#free.push(empty.address);', ''],
  ]),
  ...within('event', 'src/gaudi/event-queue.ts', [
    [
      'the interrupt comes before the payload',
      'yield* cpu.write(address + EQ.data, data);',
      'this.#ports.raiseInterrupt(); yield 1000;',
    ],
    ['events have no payload', 'data.set(payload);', ''],
    ['no interrupt tells of events', 'this.#ports.raiseInterrupt();', ''],
    ['events are not masked', 'if (!FIRMWARE_EVENTS.test(event.name)) this.#masked.set(event.id, undefined);', ''],
    ['what happens while masked is lost', 'if (again) this.raise(again.event, again.payload);', ''],
    ['unmasking does nothing', 'this.#masked.delete(id);', ''],
  ]),
  ...within('peer', 'src/pci/fabric.ts', [
    ['a peer is reached without a route', "if (route === 'none') return undefined;", ''],
    [
      'peers are not told from memory of the host',
      'base === undefined || base >= this.#end || base + a.size <= address',
      'true',
    ],
    ['a word to a peer is lost', 'memory.piece.memory.words[memory.at / 4] = value', 'Number(value)'],
  ]),
  ...within('peer', 'src/driver/model/dmabuf.ts', [
    ['who cannot reach the card may map its memory', '!this.#peerToPeer', 'false'],
    ['an importer without peer-to-peer is taken for one with it', 'peerToPeer && reached', 'reached'],
    ['distance does not matter', 'this.#topology.distance(provider, importer.function) >= 0', 'true'],
    ['memory begins at the start of the BAR', '(this.#address - addressMap.HBM_BASE)', '0'],
    ['nobody is told of the end of a dma-buf', 'this.#released();', ''],
    ['the last segment is as long as the others', 'Math.min(LARGEST_SEGMENT, this.size - at)', 'LARGEST_SEGMENT'],
  ]),
  ...within('wait', 'src/driver/model/wait-ioctl.ts', [
    ['a wait is over at once', 'if (timeout_us > 0n) {', 'if (false) {'],
    ['a wait forgets errors', 'if (error) fail(error);', ''],
    [
      'what runs has ended',
      'if (fence.done) answer(STATUS.HL_WAIT_CS_STATUS_COMPLETED, fence.timestamp);\n  else answer(STATUS.HL_WAIT_CS_STATUS_BUSY, 0);',
      'answer(STATUS.HL_WAIT_CS_STATUS_COMPLETED, fence.timestamp);',
    ],
    [
      'a wait for several is for all',
      'fences.some((fence) => ended(fence) || (fence && failureOf(fence)))',
      'fences.every((fence) => ended(fence) || (fence && failureOf(fence)))',
    ],
    ['of several that have ended one is told', 'if (ended(fence)) map |= 1 << i;', 'if (ended(fence)) map = 1 << i;'],
    ['the first end is the last', 'Math.min(...times)', 'Math.max(...times)'],
    [
      'a wait is a thousand times shorter',
      'return kernel.clock.now() + taken * US;',
      'return kernel.clock.now() + taken;',
    ],
    ['an interrupted wait is busy', "refuse('EINTR');\n    }\n  }", '}\n  }'],
    ['submissions that are gone have no flag', 'gone ? RESULT.HL_WAIT_CS_STATUS_FLAG_GONE : 0', '0'],
  ]),
  ...within('submit', 'src/driver/model/submission.ts', [
    [
      'a full queue takes more',
      '!queues.reserve(queue, count, completion)',
      '!queues.reserve(queue, count, completion) && false',
    ],
    [
      'what was reserved is kept after a refusal',
      'if (completion) for (const [queue, count] of reserved) queues.unreserve(queue, count);',
      '',
    ],
    ['a card in reset takes submissions', 'unavailable !== undefined', 'false'],
    ['command buffers are not given back', 'job.buffer?.free();', ''],
    ['a reset leaves submissions without error', 'cs.aborted = true;', ''],
  ]),
  ...within('submit', 'src/driver/model/queues.ts', [
    ['places in a queue are never free again', 'queue.ci = (queue.ci + count) % (2 * queue.length);', ''],
    [
      'the end of a buffer is told before its engine is done',
      "bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(at), value: entry, eb, mb: true }), end);",
      "bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(at), value: entry, eb: false, mb: true }), end);",
    ],
    [
      'the interrupt of an end is raised before it is written',
      "bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(MSI_REQ), value: 1, eb: false, mb: true }), end + MSG_PROT);",
      "bytes.set(gaudiQman.encode('MSG_PROT', { addr: BigInt(MSI_REQ), value: 1, eb: false, mb: false }), end + MSG_PROT);",
    ],
    [
      'entries keep their size',
      'view.setUint32(at + 8, size, true);\n    view.setUint32(at + 12, control, true);',
      'view.setUint32(at + 8, size - 8, true);\n    view.setUint32(at + 12, control, true);',
    ],
  ]),
  ...within('signal', 'src/driver/model/sync-stream.ts', [
    [
      'a wait is for a later signal',
      "const arm = gaudiQman.format('mon_arm', { group: sob.id >> 3, mask: 0xff & ~(1 << (sob.id & 7)), value });",
      "const arm = gaudiQman.format('mon_arm', { group: sob.id >> 3, mask: 0xff & ~(1 << (sob.id & 7)), value: value + 1 });",
    ],
    [
      'a wait is for the signal before',
      "const arm = gaudiQman.format('mon_arm', { group: sob.id >> 3, mask: 0xff & ~(1 << (sob.id & 7)), value });",
      "const arm = gaudiQman.format('mon_arm', { group: sob.id >> 3, mask: 0xff & ~(1 << (sob.id & 7)), value: Math.max(0, value - 1) });",
    ],
    ['a counter that nobody waits for is not set back', 'this.#card.write(sob.offset, 0);', ''],
    ['signals that were given back are counted', 'stream.nextValue -= count;', ''],
    ['anyone may give back signals', 'first + count !== stream.nextValue || sob !== reservation.sob', 'false'],
    ['signals wrap one too late', 'stream.nextValue + count < LARGEST', 'stream.nextValue + count <= LARGEST'],
  ]),
  ...within('memory', 'src/driver/model/user-memory.ts', [
    [
      'a mapping of the last page is left',
      'for (let at = 0; at < total; at += huge ? HUGE_PAGE : PAGE) this.#mmu.unmap(virtual + at, huge);',
      'for (let at = 0; at < total - PAGE; at += huge ? HUGE_PAGE : PAGE) this.#mmu.unmap(virtual + at, huge);',
    ],
    [
      'memory stays pinned',
      'this.#range.give(mapping.virtual, mapping.total);\n    mapping.pinned.unpin();',
      'this.#range.give(mapping.virtual, mapping.total);',
    ],
    ['addresses are not given back', 'this.#range.give(mapping.virtual, mapping.total);', ''],
    ['memory that is not aligned may have an address', 'hint !== 0n && offset !== 0 && force', 'false'],
    ['memory of the kernel may be mapped', 'end > PROGRAM_END', 'false'],
    ['the offset within the page is lost', 'return virtual + offset;', 'return virtual;'],
    [
      'a mapping is not made known to the card',
      'yield* this.#mmu.invalidate();\n    this.#mappings.set(virtual + offset, { pinned, ...whose, virtual, total, huge, size });',
      'this.#mappings.set(virtual + offset, { pinned, ...whose, virtual, total, huge, size });',
    ],
  ]),
  ...within('efa', 'src/efa/completion-queue.ts', [
    ['the phase never changes', '1 - (Math.floor(number / depth) & 1)', '1'],
    [
      'events come without being asked for',
      '!events || !this.#armed || !this.#news || this.destroyed',
      '!events || !this.#news || this.destroyed',
    ],
    ['an event comes once', 'this.#news = true;', ''],
  ]),
  ...within('efa', 'src/efa/memory-region.ts', [
    [
      'a byte beyond the end of a region may be reached',
      'address - iova <= size - length',
      'address - iova <= size - length + 1',
    ],
    ['memory before a region may be reached', 'address >= iova', 'true'],
    [
      'a region begins at its page',
      'return pages.locate(address - iova + skip);',
      'return pages.locate(address - iova);',
    ],
  ]),
  ...within('efa', 'src/efa/responder.ts', [
    ['any key opens a region', 'region?.rkey === packet.rkey', 'region !== undefined'],
    [
      'regions of others may be reached',
      'region.pd === qp.options.pd && region.options[access]',
      'region.options[access]',
    ],
    [
      'what may be read may be written',
      'region.pd === qp.options.pd && region.options[access]',
      'region.pd === qp.options.pd',
    ],
    ['the queue key does not matter', 'if (packet.qkey !== qp.qkey) {', 'if (false) {'],
    [
      'a message longer than its buffers is cut',
      "packet.kind === 'send' && receive && length > receive.target.length",
      'false',
    ],
    [
      'a buffer that may not be written is received into',
      '!region || region.pd !== qp.options.pd || !region.options.localWrite',
      '!region || region.pd !== qp.options.pd',
    ],
    ['who is not ready loses the message', 'this.#drop(COMP.REMOTE_RNR)', 'this.#drop(COMP.REMOTE_ABORT)'],
    [
      'work in a queue in error is not flushed',
      'yield* this.#complete(qp, { req_id: receive.requestId, status: COMP.FLUSHED, op_type: OP.SEND });',
      'yield 0;',
    ],
    ['immediate data is lost', 'immediate ?? 0', '0'],
    ['the length of long writes is cut', 'length >>> 16', '0'],
  ]),
  ...within('efa', 'src/efa/transfer.ts', [
    [
      'the last byte of what is copied at once is lost',
      'place.set(n === bytes.length ? bytes : bytes.subarray(0, n))',
      'place.set(bytes.subarray(0, n - 1))',
    ],
    ['memory that was taken back is reached', '!region.valid || !this.#live()', '!this.#live()'],
  ]),
  ...within('tpc', 'src/gaudi/tpc.ts', [
    ['a core is never busy', 'return this.busy() ? this.#drain() : undefined;', 'return undefined;'],
    [
      'a core is idle while it works',
      "if (job.kind === 'kernel') return this.#memory.inflight().memory > 0 ? 0 : STATUS.SB_EMPTY;",
      "if (job.kind === 'kernel') return PIPES_EMPTY | STATUS.QM_IDLE | ready;",
    ],
    [
      'kernels see later descriptors',
      'this.block.words.slice(first, first + DESCRIPTOR)',
      'this.block.words.subarray(first, first + DESCRIPTOR)',
    ],
  ]),
];
