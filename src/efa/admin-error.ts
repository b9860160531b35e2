import type { AdminStatus } from '../../specs/efa/admin.ts';

/** A command that is refused, and with which status. */
export class AdminError extends Error {
  override readonly name = 'AdminError';
  readonly status: AdminStatus;

  constructor(status: AdminStatus, message: string) {
    super(message);
    this.status = status;
  }
}
