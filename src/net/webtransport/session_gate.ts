// What every WebTransport listener does with a connection that is open: path and page are judged, and what is accepted becomes
// a session.

import { encodeCloseReason, SESSION_CLOSE_CODE } from "../close_reason.ts";
import { OpenSessions } from "../open_sessions.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import type { StreamConnection } from "../stream_connection.ts";
import { StreamedSession } from "../streamed_session.ts";
import type { SessionRequestInfo, WebTransportListenOptions } from "./listen_options.ts";

/** A client that is not ready yet when it is turned away learns no reason ("Bad resource ID" on Deno), so it is given time. */
const REFUSAL_LINGER_MS = 100;

/** A connection that is open on the server's side, and what is known of its peer. */
export interface Arrival extends SessionRequestInfo {
  readonly url: URL;
  readonly acceptedMs: number;
}

export class SessionGate {
  readonly #options: WebTransportListenOptions;
  readonly #sessions = new OpenSessions();
  #isClosing = false;

  constructor(options: WebTransportListenOptions) {
    this.#options = options;
  }

  get sessionCount(): number {
    return this.#sessions.count;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Why a session for `url` is not wanted, if so. */
  judge(url: URL, info: SessionRequestInfo): { code: string; reason: string } | undefined {
    if (this.#isClosing) return { code: "going-away", reason: "the listener is closing" };
    if (url.pathname !== SESSION_PATH) return { code: "not-found", reason: `sessions are at ${SESSION_PATH}` };
    return this.#options.acceptSession(url, info);
  }

  /** Judges what could not be judged before the connection was open: opens a session, or turns the peer away by name. */
  enter(connection: StreamConnection, arrival: Arrival): void {
    const refusal = this.judge(arrival.url, arrival);
    if (refusal) this.#turnAway(connection, refusal);
    else this.open(connection, arrival);
  }

  /** Makes a session of a connection that was judged. */
  open(connection: StreamConnection, { peerAddress, acceptedMs }: { peerAddress: string; acceptedMs: number }): void {
    const { limits, environment, budget, onSession } = this.#options;
    if (this.#isClosing) return this.#turnAway(connection, { code: "going-away", reason: "the listener is closing" });
    const session = new StreamedSession({
      connection,
      transport: "webtransport",
      side: "server",
      peerAddress,
      limits,
      environment,
      budget,
      acceptedMs,
    });
    this.#sessions.add(session);
    onSession(session);
  }

  /** Lets nobody in any more and ends all sessions. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#sessions.close({ code: "going-away", reason: "the listener is closing" });
  }

  #turnAway(connection: StreamConnection, end: { code: string; reason: string }): void {
    connection.closed.catch(() => {});
    connection.ready.catch(() => {});
    this.#options.environment.clock.schedule(REFUSAL_LINGER_MS, () => {
      try {
        connection.close({ closeCode: SESSION_CLOSE_CODE, reason: encodeCloseReason(end) });
      } catch {
        // It is closed already.
      }
    });
  }
}
