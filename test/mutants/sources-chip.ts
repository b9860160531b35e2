/** Mistakes in the card's blocks: arbiters, errors of queues, translation, dimensions, monitors, trace units, protection. */

import type { Mutant } from './mutant.ts';
import { within } from './sources.ts';

export const chipMutants: readonly Mutant[] = [
  ...within('arbiter', 'src/gaudi/arbiter.ts', [
    [
      'the lowest priority is first',
      'priority > (best === undefined ? -1 : (this.#requests[best] as number))',
      '(best === undefined || priority < (this.#requests[best] as number))',
    ],
    ['priorities do not matter', 'this.#weighted ? this.#byWeight() : this.#byPriority()', 'this.#byWeight()'],
    ['weights do not matter', 'if (this.#left === 0) this.#left = this.#weight(stream);', 'this.#left = 1;'],
    [
      'a stream has one turn more than its weight',
      'this.#left = this.#weight(stream);',
      'this.#left = this.#weight(stream) + 1;',
    ],
    [
      'two streams have the engine',
      'this.#owner !== undefined || this.#qm.faults.arbiterHalted',
      'this.#qm.faults.arbiterHalted',
    ],
    [
      'an error does not stop it',
      'this.#owner !== undefined || this.#qm.faults.arbiterHalted',
      'this.#owner !== undefined',
    ],
    ['there is no quiet time', 'this.#qm.clock.now() < this.#quietUntil', 'false'],
    [
      'a release wakes nobody',
      'if (this.#owner !== stream) return;\n    this.#owner = undefined;\n    this.#changed.notify();',
      'if (this.#owner !== stream) return;\n    this.#owner = undefined;',
    ],
    ['anyone may release the engine', 'if (this.#owner !== stream) return;', ''],
    ['slaves hear of no choice', 'this.#tellSlaves(stream);', ''],
    ['credits do not matter', 'chosen !== stream || !this.#creditsFor()', 'chosen !== stream'],
    [
      'no credit is returned',
      "this.#post({ offset: block.get('ARB_SLV_MASTER_INC_CRED_OFST'), value: block.get('ARB_SLV_ID') & 0x1f });",
      '',
    ],
    ['a slave takes any number of choices', 'this.#choices.length >= CHOICES', 'false'],
    ['nobody watches over choices', '() => faults.raiseArbiter(arbiterError.choiceWatchdog)', '() => {}'],
    ['a slave grants in any order', 'this.#choices[0] !== stream', '!this.#choices.includes(stream)'],
    ['a choice is granted twice', 'this.#choices.shift();', ''],
    ['the owner stays when it is cleared', 'this.#owner = undefined;\n    this.#turn = 0;', 'this.#turn = 0;'],
  ]),
  ...within('queue', 'src/gaudi/qman-faults.ts', [
    [
      'a cause that is set is told again', // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
      'if ((causes & cause) !== 0) return;\n    this.#tell(`GLBL_STS1[${index}]`, cause);',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
      'this.#tell(`GLBL_STS1[${index}]`, cause);',
    ],
    [
      'an error does not stop its unit',
      'if ((configured >>> (unit + 16)) % 2 === 1) this.#stoppedByError |= 1 << unit;',
      '',
    ],
    ['errors of the arbiter are not told', "if ((block.get('ARB_ERR_MSG_EN') & cause) !== 0) this.#send();", ''],
    [
      'a stop of a unit outlives its release',
      'this.#stoppedByError &= ~units;\n    this.#stoppedByPacket &= ~units;',
      '',
    ],
  ]),
  ...within('queue', 'src/gaudi/command-queue.ts', [
    ['all entries are the first of their ring', '(consumed % size) * ENTRY_BYTES', '0'],
    ['a queue wraps one round too early', '(consumed + 1) % (2 * size)', '(consumed + 1) % size'],
    ['a buffer that cannot be read is not told of', 'faults.raise(this.#index, qmanError.cqfRead, this.#unit);', ''],
    ['an entry that cannot be read is not told of', 'faults.raise(i, qmanError.pqfRead, this.#unit)', 'Number()'],
    ['a large packet loses what was read of it', 'larger.set(this.#data.subarray(this.#from, this.#to));', ''],
    ['the end of one buffer is lost before the next', 'this.#data.copyWithin(0, this.#from, this.#to);', ''],
    ['a buffer begins at its second chunk', 'this.#current = buffer;\n    this.#read = 0;', 'this.#current = buffer;'],
  ]),
  ...within('sync', 'src/gaudi/sync-manager.ts', [
    ['a monitor looks at the next group when it is armed', 'group * GROUP_SIZE + i', '(group + 1) * GROUP_SIZE + i'],
    [
      'a monitor that is armed anew still waits for its old group',
      "this.#disarm(monitor);\n    this.registers.set('MON_ARM', value, monitor);",
      "this.registers.set('MON_ARM', value, monitor);",
    ],
    ['an object counts for its neighbour', 'index % GROUP_SIZE', '(index + 1) % GROUP_SIZE'],
    ['the last object of a group is there never', 'i < GROUP_SIZE', 'i < GROUP_SIZE - 1'],
    [
      'an overflow is told of the object, not of its group',
      'this.#ports.onInterrupt(SEI_CAUSE.SO_OVERFLOW, Math.floor(index / GROUP_SIZE));',
      'this.#ports.onInterrupt(SEI_CAUSE.SO_OVERFLOW, index);',
    ],
    [
      'a monitor whose status is written waits for all',
      'value & (STATUS.VALID | STATUS.PENDING)',
      'STATUS.VALID | STATUS.PENDING',
    ],
    ['a reset leaves objects as they are', 'this.registers.reset();\n    this.#start();', 'this.#start();'],
  ]),
  ...within('dma', 'src/gaudi/dma-transfer.ts', [
    [
      'the second dimension has no stride',
      '(position[i] as number) * (strides[i] as number)',
      '(i === 0 ? 0 : (position[i] as number) * (strides[i] as number))',
    ],
    [
      'the third dimension has no stride',
      '(position[i] as number) * (strides[i] as number)',
      '(i === 1 ? 0 : (position[i] as number) * (strides[i] as number))',
    ],
    [
      'the fourth dimension has no stride',
      '(position[i] as number) * (strides[i] as number)',
      '(i === 2 ? 0 : (position[i] as number) * (strides[i] as number))',
    ],
    [
      'rows have the width of the destination',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
      'registers.get(`${side}_TSIZE_0`)',
      'registers.get(`DST_TSIZE_0`)',
    ],
    ['a dimension has one row too many', 'next < (counts[d] as number)', 'next <= (counts[d] as number)'],
    [
      'the last row of each plane is left out',
      'next < (counts[d] as number)',
      'next < (counts[d] as number) - (d > 0 ? 0 : 1)',
    ],
    [
      'a plane begins where the last row of the one before was',
      'this.#rowStart = base;',
      'this.#rowStart += 0 * base;',
    ],
    ['bytes of a row are those of its beginning', 'this.#rowStart + this.#offset', 'this.#rowStart'],
  ]),
  ...within('mmu', 'src/gaudi/stlb.ts', [
    [
      'pages of one place are one',
      'this.#generations[at] !== this.#generation || this.#tags[at] !== asid * 2 ** 38 + page',
      'this.#generations[at] !== this.#generation',
    ],
    [
      'pages that were read long ago are joined',
      'this.#generations[at] !== this.#generation || this.#tags[at] !== tag + n',
      'this.#generations[at] !== this.#generation',
    ],
    [
      'small pages are joined that do not follow each other',
      'if (this.#physical[at] !== physical + n * this.#pageSize) break;',
      '',
    ],
    [
      'all address spaces have the tables of the last',
      'this.#hop0.set(asid, high + low)',
      'this.#hop0.set(1, high + low)',
    ],
    ['an invalidation is over never', 'this.registers.set(register, 0);', ''],
    [
      'an invalidation is over before it has an effect',
      "this.#invalidation.poll();\n          return this.registers.get('INV_PS');",
      'return 0;',
    ],
    ['an invalidation is not counted', 'if (producer !== undefined) this.#consumerIndex = producer;', ''],
  ]),
  ...within('mmu', 'src/gaudi/mmu.ts', [
    ['what no table reaches is at its beginning', 'virtual >= addressMap.ADDRESS_END', 'false'],
    [
      'the second half of a table is the first',
      '(Math.floor(virtual / SMALL_PAGE) % 512)',
      '(Math.floor(virtual / SMALL_PAGE) % 256)',
    ],
    ['a table is that of the region before', 'Math.floor(virtual / LARGE_PAGE) === this.#region', 'this.#region >= 0'],
    [
      'the table of the transfer before is still there',
      'const asid = who.asid();\n    this.#region = -1;',
      'const asid = who.asid();',
    ],
    ['reads that are refused are noted as writes', "access === 'read' ? 'READ' : 'WRITE'", "'WRITE'"],
    [
      'the high part of an address that is not mapped is lost',
      'ERROR_CAPTURE.ENTRY_VALID | high',
      'ERROR_CAPTURE.ENTRY_VALID',
    ],
    ['a page fault is no refused access', 'this.captureRazwi(who, access);', ''],
    [
      'the offset in a large page is that in a small one',
      'const offset = virtual % this.#size;',
      'const offset = virtual % SMALL_PAGE;',
    ],
    ['a large page is a table', 'hop === LARGE_PAGE_HOP && last', 'false'],
    [
      'a hole is one page long',
      'this.#hole = span - (virtual % span);',
      'this.#hole = SMALL_PAGE - (virtual % SMALL_PAGE);',
    ],
  ]),
  ...within('protection', 'src/gaudi/chip-bus-protection.ts', [
    [
      'registers of the driver are anybody’s',
      'clip(permitted, offset, (words[before + n] as number) + 1, words[after + n] as number)',
      'permitted',
    ],
    ['memory of the driver is anybody’s', 'clip(permitted, address, begin, begin + size)', 'permitted'],
    ['the word before a range is in it', '(words[before + n] as number) + 1', '(words[before + n] as number) - 3'],
    [
      'what begins before a range goes on into it',
      'return at < begin ? begin - at : at - end;',
      'return at < begin ? length : at - end;',
    ],
  ]),
  ...within('trace', 'src/gaudi/coresight.ts', [
    ['a flush does not stop a capture', 'if (value & FFCR_FLUSH && value & FFCR_STOP_ON_FLUSH) stopped = true;', ''],
    ['a flush is over never', "block.set('FFCR', value & ~FFCR_FLUSH);", "block.set('FFCR', value);"],
    ['a capture begins where the last one did', "block.set('RWP', block.get('DBALO'));", ''],
    ['a capture is within 4 GiB', "block.set('RWPHI', block.get('DBAHI'));", ''],
    ['what was traced is on its way for ever', 'value & ~STM_BUSY', 'value | STM_BUSY'],
    [
      'cycles are counted that were not asked for',
      "(block.get('PMCR') & PMCR.ENABLE) !== 0 && (block.get('PMCNTENSET') & CYCLES) !== 0",
      "(block.get('PMCNTENSET') & CYCLES) !== 0",
    ],
    ['cycles are nanoseconds', '((clock.now() - since) * hertz()) / 1e9', 'clock.now() - since'],
    ['a counter of cycles goes on where it was', 'if (value & PMCR.CLEAR_CYCLES) {', 'if (false) {'],
    ['the high half of cycles is the low half', 'upper ? Math.floor(now() / 2 ** 32) : now()', 'now()'],
  ]),
  ...within('pci', 'src/pci/config-space.ts', [
    ['what is read-only is written', 'const writable = r.rw & enabled;', 'const writable = enabled;'],
    ['bytes that are not enabled are written', 'const writable = r.rw & enabled;', 'const writable = r.rw;'],
    ['a capability is its own next one', '(offsets[i + 1] ?? 0) << 8', '(offsets[i] ?? 0) << 8'],
  ]),
  ...within('pci', 'src/pci/interrupts.ts', [
    [
      'all vectors are the first',
      'if (masked(vector)) pending[vector >>> 5] = (pending[vector >>> 5] as number) | (1 << (vector & 31));\n      else deliver(vector);',
      'deliver(0);',
    ],
    ['vectors that were masked are not told', 'deliver(vector);\n      }\n    }\n  };', '}\n    }\n  };'],
    ['a message beyond those that are granted is none', 'const used = vector % allocated();', 'const used = vector;'],
  ]),
  ...within('pci', 'src/pci/endpoint.ts', [
    ['who is no bus master reaches memory', 'awake && (command & COMMAND.MASTER) !== 0', 'awake'],
    ['a device that may not decode answers', 'enabled && placed ? address : undefined', 'placed ? address : undefined'],
    [
      'who is no bus master interrupts',
      'if (this.#master) this.#ports?.interrupt(kind, vector);',
      'this.#ports?.interrupt(kind, vector);',
    ],
    [
      'a request that nobody answers is not noted',
      "this.#header.set('STATUS', this.#header.get('STATUS') | STATUS.REC_MASTER_ABORT);",
      '',
    ],
  ]),
  ...within('peer', 'src/pci/topology.ts', [
    [
      'Linux overlooks what access control sends up',
      'if (path.common && !path.ports.some((p) => p.redirects())) return path.hops;',
      'if (path.common) return path.hops;',
    ],
    [
      'switches overlook access control',
      "if (path.common && !path.ports.some((p) => p.redirects())) return 'switch';",
      "if (path.common) return 'switch';",
    ],
    ['no host bridge is trusted', 'this.rootComplex.whitelisted ? path.hops : -1', '-1'],
    ['every host bridge is trusted', 'this.rootComplex.whitelisted ? path.hops : -1', 'path.hops'],
    ['access control of the nearest bridges does not count', 'up.slice(0, i + 1)', 'up.slice(1, i + 1)'],
    ['no root complex forwards', "this.rootComplex.forwardsPeerToPeer ? 'root-complex' : 'none'", "'none'"],
  ]),
];
