import assert from 'node:assert/strict';
import { type ShownKind, sensorFiles } from '../../../specs/gaudi/hwmon.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { suite, type TestContext } from '../suite.ts';
import { readNumber, readText, sensorFolder, waysOf, waysToOpen, writeText } from './attributes-lib.ts';
import { assertErrno, MiB, run } from './lib.ts';
import { control } from './reset-lib.ts';

/** Attributes of Linux that the driver has no file for. */
const NEVER = ['alarm', 'enable', 'label', 'lowest', 'average', 'crit_alarm', 'rated_max', 'type'];
/** What a card of this kind can measure, in the unit of each kind. */
const RANGES: Readonly<Record<ShownKind, readonly [number, number]>> = {
  temp: [1_000, 130_000],
  in: [200, 60_000],
  curr: [1, 1_000_000],
  power: [5_000_000, 600_000_000],
};
/** No numbers as kstrtol with base 10 takes them, and numbers that 64 bits with a sign do not hold. */
const NO_NUMBERS = ['warm', '\n', ' 1', '1.5', '0x10', '1 1', '1\n\n', '--1', '-+1', '-'];
const TOO_LARGE = ['9223372036854775808', '-9223372036854775809', '9'.repeat(30), '18446744073709551616 mK'];

/** A sensor, by the beginning of the names of its files. */
interface Sensor {
  readonly kind: ShownKind;
  readonly name: string;
}

function sensorsOf(t: TestContext): Sensor[] {
  const folder = sensorFolder(t);
  return (Object.keys(sensorFiles) as ShownKind[]).flatMap((kind) => {
    const found: Sensor[] = [];
    for (let number: number = sensorFiles[kind].first; ; number++) {
      const name = `${kind}${number}`;
      if (waysToOpen(t, `${folder}/${name}_input`) === undefined) return found;
      found.push({ kind, name });
    }
  });
}

const has = (t: TestContext, { name }: Sensor, attribute: string) =>
  waysToOpen(t, `${sensorFolder(t)}/${name}_${attribute}`) !== undefined;
const value = (t: TestContext, { name }: Sensor, attribute: string) =>
  readNumber(t, `${sensorFolder(t)}/${name}_${attribute}`);
const write = (t: TestContext, { name }: Sensor, attribute: string, text: string | number) =>
  writeText(t, `${sensorFolder(t)}/${name}_${attribute}`, String(text));

/** What a sensor has read at most, as each kind calls it. */
const highest = ({ kind }: Sensor) => (kind === 'power' ? 'input_highest' : 'highest');

