import { describe, expect, it } from 'vitest';
import { and, brief, bytes, defang, duration, endpoint, field, flatten, moment, summary, term } from './format';

describe('numbers', () => {
  it('are brief', () => {
    expect([0, 999, 1000, 1234, 35_000, 4_100_000, 2e9].map(brief)).toEqual([
      '0',
      '999',
      '1k',
      '1.2k',
      '35k',
      '4.1M',
      '2G',
    ]);
    expect([-1, 5, 2048, 5 * 2 ** 20].map(bytes)).toEqual(['–', '5 B', '2 KiB', '5 MiB']);
    expect([0, 59, 60, 7200, 300_000].map(duration)).toEqual(['0 s', '59 s', '1 min', '2 h', '3 d']);
  });
});

describe('moment', () => {
  const now = new Date(2026, 4, 6, 12, 0, 0);
  it('is as short as it is clear', () => {
    expect(moment(new Date(2026, 4, 6, 9, 8, 7), now)).toBe('09:08:07');
    expect(moment(new Date(2026, 2, 6, 9, 8, 7), now)).toBe('03-06 09:08');
    expect(moment(new Date(2019, 2, 6, 9, 8, 7), now)).toBe('2019-03-06 09:08');
  });
  it('survives what is no time', () => expect(moment(new Date('x'), now)).toBe('–'));
});

describe('documents', () => {
  const doc = { b: { c: [1, 2], d: null }, a: 'x', e: [{ f: 1 }, { f: 2 }] };
  it('are flattened, lists item by item', () => {
    expect(flatten(doc).map((l) => `${l.field}=${l.value}`)).toEqual([
      'a=x',
      'b.c=1',
      'b.c=2',
      'b.d=null',
      'e.f=1',
      'e.f=2',
    ]);
  });
  it('give a field or nothing', () => {
    expect(['a', 'b.c', 'b', 'b.c.d', 'x.y'].map((f) => field(doc, f))).toEqual(['x', '1', '', '', '']);
  });
  it('are summed up', () => {
    expect(summary({ dns: { question: { type: 'A', name: 'example.org' } } })).toBe('A example.org');
    expect(summary({})).toBe('');
  });
});

describe('queries', () => {
  it('quote what the language would take for its own', () => {
    expect(term('source.ip', '10.0.0.1')).toBe('source.ip:10.0.0.1');
    for (const v of ['a b', 'a"b', 'OR', 'a*', '>5', '-x', '', '2001:db8::1', 'a\\b'])
      expect(term('f', v)).toMatch(/^f:".*"$/);
    expect(term('f', 'a"b\\')).toBe('f:"a\\"b\\\\"');
  });
  it('grow by a term', () => {
    expect(and('', 'a:1')).toBe('a:1');
    expect(and('x', 'a:1')).toBe('x a:1');
    expect(and('x OR y', 'a:1')).toBe('(x OR y) a:1');
  });
});

it('defanged text is no link', () => {
  expect(defang('http://evil.example/a.b')).toBe('hxxp[://]evil[.]example/a[.]b');
  expect(defang('a@b.c')).toBe('a[@]b[.]c');
});

it('an endpoint with colons gets brackets', () => {
  expect(endpoint('2001:db8::1', 80)).toBe('[2001:db8::1]:80');
  expect(endpoint('10.0.0.1', '')).toBe('10.0.0.1');
});
