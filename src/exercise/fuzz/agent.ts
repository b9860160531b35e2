/**
 * Performs sequences on a Linux system with the driver: reads one request per line of standard input, writes JSON to standard
 * output. Bundled into one file for a guest.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { LinuxDriver } from '../../driver/linux/driver.ts';
import { KernelLog } from '../../driver/linux/kernel-log.ts';
import { isAlarm } from '../../machine/vm/kernel-log.ts';
import { writeLine } from '../write-line.ts';
import type { Answer, Probe, Request } from './course.ts';
import { FtraceProbe, telling } from './ftrace.ts';
import { KcovProbe } from './kcov.ts';
import { performOn, type Stage } from './performer.ts';
import { Symbols } from './symbols.ts';

const MODULE = 'habanalabs';
/** Has the kernel warn again of what it warns of once. */
const ONCE = '/sys/kernel/debug/clear_warn_once';

const answer = (what: Answer) => writeLine(what);

/** The best that this kernel has. */
function chooseProbe(): Probe {
  try {
    const symbols = new Symbols(readFileSync('/proc/kallsyms', 'utf8'), MODULE, telling);
    if (symbols.isEmpty) throw new Error(`/proc/kallsyms does not tell where ${MODULE} is`);
    return KcovProbe.isThere ? new KcovProbe(symbols) : new FtraceProbe(MODULE, symbols);
  } catch (error) {
    return { title: `nothing of the kernel (${(error as Error).message})`, begin: () => {}, end: () => [] };
  }
}

using log = new KernelLog();
const probe = chooseProbe();
const stage: Stage = { driver: new LinuxDriver(), probe, messages: () => log.take(), isAlarm, refusals: () => [] };
answer({ type: 'ready', coverage: probe.title });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    writeFileSync(ONCE, '1');
  } catch {
    // a kernel without debugfs warns once
  }
  const course = performOn(stage, JSON.parse(line) as Request, (index) => answer({ type: 'step', index }));
  answer({ type: 'course', course });
}
