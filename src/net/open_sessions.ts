import type { Session } from "./session.ts";

/** The sessions of a listener that are open, so that it can end them. */
export class OpenSessions {
  readonly #sessions = new Set<Session>();

  get count(): number {
    return this.#sessions.size;
  }

  /** Keeps `session` until it is over. */
  add(session: Session): void {
    this.#sessions.add(session);
    session.closed.then(() => this.#sessions.delete(session));
  }

  /** Ends all of them; resolves once they are released. */
  async close(end: { code: string; reason: string }): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close(end)));
  }
}
