/** What may differ between two targets by nature, one row each with its reason. Whatever is not listed here has to agree. */

export interface Freedom {
  /** Calls it is about. */
  readonly call: RegExp;
  /** Members of answers that are not compared; absent: see the others. */
  readonly members?: RegExp;
  /** Members of answers of which only the increase since the first answer of the test is compared. */
  readonly relative?: RegExp;
  /** Members of answers that are bits: compared is which have come by the end of the test, not with which call. */
  readonly together?: RegExp;
  /** Outcomes that are not compared. */
  readonly outcome?: RegExp;
  /** Only after a call of the test whose name and outcome match. */
  readonly after?: RegExp;
  /** The call may be made on one target only. */
  readonly optional?: true;
  readonly reason: string;
}

export const freedoms: readonly Freedom[] = [
  { call: /./, members: /timestamp|_time$|_ns$|_us$|_ms$/, reason: 'two clocks' },
  { call: /./, outcome: /^EINTR$/, reason: 'a signal came, and the call is made again' },
  { call: /^open /, outcome: /^EAGAIN$/, reason: 'how often a program asks while the last user is cleaned up after' },
  { call: /^CS /, outcome: /^EAGAIN$/, reason: 'how often a program asks while a queue is full' },
  { call: /^CS /, members: /^seq$/, after: /^CS .* EAGAIN$/, reason: 'every attempt that is refused takes a number' },
  {
    call: /CS_COUNTERS/,
    members: /^(total|ctx)_queue_full_drop_cnt$/,
    after: /^CS .* EAGAIN$/,
    reason: 'how often a program asks while a queue is full',
  },
  {
    call: /CS_COUNTERS|OPEN_STATS|RESET_COUNT/,
    relative: /^total_|_cnt$|^open_counter$/,
    reason: 'counted since the driver was loaded, and not every test runs on every target',
  },
  {
    call: /CS_FLAGS_(SIGNAL|RESERVE_SIGNALS_ONLY)/,
    relative: /^(count|sob_count_before_submission)$/,
    reason: 'counted since the card was reset, also while a shorter sequence is looked for',
  },
  {
    call: /OPEN_STATS/,
    members: /^(is_compute_ctx_active|compute_ctx_in_release)$/,
    reason: 'how far the end of the last user has come; tests say when there shall be one',
  },
  { call: /CB_OP_INFO/, members: /^usage_cnt$/, reason: 'what is in flight' },
  {
    call: /GET_EVENTS/,
    together: /./,
    reason: 'what has come until then, of a fault that the firmware tells of twice',
  },
  { call: /^WAIT_CS /, outcome: /status: 1\b/, reason: 'how often a program looks before the work has ended' },
  { call: /INFO_POWER|TOTAL_ENERGY/, members: /./, reason: 'they follow from what time the work has taken' },
  {
    call: /HL_MEM_OP_MAP /,
    members: /^device_virt_addr$/,
    reason: 'aligned to 2 MiB when the memory of the program is',
  },
  { call: /PAGE_FAULT_EVENT|RAZWI_EVENT/, members: /^addr$/, reason: 'where memory was mapped' },
  { call: /CS_FLAGS_WAIT /, members: /^seq$/, reason: 'all ones when the signal has come already' },
  { call: /^WAIT_CS /, optional: true, reason: 'there is nothing to wait for when the signal has come already' },
  { call: /MULTI_CS/, members: /^cs_completion_map$/, reason: 'how many have ended when the first has been seen' },
  { call: /EXPORT_DMABUF_FD/, members: /^fd$/, reason: 'a number of the process' },
  { call: /^poll /, outcome: /./, reason: 'how often a program looks' },
];

/** What differs in lines of the log. */
export interface Rewriting {
  readonly pattern: RegExp;
  readonly by: string;
  readonly reason: string;
}

export const rewritings: readonly Rewriting[] = [
  { pattern: /\b[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]\b/g, by: 'CARD', reason: 'where the card is on its bus' },
  { pattern: /^habanalabs (?=CARD|accel)/, by: '', reason: 'the name of the module' },
  {
    pattern: /(?<=RAZWI event caused by illegal (read|write) of )DMA\d( or DMA\d)?/,
    by: 'DMA',
    reason: 'which of the two engines behind a bridge it was is told by what both have noted until the driver looks',
  },
  { pattern: /\bpid[ :=]*\d+/gi, by: 'pid N', reason: 'numbers of processes' },
  {
    pattern: /(?<=Device CPU packet timeout \(status = 0x[0-9a-f]+\))\\x0aPkt info\[.*/g,
    by: '',
    reason: 'a second line, of where the driver has the packet and how many there were before it',
  },
  { pattern: /Killing CS \d+\.\d+/g, by: 'Killing CS N', reason: 'the kernel limits the rate of these lines' },
  { pattern: /\b0x(0000)?7[ef][0-9a-f]{10}\b/g, by: 'ADDRESS', reason: 'addresses of the process' },
  { pattern: /\bva 0x[12][0-9a-f]{12}\b/g, by: 'va ADDRESS', reason: 'where memory was mapped' },
  { pattern: /completed after \d+ \(s\)/g, by: 'completed after N (s)', reason: 'two clocks' },
];

/** Lines that one target may log and the other not. */
export const optionalLines: readonly { readonly pattern: RegExp; readonly reason: string }[] = [
  {
    pattern: /multi-CS completion context \d still waiting when calling force completion/,
    reason: 'said only when the reset comes to it before the thread that it has woken has run',
  },
  {
    pattern: /Device disabled but received an EQ event/,
    reason: 'said only when a fault is told of once more after the reset has begun',
  },
  {
    pattern: /Received H\/W interrupt \d+ \["/,
    reason: 'the kernel prints ten of these in five seconds, also of the test before; how often they came is counted',
  },
];

/** A line of the log as it is compared. */
export function normalised(line: string): string {
  return rewritings.reduce((text, { pattern, by }) => text.replaceAll(new RegExp(pattern, 'gi'), by), line);
}
