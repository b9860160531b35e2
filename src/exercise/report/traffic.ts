/** A picture of who moved what to whom: an arrow for each pair of devices and way, with its bytes and a bar. */

import type { Moved } from '../suite.ts';

interface Flow {
  readonly from: string;
  readonly to: string;
  readonly route: string;
  bytes: number;
}

/** In the order in which they are shown; what others are called is said as it is. */
const ROUTES: Readonly<Record<string, string>> = {
  switch: 'across the switch',
  'root-complex': 'through the root complex',
  host: 'to and from memory of the host',
};
const BAR = 30;
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** @returns lines; none where no device has reached another */
export function trafficPicture(moved: readonly Moved[]): string[] {
  if (moved.every(({ route }) => route === 'host')) return [];
  const flows = flowsOf(moved);
  const most = Math.max(...flows.map(({ bytes }) => bytes));
  const names = [...new Set(flows.flatMap(({ from, to }) => [from, to]))];
  const width = Math.max(...names.map((name) => name.length));
  const known = Object.keys(ROUTES);
  const routes = [...new Set(flows.map(({ route }) => route))].sort((a, b) => known.indexOf(a) - known.indexOf(b));
  return routes.flatMap((route) => [
    `${ROUTES[route] ?? route}:`,
    ...flows
      .filter((flow) => flow.route === route)
      .sort((a, b) => b.bytes - a.bytes)
      .map(({ from, to, bytes }) => {
        const bar = '█'.repeat(Math.max(1, Math.round((bytes / most) * BAR)));
        return `  ${from.padStart(width)} ──▶ ${to.padEnd(width)} ${amount(bytes).padStart(10)} ${bar}`;
      }),
  ]);
}

/** Which way the bytes went: what a device reads comes from the other. */
function flowsOf(moved: readonly Moved[]): Flow[] {
  const flows: Flow[] = [];
  const add = (from: string, to: string, route: string, bytes: number) => {
    if (bytes === 0) return;
    const known = flows.find((flow) => flow.from === from && flow.to === to && flow.route === route);
    if (known) known.bytes += bytes;
    else flows.push({ from, to, route, bytes });
  };
  for (const { from, to, route, read, written } of moved) {
    add(from, to, route, written);
    add(to, from, route, read);
  }
  return flows;
}

function amount(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${UNITS[power]}`;
}
