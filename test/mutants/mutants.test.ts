import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { suites } from '../../src/exercise/suites/index.ts';
import { allMutants } from './all.ts';
import { apply, mark } from './mutant.ts';
import { reasonOf } from './survivors.ts';
import { taps } from './taps.ts';

const root = path.resolve(import.meta.dirname, '../..');
const edit = { file: 'a.ts', find: 'a < b', replace: 'a <= b' };

describe('a mutant', () => {
  test('whose text is not there is refused', () => {
    assert.throws(() => apply('if (a > b) stop();', edit), /a\.ts has no text "a < b" any more/);
  });

  test('whose text is there twice is refused', () => {
    assert.throws(() => apply('a < b || a < b', edit), /more than once/);
  });

  test('changes its text and nothing else', () => {
    assert.equal(apply('if (a < b) stop();', edit), 'if (a <= b) stop();');
  });

  test('marked, an expression or a statement tells that it is passed', () => {
    const inner = { ...edit, name: 'x: inner' };
    const outer = { ...edit, name: 'x: outer', find: 'if (a < b) stop();' };
    assert.equal(
      mark('if (a < b) stop();', [inner, outer]),
      '{globalThis.sagradaMutant.reached("x: outer");if (globalThis.sagradaMutant.differs("x: inner", a < b, () => (a <= b))) stop();}',
    );
  });

  test('marked, what an "if" does is still all that it does, and what is declared is still there', () => {
    const done = { ...edit, name: 'x: done', find: 'stop();' };
    assert.equal(
      mark('if (a < b) stop(); else go();', [done]),
      'if (a < b) {globalThis.sagradaMutant.reached("x: done");stop();} else go();',
    );
    assert.equal(
      mark('const c = a; use(c);', [{ ...done, find: 'const c = a;' }]),
      'globalThis.sagradaMutant.reached("x: done");const c = a; use(c);',
    );
  });
});

describe('mutants of one text', () => {
  test('are told apart: each by what it would put there', () => {
    const first = { ...edit, name: 'x: first' };
    const second = { ...edit, name: 'x: second', replace: 'true' };
    assert.equal(
      mark('if (a < b) stop();', [first, second]),
      'if (globalThis.sagradaMutant.differs("x: first", globalThis.sagradaMutant.differs("x: second", a < b, () => (true)), () => (a <= b))) stop();',
    );
  });
});

describe('mutants', () => {
  test('are hundreds, and the text of each is in the source', () => {
    const all = allMutants();
    assert.ok(all.length >= 100, `${all.length}`);
    for (const one of [...taps, ...all.flatMap((mutant) => mutant.edit ?? [])]) {
      apply(readFileSync(path.join(root, one.file), 'utf8'), one);
    }
  });

  test('are remembered with tests that there are, and have a reason only where nobody has noticed', () => {
    const noticed = Object.entries<string>(
      JSON.parse(readFileSync(path.join(import.meta.dirname, 'noticed.json'), 'utf8')),
    );
    const tests = new Set(suites.flatMap((suite) => suite.tests.map(({ id }) => id)));
    // who is not a test is the machine, which does not come up
    const gone = noticed.filter(([, by]) => by.includes(': ') && !tests.has(by));
    assert.deepEqual(gone, []);
    assert.deepEqual(
      noticed.filter(([name]) => reasonOf(name)),
      [],
    );
    const remembered = new Set(noticed.map(([name]) => name));
    const others = allMutants().filter(({ name }) => !remembered.has(name) && !reasonOf(name));
    assert.deepEqual(others, [], 'nobody has noticed, and why is not known');
  });

  test('a sample is noticed by the tests that are remembered to notice', () => {
    assert.ok(existsSync(path.join(import.meta.dirname, 'noticed.json')));
    const run = spawnSync(process.execPath, [path.join(import.meta.dirname, 'main.ts'), '--sample', '8'], {
      encoding: 'utf8',
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.match(run.stdout, /all +8 of 8 noticed/);
  });
});
