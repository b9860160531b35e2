import { homedir } from 'node:os';
import path from 'node:path';

/**
 * The folder for what was downloaded or built once: $SAGRADA_CACHE, else the `sagrada` folder of $XDG_CACHE_HOME
 * (XDG Base Directory Specification), else ~/.cache/sagrada. Absolute; it may not exist yet.
 */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment.SAGRADA_CACHE;
  if (own) return path.resolve(own);
  const xdg = environment.XDG_CACHE_HOME;
  // The specification: a relative path in XDG_CACHE_HOME is to be ignored.
  if (xdg && path.isAbsolute(xdg)) return path.join(xdg, 'sagrada');
  return path.join(homedir(), '.cache', 'sagrada');
}
