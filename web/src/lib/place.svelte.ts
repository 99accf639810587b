// Where the user is: the URL holds the whole state of a page, so that every
// page can be linked to, and Back does what it says.

class Place {
  path = $state(location.pathname);
  params = $state.raw(new URLSearchParams(location.search));

  constructor() {
    window.addEventListener('popstate', () => this.read());
    document.addEventListener('click', (e) => this.follow(e));
  }

  private read() {
    this.path = location.pathname;
    this.params = new URLSearchParams(location.search);
  }

  /** The value of a parameter, or what it is when absent or empty. */
  get(name: string, absent = ''): string {
    return this.params.get(name) || absent;
  }

  go(href: string, replace = false) {
    if (href === location.pathname + location.search) return;
    history[replace ? 'replaceState' : 'pushState'](null, '', href);
    this.read();
  }

  /** The URL with some parameters changed; '' removes one. */
  with(changes: Record<string, string>): string {
    const q = new URLSearchParams(this.params);
    for (const [k, v] of Object.entries(changes)) {
      if (v === '') q.delete(k);
      else q.set(k, v);
    }
    const s = q.toString();
    return this.path + (s && '?' + s);
  }

  set(changes: Record<string, string>, replace = false) {
    this.go(this.with(changes), replace);
  }

  // Plain clicks on our own links change the page without loading it.
  private follow(e: MouseEvent) {
    const a = e.target instanceof Element ? e.target.closest('a') : null;
    if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.target || a.download) return;
    if (a.origin !== location.origin || a.pathname.startsWith('/api/') || a.hash) return;
    e.preventDefault();
    this.go(a.pathname + a.search);
  }
}

export const place = new Place();
