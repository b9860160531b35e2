/** Keeps what goes wrong in one view from taking the page with it: a file that others made may say anything. */

import { Component, type ComponentChildren } from 'preact';

interface Properties {
  readonly children: ComponentChildren;
}

interface State {
  readonly problem: string | undefined;
}

export class Boundary extends Component<Properties, State> {
  override state: State = { problem: undefined };

  static override getDerivedStateFromError(error: unknown): State {
    return { problem: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    if (this.state.problem === undefined) return this.props.children;
    return (
      <p class="scroll bad" role="alert">
        This view cannot show the trace: {this.state.problem}
      </p>
    );
  }
}
