/** All that is known of one event: what it says of itself, what led to it, and what it led to. */

import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { describe } from './describe.ts';
import { timeText } from './store.ts';
import type { TraceData } from './trace-data.ts';

/** Linked events that are listed. */
const MOST = 40;

interface Properties {
  readonly data: TraceData;
  readonly event: number;
  readonly onSelect: (event: number) => void;
}

export function Details({ data, event, onSelect }: Properties) {
  const described = useMemo(() => describe(data, event), [data, event]);
  const links = useMemo(() => data.links(event), [data, event]);
  const [begin, end] = [data.start[event] as number, data.end[event] as number];
  const path = data.tracks[data.track[event] as number]?.path ?? [];
  return (
    <aside class="details" aria-label="Selected event" aria-live="polite">
      <section>
        <h2>{eventName(data, event)}</h2>
        <table>
          <tbody>
            <Row name="kind">{data.categories[data.category[event] as number]}</Row>
            <Row name="on">{path.join(' › ')}</Row>
            <Row name="at">{timeText(begin, 1)}</Row>
            {end > begin && <Row name="for">{timeText(end - begin)}</Row>}
            {described.fields.map(({ name, value, doc }) => (
              <Row key={name} name={name} title={doc}>
                {value}
              </Row>
            ))}
          </tbody>
        </table>
        {described.doc && <p class="dim">{described.doc}</p>}
      </section>
      {described.texts.map(({ title, text }) => (
        <section key={title}>
          <h2>{title}</h2>
          <pre>{text}</pre>
        </section>
      ))}
      <Links title="Caused by" data={data} events={links.from} from={begin} onSelect={onSelect} />
      <Links title="Led to" data={data} events={links.to} from={begin} onSelect={onSelect} />
    </aside>
  );
}

export function eventName(data: TraceData, event: number): string {
  return data.names[data.name[event] as number] ?? '';
}

function Row({
  name,
  title,
  children,
}: {
  readonly name: string;
  readonly title?: string;
  readonly children: ComponentChildren;
}) {
  return (
    <tr>
      <th scope="row" title={title}>
        {name}
      </th>
      <td class="value">{children}</td>
    </tr>
  );
}

interface LinksProperties {
  readonly title: string;
  readonly data: TraceData;
  readonly events: readonly number[];
  /** Time of the event that they are linked with, nanoseconds. */
  readonly from: number;
  readonly onSelect: (event: number) => void;
}

function Links({ title, data, events, from, onSelect }: LinksProperties) {
  if (events.length === 0) return null;
  return (
    <section class="links">
      <h2>{title}</h2>
      <table>
        <tbody>
          {events.slice(0, MOST).map((event) => (
            <tr key={event}>
              <td title={data.categories[data.category[event] as number]}>
                <button type="button" class="link" onClick={() => onSelect(event)}>
                  {eventName(data, event)}
                </button>
              </td>
              <td class="dim">{data.tracks[data.track[event] as number]?.path.slice(1).join(' › ')}</td>
              <td class="dim number">{timeText((data.start[event] as number) - from)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {events.length > MOST && <p class="dim">and {events.length - MOST} more</p>}
    </section>
  );
}
