/**
 * The agent as one file. A guest without KVM takes seconds to load a hundred small modules and none to load one;
 * it is bundled from the sources each time, which takes about 0.1 s.
 */

import { mkdirSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..', '..');

/** Programs that the Linux driver starts: they lie beside whatever it is bundled into (src/driver/linux/beside.ts). */
const helpers = Object.fromEntries(
  ['thread-worker', 'process-server'].map((name) => [name, path.join(root, 'src', 'driver', 'linux', `${name}.ts`)]),
);

/**
 * @param directory where the bundle may be written.
 * @returns path of the bundle; it loads koffi from this package's node_modules.
 */
export function agentBundle(directory: string): Promise<string> {
  return bundle(path.join(root, 'src', 'exercise', 'agent.ts'), directory);
}

/** Module tpc-programs.ts as what it gives. */
async function programs(): Promise<string> {
  const { assembled } = await import('./tpc-programs.ts');
  const rows = Object.entries(assembled()).map(([name, { code, tables }]) => [
    name,
    { code: Buffer.from(code).toString('base64'), tables },
  ]);
  const text = JSON.stringify(Object.fromEntries(rows));
  return `const programs = Object.entries(${text});
export const assembled = () => Object.fromEntries(programs.map(([name, { code, tables }]) =>
  [name, { code: new Uint8Array(Buffer.from(code, 'base64')), tables }]));`;
}

/**
 * Bundles a program for a guest; `sagrada` is this package, wherever the program lies. @returns path of the result in
 * `directory`.
 */
export async function bundle(entry: string, directory: string): Promise<string> {
  const { build } = await import('esbuild');
  mkdirSync(directory, { recursive: true });
  const outfile = path.join(directory, `${path.basename(entry, '.ts')}.mjs`);
  await build({
    entryPoints: { [path.basename(entry, '.ts')]: entry, ...helpers },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    logLevel: 'silent',
    plugins: [
      {
        name: 'places',
        setup(b) {
          // koffi finds its binary beside itself, so it is loaded from where npm put it
          b.onResolve({ filter: /^koffi$/ }, () => ({
            path: path.join(root, 'node_modules', 'koffi', 'index.js'),
            external: true,
          }));
          b.onResolve({ filter: /^sagrada$/ }, () => ({ path: path.join(root, 'src', 'index.ts') }));
          b.onResolve({ filter: /^sagrada\/sequences$/ }, () => ({
            path: path.join(root, 'src', 'exercise', 'fuzz', 'replay.ts'),
          }));
          // a guest is slow: programs for tensor cores are assembled here
          b.onLoad({ filter: /[/\\]exercise[/\\]tpc-programs\.ts$/ }, async () => ({ contents: await programs() }));
        },
      },
    ],
  });
  return outfile;
}
