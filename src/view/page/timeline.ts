/**
 * The timeline's picture. What costs is what can be seen: of a row at most as many events are drawn as it has pixels, found by
 * bisection, so a million events draw as fast as a thousand.
 */

import { drawInstant, niceStep, type Pen } from './pen.ts';
import { firstAtLeast, type Lane, type Summary, summaryOf, timeText } from './store.ts';
import type { TraceData } from './trace-data.ts';

const ROW = 20;
const TRACK_GAP = 6;
const RULER = 26;
const LEAST_SPAN = 5;
/** Pixels: what is less wide is not told apart from its neighbours; instants that are nearer are drawn as lines. */
const NARROW = 3;
const DENSE = 5;

/** A row of names and events: a group's heading has no lanes. */
interface Row {
  readonly top: number;
  readonly height: number;
  readonly lanes: readonly Lane[];
  readonly label: string;
  readonly level: number;
  /** Of the heading: what it opens and closes. */
  readonly group: string | undefined;
  /** Of a group that is closed: when something happened in it. */
  readonly summary: Summary | undefined;
}

/** Rows beyond which groups of queues, streams and the like are closed at first. */
const MANY_ROWS = 30;

export interface Colours {
  readonly background: string;
  readonly text: string;
  readonly dim: string;
  readonly line: string;
  readonly accent: string;
  /** By index of the category. */
  readonly categories: readonly string[];
}

export class Timeline {
  readonly data: TraceData;
  /** Left edge and width of what is shown, nanoseconds. */
  from = 0;
  span: number;
  /** Pixels by which the rows are scrolled. */
  scroll = 0;
  width = 0;
  height = 0;
  selected: number | undefined;
  /** Events that were searched for, in the order of their beginnings. */
  found: ReadonlySet<number> | undefined;
  /** Two times between which is measured. */
  measure: readonly [number, number] | undefined;
  readonly closed = new Set<string>();
  #rows: Row[] = [];
  /** By the path of their track. */
  readonly #lanesOf = new Map<string, Lane[]>();
  /** Paths that others are below. */
  readonly #groups = new Set<string>();
  readonly #summaries = new Map<string, Summary>();
  /** By event: index of its lane. */
  readonly #laneIndex: Uint32Array;
  #foundOf = new Map<Lane, Uint32Array>();

