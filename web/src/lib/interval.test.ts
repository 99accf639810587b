import { expect, it } from 'vitest';
import { ageMS, bounds, step } from './interval';

const now = Date.parse('2026-05-06T12:00:00Z');

it('reads ages and moments', () => {
  expect(ageMS('15m')).toBe(900_000);
  expect(ageMS('x')).toBeNaN();
  expect(bounds('1h', '', now)).toEqual({ from: now - 3_600_000, to: null });
  expect(bounds('all', '2026-05-06', now)).toEqual({ from: null, to: Date.parse('2026-05-06') });
  expect(bounds('rubbish', '', now)).toEqual({ from: null, to: null });
});

it('steps the window by its own length', () => {
  const back = step('1h', '', -1, now);
  expect(back).toEqual({ from: '2026-05-06T10:00:00.000Z', to: '2026-05-06T11:00:00.000Z' });
  expect(step(back!.from, back!.to, 1, now)).toEqual({ from: '2026-05-06T11:00:00.000Z', to: '' });
  expect(step('1h', '', 1, now)).toBeNull();
  expect(step('all', '', -1, now)).toBeNull();
});
