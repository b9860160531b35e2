/**
 * The seed of property and fuzz tests: fixed, so that CI runs the same every time; SAGRADA_SEED overrides it
 * (`npm run fuzz` does). Use as `fc.assert(property, { seed: seed() })`.
 */
export function seed(): number {
  const value = Number(process.env.SAGRADA_SEED ?? 20210715);
  if (!printed) console.log(`SAGRADA_SEED=${value}`);
  printed = true;
  return value;
}

let printed = false;