  constructor(data: TraceData) {
    this.data = data;
    // what comes before, until programs have something to do, is the drivers' preparation
    const begin = firstAsked(data);
    this.from = begin - (data.duration - begin) * 0.03;
    this.span = Math.max(LEAST_SPAN, (data.duration - this.from) * 1.02);
    this.#laneIndex = new Uint32Array(data.start.length);
    for (const [index, lane] of data.lanes.entries()) {
      for (const event of lane.events) this.#laneIndex[event] = index;
      const name = data.tracks[lane.track]?.path.join('/') ?? '';
      const lanes = this.#lanesOf.get(name);
      if (lanes) lanes.push(lane);
      else this.#lanesOf.set(name, [lane]);
    }
    for (const { path } of data.tracks) {
      if (!this.#lanesOf.has(path.join('/'))) continue;
      for (let level = 1; level < path.length; level++) this.#groups.add(path.slice(0, level).join('/'));
    }
    this.layOut();
    if (this.#rows.length > MANY_ROWS) {
      const machines = new Set([...this.#groups].map((name) => name.split('/', 1)[0])).size;
      // machines in virtual time have nothing to do with each other
      const apart = machines > 1 && data.clock === 'virtual';
      for (const name of this.#groups) if (apart || this.#isFine(name)) this.closed.add(name);
      this.layOut();
    }
  }

  /** Whether a group is a part of a device. */
  #isFine(name: string): boolean {
    const path = name.split('/');
    return path.length >= 3 && path[1] !== 'driver';
  }

  /** @param events that were searched for, in the order of their beginnings; undefined: no search */
  setFound(events: readonly number[] | undefined): void {
    this.found = events && new Set(events);
    const byLane = new Map<number, number[]>();
    for (const event of events ?? []) {
      const lane = this.#laneIndex[event] as number;
      const others = byLane.get(lane);
      if (others) others.push(event);
      else byLane.set(lane, [event]);
    }
    this.#foundOf = new Map();
    for (const [lane, found] of byLane) this.#foundOf.set(this.data.lanes[lane] as Lane, Uint32Array.from(found));
  }

  get groups(): ReadonlySet<string> {
    return this.#groups;
  }

  #laneOf(event: number): Lane | undefined {
    return this.data.lanes[this.#laneIndex[event] as number];
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Height of all rows, pixels. */
  get contentHeight(): number {
    const last = this.#rows.at(-1);
    return last ? last.top + last.height : 0;
  }

  /** Puts the rows below each other, but for those of groups that are closed. A group's own events are in its heading's row. */
  layOut(): void {
    const rows: Row[] = [];
    const { tracks } = this.data;
    const shown = new Set<string>();
    let top = RULER;
    const add = (path: readonly string[], level: number, lanes: readonly Lane[]) => {
      const name = path.slice(0, level + 1).join('/');
      const group = this.#groups.has(name) ? name : undefined;
      if (shown.has(name)) return;
      shown.add(name);
      const summary = group !== undefined && this.closed.has(name) ? this.#summaryOf(name) : undefined;
      const own = summary ? [] : lanes;
      const height = Math.max(1, own.length) * ROW + (own.length > 0 || summary ? TRACK_GAP : 0);
      rows.push({ top, height, lanes: own, label: path[level] ?? '', level, group, summary });
      top += height;
    };
    for (const { path } of tracks) {
      const whole = path.join('/');
      // an engine that did nothing would only take room
      if (!this.#lanesOf.has(whole) && !this.#groups.has(whole)) continue;
      for (let level = 0; level < path.length; level++) {
        const name = path.slice(0, level + 1).join('/');
        add(path, level, this.#lanesOf.get(name) ?? []);
        if (this.closed.has(name)) break;
      }
    }
    this.#rows = rows;
  }

  #summaryOf(group: string): Summary {
    const known = this.#summaries.get(group);
    if (known) return known;
    const lanes: Lane[] = [];
    for (const [name, some] of this.#lanesOf) if (name === group || name.startsWith(`${group}/`)) lanes.push(...some);
    const summary = summaryOf(lanes, this.data);
    this.#summaries.set(group, summary);
    return summary;
  }

  /** Opens or closes all groups but those of machines, of which there may be one. */
  fold(closed: boolean): void {
    this.closed.clear();
    if (closed) for (const group of this.#groups) if (group.includes('/')) this.closed.add(group);
    this.layOut();
    this.clamp();
  }

  /** Opens a group that is closed, and the other way round. */
  toggle(group: string): void {
    if (!this.closed.delete(group)) this.closed.add(group);
    this.layOut();
    this.clamp();
  }

  timeAt(x: number): number {
    return this.from + (x / this.width) * this.span;
  }

  xOf(time: number): number {
    return ((time - this.from) / this.span) * this.width;
  }

  /** @param factor below 1: nearer. @param at time that stays where it is */
  zoom(factor: number, at: number): void {
    const span = Math.min(Math.max(this.span * factor, LEAST_SPAN), Math.max(LEAST_SPAN, this.data.duration * 1.1));
    this.from = at - ((at - this.from) / this.span) * span;
    this.span = span;
    this.clamp();
  }

  /** @param fraction of the width */
  pan(fraction: number): void {
    this.from += this.span * fraction;
    this.clamp();
  }

  clamp(): void {
    const room = this.span * 0.5;
    this.from = Math.min(Math.max(this.from, -room), Math.max(0, this.data.duration - this.span) + room);
    this.scroll = Math.min(Math.max(0, this.scroll), Math.max(0, this.contentHeight - this.height + ROW));
  }

  /** Selects an event and brings it into sight. */
  show(event: number): void {
    this.selected = event;
    const { start, end } = this.data;
    const [from, to] = [start[event] as number, end[event] as number];
    const hidden = to < this.from || from > this.from + this.span;
    if (hidden || (to - from) * 200 < this.span) {
      const near = this.#causality(event) ?? Math.max((to - from) * 20, this.#distance(event) * 6);
      this.span = Math.max(LEAST_SPAN, Math.min(this.span, near));
      this.from = (from + to) / 2 - this.span / 2;
    }
    this.reveal(event);
    this.clamp();
  }

  /** Scrolls and opens groups such that the event's row is in sight. */
  reveal(event: number): void {
    const { track } = this.data;
    const path = this.data.tracks[track[event] as number]?.path ?? [];
    let opened = false;
    for (let level = 1; level < path.length; level++) {
      opened = this.closed.delete(path.slice(0, level).join('/')) || opened;
    }
    if (opened) this.layOut();
    const row = this.#rows.find(({ lanes }) => lanes[0]?.track === track[event]);
    if (row && (row.top - this.scroll < RULER || row.top + row.height - this.scroll > this.height)) {
      this.scroll = row.top - this.height / 2;
      this.scroll = Math.min(Math.max(0, this.scroll), Math.max(0, this.contentHeight - this.height + ROW));
    }
  }

  /** Such that what led to an event and what it led to are in sight, nanoseconds; undefined where it is linked to nothing. */
  #causality(event: number): number | undefined {
    const { start, end } = this.data;
    const { from, to } = this.data.links(event);
    if (from.length + to.length === 0) return undefined;
    const middle = ((start[event] as number) + (end[event] as number)) / 2;
    let reach = (end[event] as number) - middle;
    for (const other of from) reach = Math.max(reach, middle - (start[other] as number));
    for (const other of to) reach = Math.max(reach, (start[other] as number) - middle);
    return reach * 2.4;
  }

  /** Nanoseconds to the nearest other event of its row. */
  #distance(event: number): number {
    const { start, end, duration } = this.data;
    const lane = this.#laneOf(event);
    if (!lane) return duration;
    const at = indexIn(lane, start, event);
    const [before, after] = [lane.events[at - 1], lane.events[at + 1]];
    const gaps = [
      before === undefined ? duration : (start[event] as number) - (end[before] as number),
      after === undefined ? duration : (start[after] as number) - (end[event] as number),
    ].filter((gap) => gap > 0);
    return Math.min(duration, ...gaps);
  }

  /** The event that is drawn there, or the nearest within a few pixels. */
  eventAt(x: number, y: number): number | undefined {
    if (y < RULER) return undefined;
    const row = this.#rows.find(({ top, height }) => y + this.scroll >= top && y + this.scroll < top + height);
    const lane = row?.summary ?? row?.lanes[Math.floor((y + this.scroll - row.top) / ROW)];
    if (!lane) return undefined;
    const { start, end } = this.data;
    const ends = row?.summary?.ends;
    const reach = 4 * (this.span / this.width);
    const time = this.timeAt(x);
    const after = firstAtLeast(lane.events, start, time);
    const near = [after - 1, after]
      .filter((index) => index >= 0 && index < lane.events.length)
      .map((index) => {
        const event = lane.events[index] as number;
        const until = (ends?.[index] ?? end[event]) as number;
        return { event, off: Math.max((start[event] as number) - time, time - until, 0) };
      })
      .sort((a, b) => a.off - b.off)[0];
    return near && near.off <= reach ? near.event : undefined;
  }

  /** The event before or after the selected one on its row; without one, the first that is in sight. */
  neighbour(step: 1 | -1): number | undefined {
    const { selected } = this;
    if (selected === undefined) {
      const { order, start } = this.data;
      return order[firstAtLeast(order, start, this.from)];
    }
    const lane = this.#laneOf(selected);
    return lane?.events[indexIn(lane, this.data.start, selected) + step];
  }

  draw(context: Pen, colours: Colours): void {
    const { width, height } = this;
    context.fillStyle = colours.background;
    context.fillRect(0, 0, width, height);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    for (const row of this.#rows) {
      const top = row.top - this.scroll;
      if (top + row.height < RULER || top > height) continue;
      context.fillStyle = colours.line;
      context.fillRect(0, top + row.height - 1, width, 1);
      if (row.summary) this.#drawLane(context, colours, row.summary, top + 2, row.summary.ends);
      for (const [depth, lane] of row.lanes.entries()) {
        this.#drawLane(context, colours, lane, top + 2 + depth * ROW);
        this.#drawFound(context, colours, lane, top + 2 + depth * ROW);
      }
    }
    this.#drawLinks(context, colours);
    this.#drawMeasure(context, colours);
    this.#drawRuler(context, colours);
  }

  /** @param ends of the events, where a summary is drawn: pale and without names */
  #drawLane(
    context: Pen,
    colours: Colours,
    lane: { readonly events: Uint32Array },
    top: number,
    ends?: Float64Array,
  ): void {
    const { start, end, name, names, category } = this.data;
    const { events } = lane;
    const scale = this.width / this.span;
    const until = this.from + this.span;
    const step = this.span / this.width;
    const bar = ROW - 4;
    const dim = ends !== undefined || this.found !== undefined;
    const alpha = !dim ? 1 : this.found === undefined ? 0.75 : 0.2;
    // Narrow ones of a colour that touch each other are one rectangle: pictures are as quick as their rectangles are few.
    let colour = '';
    let [from, to] = [0, 0];
    const paint = () => {
      if (to <= from) return;
      context.fillStyle = colour;
      context.globalAlpha = alpha;
      context.fillRect(from, top, to - from, bar);
      context.globalAlpha = 1;
      to = from;
    };
    // The one before the first that begins in sight may reach into it.
    let at = Math.max(0, firstAtLeast(events, start, this.from) - 1);
    let before = Number.NEGATIVE_INFINITY;
    while (at < events.length) {
      const event = events[at] as number;
      const begin = start[event] as number;
      if (begin > until) break;
      const finish = (ends ? ends[at] : end[event]) as number;
      const left = Math.max(-2, (begin - this.from) * scale);
      const wide = (finish - this.from) * scale - left;
      if (finish >= this.from) {
        const its = colours.categories[category[event] as number] ?? colours.accent;
        const lone = begin === finish && left - before > DENSE;
        if (wide < NARROW && !lone) {
          const right = left + Math.max(begin === finish ? 2 : 1, wide);
          if (its !== colour || left > to + 1) {
            paint();
            colour = its;
            from = left;
          }
          to = Math.max(to, right);
        } else {
          paint();
          colour = its;
          context.fillStyle = its;
          context.globalAlpha = alpha;
          if (lone) drawInstant(context, left, top, bar);
          else context.fillRect(left, top, Math.min(wide, this.width + 4), bar);
          context.globalAlpha = 1;
          [from, to] = [0, 0];
        }
        before = left;
        if (wide > 30 && !ends) {
          const ink = dim ? colours.dim : '#fff';
          this.#drawName(context, ink, names[name[event] as number] ?? '', Math.max(left, 0), top, left + wide);
        }
        if (event === this.selected) {
          paint();
          context.strokeStyle = colours.text;
          context.lineWidth = 2;
          context.strokeRect(left - 1, top - 1, Math.max(3, wide + 2), bar + 2);
        }
      }
      at = finish - begin < step && scale < 1e6 ? this.#nextVisible(events, at, begin + step, ends) : at + 1;
    }
    paint();
  }

  /**
   * Index of the next event of a row that is seen beside the one at `at`: what begins before `time` would be drawn over it, but
   * for the last, which may reach beyond.
   */
  #nextVisible(events: Uint32Array, at: number, time: number, ends: Float64Array | undefined): number {
    const { start, end } = this.data;
    const next = Math.max(at + 1, firstAtLeast(events, start, time, at));
    const last = next - 1;
    if (last <= at) return next;
    return ((ends ? ends[last] : end[events[last] as number]) as number) > time ? last : next;
  }

  /** What was searched for, over the others: where many lie on one pixel, none of it is hidden. */
  #drawFound(context: Pen, colours: Colours, lane: Lane, top: number): void {
    const events = this.#foundOf.get(lane);
    if (events) {
      const others = this.found;
      this.found = undefined;
      this.#drawLane(context, colours, { events }, top);
      this.found = others;
    }
  }

  #drawName(context: Pen, colour: string, text: string, left: number, top: number, right: number): void {
    const room = Math.floor((Math.min(right, this.width) - left - 8) / 6.5);
    if (room < Math.min(text.length, 6)) return;
    context.fillStyle = colour;
    context.fillText(text.length > room ? `${text.slice(0, room - 1)}…` : text, left + 4, top + (ROW - 4) / 2);
  }

  /** Arrows from what led to the selected event, and to what it leads to. */
  #drawLinks(context: Pen, colours: Colours): void {
    const { selected } = this;
    if (selected === undefined) return;
    const { from, to } = this.data.links(selected);
    context.strokeStyle = colours.accent;
    context.lineWidth = 1.5;
    for (const [a, b] of [...from.map((one) => [one, selected]), ...to.map((one) => [selected, one])]) {
      const begin = this.#placeOf(a as number);
      const finish = this.#placeOf(b as number);
      if (!begin || !finish) continue;
      const x1 = this.xOf(this.data.start[a as number] as number);
      const x2 = this.xOf(this.data.start[b as number] as number);
      const bend = Math.max(20, Math.abs(x2 - x1) / 3);
      context.beginPath();
      context.moveTo(x1, begin);
      context.bezierCurveTo(x1 + bend, begin, x2 - bend, finish, x2, finish);
      context.stroke();
      context.beginPath();
      context.moveTo(x2, finish);
      context.lineTo(x2 - 6, finish - 4);
      context.lineTo(x2 - 6, finish + 4);
      context.fillStyle = colours.accent;
      context.fill();
    }
  }

