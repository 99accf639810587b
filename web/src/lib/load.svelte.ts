// Loading: one question at a time, the last one counts; one that takes over a
// second shows progress and can be cancelled.
import { ApiError } from './api';

export class Load<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<ApiError | null>(null);
  busy = $state(false);
  slow = $state(false);
  private abort: AbortController | null = null;

  /** Asks; what was asked before is cancelled. The old answer stays until the new one is there. */
  async run(ask: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.busy = true;
    const timer = setTimeout(() => (this.slow = this.abort === abort), 1000);
    try {
      const data = await ask(abort.signal);
      if (this.abort !== abort) return;
      this.data = data;
      this.error = null;
    } catch (e) {
      if (this.abort !== abort || abort.signal.aborted) return;
      this.error = e instanceof ApiError ? e : new ApiError(0, 'unknown', String(e));
    } finally {
      clearTimeout(timer);
      if (this.abort === abort) this.busy = this.slow = false;
    }
  }

  cancel() {
    this.abort?.abort();
    this.abort = null;
    this.busy = this.slow = false;
  }
}