export const hwmon = suite('hwmon', 'What Linux shows of the sensors of a card is what the card measures.', (test) => {
  test(
    'every card has sensors of its own, under its name',
    (t) => {
      const folders = [0, 1].map((index) => sensorFolder(t, index));
      assert.notEqual(folders[0]?.split('/').at(-1), folders[1]?.split('/').at(-1));
      for (const folder of folders) assert.match(readText(t, `${folder}/name`), /^HL\d+\n$/);
      assert.equal(readText(t, `${sensorFolder(t)}/name`), `${control(t).info.hwIp().card_name}\n`);
    },
    { devices: 2 },
  );

  test('there are sensors of temperature, voltage, current and power, and files for what each can tell', (t) => {
    const sensors = sensorsOf(t);
    for (const kind of Object.keys(sensorFiles) as ShownKind[]) {
      const count = sensors.filter((sensor) => sensor.kind === kind).length;
      assert.ok(count > 0, kind);
      t.step(kind, String(count));
    }
    for (const { kind, name } of sensors) {
      const files = Object.entries(sensorFiles[kind].files).flatMap(([attribute, mode]) => {
        const ways = waysToOpen(t, `${sensorFolder(t)}/${name}_${attribute}`);
        if (ways) assert.deepEqual(ways, waysOf(mode), `${name}_${attribute}`);
        return ways ? [attribute] : [];
      });
      t.step(name, files.join(' '));
      for (const attribute of NEVER)
        assert.equal(waysToOpen(t, `${sensorFolder(t)}/${name}_${attribute}`), undefined, attribute);
    }
  });

  test('readings are what such a card can have, and none is above the highest', (t) => {
    for (const sensor of sensorsOf(t)) {
      const [least, most] = RANGES[sensor.kind];
      const reading = value(t, sensor, 'input');
      assert.ok(reading >= least && reading <= most, `${sensor.name}: ${reading}`);
      if (has(t, sensor, highest(sensor))) {
        const top = value(t, sensor, highest(sensor));
        assert.ok(reading <= top, `${sensor.name}: ${reading} is above ${top}`);
      }
    }
  });

  test('limits are in their order, and a card that works is within them', (t) => {
    for (const sensor of sensorsOf(t)) {
      const limits = ['min', 'input', 'max_hyst', 'max', 'crit_hyst', 'crit'].filter(
        (attribute) => attribute !== 'min' || sensor.kind !== 'temp',
      );
      const there = limits.filter((attribute) => has(t, sensor, attribute));
      const values = Object.fromEntries(there.map((attribute) => [attribute, value(t, sensor, attribute)]));
      const inOrder = (...names: string[]) => {
        const list = names.flatMap((name) => values[name] ?? []);
        assert.deepEqual(
          list,
          list.toSorted((a, b) => a - b),
          `${sensor.name} ${names.join(' ')}`,
        );
      };
      inOrder('min', 'input', 'max', 'crit');
      const { max, crit } = values;
      assert.ok(
        max === undefined || max !== crit,
        `${sensor.name} is critical as soon as it is above its largest value`,
      );
      inOrder('max_hyst', 'max');
      inOrder('crit_hyst', 'crit');
      for (const [name, limit] of Object.entries(values))
        if (name !== 'input') t.step(`${sensor.name}_${name}`, String(limit));
    }
  });

  test('the power is what the question tells', (t) => {
    const node = control(t);
    const [sensor] = sensorsOf(t).filter(({ kind }) => kind === 'power') as [Sensor];
    const shown = value(t, sensor, 'input');
    const told = Number(node.info.power());
    // two readings: a card that does nothing draws what it did just before
    assert.ok(Math.abs(shown - told) < told / 10, `${shown} and ${told} microwatts`);
  });

  test('an offset is added to a temperature, and to that one alone', (t) => {
    const sensors = sensorsOf(t).filter((sensor) => has(t, sensor, 'offset'));
    const [first, second] = sensors;
    assert.ok(first && second, `${sensors.length} sensors have an offset`);
    const usual = value(t, first, 'offset');
    const before = value(t, first, 'input') - usual;
    try {
      for (const [text, offset] of [
        ['5000\n', 5000],
        ['-3000', -3000],
        ['+0400', 400],
        ['-00700', -700],
        ['0', 0],
      ] as const) {
        write(t, first, 'offset', text);
        assert.equal(value(t, first, 'offset'), offset);
        const moved: number = value(t, first, 'input') - before;
        assert.ok(Math.abs(moved - offset) < 1000, `by ${moved} instead of ${offset}`);
        assert.equal(value(t, second, 'offset'), 0);
      }
    } finally {
      write(t, first, 'offset', usual);
    }
  });

  test('an offset that is no number is refused; one that no sensor can have is not taken', (t) => {
    t.expectMessages(/Failed to set temperature of sensor 0, error -5/);
    const [sensor] = sensorsOf(t) as [Sensor];
    const usual = value(t, sensor, 'offset');
    for (const text of NO_NUMBERS) assertErrno('EINVAL', () => write(t, sensor, 'offset', text));
    for (const text of TOO_LARGE) assertErrno('ERANGE', () => write(t, sensor, 'offset', text));
    write(t, sensor, 'offset', '');
    for (const text of ['9223372036854775807', '-9223372036854775808', '10000000']) {
      write(t, sensor, 'offset', text);
      assert.equal(value(t, sensor, 'offset'), usual);
    }
  });

  test('what a sensor has read at most is forgotten when it is asked to, whatever number is written', async (t) => {
    const buffer = t.device.allocHost(MiB);
    const dram = t.device.dram.allocate(MiB);
    for (let i = 0; i < 4; i++) await run(t, 'DMA_0_0', new CommandStream().dma(dram, buffer, buffer.size));
    for (const sensor of sensorsOf(t)) {
      if (!has(t, sensor, 'reset_history')) continue;
      assertErrno('EINVAL', () => write(t, sensor, 'reset_history', 'all'));
      const before = value(t, sensor, highest(sensor));
      write(t, sensor, 'reset_history', t.random.below(2));
      const after = value(t, sensor, highest(sensor));
      // readings go on meanwhile: one may be a little above
      assert.ok(after <= before * 1.02, `${sensor.name}: ${before}, then ${after}`);
      const reading = value(t, sensor, 'input');
      assert.ok(reading <= value(t, sensor, highest(sensor)), sensor.name);
    }
  });
});
