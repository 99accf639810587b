// Keys, as the field's users know them. They are ignored while typing.

export type Keys = Record<string, (e: KeyboardEvent) => void>;

const layers: Keys[] = [];
let prefix = '';
let timer = 0;

/** Adds keys until the returned function is called; the last added wins. "g i" is g, then i. */
export function bind(keys: Keys): () => void {
  layers.push(keys);
  return () => {
    const i = layers.indexOf(keys);
    if (i >= 0) layers.splice(i, 1);
  };
}

function typing(e: KeyboardEvent): boolean {
  const t = e.target;
  return t instanceof HTMLElement && (t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName));
}

export function handle(e: KeyboardEvent): void {
  if (e.metaKey || e.ctrlKey || e.altKey || e.defaultPrevented) return;
  if (document.querySelector('dialog[open]')) return; // a dialog has the keys
  const onControl = e.target instanceof Element && e.target.closest('button, a, summary, [role=menuitem]');
  if (onControl && (e.key === 'Enter' || e.key === ' ')) return;
  if (typing(e) && e.key !== 'Escape') return;
  const key = prefix + e.key;
  prefix = '';
  clearTimeout(timer);
  for (const keys of layers.toReversed()) {
    const action = keys[key];
    if (action) {
      e.preventDefault();
      action(e);
      return;
    }
  }
  if (layers.some((keys) => Object.keys(keys).some((k) => k.startsWith(key + ' ')))) {
    prefix = key + ' ';
    timer = window.setTimeout(() => (prefix = ''), 1500);
  }
}
