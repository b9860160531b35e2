/** Which file of the driver a function is in, where only the functions of a module are known. */

import { driverFunctions } from '../../../specs/habanalabs-functions.ts';

/** Folder of the driver in the kernel's source. */
export const DRIVER_FOLDER = 'drivers/accel/habanalabs/';

/** A function of the module, as the kernel lists it. */
export interface ModuleFunction {
  readonly address: bigint;
  readonly name: string;
}

/** What the compiler appends to the name of a function that it has split or changed. */
const SUFFIX = /\.(part|isra|constprop|cold|localalias)\b.*$/;
/** What the headers make of a trace point (include/trace/stages). */
const GENERATED = /^(__traceiter_|__probestub_|__bpf_trace_|perf_trace_|trace_event_raw_event_|trace_raw_output_)/;

const files = new Map<string, string[]>();
for (const [file, names] of Object.entries(driverFunctions))
  for (const name of names.trim().split(/\s+/)) files.set(name, [...(files.get(name) ?? []), file]);

/** As it is in the source; undefined for what is not there. */
export function sourceName(name: string): string | undefined {
  return GENERATED.test(name) ? undefined : name.replace(SUFFIX, '');
}

/**
 * File of each function that is in the source, by address. The code of a file lies together: what is not known by its name
 * belongs where its neighbours do.
 * @param functions of the module
 */
export function filesOf(functions: readonly ModuleFunction[]): ReadonlyMap<bigint, string> {
  const inOrder = functions
    .flatMap(({ address, name }) => {
      const source = sourceName(name);
      return source === undefined ? [] : [{ address, candidates: candidatesOf(source) }];
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
  const sure = inOrder.map(({ candidates }) => (candidates.length === 1 ? candidates[0] : undefined));
  return new Map(
    inOrder.map(({ address, candidates }, i) => {
      const before = sure.slice(0, i).findLast((file) => file !== undefined);
      const after = sure.slice(i + 1).find((file) => file !== undefined);
      const near = [before, after].filter((file) => file !== undefined);
      const chosen =
        sure[i] ??
        near.find((file) => candidates.includes(file)) ??
        candidates[0] ??
        (before === after ? before : undefined) ??
        '(file not known)';
      return [address, `${DRIVER_FOLDER}${chosen}`];
    }),
  );
}

function candidatesOf(name: string): readonly string[] {
  const known = files.get(name);
  if (known) return known;
  if (name.startsWith('gaudi2_')) return ['gaudi2/'];
  if (name.startsWith('goya_')) return ['goya/'];
  return [];
}
