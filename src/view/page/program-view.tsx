/** A TPC kernel that was followed bundle by bundle, forwards and backwards; and the figures of those that were not. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ViewProperties } from './app.tsx';
import { eventName } from './details.tsx';
import { Elsewhere } from './elsewhere.tsx';
import { eventsOf } from './facts.ts';
import { laneTypes, registerText } from './lanes.ts';
import { followedCores } from './steps.ts';
import { timeText } from './store.ts';
import { field, type TraceData } from './trace-data.ts';

const MOST_LAUNCHES = 500;
/** In the order of the text; what is left out at the end does nothing. */
const SLOTS = ['load', 'scalar', 'vector', 'store'];

export function ProgramView({ data, onSelect, onMachine }: ViewProperties) {
  const cores = useMemo(() => followedCores(data), [data]);
  const launches = useMemo(() => [...eventsOf(data, 'tpc_kernel')], [data]);
  const [table, setTable] = useState(false);
  // the first is that by which the driver prepares the cores
  const [chosenCore, setCore] = useState<number>();
  const core = chosenCore ?? (cores[0]?.begin === undefined ? 0 : cores.length - 1);
  const [step, setStep] = useState(0);
  const [type, setType] = useState<keyof typeof laneTypes>('f32');
  const line = useRef<HTMLTableCellElement>(null);
  const chosen = cores[core];
  const text = useMemo(() => chosen?.text() ?? [], [chosen]);
  const steps = chosen?.steps ?? [];
  const current = steps[step];
  const registers = useMemo(() => chosen?.registers(step) ?? [], [chosen, step]);
  useEffect(() => line.current?.scrollIntoView({ block: 'nearest' }), [current?.offset]);
  if (!chosen && launches.length === 0)
    return (
      <Elsewhere data={data} category="tpc_kernel" onMachine={onMachine}>
        No tensor core has run a kernel here.
      </Elsewhere>
    );
  if (!chosen || table)
    return (
      <>
        {chosen && (
          <div class="tools">
            <button type="button" onClick={() => setTable(false)}>
              ◂ Bundle by bundle
            </button>
          </div>
        )}
        <Launches data={data} launches={launches} onSelect={onSelect} />
      </>
    );
  const go = (to: number) => setStep(Math.min(Math.max(0, to), steps.length - 1));
  /** The next time, or else the first, that a bundle is done. */
  const goToBundle = (offset: number) => {
    const next = steps.findIndex((one, at) => at > step && one.offset === offset);
    const first = next >= 0 ? next : steps.findIndex((one) => one.offset === offset);
    if (first >= 0) go(first);
  };
  const onKey = (event: KeyboardEvent) => {
    if ((event.target as HTMLElement).tagName === 'INPUT' || (event.target as HTMLElement).tagName === 'SELECT') return;
    const to = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the buttons do the same; these are their keys
    <div class="program" onKeyDown={onKey}>
      <div class="tools">
        {cores.length > 1 && (
          <label>
            {chosen.begin === undefined ? 'Core' : 'Launch'}{' '}
            <select
              value={core}
              onChange={(event) => {
                setCore(Number(event.currentTarget.value));
                setStep(0);
              }}
            >
              {cores.map(({ name }, index) => (
                <option key={name} value={index}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        {launches.length > 0 && (
          <button type="button" onClick={() => setTable(true)}>
            All launches
          </button>
        )}
        <button type="button" onClick={() => go(0)}>
          Begin
        </button>
        <button type="button" onClick={() => go(step - 1)} disabled={step === 0}>
          ◂ Back
        </button>
        <button type="button" onClick={() => go(step + 1)} disabled={step >= steps.length - 1}>
          Step ▸
        </button>
        <button type="button" onClick={() => go(steps.length - 1)}>
          End
        </button>
        <input
          type="range"
          min="0"
          max={steps.length - 1}
          value={step}
          aria-label="Step"
          onInput={(event) => go(Number(event.currentTarget.value))}
        />
        <span role="status">
          bundle {(step + 1).toLocaleString('en')} of {steps.length.toLocaleString('en')}, cycle{' '}
          {current?.cycle.toLocaleString('en')}
        </span>
        <span class="grow" />
        <label>
          Lanes as{' '}
          <select value={type} onChange={(event) => setType(event.currentTarget.value as keyof typeof laneTypes)}>
            {Object.keys(laneTypes).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      <div class="columns">
        <div class="scroll">
          <table>
            <caption class="sr-only">The program; the bundle that was just done is marked</caption>
            <thead>
              <tr>
                <th>offset</th>
                {SLOTS.map((slot) => (
                  <th key={slot}>{slot}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {text.map(({ offset, label, text: bundle }) => {
                const here = offset === current?.offset;
                const slots = bundle.split(';').map((slot) => slot.trim());
                const shown = SLOTS.map((slot, at) => ({ slot, text: slots[at] ?? 'nop' }));
                return (
                  <tr key={offset} class={here ? 'here' : undefined} aria-current={here}>
                    <td class="value" {...(here ? { ref: line } : {})}>
                      {label !== undefined && <div class="dim">{label}:</div>}
                      <button type="button" class="link" onClick={() => goToBundle(offset)}>
                        0x{offset.toString(16)}
                      </button>
                    </td>
                    {/^loop/i.test(bundle) ? (
                      <td class="value" colSpan={SLOTS.length}>
                        {bundle}
                      </td>
                    ) : (
                      shown.map(({ slot, text: instruction }) => (
                        <td key={slot} class={instruction === 'nop' ? 'value dim' : 'value'}>
                          {instruction}
                        </td>
                      ))
                    )}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
        <div class="scroll">
          <table>
            <caption class="sr-only">Registers after the bundle; those that it changed are marked</caption>
            <tbody>
              {registers.map(({ name, bytes, changed }) => (
                <tr key={name} class={changed ? 'here' : undefined}>
                  <th scope="row">{name}</th>
                  <td class="value">{registerText(name, bytes, type)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </div>
  );
}

interface LaunchesProperties {
  readonly data: TraceData;
  readonly launches: readonly number[];
  readonly onSelect: (event: number) => void;
}

function Launches({ data, launches, onSelect }: LaunchesProperties) {
  const value = (event: number, name: string) => String(field(data, event, name) ?? '');
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th>at</th>
            <th>core</th>
            <th>kernel</th>
            <th>bundles</th>
            <th>cycles</th>
            <th>stalls</th>
            <th>outcome</th>
          </tr>
        </thead>
        <tbody>
          {launches.slice(0, MOST_LAUNCHES).map((event) => (
            <tr key={event}>
              <td>
                <button type="button" class="link" onClick={() => onSelect(event)}>
                  {timeText(data.start[event] as number)}
                </button>
              </td>
              <td>{data.tracks[data.track[event] as number]?.path.join(' › ')}</td>
              <td class="value">
                {eventName(data, event)} 0x{Number(field(data, event, 'address') ?? 0).toString(16)}
              </td>
              <td>{value(event, 'bundles')}</td>
              <td>{value(event, 'cycles')}</td>
              <td>{value(event, 'stalls')}</td>
              <td>{value(event, 'outcome')}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {launches.length > MOST_LAUNCHES && <p class="dim">and {launches.length - MOST_LAUNCHES} more</p>}
      <p class="dim">
        Of each program the first launch on a machine is followed bundle by bundle, as far as a limit;{' '}
        <code>sagrada tpc run KERNEL --trace FILE</code> follows a kernel to its end.
      </p>
    </div>
  );
}
