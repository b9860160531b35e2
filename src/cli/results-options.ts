/** Where runs are kept, for the commands that read them and the one that writes them. */

import path from 'node:path';
import type { Command } from 'commander';
import { cacheFolder } from '../os/cache.ts';

export interface ResultsOptions {
  readonly cache: string;
  readonly results?: string;
}

export function resultsFile({ results, cache }: ResultsOptions): string {
  return results ?? path.join(cache, 'results.sqlite');
}

export function addResultsOptions(command: Command): Command {
  return command
    .option('--results <file>', 'where runs were kept (default: results.sqlite in the cache)')
    .option('--cache <folder>', 'where what was downloaded is kept', cacheFolder());
}
