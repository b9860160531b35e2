/** What lies where, in the memory of the host and of each card, at one moment. */

import { useMemo, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { type Region, regions } from './facts.ts';
import { bytesText, timeText } from './store.ts';

const WIDTH = 860;
const BAR = 30;
/** A region is drawn at least so wide, pixels. */
const LEAST = 3;
/** Regions that are listed. */
const MOST_ROWS = 200;

export function MemoryView({ data, selected, onSelect }: ViewProperties) {
  const all = useMemo(() => regions(data), [data]);
  const start = selected === undefined ? 0.5 : (data.start[selected] as number) / Math.max(1, data.duration);
  const [at, setAt] = useState(start);
  const time = at * data.duration;
  const spaces = useMemo(() => [...new Set(all.map(({ space }) => space))].sort(), [all]);
  if (all.length === 0) return <p class="scroll">No memory was allocated, mapped or exported in this trace.</p>;
  const alive = all.filter((region) => region.begin <= time && time < region.end);
  return (
    <div class="scroll">
      <p>
        <label>
          At {timeText(time)}{' '}
          <input
            type="range"
            min="0"
            max="1"
            step="0.001"
            value={at}
            aria-label="Moment"
            onInput={(event) => setAt(Number(event.currentTarget.value))}
          />
        </label>{' '}
        {alive.length.toLocaleString('en')} of {all.length.toLocaleString('en')} regions are there.
      </p>
      {spaces.map((space) => (
        <Space
          key={space}
          space={space}
          all={all.filter((region) => region.space === space)}
          alive={alive.filter((region) => region.space === space)}
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
  readonly onSelect: (event: number) => void;
}

const KINDS: Readonly<Record<Region['kind'], string>> = {
  allocation: 'hsl(210 55% 45%)',
  mapping: 'hsl(150 50% 36%)',
  export: 'hsl(25 75% 45%)',
  registration: 'hsl(285 45% 48%)',
};

/** Kinds that lie on what is allocated: they are drawn below it, and not counted again. */
const SECOND: ReadonlySet<Region['kind']> = new Set(['export', 'registration']);

function Space({ space, all, alive, onSelect }: SpaceProperties) {
  const places = useMemo(() => scaleOf(all), [all]);
  const total = alive.filter(({ kind }) => !SECOND.has(kind)).reduce((sum, { size }) => sum + size, 0);
  return (
    <section aria-label={space}>
      <h2>
        {space} <span class="dim">{bytesText(total)} in use</span>
      </h2>
      <svg
        width={WIDTH}
        height={BAR * 2 + 6}
        role="img"
        aria-label={`${space}: ${alive.length} regions; the table says which`}
      >
        <rect width={WIDTH} height={BAR} style={{ fill: 'var(--panel)', stroke: 'var(--line)' }} />
        {visible(alive, places).map((region) => {
          const left = places(region.address);
          const wide = Math.max(LEAST, places(region.address + BigInt(region.size)) - left);
          return (
            // biome-ignore lint/a11y/noStaticElementInteractions: the table below does the same for the keyboard
            <rect
              key={`${region.event}`}
              x={left}
              y={SECOND.has(region.kind) ? BAR - 8 : 1}
              width={wide}
              height={SECOND.has(region.kind) ? 8 : BAR - 10}
              style={{ fill: KINDS[region.kind], cursor: 'pointer' }}
              onClick={() => onSelect(region.event)}
            >
              <title>{`${region.kind} 0x${region.address.toString(16)}, ${bytesText(region.size)}`}</title>
            </rect>
          );
        })}
      </svg>
      <details>
        <summary>
          {alive.length.toLocaleString('en')} regions
          {alive.length > MOST_ROWS ? `, the first ${MOST_ROWS} of them` : ''}
        </summary>
        <table>
          <thead>
            <tr>
              <th>address</th>
              <th>bytes</th>
              <th>what</th>
              <th>since</th>
            </tr>
          </thead>
          <tbody>
            {alive.slice(0, MOST_ROWS).map((region) => (
              <tr key={region.event}>
                <td class="value">0x{region.address.toString(16)}</td>
                <td>{bytesText(region.size)}</td>
                <td>{region.label}</td>
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

/** Of regions that would be drawn over each other, the last. */
function visible(regions: readonly Region[], places: (address: bigint) => number): Region[] {
  const drawn = new Map<string, Region>();
  for (const region of regions) {
    const left = Math.round(places(region.address));
    const right = Math.round(places(region.address + BigInt(region.size)));
    drawn.set(`${region.kind} ${left} ${right}`, region);
  }
  return [...drawn.values()];
}

/**
 * Places of addresses, pixels: the space between regions that were ever there is left out, and what is larger gets more room,
 * but not in proportion: a page beside a gigabyte is still seen.
 */
function scaleOf(all: readonly Region[]): (address: bigint) => number {
  const edges = [...new Set(all.flatMap(({ address, size }) => [address, address + BigInt(size)]))].sort((a, b) =>
    a < b ? -1 : 1,
  );
  const sizes = edges.slice(1).map((edge, index) => Math.log2(Number(edge - (edges[index] ?? 0n)) + 1));
  const sum = sizes.reduce((total, size) => total + size, 0) || 1;
  const at = new Map<bigint, number>();
  let left = 0;
  for (const [index, edge] of edges.entries()) {
    at.set(edge, left);
    left += ((sizes[index] ?? 0) / sum) * WIDTH;
  }
  return (address) => at.get(address) ?? 0;
}
