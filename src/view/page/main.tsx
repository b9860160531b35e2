import { render } from 'preact';
import { App } from './app.tsx';
import { openSource } from './source.ts';

const root = document.getElementById('root');
if (root) {
  openSource().then(
    (source) => render(<App source={source} />, root),
    (error: Error) => {
      root.textContent = `The viewer cannot be reached: ${error.message}. Is "sagrada view" still running?`;
    },
  );
}
