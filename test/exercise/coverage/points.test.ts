import assert from 'node:assert/strict';
import { test } from 'node:test';
import { points, watchedIoctls } from '../../../src/exercise/coverage/points.ts';
import { interfaces } from '../../../src/uapi/habanalabs/index.ts';

test('every point has an id of its own, on one line', () => {
  const ids = points.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[A-Z_]+ [^\n]+$/);
});

test('every operation has a point for its success, or for its refusal where this chip has it not', () => {
  for (const { operations } of watchedIoctls)
    for (const { name, checks, row } of operations) {
      const kinds = checks.map(({ point }) => point.kind);
      assert.ok(kinds.includes(row.refused === undefined ? 'success' : 'refusal'), name);
    }
});

test('every flag of the header selects an operation or is a flag of one', () => {
  for (const { operations, flags, selects } of interfaces) {
    const used = new Set(Object.values(operations).flatMap((row) => Object.keys(row.flags ?? {})));
    for (const { rows, mask } of flags)
      for (const [name, { value }] of Object.entries(rows)) {
        const selected = selects.by === 'flags' && Object.values(operations).some((row) => row.value === value);
        // what selects the bits of a number is no flag
        const isMask = mask !== undefined && name.endsWith('_MASK');
        assert.ok(selected || isMask || used.has(name), name);
      }
  }
});

test('what is said to be out of reach names a point', () => {
  for (const { ioctl, operations } of interfaces)
    for (const [name, row] of [...Object.entries(operations), [ioctl.name, ioctl] as const])
      for (const [what, reason] of Object.entries(row.beyond ?? {}))
        assert.ok(
          points.some((point) => point.beyond === reason && point.what.includes(what.replace(/^HL_[A-Z]+_/, ''))),
          `${name}: ${what}`,
        );
});
