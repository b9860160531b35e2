import { UserError } from '../sim/errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOSPC: 'no space left on the disk',
  EROFS: 'it may only be read',
};

/** One line of an error of the file system. @param what that was to be done */
export function failure(what: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new UserError(`${what}: ${REASONS[code ?? ''] ?? message}`);
}
