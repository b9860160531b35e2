/** What a view says that has nothing to show, and on which machines of the run there is something. */

import type { ComponentChildren } from 'preact';
import { useMemo } from 'preact/hooks';
import { machinesWith, type TraceData } from './trace-data.ts';

interface Properties {
  readonly data: TraceData;
  /** Kind of event that would be shown. */
  readonly category: string;
  readonly onMachine: (name: string) => void;
  readonly children: ComponentChildren;
}

export function Elsewhere({ data, category, onMachine, children }: Properties) {
  const machines = useMemo(() => machinesWith(data, category), [data, category]);
  return (
    <div class="scroll">
      <p>{children}</p>
      {machines.length > 0 && (
        <p>
          There is something to see on{' '}
          {machines.map((name) => (
            <>
              <button key={name} type="button" onClick={() => onMachine(name)}>
                {name}
              </button>{' '}
            </>
          ))}
        </p>
      )}
    </div>
  );
}
