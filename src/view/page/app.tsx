/** The page: reads the traces, follows them while they grow, and shows one view at a time. */

import type { ComponentType } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Boundary } from './boundary.tsx';
import { Compare } from './compare.tsx';
import { MachineChoice } from './machine-choice.tsx';
import { MemoryView } from './memory-view.tsx';
import { ProgramView } from './program-view.tsx';
import { ReportView } from './report-view.tsx';
import type { Source } from './source.ts';
import { timeText } from './store.ts';
import { SyncView } from './sync-view.tsx';
import { TimelineView } from './timeline-view.tsx';
import { TopologyView } from './topology-view.tsx';
import { ALL, machinesOf, onlyMachine, type TraceData, usualMachine } from './trace-data.ts';
import { TraceParser } from './trace-parser.ts';

/** How often a growing trace is asked for more, milliseconds; less often where what is there takes long to be laid out. */
const FOLLOW = 500;
const SHARE = 4;

export interface ViewProperties {
  readonly data: TraceData;
  readonly selected: number | undefined;
  readonly onSelect: (event: number | undefined) => void;
  /** Shows another machine of the run. */
  readonly onMachine: (name: string) => void;
}

const views: Readonly<Record<string, ComponentType<ViewProperties>>> = {
  Timeline: TimelineView,
  Topology: TopologyView,
  Memory: MemoryView,
  'Sync objects': SyncView,
  'TPC program': ProgramView,
};

export function App({ source }: { readonly source: Source }) {
  const { setup } = source;
  const [shown, setShown] = useState(0);
  const [view, setView] = useState(setup.traces.length > 0 ? 'Timeline' : 'Coverage');
  const [selected, setSelected] = useState<number>();
  const { traces, read } = useTraces(source);
  const whole = traces[shown];
  const machines = useMemo(() => (whole ? machinesOf(whole) : []), [whole]);
  const [chosen, setChosen] = useState<string>();
  // of a run in progress more machines come: what is looked at stays
  const first = useRef<string>(undefined);
  if (machines.length > 0) first.current ??= usualMachine(machines, whole?.clock ?? 'virtual');
  const machine = chosen ?? first.current ?? ALL;
  const data = useMemo(
    () => (whole && machines.includes(machine) ? onlyMachine(whole, machine) : whole),
    [whole, machines, machine],
  );
  const tabs = [
    ...(setup.traces.length > 0 ? Object.keys(views) : []),
    ...(setup.traces.length > 1 ? ['Compare'] : []),
    ...(setup.report ? ['Coverage'] : []),
  ];
  const View = views[view];
  const choose = (event: number | undefined, from?: string) => {
    setSelected(event);
    if (event !== undefined && from !== undefined) setView('Timeline');
  };
  const showMachine = (name: string) => {
    setChosen(name);
    setSelected(undefined);
  };
  const onTabKey = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    const next = tabs[(tabs.indexOf(view) + step + tabs.length) % tabs.length] ?? view;
    setView(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <>
      <header>
        <h1>Sagrada</h1>
        <div role="tablist" aria-label="Views" onKeyDown={onTabKey}>
          {tabs.map((name) => (
            <button
              type="button"
              role="tab"
              id={`tab-${name}`}
              key={name}
              aria-selected={view === name}
              aria-controls="view"
              tabIndex={view === name ? 0 : -1}
              onClick={() => setView(name)}
            >
              {name}
            </button>
          ))}
        </div>
        <span class="grow" />
        {setup.traces.length > 1 && view !== 'Compare' ? (
          <label>
            Trace{' '}
            <select
              value={shown}
              onChange={(event) => {
                setShown(Number(event.currentTarget.value));
                first.current = undefined;
                setSelected(undefined);
              }}
            >
              {setup.traces.map(({ title }, index) => (
                <option key={title} value={index}>
                  {title}
                </option>
              ))}
            </select>
          </label>
        ) : (
          <span>{setup.traces.length > 1 ? '' : setup.traces[0]?.title}</span>
        )}
        {machines.length > 1 && view !== 'Compare' && (
          <MachineChoice machines={machines} chosen={machine} onMachine={showMachine} />
        )}
        {data && view !== 'Compare' && (
          <span class="dim" role="status">
            {data.order.length.toLocaleString('en')}
            {data.order.length < data.everything.length && ` of ${data.everything.length.toLocaleString('en')}`} events,{' '}
            {timeText(data.duration)}
            {data.clock === 'virtual' ? ' virtual time' : ''}
          </span>
        )}
      </header>
      {data?.problem && <div class="problem">{data.problem}</div>}
      <div class="view" id="view" role="tabpanel" aria-label={view}>
        <Boundary key={`${view} ${shown} ${machine}`}>
          {view === 'Compare' && <Compare traces={traces} />}
          {view === 'Coverage' && <ReportView source={source} />}
          {View && data && (
            <View
              key={`${shown} ${machine}`}
              data={data}
              selected={selected}
              onSelect={(event) => choose(event, view === 'Timeline' ? undefined : view)}
              onMachine={showMachine}
            />
          )}
          {View && !data && <Reading share={read[shown] ?? 0} />}
        </Boundary>
      </div>
    </>
  );
}

