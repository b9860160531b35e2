/** Lines of the kernel's log that speak of a slow or busy machine, not of the card or its driver. */
export const noise: readonly RegExp[] = [
  /^hrtimer: interrupt took/,
  /^perf: interrupt took too long/,
  /^(clocksource|tsc|TSC|timekeeping)\b/,
  /^sched: RT throttling activated/,
  /^workqueue: .* hogged CPU/,
];
