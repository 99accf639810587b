// Who is signed in.
import { ApiError, get, onSignedOut, post, signOut } from './api';
import { live } from './live.svelte';

class SessionState {
  user = $state<string | null>(null);
  known = $state(false); // whether it was asked

  constructor() {
    onSignedOut(() => {
      this.user = null;
      live.stop();
    });
  }

  async check() {
    try {
      this.user = (await get('/api/v1/session')).user;
      live.start();
    } catch (e) {
      if (!(e instanceof ApiError)) throw e;
    }
    this.known = true;
  }

  async signIn(user: string, password: string) {
    this.user = (await post('/api/v1/session', { user, password })).user;
    live.start();
  }

  async signOut() {
    await signOut();
    live.stop();
    this.user = null;
  }
}

export const session = new SessionState();
