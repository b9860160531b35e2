/** The WebAssembly of the JavaScript engine, as far as it is used here: types of it come with browsers only. */

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

/** Its result only where the module says that it has one. */
export type WasmFunction = (n: number) => number;

/** Does transfer n; or tells where in the memory the tensor's vector is, and leaves the rest to the caller. Else negative. */
export type Transfer = (n: number) => number;

interface Engine {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { readonly state: { readonly memory: WasmMemory; readonly transfer: Transfer } },
  ) => { readonly exports: { readonly run: WasmFunction } };
}

const engine = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;

/** @param pages of 64 KiB */
export function createMemory(pages: number): WasmMemory {
  return new engine.Memory({ initial: pages, maximum: pages });
}

/** The function `run` of a module that `moduleBytes` wrote. */
export function instantiate(bytes: Uint8Array, memory: WasmMemory, transfer: Transfer): WasmFunction {
  return new engine.Instance(new engine.Module(bytes), { state: { memory, transfer } }).exports.run;
}
