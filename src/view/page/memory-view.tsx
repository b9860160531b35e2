/** What lies where, in the memory of the host and of each card, at one moment. */

import { useMemo, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { Elsewhere } from './elsewhere.tsx';
import { Moment } from './moment.tsx';
import { counted, type Region, regions } from './regions.ts';
import { bytesText, timeText } from './store.ts';

const WIDTH = 1000;
const BAR = 34;
const CHART = 22;
/** A region is drawn at least so wide, of `WIDTH`. */
const LEAST = 3;
/** Regions that are listed, and those up to which they are listed at once. */
const MOST_ROWS = 200;
const FEW_ROWS = 8;

export function MemoryView({ data, selected, onSelect, onMachine }: ViewProperties) {
  const all = useMemo(() => regions(data), [data]);
  const asked = useMemo(() => counted(data), [data]);
  const duration = Math.max(1, data.duration);
  const [at, setAt] = useState(() =>
    selected === undefined ? busiest(all) / duration : (data.start[selected] as number) / duration,
  );
  const time = at * duration;
  const spaces = useMemo(() => [...new Set(all.map(({ space }) => space))].sort(), [all]);
  if (all.length === 0)
    return (
      <Elsewhere data={data} category="memory" onMachine={onMachine}>
        No memory was allocated, mapped or exported here.
      </Elsewhere>
    );
  const alive = all.filter((region) => region.begin <= time && time < region.end);
  return (
    <div class="scroll">
      <Moment label="At" at={at} duration={duration} onMove={setAt} />
      <ul class="legend plain" aria-label="Colours">
        {(Object.keys(KINDS) as Region['kind'][])
          .filter((kind) => all.some((region) => region.kind === kind))
          .map((kind) => (
            <li key={kind}>
              <span class="swatch" style={{ background: KINDS[kind] }} /> {DOCS[kind]}
            </li>
          ))}
      </ul>
      {spaces.map((space) => (
        <Space
          key={space}
          space={space}
          all={all.filter((region) => region.space === space)}
          alive={alive.filter((region) => region.space === space)}
          asked={asked.get(space)?.findLast((one) => one.time <= time)?.bytes ?? 0}
          at={at}
          duration={duration}
          onSelect={onSelect}
        />
      ))}
    </div>
  );
}

interface SpaceProperties {
  readonly space: string;
  readonly all: readonly Region[];
  readonly alive: readonly Region[];
  /** Bytes that the driver has counted as allocated, without an address. */
  readonly asked: number;
  /** 0: the beginning, 1: the end. */
  readonly at: number;
  readonly duration: number;
  readonly onSelect: (event: number) => void;
}

const KINDS: Readonly<Record<Region['kind'], string>> = {
  allocation: 'hsl(210 55% 48%)',
  mapping: 'hsl(150 50% 36%)',
  export: 'hsl(25 75% 45%)',
  registration: 'hsl(285 45% 52%)',
  transfer: 'hsl(0 0% 55%)',
};
const DOCS: Readonly<Record<Region['kind'], string>> = {
  allocation: 'allocated',
  mapping: 'mapped for a device',
  export: 'exported as a dma-buf',
  registration: 'registered with a NIC',
  transfer: 'read or written by a DMA engine so far',
};
/** From top to bottom, of the bar's height. */
const PLACES: Readonly<Record<Region['kind'], readonly [from: number, to: number]>> = {
  allocation: [0, 0.45],
  mapping: [0, 0.45],
  transfer: [0, 0.45],
  export: [0.5, 0.72],
  registration: [0.76, 1],
};
/** What lies on what is allocated is not counted again. */
const COUNTED: ReadonlySet<Region['kind']> = new Set(['allocation', 'mapping']);

function Space({ space, all, alive, asked, at, duration, onSelect }: SpaceProperties) {
  const places = useMemo(() => scaleOf(all), [all]);
  const chart = useMemo(() => chartOf(all, duration), [all, duration]);
  const [first, last] = useMemo(() => edgesOf(all), [all]);
  const facts = (Object.keys(DOCS) as Region['kind'][]).flatMap((kind) => {
    const some = alive.filter((region) => region.kind === kind);
    return some.length === 0 ? [] : [`${bytesText(some.reduce((sum, { size }) => sum + size, 0))} ${DOCS[kind]}`];
  });
  if (asked > 0) facts.push(`${bytesText(asked)} counted by the driver, which leaves to programs where they are`);
  const inOrder = alive.toSorted((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  return (
    <section aria-label={space} class="space">
      <h2>
        {space} <span class="dim">{facts.join(', ') || 'nothing at this moment'}</span>
      </h2>
      <svg
        viewBox={`0 0 ${WIDTH} ${BAR}`}
        preserveAspectRatio="none"
        height={BAR}
        role="img"
        aria-label={`${space}: ${alive.length} regions; the table says which`}
      >
        <rect width={WIDTH} height={BAR} style={{ fill: 'var(--panel)' }} />
        {visible(alive, places).map((region) => {
          const left = places(region.address);
          const wide = Math.max(LEAST, places(region.address + BigInt(region.size)) - left);
          const [top, bottom] = PLACES[region.kind];
          return (
            // biome-ignore lint/a11y/noStaticElementInteractions: the table below does the same for the keyboard
            <rect
              key={`${region.event} ${region.address}`}
              x={left}
              y={top * BAR}
              width={wide}
              height={(bottom - top) * BAR}
              style={{ fill: KINDS[region.kind], cursor: 'pointer' }}
              onClick={() => onSelect(region.event)}
            >
              <title>{`${DOCS[region.kind]}: 0x${region.address.toString(16)}, ${bytesText(region.size)}`}</title>
            </rect>
          );
        })}
      </svg>
      <div class="ends dim">
        <span>0x{first.toString(16)}</span>
        <span>addresses; what lies between regions is left out, large ones are shortened</span>
        <span>0x{last.toString(16)}</span>
      </div>
      {chart !== '' && (
        <svg
          viewBox={`0 0 ${WIDTH} ${CHART}`}
          preserveAspectRatio="none"
          height={CHART}
          role="img"
          aria-label={`Bytes in use in ${space} over time`}
        >
          <path d={chart} style={{ fill: 'var(--line)', stroke: 'var(--dim)' }} vector-effect="non-scaling-stroke" />
          <rect x={at * WIDTH - 1} width="2" height={CHART} style={{ fill: 'var(--accent)' }} />
        </svg>
      )}
      <details open={alive.length > 0 && alive.length <= FEW_ROWS}>
        <summary>
          {alive.length.toLocaleString('en')} {alive.length === 1 ? 'region' : 'regions'}
          {alive.length > MOST_ROWS ? `, the first ${MOST_ROWS} of them` : ''}
        </summary>
        <table>
          <thead>
            <tr>
              <th>address</th>
              <th class="number">bytes</th>
              <th>what</th>
              <th>since</th>
            </tr>
          </thead>
          <tbody>
            {inOrder.slice(0, MOST_ROWS).map((region) => (
              <tr key={`${region.event} ${region.address}`}>
                <td class="value">0x{region.address.toString(16)}</td>
                <td class="number">{bytesText(region.size)}</td>
                <td>
                  <span class="swatch" style={{ background: KINDS[region.kind] }} /> {region.label}
                </td>
                <td>
                  <button type="button" class="link" onClick={() => onSelect(region.event)}>
                    {timeText(region.begin)}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}

/** Bytes that are there after each change, in the order of time. */
function* levels(all: readonly Region[]): Generator<{ readonly time: number; readonly bytes: number }> {
  const changes = all.flatMap(({ kind, begin, end, size }) =>
    kind === 'transfer'
      ? []
      : [{ time: begin, by: size }, ...(end === Number.POSITIVE_INFINITY ? [] : [{ time: end, by: -size }])],
  );
  changes.sort((a, b) => a.time - b.time);
  let bytes = 0;
  for (const { time, by } of changes) {
    bytes += by;
    yield { time, bytes };
  }
}

/** A time at which as much of memory is told of as at any; what is exported or registered weighs more. */
function busiest(all: readonly Region[]): number {
  const weighed = all.map((region) => ({ ...region, size: COUNTED.has(region.kind) ? 1 : 8 }));
  let best = { time: 0, bytes: 0 };
  for (const one of levels(weighed)) if (one.bytes > best.bytes) best = one;
  return best.time;
}

/** The bytes over time, as a path. */
function chartOf(all: readonly Region[], duration: number): string {
  const points = [...levels(all.filter(({ kind }) => COUNTED.has(kind) || kind === 'export'))];
  const most = points.reduce((largest, { bytes }) => Math.max(largest, bytes), 0);
  if (most === 0) return '';
  // a column of the picture shows the most of its time
  const columns = new Float64Array(WIDTH + 1);
  let [column, level] = [0, 0];
  for (const { time, bytes } of points) {
    const to = Math.min(WIDTH, Math.floor((time / duration) * WIDTH));
    while (column < to) columns[++column] = level;
    level = bytes;
    columns[column] = Math.max(columns[column] as number, bytes);
  }
  while (column < WIDTH) columns[++column] = level;
  let path = `M0 ${CHART}`;
  for (const [x, bytes] of columns.entries()) {
    if (bytes !== columns[x - 1]) path += `H${x}V${(CHART - 1 - (bytes / most) * (CHART - 2)).toFixed(1)}`;
  }
  return `${path}H${WIDTH}V${CHART}Z`;
}

/** Of regions that would be drawn over each other, the last. */
function visible(alive: readonly Region[], places: (address: bigint) => number): Region[] {
  const drawn = new Map<string, Region>();
  for (const region of alive) {
    const left = Math.round(places(region.address));
    const right = Math.round(places(region.address + BigInt(region.size)));
    drawn.set(`${region.kind} ${left} ${right}`, region);
  }
  return [...drawn.values()];
}

function edgesOf(all: readonly Region[]): [bigint, bigint] {
  let [first, last] = [all[0]?.address ?? 0n, 0n];
  for (const { address, size } of all) {
    if (address < first) first = address;
    if (address + BigInt(size) > last) last = address + BigInt(size);
  }
  return [first, last];
}

/**
 * Places of addresses, in `WIDTH`: the space between regions that were ever there is left out, and what is larger gets more
 * room, but not in proportion: a page beside a gigabyte is still seen.
 */
function scaleOf(all: readonly Region[]): (address: bigint) => number {
  const edges = [...new Set(all.flatMap(({ address, size }) => [address, address + BigInt(size)]))].sort((a, b) =>
    a < b ? -1 : 1,
  );
  const covered = coverage(all);
  const sizes = edges.slice(1).map((edge, index) => {
    const from = edges[index] ?? 0n;
    return covered(from) ? Math.log2(Number(edge - from) + 1) : 1;
  });
  const sum = sizes.reduce((total, size) => total + size, 0) || 1;
  const at = new Map<bigint, number>();
  let left = 0;
  for (const [index, edge] of edges.entries()) {
    at.set(edge, left);
    left += ((sizes[index] ?? 0) / sum) * WIDTH;
  }
  return (address) => at.get(address) ?? 0;
}

/** Whether there was ever a region at an address, asked in the order of addresses. */
function coverage(all: readonly Region[]): (address: bigint) => boolean {
  const sorted = all.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  let [next, until] = [0, 0n];
  return (address) => {
    for (let region = sorted[next]; region && region.address <= address; region = sorted[++next]) {
      const end = region.address + BigInt(region.size);
      if (end > until) until = end;
    }
    return until > address;
  };
}
