import type { Colours } from './timeline.ts';

/** Far apart around the wheel, whatever the number of categories. */
const GOLDEN_ANGLE = 137.508;

/** The page's colours, the same as in style.css, light or dark. */
export function readColours(categories: number): Colours {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const of = (light: string, darkened: string) => (dark ? darkened : light);
  return {
    background: of('#ffffff', '#16181d'),
    text: of('#1c1e22', '#e3e6eb'),
    dim: of('#5c636e', '#9aa2af'),
    line: of('#dde0e5', '#2d3139'),
    accent: of('#0b62d6', '#6cb1ff'),
    categories: Array.from({ length: categories }, (_, index) => categoryColour(index)),
  };
}

/** White text is readable on it. */
export function categoryColour(index: number): string {
  return `hsl(${(210 + index * GOLDEN_ANGLE) % 360} 55% 42%)`;
}
