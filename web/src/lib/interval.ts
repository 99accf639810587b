// The interval of a search: in the URL an age, a moment, or "all".

export const ages = ['15m', '1h', '24h', '7d', '30d', 'all'] as const;
export const ageNames: Record<string, string> = {
  '15m': 'Last 15 minutes',
  '1h': 'Last hour',
  '24h': 'Last 24 hours',
  '7d': 'Last 7 days',
  '30d': 'Last 30 days',
  all: 'All time',
};
const units: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** Milliseconds of an age such as 24h; NaN for what is none. */
export function ageMS(s: string): number {
  const m = /^-?(\d+)([smhdw])$/.exec(s);
  return m ? Number(m[1]) * (units[m[2] ?? ''] ?? NaN) * 1000 : NaN;
}

/** The two ends in milliseconds; null is open. */
export function bounds(from: string, to: string, now = Date.now()): { from: number | null; to: number | null } {
  const at = (s: string): number | null => {
    if (s === '' || s === 'all') return null;
    const age = ageMS(s);
    const t = Number.isNaN(age) ? Date.parse(s) : now - age;
    return Number.isNaN(t) ? null : t;
  };
  return { from: at(from), to: at(to) };
}

/** The window beside this one: by its own length, earlier (-1) or later (1). */
export function step(from: string, to: string, by: -1 | 1, now = Date.now()): { from: string; to: string } | null {
  const b = bounds(from, to, now);
  if (b.from === null) return null;
  const end = b.to ?? now;
  const length = end - b.from;
  if (by > 0 && end >= now) return null;
  const iso = (t: number) => new Date(t).toISOString();
  return { from: iso(b.from + by * length), to: end + by * length >= now ? '' : iso(end + by * length) };
}
