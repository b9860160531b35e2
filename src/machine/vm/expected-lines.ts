/**
 * What the kernel's log of a guest may say. Every line at level `err` or worse, and every warning of the kernel about itself,
 * fails a run, with the exceptions below: what a real card would cause too, or what has nothing to do with the card.
 */

export interface ExpectedLine {
  readonly pattern: RegExp;
  readonly reason: string;
  /** Expected only without the helper module. */
  readonly when?: 'no-helper';
}

export const expectedLines: readonly ExpectedLine[] = [
  {
    pattern: /^WARNING: .*drm_file\.c.* drm_open_helper/,
    reason: 'opening the compute node of a driver that lacks FOP_UNSIGNED_OFFSET, docs/findings/0001',
    when: 'no-helper',
  },
];

/** How lines of the driver begin. */
export const DRIVER_LINE = /^(habanalabs|accel)\b/;

/**
 * Once the device is up, most errors of the driver tell a program what it did wrong (a bad handle, an address that is not
 * mapped, a submission that never ends), and a real card's driver says the same. These are the ones that tell of a card
 * that did not do its part. Source: dev_err() calls of drivers/accel/habanalabs/{common,gaudi}.
 */
export const cardFaults: readonly RegExp[] = [
  /Device CPU packet timeout|CPU queue test failed|Out of sync with FW|QMAN0 Job timeout/,
  /heartbeat/i,
  /^[^:]*: [^:]*: (fw|FW) ?(status|:)|Errors in device boot|Device boot (error|warning)|CPU boot/,
  /[Ff]ailed to (load|wait for|detect if|disable FW|fetch psoc|get cpucp|get max power|read PLL|read power|retrieve device)/,
  /[Ff]ailed to (initialize|init (collective|mem ctx)|reset HW|clear (HBM|SRAM|MMU)|scrub|switch SOB|unmask|send)/,
  /[Ff]ailed (late init|to do compute reset|resetting SM)|Timeout while waiting for device to reset|waiting for idle timeout/,
  /Received invalid (H\/W interrupt|clock change)|exceeds maximum of|ECC error information cannot be found/,
  /NOT usable|not usable/,
  /CRC32 mismatch|Invalid (fence status|hop index|last HOP)|interrupt on a disabled|hw_fini failed/,
  /kernel ctx is still alive|is freed while it has pgts in use|HW block mem list isn't empty/,
];
