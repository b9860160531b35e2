/** Loaded before a program of `sagrada run`: wherever the program lies, `sagrada` is this package. */

import { enableCompileCache, registerHooks } from 'node:module';

const places: Readonly<Record<string, string>> = {
  sagrada: new URL('../index.ts', import.meta.url).href,
  'sagrada/device': new URL('../device.ts', import.meta.url).href,
  'sagrada/sequences': new URL('../exercise/fuzz/replay.ts', import.meta.url).href,
};

enableCompileCache();
registerHooks({
  resolve(specifier, context, next) {
    const url = Object.hasOwn(places, specifier) ? places[specifier] : undefined;
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
  },
});
