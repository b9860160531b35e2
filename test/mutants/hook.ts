/** Puts taps, and a mutant or the marks of all of them, into the sources as they are loaded. */

import { registerHooks } from 'node:module';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { apply, type Edit, type Mutant, mark } from './mutant.ts';
import { taps } from './taps.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** @param mutants one: it is made; several: each edit tells when it is passed */
export function install(mutants: readonly Mutant[], survey: boolean): void {
  const edits = mutants.flatMap(({ name, edit }) => (edit ? [{ name, ...edit }] : []));
  const files = new Set([...taps, ...edits].map(({ file }) => pathToFileURL(path.join(root, file)).href));
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (!files.has(url)) return loaded;
      const file = path.relative(root, fileURLToPath(url));
      const here = <T extends Edit>(list: readonly T[]) => list.filter((edit) => edit.file === file);
      const source = Buffer.from(loaded.source as Uint8Array).toString();
      return { ...loaded, source: here(taps).reduce(apply, change(source, here(edits), survey)) };
    },
  });
}

function change(source: string, edits: readonly (Edit & { readonly name: string })[], survey: boolean): string {
  return survey ? mark(source, edits) : edits.reduce(apply, source);
}
