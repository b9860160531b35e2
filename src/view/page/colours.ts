import { traceEvents } from '../../trace/events.ts';
import type { Colours } from './timeline.ts';

type Group = (typeof traceEvents)[keyof typeof traceEvents]['group'];

/** What an event is about, and its colour: white text is readable on it, and it is seen on light and dark. */
export const groups: Readonly<Record<Group, string>> = {
  run: '#2e7d32',
  driver: '#1565c0',
  memory: '#6a4fb3',
  registers: '#6b707b',
  commands: '#00796b',
  data: '#b4530a',
  synchronization: '#8a6a00',
  compute: '#a3247f',
  network: '#5d6b1f',
  trouble: '#c62828',
};
const OTHER = '#555555';

/** The page's colours, the same as in style.css, light or dark. @param categories names */
export function readColours(categories: readonly string[]): Colours {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const of = (light: string, darkened: string) => (dark ? darkened : light);
  return {
    background: of('#ffffff', '#16181d'),
    text: of('#1c1e22', '#e3e6eb'),
    dim: of('#5c636e', '#9aa2af'),
    line: of('#dde0e5', '#2d3139'),
    accent: of('#0b62d6', '#6cb1ff'),
    categories: categories.map((name) => {
      const group = groupOf(name);
      return group === undefined ? OTHER : groups[group];
    }),
  };
}

/** @param category of an event; a trace that others have made may have any */
export function groupOf(category: string): Group | undefined {
  return Object.hasOwn(traceEvents, category) ? traceEvents[category as keyof typeof traceEvents].group : undefined;
}
