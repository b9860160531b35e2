/** Two traces, one above the other in the same piece of time, and what they have different numbers of. */

import { useMemo, useState } from 'preact/hooks';
import { Details } from './details.tsx';
import { MachineChoice } from './machine-choice.tsx';
import { timeText } from './store.ts';
import { TimelineView } from './timeline-view.tsx';
import { ALL, machinesOf, onlyMachine, type TraceData, usualMachine } from './trace-data.ts';

const MOST_ROWS = 200;

interface Count {
  count: number;
  time: number;
}

export function Compare({ traces }: { readonly traces: readonly (TraceData | undefined)[] }) {
  const [pair, setPair] = useState<readonly [number, number]>([0, 1]);
  const [view, setView] = useState<{ from: number; span: number }>();
  const [selected, setSelected] = useState<readonly (number | undefined)[]>([]);
  const [last, setLast] = useState<0 | 1>(0);
  const [machine, setMachine] = useState<string>();
  const wholes = [traces[pair[0]], traces[pair[1]]] as const;
  const machines = useMemo(() => commonMachines(wholes), wholes);
  const chosen = machine ?? usualMachine(machines, wholes[0]?.clock ?? 'virtual');
  const [first, second] = useMemo(
    () => wholes.map((one) => (one && chosen !== ALL ? onlyMachine(one, chosen) : one)),
    [...wholes, chosen],
  );
  const rows = useMemo(() => (first && second ? differences(first, second) : []), [first, second]);
  if (!first || !second) return <p class="scroll">Reading the traces…</p>;
  const choose = (name: string) => {
    setMachine(name);
    setSelected([]);
    setView(undefined);
  };
  const whole = { from: 0, span: Math.max(1, first.duration, second.duration) * 1.02 };
  const told = selected[last];
  const select = (side: 0 | 1) => (
    <select
      aria-label={side === 0 ? 'Above' : 'Below'}
      value={pair[side]}
      onChange={(event) => {
        const to = Number(event.currentTarget.value);
        setPair(side === 0 ? [to, pair[1]] : [pair[0], to]);
        setSelected([]);
        setView(undefined);
      }}
    >
      {traces.map((trace, index) => (
        <option key={trace?.title ?? index} value={index}>
          {trace?.title ?? index}
        </option>
      ))}
    </select>
  );
  return (
    <div class="side">
      {([first, second] as const).map((data, side) => (
        <section key={`${side} ${data.title}`} aria-label={data.title}>
          <TimelineView
            compact={
              <>
                {select(side as 0 | 1)}
                {side === 0 && machines.length > 1 && (
                  <MachineChoice machines={machines} chosen={chosen} onMachine={choose} />
                )}
              </>
            }
            data={data}
            selected={selected[side]}
            onSelect={(event) => {
              setSelected(side === 0 ? [event, selected[1]] : [selected[0], event]);
              setLast(side as 0 | 1);
            }}
            view={view ?? whole}
            onView={(from, span) => setView((now) => (now?.from === from && now.span === span ? now : { from, span }))}
          />
        </section>
      ))}
      {told !== undefined && (
        <Details
          data={last === 0 ? first : second}
          event={told}
          onSelect={(event) => setSelected(last === 0 ? [event, selected[1]] : [selected[0], event])}
        />
      )}
      <div class="scroll">
        <h2>What differs</h2>
        {rows.length === 0 ? (
          <p>Every kind of event is there as often, and took as long.</p>
        ) : (
          <table>
            <thead>
              <tr>
                <th>event</th>
                <th class="number">above</th>
                <th class="number">below</th>
                <th class="number">time above</th>
                <th class="number">time below</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, MOST_ROWS).map(({ name, above, below }) => (
                <tr key={name}>
                  <td>{name}</td>
                  <td class="number">{above.count.toLocaleString('en')}</td>
                  <td class="number">{below.count.toLocaleString('en')}</td>
                  <td class="number">{above.time > 0 || below.time > 0 ? timeText(above.time) : ''}</td>
                  <td class="number">{above.time > 0 || below.time > 0 ? timeText(below.time) : ''}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </div>
  );
}

/** Machines of which there is something in both; none where they have nothing in common: then all is compared. */
function commonMachines([first, second]: readonly [TraceData | undefined, TraceData | undefined]): string[] {
  if (!first || !second) return [];
  const others = new Set(machinesOf(second));
  return machinesOf(first).filter((name) => others.has(name));
}

/** Kinds of events that one trace has more of, or that took longer in it; the greatest difference first. */
function differences(first: TraceData, second: TraceData) {
  const [a, b] = [counts(first), counts(second)];
  const none: Count = { count: 0, time: 0 };
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((name) => ({ name, above: a.get(name) ?? none, below: b.get(name) ?? none }))
    .filter(({ above, below }) => above.count !== below.count || Math.abs(above.time - below.time) > 0.5)
    .sort((x, y) => difference(y) - difference(x));
}

function difference({ above, below }: { readonly above: Count; readonly below: Count }): number {
  return Math.abs(above.count - below.count) * 1e12 + Math.abs(above.time - below.time);
}

function counts(data: TraceData): Map<string, Count> {
  const result = new Map<string, Count>();
  for (const event of data.order) {
    const name = `${data.categories[data.category[event] as number]}: ${data.names[data.name[event] as number]}`;
    const one = result.get(name) ?? { count: 0, time: 0 };
    one.count++;
    one.time += (data.end[event] as number) - (data.start[event] as number);
    result.set(name, one);
  }
  return result;
}
