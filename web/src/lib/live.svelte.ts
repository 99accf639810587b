// Live news from the instance: counts of the inbox and health.
import type { Counts, Health } from './api';

class Live {
  counts = $state.raw<Counts | null>(null);
  health = $state.raw<Health | null>(null);
  /** Grows with every change of the inbox. */
  inbox = $state(0);
  /** Whether the instance is heard. */
  connected = $state(true);
  private source: EventSource | null = null;

  start() {
    this.stop();
    const source = new EventSource('/api/v1/live');
    source.addEventListener('open', () => (this.connected = true));
    source.addEventListener('error', () => (this.connected = false));
    source.addEventListener('inbox', (e) => {
      this.counts = JSON.parse(e.data as string) as Counts;
      this.inbox++;
    });
    source.addEventListener('health', (e) => (this.health = JSON.parse(e.data as string) as Health));
    this.source = source;
  }

  stop() {
    this.source?.close();
    this.source = null;
  }
}

export const live = new Live();
