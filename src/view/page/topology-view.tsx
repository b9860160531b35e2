/** Who moved how much to whom, and over which links: the picture that shows whether the host's memory had a part in it. */

import { useMemo, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { type Transfer, transfers } from './facts.ts';
import { bytesText, timeText } from './store.ts';

const HOST = 'host';
/** Right edge of the host's memory, middle of the switch and of the devices. */
const ROOT = { x: 150 };
const SWITCH = { x: 385 };
const DEVICES = { x: 690 };
const BOX = { width: 130, height: 46 };

interface Flow {
  readonly from: string;
  readonly to: string;
  bytes: number;
  count: number;
  readonly first: number;
}

export function TopologyView({ data, onSelect }: ViewProperties) {
  const all = useMemo(() => transfers(data), [data]);
  const [until, setUntil] = useState(1);
  const time = until * data.duration;
  const flows = useMemo(() => flowsOf(all.filter((one) => one.time <= time)), [all, time]);
  const devices = [...new Set(all.flatMap(({ from, to }) => [from, to]))].filter((name) => name !== HOST).sort();
  if (all.length === 0) return <p class="scroll">No device has moved anything in this trace.</p>;
  const load = (name: string, way: 'from' | 'to') =>
    flows.filter((flow) => flow[way] === name).reduce((sum, one) => sum + one.bytes, 0);
  const throughHost = load(HOST, 'from') + load(HOST, 'to');
  const between = flows
    .filter(({ from, to }) => from !== HOST && to !== HOST && from !== to)
    .reduce((sum, one) => sum + one.bytes, 0);
  const most = Math.max(1, ...[...devices, HOST].flatMap((name) => [load(name, 'from'), load(name, 'to')]));
  const height = Math.max(420, devices.length * 78 + 20);
  const middle = height / 2;
  const place = (index: number) => ({ x: DEVICES.x, y: (height / devices.length) * (index + 0.5) });
  return (
    <div class="scroll">
      <p>
        <strong>{bytesText(between)}</strong> went from device to device and <strong>{bytesText(throughHost)}</strong>{' '}
        to or from the host's memory, until{' '}
        <label>
          {timeText(time)}{' '}
          <input
            type="range"
            min="0"
            max="1"
            step="0.001"
            value={until}
            aria-label="Until which time"
            onInput={(event) => setUntil(Number(event.currentTarget.value))}
          />
        </label>
      </p>
      <svg
        width="820"
        height={height}
        role="img"
        aria-label="Devices and the links between them, with the bytes moved; the table below says the same"
      >
        <Link
          from={{ x: ROOT.x, y: middle }}
          to={{ x: SWITCH.x - BOX.width / 2, y: middle }}
          there={load(HOST, 'from')}
          back={load(HOST, 'to')}
          most={most}
        />
        {devices.map((name, index) => (
          <Link
            key={name}
            from={{ x: SWITCH.x + BOX.width / 2, y: middle }}
            to={{ ...place(index), x: place(index).x - BOX.width / 2 }}
            there={load(name, 'to')}
            back={load(name, 'from')}
            most={most}
          />
        ))}
        <Box at={{ x: ROOT.x - BOX.width / 2, y: middle }} text="host memory" />
        <Box at={{ x: SWITCH.x, y: middle }} text="PCIe" />
        {devices.map((name, index) => (
          <Box key={name} at={place(index)} text={name} />
        ))}
      </svg>
      <table>
        <caption class="sr-only">Bytes moved</caption>
        <thead>
          <tr>
            <th>from</th>
            <th>to</th>
            <th>bytes</th>
            <th>transfers</th>
            <th>first</th>
          </tr>
        </thead>
        <tbody>
          {flows.map(({ from, to, bytes, count, first }) => (
            <tr key={`${from} ${to}`}>
              <td>{from}</td>
              <td>{to}</td>
              <td>{bytesText(bytes)}</td>
              <td>{count.toLocaleString('en')}</td>
              <td>
                <button type="button" class="link" onClick={() => onSelect(first)}>
                  {timeText(data.start[first] as number)}
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function flowsOf(all: readonly Transfer[]): Flow[] {
  const flows = new Map<string, Flow>();
  for (const { from, to, bytes, event } of all) {
    const key = `${from} ${to}`;
    const flow = flows.get(key);
    if (flow) {
      flow.bytes += bytes;
      flow.count++;
    } else flows.set(key, { from, to, bytes, count: 1, first: event });
  }
  return [...flows.values()].sort((a, b) => b.bytes - a.bytes);
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function Box({ at, text }: { readonly at: Point; readonly text: string }) {
  return (
    <g>
      <rect
        x={at.x - BOX.width / 2}
        y={at.y - BOX.height / 2}
        width={BOX.width}
        height={BOX.height}
        rx="6"
        style={{ fill: 'var(--panel)', stroke: 'var(--dim)' }}
      />
      <text x={at.x} y={at.y + 5} text-anchor="middle">
        {text}
      </text>
    </g>
  );
}

/** Two ways of a link, as thick as what went over them. */
function Link({
  from,
  to,
  there,
  back,
  most,
}: {
  readonly from: Point;
  readonly to: Point;
  readonly there: number;
  readonly back: number;
  readonly most: number;
}) {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const across = { x: -(to.y - from.y) / length, y: (to.x - from.x) / length };
  const line = (bytes: number, side: number, text: string) => {
    const off = 9 * side;
    const [x1, y1, x2, y2] = [
      from.x + across.x * off,
      from.y + across.y * off,
      to.x + across.x * off,
      to.y + across.y * off,
    ];
    return (
      <>
        <line
          x1={x1}
          y1={y1}
          x2={x2}
          y2={y2}
          style={{
            stroke: bytes > 0 ? 'var(--accent)' : 'var(--line)',
            strokeWidth: bytes > 0 ? 1 + (7 * bytes) / most : 1,
          }}
        />
        {bytes > 0 && (
          <text x={(x1 + x2) / 2} y={(y1 + y2) / 2 + (side < 0 ? -9 : 19)} text-anchor="middle">
            {text}
          </text>
        )}
      </>
    );
  };
  return (
    <g>
      {line(there, -1, `${bytesText(there)} →`)}
      {line(back, 1, `← ${bytesText(back)}`)}
    </g>
  );
}
