/** Chooses a time of the trace. */

import { timeText } from './store.ts';

interface Properties {
  readonly label: string;
  /** 0: the beginning, 1: the end. */
  readonly at: number;
  /** Nanoseconds. */
  readonly duration: number;
  readonly onMove: (at: number) => void;
}

const STEPS = 1000;

export function Moment({ label, at, duration, onMove }: Properties) {
  const text = timeText(at * duration);
  return (
    <p class="moment">
      <label>
        {label}{' '}
        <input
          type="range"
          min="0"
          max={STEPS}
          value={Math.round(at * STEPS)}
          aria-valuetext={text}
          onInput={(event) => onMove(Number(event.currentTarget.value) / STEPS)}
        />
      </label>{' '}
      {text}
    </p>
  );
}
