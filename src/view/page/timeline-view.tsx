/** The timeline with its names, its tools and what is told of the selected event. */

import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { groupOf, groups, readColours } from './colours.ts';
import { Details, eventName } from './details.tsx';
import { search } from './search.ts';
import { timeText } from './store.ts';
import { Timeline } from './timeline.ts';
import type { TraceData } from './trace-data.ts';

const KEYS =
  'Arrow keys or A and D: move. + and -, or W and S: nearer and farther. Up and Down: scroll. Comma and full stop: the event before and after on the row. F: the selected event in full. 0: everything. M: measure from the selected event to the next that is selected. /: search. Escape: clear.';

interface Properties {
  readonly data: TraceData;
  readonly selected: number | undefined;
  readonly onSelect: (event: number | undefined) => void;
  /** Told what is in sight, so that another timeline can show the same. */
  readonly onView?: ((from: number, span: number) => void) | undefined;
  readonly view?: { readonly from: number; readonly span: number } | undefined;
  /** Of one of several timelines: what stands before its search box. */
  readonly compact?: ComponentChildren;
}

export function TimelineView({ data, selected, onSelect, onView, view, compact }: Properties) {
  const before = useRef<Timeline>(undefined);
  const timeline = useMemo(() => {
    const next = new Timeline(data);
    // The trace has grown: what is in sight stays, unless it was everything.
    const last = before.current;
    if (last && last.data.title === data.title && last.span < last.data.duration) {
      Object.assign(next, { from: last.from, span: last.span, scroll: last.scroll, selected: last.selected });
      next.closed.clear();
      for (const group of last.closed) next.closed.add(group);
      next.layOut();
    }
    before.current = next;
    return next;
  }, [data]);
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const searchBox = useRef<HTMLInputElement>(null);
  const pending = useRef(0);
  const measuringFrom = useRef<number>(undefined);
  const [, setDrawn] = useState(0);
  const [query, setQuery] = useState('');
  const [measuring, setMeasuring] = useState(false);
  const found = useMemo(() => (query === '' ? undefined : search(data, query)), [data, query]);
  useMemo(() => timeline.setFound(found), [found, timeline]);
  const [hovered, setHovered] = useState<{ readonly event: number; readonly x: number; readonly y: number }>();

  const redraw = () => {
    if (pending.current !== 0) return;
    pending.current = requestAnimationFrame(() => {
      pending.current = 0;
      const element = canvas.current;
      const context = element?.getContext('2d');
      if (!element || !context) return;
      const { clientWidth, clientHeight } = element;
      const density = window.devicePixelRatio || 1;
      if (element.width !== clientWidth * density || element.height !== clientHeight * density) {
        element.width = clientWidth * density;
        element.height = clientHeight * density;
      }
      timeline.width = clientWidth;
      if (timeline.height !== clientHeight) {
        timeline.height = clientHeight;
        // what is told of the selected event has taken room away
        if (timeline.selected !== undefined) timeline.reveal(timeline.selected);
      }
      context.setTransform(density, 0, 0, density, 0, 0);
      timeline.draw(context, readColours(data.categories));
      setDrawn((count) => count + 1);
      onView?.(timeline.from, timeline.span);
    });
  };
  useEffect(() => {
    const observer = new ResizeObserver(redraw);
    if (canvas.current) observer.observe(canvas.current);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', redraw);
    return () => {
      observer.disconnect();
      scheme.removeEventListener('change', redraw);
    };
  }, [timeline]);
  useEffect(() => {
    if (selected !== undefined && selected !== timeline.selected) timeline.show(selected);
    timeline.selected = selected;
    redraw();
  }, [selected, timeline]);
  useEffect(redraw, [found, timeline]);
  useEffect(() => {
    if (!view || (view.from === timeline.from && view.span === timeline.span)) return;
    Object.assign(timeline, view);
    redraw();
  }, [view?.from, view?.span]);

  const choose = (event: number | undefined) => {
    const from = measuringFrom.current;
    if (measuring && event !== undefined && from !== undefined && from !== event) {
      timeline.measure = [data.start[from] as number, data.start[event] as number];
    }
    if (measuring && event !== undefined) measuringFrom.current = event;
    timeline.selected = event;
    onSelect(event);
    redraw();
  };
  const step = (direction: 1 | -1) => {
    const event = timeline.neighbour(direction);
    if (event === undefined) return;
    timeline.show(event);
    choose(event);
  };
  const stepFound = (direction: 1 | -1) => {
    if (!found || found.length === 0) return;
    const at = timeline.selected === undefined ? -1 : found.indexOf(timeline.selected);
    const next = at < 0 ? found.at(direction > 0 ? 0 : -1) : found[(at + direction + found.length) % found.length];
    if (next === undefined) return;
    timeline.show(next);
    choose(next);
  };
  const centre = () => timeline.from + timeline.span / 2;
  const zoom = (factor: number) => {
    timeline.zoom(factor, centre());
    redraw();
  };
  const all = () => {
    timeline.from = -timeline.data.duration * 0.01;
    timeline.span = Math.max(5, timeline.data.duration * 1.02);
    redraw();
  };

  const onKey = (event: KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      ArrowLeft: () => timeline.pan(-0.15),
      a: () => timeline.pan(-0.15),
      ArrowRight: () => timeline.pan(0.15),
      d: () => timeline.pan(0.15),
      '+': () => timeline.zoom(0.7, centre()),
      '=': () => timeline.zoom(0.7, centre()),
      w: () => timeline.zoom(0.7, centre()),
      '-': () => timeline.zoom(1 / 0.7, centre()),
      s: () => timeline.zoom(1 / 0.7, centre()),
      ArrowUp: () => scrollBy(-60),
      ArrowDown: () => scrollBy(60),
      '.': () => step(1),
      ',': () => step(-1),
      f: () => {
        if (timeline.selected === undefined) return;
        const { selected: one } = timeline;
        const long = Math.max(5, (data.end[one] as number) - (data.start[one] as number));
        timeline.from = (data.start[one] as number) - long * 0.2;
        timeline.span = long * 1.4;
      },
      m: () => startMeasuring(!measuring),
      '0': all,
      '/': () => searchBox.current?.focus(),
      Escape: () => {
        startMeasuring(false);
        choose(undefined);
      },
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
    redraw();
  };
  const scrollBy = (pixels: number) => {
    timeline.scroll += pixels;
    timeline.clamp();
  };
  const startMeasuring = (on: boolean) => {
    setMeasuring(on);
    measuringFrom.current = on ? timeline.selected : undefined;
    if (!on) timeline.measure = undefined;
    redraw();
  };
  const onWheel = (event: WheelEvent) => {
    event.preventDefault();
    const at = timeline.timeAt(event.offsetX);
    if (event.ctrlKey || event.metaKey) timeline.zoom(Math.exp(event.deltaY * 0.01), at);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      timeline.pan((event.deltaX || event.deltaY) / timeline.width);
    } else scrollBy(event.deltaY);
    redraw();
  };
  const onHover = (event: PointerEvent) => {
    const { offsetX: x, offsetY: y } = event;
    const over = event.buttons === 0 ? timeline.eventAt(x, y) : undefined;
    if (over !== hovered?.event) setHovered(over === undefined ? undefined : { event: over, x, y });
  };
  const onPointerDown = (event: PointerEvent) => {
    setHovered(undefined);
    const element = event.currentTarget as HTMLElement;
    element.setPointerCapture(event.pointerId);
    const first = timeline.timeAt(event.offsetX);
    let last = { x: event.offsetX, y: event.offsetY };
    let moved = false;
    const marking = event.shiftKey || measuring;
    const move = (next: PointerEvent) => {
      if (!moved && Math.abs(next.offsetX - last.x) + Math.abs(next.offsetY - last.y) < 4) return;
      moved = true;
      if (marking) timeline.measure = [first, timeline.timeAt(next.offsetX)];
      else {
        timeline.pan((last.x - next.offsetX) / timeline.width);
        scrollBy(last.y - next.offsetY);
        last = { x: next.offsetX, y: next.offsetY };
      }
      redraw();
    };
    const up = () => {
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', up);
      element.removeEventListener('pointercancel', up);
      if (!moved) choose(timeline.eventAt(event.offsetX, event.offsetY));
    };
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', up);
    element.addEventListener('pointercancel', up);
  };

  const unfolded = timeline.closed.size === 0;
  return (
    <>
      <div class="tools">
        {compact}
        <label>
          Search{' '}
          <input
            ref={searchBox}
            type="search"
            placeholder="name, category, or field=value"
            value={query}
            onInput={(event) => setQuery(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') stepFound(event.shiftKey ? -1 : 1);
              if (event.key === 'Escape') frame.current?.focus();
            }}
          />
        </label>
        {found && (
          <>
            <span role="status">{found.length.toLocaleString('en')} found</span>
            <button type="button" onClick={() => stepFound(-1)} disabled={found.length === 0}>
              Previous
            </button>
            <button type="button" onClick={() => stepFound(1)} disabled={found.length === 0}>
              Next
            </button>
          </>
        )}
        <span class="grow" />
        <span class="dim">
          {timeText(Math.max(0, timeline.from), timeline.span / 100)} to{' '}
          {timeText(timeline.from + timeline.span, timeline.span / 100)}
        </span>
        <button
          type="button"
          aria-pressed={measuring}
          onClick={() => startMeasuring(!measuring)}
          title="M, or drag with Shift"
        >
          Measure
        </button>
        <button type="button" aria-label="Nearer" onClick={() => zoom(0.5)}>
          +
        </button>
        <button type="button" aria-label="Farther" onClick={() => zoom(2)}>
          −
        </button>
        <button type="button" onClick={all} title="0: the whole of the time">
          All
        </button>
        {timeline.groups.size > 1 && (
          <button
            type="button"
            title={unfolded ? 'One row for each device' : 'A row for each queue and stream'}
            onClick={() => {
              timeline.fold(unfolded);
              redraw();
            }}
          >
            {unfolded ? 'Fold' : 'Unfold'}
          </button>
        )}
      </div>
      <div class="timeline">
        <Names timeline={timeline} onToggle={redraw} />
        <div
          class="drawing"
          ref={frame}
          role="application"
          aria-roledescription="timeline"
          aria-label={`Timeline of ${data.title}: ${data.order.length} events on ${data.tracks.length} tracks. ${KEYS}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a picture that is worked by keys has to be reached by them
          tabIndex={0}
          onKeyDown={onKey}
          onWheel={onWheel}
          onPointerDown={onPointerDown}
          onPointerMove={onHover}
          onPointerLeave={() => setHovered(undefined)}
        >
          <canvas ref={canvas} />
          {hovered && <Hint data={data} {...hovered} width={timeline.width} />}
        </div>
      </div>
      {!compact && <Legend data={data} />}
      {!compact && selected !== undefined && <Details data={data} event={selected} onSelect={choose} />}
    </>
  );
}

interface HintProperties {
  readonly data: TraceData;
  readonly event: number;
  readonly x: number;
  readonly y: number;
  /** Of the timeline, pixels. */
  readonly width: number;
}

/** What the mouse is over. */
function Hint({ data, event, x, y, width }: HintProperties) {
  const long = (data.end[event] as number) - (data.start[event] as number);
  const category = data.categories[data.category[event] as number];
  const style = x > width / 2 ? { right: `${width - x + 12}px` } : { left: `${x + 12}px` };
  return (
    <div class="hint" style={{ ...style, top: `${y + 14}px` }} aria-hidden="true">
      <strong>{eventName(data, event)}</strong> <span class="dim">{category}</span>
      <br />
      {timeText(data.start[event] as number)}
      {long > 0 ? ` for ${timeText(long)}` : ''}
    </div>
  );
}

/** What the colours mean: those that are there. */
function Legend({ data }: { readonly data: TraceData }) {
  const there = useMemo(() => {
    const met = new Set<string>();
    const categories = new Set<number>();
    for (const event of data.order) categories.add(data.category[event] as number);
    for (const category of categories) met.add(groupOf(data.categories[category] ?? '') ?? '');
    return met;
  }, [data]);
  return (
    <ul class="legend" aria-label="Colours">
      {Object.entries(groups)
        .filter(([name]) => there.has(name))
        .map(([name, colour]) => (
          <li key={name}>
            <span class="swatch" style={{ background: colour }} /> {name}
          </li>
        ))}
      <li class="dim">click an event for what it is, what led to it and what it led to</li>
    </ul>
  );
}

function Names({ timeline, onToggle }: { readonly timeline: Timeline; readonly onToggle: () => void }) {
  const { rows, scroll, height, closed } = timeline;
  const shown = rows.filter(({ top, height: high }) => top + high - scroll > 20 && top - scroll < height);
  return (
    <div class="names">
      {shown.map(({ top, label, level, group, height: high }) => {
        const style = { top: `${top - scroll}px`, height: `${high}px`, paddingLeft: `${6 + level * 12}px` };
        if (group === undefined)
          return (
            <div key={`row ${top}`} style={style} title={label}>
              {label}
            </div>
          );
        const toggle = () => {
          timeline.toggle(group);
          onToggle();
        };
        return (
          <button key={group} type="button" style={style} aria-expanded={!closed.has(group)} onClick={toggle}>
            {closed.has(group) ? '▸' : '▾'} {label}
          </button>
        );
      })}
    </div>
  );
}
