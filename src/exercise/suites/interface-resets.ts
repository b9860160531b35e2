/** What the interface answers while a card is reset: the same refusal, whatever is asked that needs the card. */

import assert from 'node:assert/strict';
import { interfaces } from '../../uapi/habanalabs/index.ts';
import { paths } from '../../uapi/struct.ts';
import type { Declare } from '../suite.ts';
import { asNew, control, REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';

interface Question {
  readonly name: string;
  readonly request: number;
  readonly argument: Uint8Array;
  readonly nodes: string | undefined;
}

/** A number that no operation has. */
const NO_OPERATION = 0x7f;

/** Every operation that is refused during a reset, and one that does not exist, with nothing but its number in the argument. */
function questions(): readonly Question[] {
  return interfaces.flatMap(({ ioctl, operations, selects }) => {
    const member = paths(ioctl.argument.members).find(({ path }) => path === selects.member);
    assert.ok(member, selects.member);
    const ask = (name: string, value: number, nodes?: string): Question => {
      const argument = new Uint8Array(ioctl.argument.size);
      new DataView(argument.buffer).setUint32(member.offset, value, true);
      return { name: `${ioctl.name} ${name}`, request: ioctl.request, argument, nodes };
    };
    const known = Object.entries(operations)
      .filter(([, row]) => row.errors && 'EBUSY' in row.errors)
      .map(([name, row]) => ask(name, row.value, (row as { nodes?: string }).nodes));
    return selects.by === 'number' ? [...known, ask('unknown', NO_OPERATION, 'both')] : known;
  });
}

export function duringResets(test: Declare): void {
  test(
    'during a reset all that needs the card is refused as busy, by either node',
    async (t) => {
      const { driver } = t.target;
      t.expectMessages(REQUESTED);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const asked = questions();
      const [info] = interfaces;
      const outcomes = new Map<string, string>();
      const ask = (who: string, fd: number, { name, request, argument }: Question) => {
        let outcome = 'accepted';
        try {
          driver.ioctl(fd, request, argument);
        } catch (error) {
          outcome = String((error as NodeJS.ErrnoException).code);
        }
        outcomes.set(`${who}: ${name}`, outcome);
      };
      writeHardReset(t, '1');
      try {
        // the driver gives a program a second to close the card
        for (const question of asked) ask('compute node', device.fd, question);
      } finally {
        device.close();
      }
      for (const question of asked)
        if (question.request === info?.ioctl.request && question.nodes === 'both')
          ask('control node', node.fd, question);
      const others = [...outcomes].filter(([, outcome]) => outcome !== 'EBUSY');
      assert.deepEqual(others, []);
      assert.ok(outcomes.size > 40, `${outcomes.size} questions`);
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}
