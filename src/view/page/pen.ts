/** What a timeline is drawn with. */

/** What a timeline needs of a canvas. */
export interface Pen {
  fillStyle: unknown;
  strokeStyle: unknown;
  globalAlpha: number;
  lineWidth: number;
  font: string;
  textBaseline: string;
  fillRect(x: number, y: number, width: number, height: number): void;
  strokeRect(x: number, y: number, width: number, height: number): void;
  fillText(text: string, x: number, y: number): void;
  measureText(text: string): { readonly width: number };
  beginPath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  bezierCurveTo(x1: number, y1: number, x2: number, y2: number, x: number, y: number): void;
  stroke(): void;
  fill(): void;
}

export function drawInstant(context: Pen, x: number, top: number, height: number): void {
  context.beginPath();
  context.moveTo(x, top);
  context.lineTo(x + 4, top + height / 2);
  context.lineTo(x, top + height);
  context.lineTo(x - 4, top + height / 2);
  context.fill();
}

/** The next of 1, 2, 5, 10 ... */
export function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= least) ?? 10 * power;
}
