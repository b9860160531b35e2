/** The C compiler and the header that tests compare with, and why they are skipped where one is missing. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

export const HEADER = 'drm/habanalabs_accel.h';

/** Where the header is: named by the caller, fetched by our set-up, or the system's own. */
function includeDirectory(): string | undefined {
  const { SAGRADA_UAPI_INCLUDE, SAGRADA_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = SAGRADA_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sagrada');
  const places = [SAGRADA_UAPI_INCLUDE, join(cache, 'uapi/usr/include'), '/usr/include'];
  return places.find((dir) => dir !== undefined && existsSync(join(dir, HEADER)));
}

export const include = includeDirectory();
export const compiler = ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
export const noCompiler = compiler === undefined ? 'no C compiler' : false;
export const skip =
  noCompiler !== false
    ? noCompiler
    : include === undefined
      ? `no ${HEADER}: set SAGRADA_UAPI_INCLUDE, or run sagrada vm setup`
      : false;
