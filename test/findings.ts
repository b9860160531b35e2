/** What the program beside each page of docs/findings says, on the model of the driver and on a kernel that has the defect. */

export interface Finding {
  readonly file: string;
  /** Default: one with a card, or two. */
  readonly machine?: 'gaudi-efa';
  readonly onModel: RegExp;
  readonly onKernel: RegExp;
  /** What the kernel logs that it would not of its own accord. */
  readonly alarm?: RegExp;
  /** The card cannot be opened afterwards: the program takes the one that the environment names as CARD. */
  readonly losesCard?: boolean;
}

const OOPS = /^BUG: kernel NULL pointer dereference/;

export const findings: readonly Finding[] = [
  {
    file: '0003.ts',
    onModel: /as a command buffer: EINVAL\n$/,
    onKernel: /as a command buffer: the call does not return\n$/,
    alarm: OOPS,
    losesCard: true,
  },
  {
    file: '0004.ts',
    onModel: /^16 TiB: EFAULT\n$/,
    onKernel: /^16 TiB: the call does not return\n$/,
    alarm: OOPS,
    losesCard: true,
  },
  {
    file: '0006.ts',
    onModel: /seconds before the wait for it\nafter 3 s: HL_WAIT_CS_STATUS_BUSY\n$/,
    onKernel: /seconds before the wait for it\nafter \d\d? s: HL_WAIT_CS_STATUS_BUSY\n$/,
  },
  {
    file: '0007.ts',
    onModel: /4294967296 us: HL_WAIT_CS_STATUS_BUSY after 0 s\n.* 4295967296 us: HL_WAIT_CS_STATUS_BUSY after 1 s\n$/,
    // a second and what a slow machine adds, where it would be more than an hour
    onKernel:
      /4294967296 us: HL_WAIT_CS_STATUS_BUSY after \d s\n.* 4295967296 us: HL_WAIT_CS_STATUS_BUSY after \d\d? s\n$/,
  },
  {
    file: '0008.ts',
    onModel: /4096 bytes: given\n.* 8388608 bytes: ENOMEM\n$/,
    onKernel: /4096 bytes: given\n.* 8388608 bytes: ENOMEM\n$/,
    alarm: /^WARNING: .*mm\/page_alloc\.c/,
  },
  {
    file: '0009.ts',
    onModel: /^GET_UNIQUE: EINVAL\n$/,
    onKernel: /^GET_UNIQUE: the call does not return\n$/,
    alarm: OOPS,
    losesCard: true,
  },
  {
    file: '0010.ts',
    onModel: /^before: 0x10.*\n.*: ENOMEM\nafter: 0x10{2}.*\nafter: 0x10{2}.*\n$/,
    onKernel: /^before: 0x10.*\n.*: ENOMEM\nafter: (ENOMEM|0x[0-9a-f]{1,6})\nafter: (ENOMEM|0x[0-9a-f]{1,6})\n$/,
  },
  {
    file: '0011.ts',
    onModel: /^refused: ENOMEM\n$/,
    onKernel: /^refused: ENOMEM\n$/,
    alarm: /^WARNING: .*mm\/vmalloc\.c/,
  },
  {
    file: '0012.ts',
    onModel: /^a limit of 198 days has not passed within 5 s\n$/,
    onKernel: /^a limit of 198 days has passed within 5 s\n$/,
  },
  {
    file: '0013.ts',
    onModel: /^the work has ended\n$/,
    onKernel: /^the work does not end\n$/,
    losesCard: true,
  },
  {
    file: '0018.ts',
    onModel: /^after more than 10000 mappings: ENOMEM\n$/,
    onKernel: /^after more than 10000 mappings: ENOMEM\n$/,
    alarm: /^UBSAN: array-index-out-of-bounds in .*mmu_v1\.c/,
  },
  {
    file: '0022.ts',
    onModel: /^timeout_locked: room for 1 byte: 1 read, 0 .*\nstop_on_err: room for 1 byte: 1 read, 0 .*\n$/,
    onKernel: /^timeout_locked: room for 1 byte: 5 read, 4 .*\nstop_on_err: room for 1 byte: 3 read, 2 .*\n$/,
  },
  {
    file: '0005.ts',
    onModel: /ended\nthe wait of 0\.1 s has ended: 0\n$/,
    onKernel: /ended\nthe wait of 0\.1 s lasts for 3 s\nSIGKILL does not end it\n$/,
    losesCard: true,
  },
  {
    file: '0014.ts',
    machine: 'gaudi-efa',
    onModel: /^.* 4194304 bytes .*: EINVAL\n.* 8388608 bytes .*: ENOMEM\n.* 4294963201 bytes .*: EINVAL\n$/,
    onKernel: /^.* 4194304 bytes .*: EINVAL\n.* 8388608 bytes .*: ENOMEM\n.* 4294963201 bytes .*: EINVAL\n$/,
    alarm: /^WARNING: .*mm\/page_alloc\.c/,
  },
  {
    file: '0015.ts',
    machine: 'gaudi-efa',
    onModel: /^registered: 65536 bytes at 0x12340000\nQUERY_MR: {3}65536 bytes at 0x0\n$/,
    onKernel: /^registered: 65536 bytes at 0x12340000\nQUERY_MR: {3}65536 bytes at 0x0\n$/,
  },
  {
    file: '0016.ts',
    machine: 'gaudi-efa',
    onModel: /^memory of 4096 bytes: made\nmemory without a length: made, in 4096 bytes of the kernel\n$/,
    onKernel: /^memory of 4096 bytes: made\nmemory without a length: made, in 4096 bytes of the kernel\n$/,
  },
];
