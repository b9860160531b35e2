/** A program that lies beside the module that starts it: as source, or bundled as the module is (src/exercise/bundle.ts). */
export function beside(module: string, name: string): URL {
  const extension = module.endsWith('.ts') ? 'ts' : 'mjs';
  return new URL(`./${name}.${extension}`, module);
}
