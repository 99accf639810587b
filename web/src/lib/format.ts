// Text for people. What comes from outside stays text: nothing here makes HTML.

const whole = new Intl.NumberFormat('en', { useGrouping: true });
const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const two = (n: number): string => String(n).padStart(2, '0');

export const number = (n: number): string => whole.format(n);

/** 999, 1.2k, 35k, 4.1M */
export function brief(n: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (n >= size) return (n / size).toFixed(n < 10 * size ? 1 : 0).replace(/\.0$/, '') + unit;
  }
  return String(n);
}

export function bytes(n: number): string {
  if (n < 0) return '–';
  for (const [unit, size] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (n >= size) return (n / size).toFixed(n < 10 * size ? 1 : 0).replace(/\.0$/, '') + ' ' + unit;
  }
  return n + ' B';
}

/** 12 s, 5 min, 3 h, 2 d */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

/** Local, as short as it is clear: 14:05:09 today, 03-31 14:05 this year, else 2019-03-31 14:05. */
export function moment(t: Date, now = new Date()): string {
  if (Number.isNaN(t.getTime())) return '–'; // from outside: it may be anything
  const clock = `${two(t.getHours())}:${two(t.getMinutes())}`;
  if (t.toDateString() === now.toDateString()) return `${clock}:${two(t.getSeconds())}`;
  const day = `${two(t.getMonth() + 1)}-${two(t.getDate())} ${clock}`;
  return t.getFullYear() === now.getFullYear() ? day : `${t.getFullYear()}-${day}`;
}

export const fullMoment = (t: Date): string => (Number.isNaN(t.getTime()) ? '–' : local.format(t));

/** An address that nothing makes a link of: hxxp://example[.]com */
export function defang(s: string): string {
  return s
    .replace(/^http/i, 'hxxp')
    .replace(/^ftp/i, 'fxp')
    .replaceAll('.', '[.]')
    .replaceAll('@', '[@]')
    .replaceAll('://', '[://]');
}

export type Leaf = { field: string; value: string };

/** The leaves of a document, dotted, in the order of their names; a list gives one for each item. */
export function flatten(doc: unknown, prefix = ''): Leaf[] {
  if (Array.isArray(doc)) return doc.flatMap((v) => flatten(v, prefix));
  if (doc !== null && typeof doc === 'object') {
    return Object.keys(doc)
      .sort()
      .flatMap((k) => flatten((doc as Record<string, unknown>)[k], prefix ? `${prefix}.${k}` : k));
  }
  return [{ field: prefix, value: doc === null ? 'null' : String(doc) }];
}

/** The first value of a dotted field, or ''. */
export function field(doc: unknown, name: string): string {
  let v: unknown = doc;
  for (const part of name.split('.')) {
    if (v === null || typeof v !== 'object') return '';
    v = (v as Record<string, unknown>)[part];
  }
  if (Array.isArray(v)) v = v[0];
  return v === undefined || v === null || typeof v === 'object' ? '' : String(v);
}

/** field:value as the query language takes it. */
export function term(name: string, value: string): string {
  const plain = /^[\p{L}\p{N}_./-]+$/u.test(value) && !/^(AND|OR|NOT)$/i.test(value) && !value.startsWith('-');
  return `${name}:${plain ? value : '"' + value.replace(/[\\"]/g, '\\$&') + '"'}`;
}

/** A query with one more term. */
export function and(query: string, more: string): string {
  const q = query.trim();
  if (!q) return more;
  return (/\bOR\b/.test(q) && !/^\(.*\)$/.test(q) ? `(${q})` : q) + ' ' + more;
}

/** One line that says what an event is, from what its type is about. */
export function summary(doc: unknown): string {
  const f = (name: string) => field(doc, name);
  const joined = (...parts: string[]) => parts.filter(Boolean).join(' ');
  return (
    f('decoder.alert.title') ||
    f('rule.name') ||
    joined(f('dns.question.type'), f('dns.question.name')) ||
    joined(
      f('http.request.method'),
      f('url.full') || f('url.original') || f('url.path'),
      f('http.response.status_code'),
    ) ||
    f('tls.client.server_name') ||
    f('file.name') ||
    f('email.subject') ||
    joined(f('process.name'), f('process.command_line')) ||
    f('message') ||
    joined(f('network.transport'), f('network.protocol')) ||
    f('event.action') ||
    ''
  );
}

/** address:port, with brackets where the address has colons. */
export function endpoint(address: string, port: string | number = ''): string {
  if (!address) return '';
  if (!port) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
