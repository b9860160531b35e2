import type { ViewProperties } from './app.tsx';

export function ProgramView({ data }: ViewProperties) {
  return <p class="scroll">{data.title}</p>;
}
