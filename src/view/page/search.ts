import type { Field } from './store.ts';
import type { TraceData } from './trace-data.ts';

/**
 * Events that `query` finds, in the order of their beginnings: words are parts of the event's name, its category or its track, and
 * all have to be there; `field=value` and `field>value` look into what an event says of itself.
 */
export function search(data: TraceData, query: string): number[] {
  const words = query
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  const conditions = words.map(conditionOf);
  const plain = words.filter((_, index) => !conditions[index]);
  const names = data.names.map((name) => name.toLowerCase());
  const categories = data.categories.map((name) => name.toLowerCase());
  const tracks = data.tracks.map(({ path }) => path.join('/').toLowerCase());
  const wanted = conditions.filter((condition) => condition !== undefined);
  const result: number[] = [];
  for (const event of data.order) {
    const name = names[data.name[event] as number] ?? '';
    const category = categories[data.category[event] as number] ?? '';
    const track = tracks[data.track[event] as number] ?? '';
    if (!plain.every((word) => name.includes(word) || category.includes(word) || track.includes(word))) continue;
    if (wanted.length > 0) {
      const fields = data.fields(event);
      if (!wanted.every((condition) => fields.some((field) => condition(field)))) continue;
    }
    result.push(event);
  }
  return result;
}

type Condition = (field: Field) => boolean;

function conditionOf(word: string): Condition | undefined {
  const [, name = '', sign = '', value = ''] = /^([a-z_][\w.]*)([=<>])(.+)$/.exec(word) ?? [];
  if (name === '') return undefined;
  return (field) => field.name.toLowerCase() === name && holds(field.value, sign, value);
}

function holds(found: Field['value'], sign: string, wanted: string): boolean {
  if (typeof found === 'number' || typeof found === 'bigint') {
    const number = Number(wanted);
    if (sign === '=') return Number(found) === number;
    return sign === '<' ? Number(found) < number : Number(found) > number;
  }
  return sign === '=' && String(found).toLowerCase().includes(wanted);
}
