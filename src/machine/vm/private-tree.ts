import { existsSync } from 'node:fs';
import path from 'node:path';

const LOADER = 'lib64/ld-linux-x86-64.so.2';
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];

/**
 * The command that runs `program` of an unpacked Debian tree with the tree's own dynamic loader and libraries, without
 * entering the tree and without root; undefined where the tree does not have it.
 */
export function privateCommand(tree: string, program: string): string[] | undefined {
  const loader = [LOADER, `usr/${LOADER}`].map((file) => path.join(tree, file)).find((file) => existsSync(file));
  const file = path.join(tree, program);
  if (!loader || !existsSync(file)) return undefined;
  const libraries = LIBRARIES.map((folder) => path.join(tree, folder)).join(':');
  return [loader, '--library-path', libraries, '--argv0', path.basename(program), file];
}
