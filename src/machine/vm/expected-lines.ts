/**
 * Error lines of a guest's log that a real card would cause too, or that have nothing to do with the card, and why they
 * are there. Everything else at level `err` or worse, and every warning of the kernel about itself, fails a run.
 */

export interface ExpectedLine {
  readonly pattern: RegExp;
  readonly reason: string;
  /** Expected only without the helper module. */
  readonly when?: 'no-fixups';
}

export const expectedLines: readonly ExpectedLine[] = [
  {
    pattern: /^WARNING: .*drm_file\.c.* drm_open_helper/,
    reason: 'opening the compute node of a driver that lacks FOP_UNSIGNED_OFFSET, docs/findings/0001',
    when: 'no-fixups',
  },
];
