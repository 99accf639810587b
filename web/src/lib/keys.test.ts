import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { bind, handle } from './keys';

const press = (key: string, target: EventTarget = document.body, more = {}) => {
  const e = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...more });
  Object.defineProperty(e, 'target', { value: target });
  handle(e);
  return e;
};
let unbind: (() => void)[] = [];
beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  for (const u of unbind) u();
  unbind = [];
  vi.useRealTimers();
});

it('calls the last bound', () => {
  const a = vi.fn();
  const b = vi.fn();
  unbind.push(bind({ e: a }), bind({ e: b }));
  expect(press('e').defaultPrevented).toBe(true);
  expect([a.mock.calls.length, b.mock.calls.length]).toEqual([0, 1]);
});

it('takes sequences, for a while', () => {
  const go = vi.fn();
  unbind.push(bind({ 'g i': go }));
  press('g');
  press('i');
  expect(go).toHaveBeenCalledTimes(1);
  press('g');
  vi.advanceTimersByTime(2000);
  press('i');
  expect(go).toHaveBeenCalledTimes(1);
});

it('leaves typing, controls and the browser alone', () => {
  const a = vi.fn();
  unbind.push(bind({ e: a, Enter: a, Escape: a }));
  press('e', document.createElement('input'));
  press('e', document.body, { ctrlKey: true });
  press('Enter', document.createElement('button'));
  expect(a).not.toHaveBeenCalled();
  press('Escape', document.createElement('input'));
  expect(a).toHaveBeenCalledTimes(1);
});
