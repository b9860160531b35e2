/** Loaded before a program of `sagrada run`: wherever the program lies, `sagrada` is this package. */

import { enableCompileCache, registerHooks } from 'node:module';

const front = new URL('../index.ts', import.meta.url).href;

enableCompileCache();
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'sagrada' ? { url: front, shortCircuit: true } : next(specifier, context),
});
