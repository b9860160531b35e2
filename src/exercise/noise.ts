/** Lines of the kernel's log that are no complaint of the driver: they speak of a slow or busy machine, or count other lines. */
export const noise: readonly RegExp[] = [
  /^hrtimer: interrupt took/,
  /^perf: interrupt took too long/,
  /^(clocksource|tsc|TSC|timekeeping)\b/,
  /^sched: RT throttling activated/,
  /^workqueue: .* hogged CPU/,
  // lines that were held back because they were too many (lib/ratelimit.c)
  /: \d+ callbacks suppressed$/,
];
