import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryPool } from '../../src/os/memory-pool.ts';

const SIZE = 1024 * 1024;

test('memory that was closed is used again, and is zero again', () => {
  const pool = new MemoryPool();
  const first = pool.make('a', SIZE);
  first.bytes.fill(0xa5);
  first.close();
  const second = pool.make('b', SIZE);
  assert.equal(second.fd, first.fd);
  assert.equal(second.resident(), 0);
  assert.ok(second.bytes.every((byte) => byte === 0));
});

test('memory that is in use, or of another size, is nobody else’s', () => {
  const pool = new MemoryPool();
  const first = pool.make('a', SIZE);
  assert.notEqual(pool.make('b', SIZE).fd, first.fd);
  first.close();
  assert.equal(pool.make('c', 2 * SIZE).size, 2 * SIZE);
});
