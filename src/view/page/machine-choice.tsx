/** Chooses one machine of a run, or all. */

import { ALL } from './trace-data.ts';

interface Properties {
  readonly machines: readonly string[];
  readonly chosen: string;
  readonly onMachine: (name: string) => void;
}

export function MachineChoice({ machines, chosen, onMachine }: Properties) {
  return (
    <label>
      Machine{' '}
      <select value={chosen} onChange={(event) => onMachine(event.currentTarget.value)}>
        <option value={ALL}>all</option>
        {machines.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </label>
  );
}
