// What all listeners for sessions have in common, whatever their transport.

import type { Environment } from "../core/environment.ts";
import type { Admission } from "./admission.ts";
import type { QueueBudget } from "./queue_budget.ts";
import type { Session, SessionLimits } from "./session.ts";

export interface ListenOptions<Limits extends SessionLimits = SessionLimits> {
  /** Address to listen on. */
  readonly host: string;
  /** TCP or UDP port; 0 lets the system choose. */
  readonly port: number;
  readonly limits: Limits;
  readonly environment: Environment;
  /** Who may begin a session; one for all listeners of a node. */
  readonly admission: Admission;
  /** What all sessions may have queued together; one for all listeners of a node. */
  readonly budget: QueueBudget;
  /** Gets each session as it is open. */
  readonly onSession: (session: Session) => void;
  /** Told what goes wrong in the background and is not the fault of one peer. */
  readonly onError: (error: unknown) => void;
}

export interface SessionListener {
  readonly host: string;
  readonly port: number;
  /** The address to connect to: `http(s):`, `quic:`, `tls:` or `tcp:`, host and port. */
  readonly url: string;
  /** Stops listening, ends all sessions and resolves once they are gone. Harmless when repeated. */
  close(): Promise<void>;
}

/** `scheme://host:port`, with brackets around IPv6. */
export function listenerUrl(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
