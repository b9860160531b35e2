/** `sagrada doctor`: what of this machine serves, what does not, and what mends it. */

import { Command } from 'commander';
import { examine, type Finding, type Verdict } from '../machine/vm/doctor.ts';
import { addExamples } from './help.ts';
import { interruptible } from './interruption.ts';
import { addCacheOptions } from './machine-options.ts';
import { waiting } from './terminal.ts';

export function command(): Command {
  const doctor = addCacheOptions(new Command('doctor'))
    .description('look at what this machine has: Node, disk, memory, QEMU, kernels, KVM (by booting a tiny guest)')
    .option('--qemu <file>', 'another QEMU than the one of "vm setup"')
    .option('--json', 'as JSON')
    .action(async (options: { readonly cache: string; readonly qemu?: string; readonly json?: boolean }) => {
      process.exitCode = await interruptible(async (signal) => {
        const findings = await waiting(examine({ ...options, signal }));
        if (options.json) console.log(JSON.stringify(findings, undefined, 2));
        else print(findings);
        return findings.some(({ verdict }) => verdict === 'bad') ? 1 : 0;
      });
    });
  return addExamples(
    doctor,
    ['sagrada doctor', 'what is wrong, and what mends it; ends with 1 when something is'],
    ['sagrada doctor --json', 'the same for a program'],
  );
}

const MARKS: Readonly<Record<Verdict, string>> = { good: '✓', slow: '~', later: '·', bad: '✗' };

function print(findings: readonly Finding[]): void {
  const width = Math.max(...findings.map(({ what }) => what.length));
  for (const { what, verdict, found, mend } of findings) {
    console.log(`${MARKS[verdict]} ${what.padEnd(width)}  ${found}`);
    if (mend !== undefined) console.log(`  ${' '.repeat(width)}  → ${mend}`);
  }
  const wrong = findings.filter(({ verdict }) => verdict === 'bad').length;
  const missing = findings.some(({ verdict }) => verdict === 'later');
  const vm = missing ? 'vm: the first run fetches what is not there yet' : 'vm: sagrada exercise --on vm';
  console.log('\nmodel: sagrada exercise');
  console.log(wrong === 0 ? vm : `vm: ${wrong === 1 ? 'one thing is' : `${wrong} things are`} wrong, see above`);
}