  /** Where an event's row is, vertically, in the picture. */
  #placeOf(event: number): number | undefined {
    for (const row of this.#rows) {
      if (row.lanes[0]?.track !== this.data.track[event]) continue;
      const depth = row.lanes.indexOf(this.#laneOf(event) as Lane);
      return row.top - this.scroll + 2 + Math.max(0, depth) * ROW + (ROW - 4) / 2;
    }
    // its group is closed
    const name = this.data.tracks[this.data.track[event] as number]?.path.join('/') ?? '';
    const row = this.#rows.find(({ summary, group }) => summary && (name === group || name.startsWith(`${group}/`)));
    return row && row.top - this.scroll + ROW / 2;
  }

  #drawMeasure(context: Pen, colours: Colours): void {
    if (!this.measure) return;
    const [a, b] = [Math.min(...this.measure), Math.max(...this.measure)];
    const [left, right] = [this.xOf(a), this.xOf(b)];
    context.globalAlpha = 0.15;
    context.fillStyle = colours.accent;
    context.fillRect(left, RULER, right - left, this.height);
    context.globalAlpha = 1;
    context.fillRect(left, RULER, 1, this.height);
    context.fillRect(right, RULER, 1, this.height);
    const text = timeText(b - a);
    const wide = context.measureText(text).width;
    context.fillStyle = colours.background;
    context.fillRect((left + right - wide) / 2 - 6, RULER + 4, wide + 12, 20);
    context.fillStyle = colours.text;
    context.fillText(text, (left + right - wide) / 2, RULER + 14);
  }

  #drawRuler(context: Pen, colours: Colours): void {
    context.fillStyle = colours.background;
    context.fillRect(0, 0, this.width, RULER);
    const step = niceStep(this.span / Math.max(1, this.width / 130));
    context.fillStyle = colours.dim;
    const first = Math.ceil(this.from / step) * step;
    // counted, as a number beyond 2^53 stays what it is when little is added
    for (let n = 0, at = first; n * step <= this.span && at <= this.from + this.span; at = first + ++n * step) {
      const x = this.xOf(at);
      context.fillRect(x, 0, 1, RULER);
      if (at >= 0) context.fillText(timeText(at + 0, step), x + 5, RULER / 2);
    }
    context.fillStyle = colours.line;
    context.fillRect(0, RULER - 1, this.width, 1);
  }
}

/** When the first test or program begins, nanoseconds; 0 where there is none. */
function firstAsked(data: TraceData): number {
  const asked = new Set(['test', 'ioctl', 'call'].map((name) => data.categories.indexOf(name)));
  const first = data.order.find((event) => asked.has(data.category[event] as number));
  return first === undefined ? 0 : (data.start[first] as number);
}

/** Index of `event` in the lane, or -1. */
function indexIn(lane: Lane, start: Float64Array, event: number): number {
  for (let at = firstAtLeast(lane.events, start, start[event] as number); at < lane.events.length; at++) {
    if (lane.events[at] === event) return at;
    if (start[lane.events[at] as number] !== start[event]) break;
  }
  return -1;
}
