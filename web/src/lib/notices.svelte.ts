// Short notices at the edge of the page, read out by screen readers.

export type Notice = { id: number; text: string; bad: boolean };

class Notices {
  all = $state<Notice[]>([]);
  private next = 1;

  say(text: string, bad = false) {
    const id = this.next++;
    this.all.push({ id, text, bad });
    setTimeout(() => (this.all = this.all.filter((n) => n.id !== id)), bad ? 10_000 : 4_000);
  }
}

export const notices = new Notices();
