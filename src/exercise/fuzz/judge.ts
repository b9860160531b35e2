/** What is wrong with what a sequence did, on one target or on two. */

import type { Side } from '../agreement/compare.ts';
import { agreement, firstDifference } from '../agreement/compare.ts';
import { normalised } from '../agreement/differences.ts';
import type { Course } from './course.ts';
import type { FindingKind } from './store.ts';

/** What one target made of a sequence. */
export interface Told {
  readonly target: string;
  readonly course: Course;
}

export interface Suspicion {
  readonly kind: FindingKind;
  /** What makes it the same as another, whatever the sequence. */
  readonly about: string;
  /** One line. */
  readonly title: string;
  readonly detail: string;
  /** Steps that matter, from the first. */
  readonly length: number;
  /** It is about the log, of which the kernel limits the rate. */
  readonly logged: boolean;
}

const TROUBLE = { hang: 'hang', death: 'crash', exception: 'exception', card: 'card' } as const;

/** @param told by the same sequence, one or two. @returns what is wrong, the worst first */
export function judge(told: readonly Told[], length: number): Suspicion[] {
  const found: Suspicion[] = [];
  for (const { target, course } of told) {
    const whole = { detail: '', length, logged: false };
    const { error, alarms, refusals, steps } = course;
    const [alarm] = alarms;
    if (error) {
      const [title = ''] = error.message.split('\n');
      const detail = [error.message, ...alarms].join('\n');
      const at = error.kind === 'hang' || error.kind === 'death' ? ` in ${operationOf(steps.at(-1)?.text)}` : '';
      const about = error.kind === 'exception' ? blurred(title) : `${error.kind}${at}`;
      const done = at === '' ? length : steps.length;
      found.push({
        ...whole,
        kind: TROUBLE[error.kind],
        about: `${target}: ${about}`,
        title: `${target}: ${title}`,
        detail,
        length: done,
      });
    }
    if (alarm !== undefined && error?.kind !== 'death') {
      const detail = alarms.join('\n');
      found.push({
        ...whole,
        kind: 'alarm',
        about: `${target}: ${blurred(alarm)}`,
        title: `${target}: ${alarm}`,
        detail,
      });
    }
    for (const refusal of new Set(refusals))
      found.push({
        ...whole,
        kind: 'refusal',
        about: `${target}: ${blurred(refusal)}`,
        title: `${target}: ${refusal}`,
        detail: refusal,
      });
  }
  const [first, second] = told;
  // what did not come to its end has told half
  if (first && second && !first.course.error && !second.course.error) {
    const difference = differenceOf(first, second, length);
    if (difference) found.push(difference);
  }
  return found;
}

function sideOf({ target, course }: Told): Side {
  const { steps, messages, ms } = course;
  return { target, result: { id: '', suite: '', name: '', status: 'passed', ms, steps, messages } };
}

function differenceOf(first: Told, second: Told, length: number): Suspicion | undefined {
  const [a, b] = [sideOf(first), sideOf(second)];
  const { status, failure } = agreement(a, b);
  if (status === 'passed') return undefined;
  const detail = failure?.message ?? '';
  const at = firstDifference(a, b);
  if (at !== undefined) {
    const [x, y] = [first.course.steps[at], second.course.steps[at]];
    const told = [`${first.target} ${x?.outcome}`, `${second.target} ${y?.outcome}`].join(', ');
    const operation = operationOf(x?.text ?? y?.text);
    return {
      kind: 'difference',
      about: `${operation}: ${blurred(told)}`,
      title: `${operation}: ${told}`,
      detail,
      length: at + 1,
      logged: false,
    };
  }
  const title = /^ *(only .* logged: .*)$/m.exec(detail)?.[1] ?? detail;
  return { kind: 'difference', about: blurred(title), title, detail, length, logged: true };
}

/** The operation of a line of a sequence. */
function operationOf(line = ''): string {
  return /^(?:r\d+ = )?(\w+)\(/.exec(line)?.[1] ?? line;
}

/** Without what differs from one time to another. */
export function blurred(text: string): string {
  return normalised(text)
    .replaceAll(/\b0x[0-9a-f]+\b|\b[0-9a-f]{8,}\b/gi, 'N')
    .replaceAll(/\d+/g, 'N');
}
