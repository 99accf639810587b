// Light, dark, or as the system says.

const order = ['system', 'light', 'dark'] as const;
type Choice = (typeof order)[number];
const key = 'theme';

class Theme {
  choice = $state<Choice>('system');

  constructor() {
    const kept = localStorage.getItem(key) as Choice | null;
    if (kept && order.includes(kept)) this.choice = kept;
    this.apply();
  }

  get label(): string {
    return { system: 'System theme', light: 'Light theme', dark: 'Dark theme' }[this.choice];
  }

  next() {
    this.choice = order[(order.indexOf(this.choice) + 1) % order.length] ?? 'system';
    localStorage.setItem(key, this.choice);
    this.apply();
  }

  private apply() {
    if (this.choice === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.choice;
  }
}

export const theme = new Theme();
