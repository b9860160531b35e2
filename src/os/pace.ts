/** How fast work goes and when it will be done, for whoever waits for it. */

/** Below this nobody asks; seconds. */
export const PATIENCE = 2;

/**
 * Rate and time left, e.g. `, 12/s, 40 s left`; empty for the first two seconds, when nothing can be said yet.
 * @param seconds that it took so far @param unit of what is counted, with a space before it
 */
export function pace(done: number, total: number, seconds: number, unit = ''): string {
  if (seconds < PATIENCE || done <= 0) return '';
  const rate = done / seconds;
  const digits = rate < 10 ? 1 : 0;
  return `, ${rate.toFixed(digits)}${unit}/s${timeLeft(done, total, seconds)}`;
}

/** e.g. `, 40 s left`; empty when it is done, or nothing can be said yet. @param seconds that it took so far */
export function timeLeft(done: number, total: number, seconds: number): string {
  if (seconds < PATIENCE || done <= 0 || done >= total) return '';
  return `, ${duration((total - done) / (done / seconds))} left`;
}

/** `40 s`, `3 min`, `1 h 20 min`: as exact as such things are known. @param seconds at least 0 */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