function Reading({ share }: { readonly share: number }) {
  return (
    <p class="scroll" role="status">
      Reading the trace: {Math.round(share * 100)} % <progress value={share} />
    </p>
  );
}

interface Traces {
  readonly traces: readonly (TraceData | undefined)[];
  /** How much of each is read, 0 to 1. */
  readonly read: readonly number[];
}

/** The traces as far as they are read; each is read on as long as it grows. */
function useTraces(source: Source): Traces {
  const [traces, setTraces] = useState<readonly (TraceData | undefined)[]>(source.setup.traces.map(() => undefined));
  const [read, setRead] = useState<readonly number[]>(source.setup.traces.map(() => 0));
  useEffect(() => {
    const ended = new AbortController();
    for (const [index, { title }] of source.setup.traces.entries()) {
      const tell = (data: TraceData) => setTraces((before) => before.map((one, at) => (at === index ? data : one)));
      const tellShare = (share: number) => setRead((before) => before.map((one, at) => (at === index ? share : one)));
      void follow(source, index, title, ended.signal, tell, tellShare);
    }
    return () => ended.abort();
  }, [source]);
  return { traces, read };
}

async function follow(
  source: Source,
  index: number,
  title: string,
  ended: AbortSignal,
  tell: (data: TraceData) => void,
  tellShare: (share: number) => void,
): Promise<void> {
  let parser = new TraceParser(title);
  let at = 0;
  let told = false;
  let more = false;
  // while one piece is read, the next is already on its way
  let next: ReturnType<Source['read']> | undefined;
  while (!ended.aborted) {
    let spent = 0;
    try {
      const { bytes, size } = await (next ?? source.read(index, at));
      next = undefined;
      if (size < at) {
        parser = new TraceParser(title);
        at = 0;
        continue;
      }
      at += bytes.length;
      if (bytes.length > 0 && at < size) {
        next = source.read(index, at);
        // what is wrong with it is told when it is its turn
        next.catch(() => {});
      }
      parser.add(bytes);
      more ||= bytes.length > 0;
      if (bytes.length > 0 && at < size) {
        tellShare(at / size);
        continue;
      }
      if (more || !told) {
        const began = performance.now();
        tell(parser.result(undefined));
        spent = performance.now() - began;
      }
      more = false;
      told = true;
    } catch (error) {
      tell(parser.result(`No more can be read: ${(error as Error).message}`));
      return;
    }
    if (!source.setup.live) return;
    await new Promise((resolve) => setTimeout(resolve, Math.max(FOLLOW, spent * SHARE)));
  }
}
