/** The values of sync objects over time, and what changed them. */

import { useMemo, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { Elsewhere } from './elsewhere.tsx';
import { type SyncObject, syncObjects } from './facts.ts';
import { timeText } from './store.ts';

const WIDTH = 700;
const HIGH = 34;
const PAGE = 100;

export function SyncView({ data, onSelect, onMachine }: ViewProperties) {
  const all = useMemo(() => syncObjects(data), [data]);
  const [most, setMost] = useState(PAGE);
  if (all.length === 0)
    return (
      <Elsewhere data={data} category="sync_object" onMachine={onMachine}>
        No sync object has changed here.
      </Elsewhere>
    );
  const times = all.flatMap(({ changes }) => changes.map(({ time }) => time));
  const [first, last] = [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))];
  const room = Math.max(1, (last - first) * 0.04);
  const range = { from: Math.max(0, first - room), to: last + room };
  return (
    <div class="scroll">
      <p class="dim">
        From {timeText(range.from)} to {timeText(range.to)}; a dot is a change.
      </p>
      <table>
        <thead>
          <tr>
            <th>object</th>
            <th>value over time</th>
            <th class="number">changes</th>
            <th>last value</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, most).map((one) => (
            <tr key={one.name}>
              <td>{one.name}</td>
              <td>
                <Plot one={one} range={range} onSelect={onSelect} />
              </td>
              <td class="number">{one.changes.length.toLocaleString('en')}</td>
              <td>
                <button type="button" class="link" onClick={() => onSelect(one.changes.at(-1)?.event)}>
                  {one.changes.at(-1)?.value} at {timeText(one.changes.at(-1)?.time ?? 0)}
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > most && (
        <button type="button" onClick={() => setMost(most + PAGE)}>
          {all.length - most} more
        </button>
      )}
    </div>
  );
}

/** Of the changes within a pixel the first, the last, and those that go beyond what was there before. */
function thinned(changes: SyncObject['changes'], x: (time: number) => number): SyncObject['changes'] {
  let pixel = Number.NaN;
  let [low, high] = [0, 0];
  return changes.filter(({ time, value }, at) => {
    const here = Math.round(x(time));
    const next = changes[at + 1];
    const last = next === undefined || Math.round(x(next.time)) !== here;
    if (here === pixel && value >= low && value <= high) return last;
    [low, high] = here === pixel ? [Math.min(low, value), Math.max(high, value)] : [value, value];
    pixel = here;
    return true;
  });
}

function Plot({
  one,
  range,
  onSelect,
}: {
  readonly one: SyncObject;
  /** Nanoseconds. */
  readonly range: { readonly from: number; readonly to: number };
  readonly onSelect: (event: number) => void;
}) {
  const low = one.changes.reduce((least, { value }) => Math.min(least, value), 0);
  const high = one.changes.reduce((most, { value }) => Math.max(most, value), 1);
  const x = (time: number) => ((time - range.from) / (range.to - range.from)) * WIDTH;
  const y = (value: number) => HIGH - 3 - ((value - low) / (high - low)) * (HIGH - 6);
  let path = `M0 ${y(0)}`;
  const shown = thinned(one.changes, x);
  for (const { time, value } of shown) path += `H${x(time).toFixed(1)}V${y(value).toFixed(1)}`;
  return (
    <svg
      width={WIDTH}
      height={HIGH}
      role="img"
      aria-label={`${one.name}: ${one.changes.length} changes between ${low} and ${high}`}
    >
      <path d={`${path}H${WIDTH}`} style={{ fill: 'none', stroke: 'var(--accent)' }} />
      {shown.map(({ event, time, value }) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: the last one is a button, and the timeline has them all
        <circle
          key={event}
          cx={x(time)}
          cy={y(value)}
          r="3"
          style={{ fill: 'var(--accent)', cursor: 'pointer' }}
          onClick={() => onSelect(event)}
        >
          <title>{`${value} at ${timeText(time)}`}</title>
        </circle>
      ))}
    </svg>
  );
}
