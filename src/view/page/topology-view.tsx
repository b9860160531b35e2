/** Who moved how much to whom, and over which links: the picture that shows whether the host's memory had a part in it. */

import { useMemo, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { Elsewhere } from './elsewhere.tsx';
import { bridges, type Transfer, transfers } from './facts.ts';
import { Moment } from './moment.tsx';
import { bytesText, timeText } from './store.ts';

const HOST = 'host';
const BOX = { width: 128, height: 42 };
/** Middles of the columns: the host's memory, the root complex, root ports and switches, devices. */
const COLUMNS = [76, 276, 476, 676] as const;
const WIDTH = 1000;
/** Between two devices. */
const APART = 76;
const HOST_COLOUR = 'var(--host)';
const PEER_COLOUR = 'var(--peer)';

interface Flow {
  readonly from: string;
  readonly to: string;
  bytes: number;
  count: number;
  readonly first: number;
}

/** Bytes over a link, both ways together. */
interface Load {
  host: number;
  peer: number;
}

export function TopologyView({ data, onSelect, onMachine }: ViewProperties) {
  const all = useMemo(() => transfers(data), [data]);
  const above = useMemo(() => bridges(data), [data]);
  const [until, setUntil] = useState(1);
  const time = until * data.duration;
  const flows = useMemo(() => flowsOf(all.filter((one) => one.time <= time)), [all, time]);
  const devices = useMemo(
    () => [...new Set(all.flatMap(({ from, to }) => [from, to]))].filter((name) => name !== HOST).sort(),
    [all],
  );
  if (all.length === 0)
    return (
      <Elsewhere data={data} category="bus" onMachine={onMachine}>
        No device has moved anything here.
      </Elsewhere>
    );
  const [host, peers] = [sum(flows.filter(throughHost)), sum(flows.filter((flow) => !throughHost(flow)))];
  return (
    <div class="scroll">
      <p>
        <Key colour={PEER_COLOUR} /> <strong>{bytesText(peers)}</strong> went from device to device, past the host's
        memory. <Key colour={HOST_COLOUR} /> <strong>{bytesText(host)}</strong> went to or from the host's memory.
      </p>
      <Moment label="Until" at={until} duration={data.duration} onMove={setUntil} />
      <Picture flows={flows} devices={devices} above={above} />
      <table>
        <caption class="sr-only">Bytes moved</caption>
        <thead>
          <tr>
            <th>from</th>
            <th>to</th>
            <th class="number">bytes</th>
            <th class="number">transfers</th>
            <th>first</th>
          </tr>
        </thead>
        <tbody>
          {flows.map((flow) => (
            <tr key={`${flow.from} ${flow.to}`}>
              <td>
                <Key colour={throughHost(flow) ? HOST_COLOUR : PEER_COLOUR} /> {flow.from}
              </td>
              <td>{flow.to}</td>
              <td class="number">{bytesText(flow.bytes)}</td>
              <td class="number">{flow.count.toLocaleString('en')}</td>
              <td>
                <button type="button" class="link" onClick={() => onSelect(flow.first)}>
                  {timeText(data.start[flow.first] as number)}
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Key({ colour }: { readonly colour: string }) {
  return <span class="swatch" style={{ background: colour }} />;
}

const throughHost = ({ from, to }: Flow) => from === HOST || to === HOST;
const sum = (flows: readonly Flow[]) => flows.reduce((total, { bytes }) => total + bytes, 0);

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

interface PictureProperties {
  readonly flows: readonly Flow[];
  readonly devices: readonly string[];
  /** By device: the root port or switch that it is below. */
  readonly above: ReadonlyMap<string, string>;
}

const UNKNOWN = 'PCI Express';

function Picture({ flows, devices, above }: PictureProperties) {
  const bridgeOf = (device: string) => above.get(device) ?? UNKNOWN;
  const sorted = devices.toSorted((a, b) => (bridgeOf(a) < bridgeOf(b) ? -1 : bridgeOf(a) > bridgeOf(b) ? 1 : 0));
  const height = Math.max(2, sorted.length) * APART;
  const placeOf = new Map(sorted.map((name, index) => [name, ((index + 0.5) * height) / sorted.length]));
  const middles = new Map<string, number>();
  for (const bridge of new Set(sorted.map(bridgeOf))) {
    const below = sorted.filter((name) => bridgeOf(name) === bridge).map((name) => placeOf.get(name) as number);
    middles.set(bridge, below.reduce((total, y) => total + y, 0) / below.length);
  }
  const loads = new Map<string, Load>();
  const add = (link: string, flow: Flow) => {
    const load = loads.get(link) ?? { host: 0, peer: 0 };
    loads.set(link, load);
    load[throughHost(flow) ? 'host' : 'peer'] += flow.bytes;
  };
  for (const flow of flows) {
    const ends = [flow.from, flow.to].filter((name) => name !== HOST);
    for (const device of new Set(ends)) add(`device ${device}`, flow);
    const crossed = new Set(ends.map(bridgeOf));
    if (throughHost(flow)) add('memory', flow);
    if (throughHost(flow) || crossed.size > 1) for (const bridge of crossed) add(`bridge ${bridge}`, flow);
  }
  const most = Math.max(1, ...[...loads.values()].map(({ host, peer }) => Math.max(host, peer)));
  const middle = height / 2;
  const [memory, root, bridgeX, deviceX] = COLUMNS;
  const link = (name: string, x1: number, y1: number, x2: number, y2: number) => (
    <Link key={name} from={{ x: x1, y: y1 }} to={{ x: x2, y: y2 }} load={loads.get(name)} most={most} />
  );
  const half = BOX.width / 2;
  const told = (from: (flow: Flow) => boolean) => bytesText(sum(flows.filter(from)));
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${height}`}
      style={{ width: '100%', maxWidth: `${WIDTH}px`, display: 'block' }}
      role="img"
      aria-label="Devices and the links between them, with the bytes moved; the table below says the same"
    >
      {link('memory', memory + half, middle, root - half, middle)}
      {[...middles].map(([name, y]) => link(`bridge ${name}`, root + half, middle, bridgeX - half, y))}
      {sorted.map((name) =>
        link(
          `device ${name}`,
          bridgeX + half,
          middles.get(bridgeOf(name)) as number,
          deviceX - half,
          placeOf.get(name) as number,
        ),
      )}
      <Box x={memory} y={middle} text="host memory" />
      <Box x={root} y={middle} text="root complex" />
      {[...middles].map(([name, y]) => (
        <Box key={name} x={bridgeX} y={y} text={name} />
      ))}
      {sorted.map((name) => {
        const y = placeOf.get(name) as number;
        const x = deviceX + half + 14;
        return (
          <g key={name}>
            <Box x={deviceX} y={y} text={name} />
            <text x={x} y={y - 4} style={{ fill: PEER_COLOUR }}>
              {`peers: ${told((f) => f.to === name && f.from !== HOST)} in, ${told((f) => f.from === name && f.to !== HOST)} out`}
            </text>
            <text x={x} y={y + 14} style={{ fill: HOST_COLOUR }}>
              {`host: ${told((f) => f.to === name && f.from === HOST)} in, ${told((f) => f.from === name && f.to === HOST)} out`}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

interface Point {
  readonly x: number;
  readonly y: number;
}

function Box({ x, y, text }: Point & { readonly text: string }) {
  return (
    <g>
      <rect
        x={x - BOX.width / 2}
        y={y - BOX.height / 2}
        width={BOX.width}
        height={BOX.height}
        rx="6"
        style={{ fill: 'var(--panel)', stroke: 'var(--dim)' }}
      />
      <text x={x} y={y + 5} text-anchor="middle">
        {text}
      </text>
    </g>
  );
}

/** Thicker, but not in proportion: a kilobyte beside a gigabyte is still seen. */
function thickness(bytes: number, most: number): number {
  return bytes === 0 ? 0 : 2 + 10 * Math.sqrt(bytes / most);
}

interface LinkProperties {
  readonly from: Point;
  readonly to: Point;
  readonly load: Load | undefined;
  readonly most: number;
}

/** What went to or from the host's memory, and beside it what did not. */
function Link({ from, to, load, most }: LinkProperties) {
  const [host, peer] = [thickness(load?.host ?? 0, most), thickness(load?.peer ?? 0, most)];
  const strand = (off: number, width: number, colour: string) => (
    <line x1={from.x} y1={from.y + off} x2={to.x} y2={to.y + off} style={{ stroke: colour, strokeWidth: width }} />
  );
  if (host === 0 && peer === 0) return strand(0, 1, 'var(--line)');
  return (
    <g>
      {peer > 0 && strand(-host / 2 - 1, peer, PEER_COLOUR)}
      {host > 0 && strand(peer / 2 + 1, host, HOST_COLOUR)}
    </g>
  );
}
