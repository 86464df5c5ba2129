// What the suites need of a transport, whichever it is: the contract suite, the attacks, the benchmark of interference.

import { Admission, ADMISSION_LIMITS, type AdmissionLimits } from "../../../src/net/admission.ts";
import type { ListenOptions, SessionListener } from "../../../src/net/listener.ts";
import { QueueBudget } from "../../../src/net/queue_budget.ts";
import { type Session, SESSION_LIMITS, type SessionEnd, type SessionLimits } from "../../../src/net/session.ts";
import { HTTP_LIMITS, type HttpLimits } from "../../../src/net/websocket/listen_options.ts";
import { environment } from "../../../src/server/environment.node.ts";

export interface TransportUnderTest {
  /** As reports and the table of transports show it. */
  readonly name: string;
  /** Why it cannot run here. The name says what would enable it and is the same everywhere. */
  readonly unsupported?: string;
  /** Whether code and reason of a close reach the peer. Where they do not, an end by "remote" or "transport" is enough. */
  readonly carriesCloseReason: boolean;
  /** Whether all lanes share one connection, so that priorities are the session's own doing. */
  readonly isMultiplexed: boolean;
  /** Whether clients go by a browser's QUIC: what of several streams it sends first, and when it gives a silent peer up, is its own. */
  readonly isBrowserQuic?: boolean;
  /** Bytes of a lane that the transport itself may bring before a reader asks for them, beyond the lane's window. Default 64 KiB. */
  readonly unreadBytesMax?: number;
  /** Whether its sockets are closed only when its objects are collected, so that they cannot be counted at the end of a test. */
  readonly releasesSocketsLate?: boolean;
  listen(options: TestListenOptions): Promise<SessionListener>;
  connect(listener: SessionListener, options: TestConnectOptions): Promise<Session>;
}

export type TestListenOptions = ListenOptions<SessionLimits & HttpLimits>;

export interface TestConnectOptions {
  readonly limits: SessionLimits;
  readonly signal?: AbortSignal;
}

export type TestLimits = Partial<SessionLimits & HttpLimits & AdmissionLimits & { serverQueuedBytesMax: number }>;

/** A listener and all that it has reported. */
export interface Listening {
  readonly listener: SessionListener;
  readonly sessions: Session[];
  readonly ends: SessionEnd[];
  readonly errors: unknown[];
  readonly admission: Admission;
  readonly budget: QueueBudget;
}

/** Options for a listener on a free port of loopback that collects what it reports. */
export function collecting(limits: TestLimits = {}): { options: TestListenOptions } & Omit<Listening, "listener"> {
  const [sessions, ends, errors]: [Session[], SessionEnd[], unknown[]] = [[], [], []];
  const admission = new Admission({ limits: { ...ADMISSION_LIMITS, ...limits }, clock: environment.clock });
  const budget = new QueueBudget(limits.serverQueuedBytesMax ?? 256 << 20);
  const options = {
    host: "127.0.0.1",
    port: 0,
    limits: { ...SESSION_LIMITS, ...HTTP_LIMITS, ...limits },
    environment,
    admission,
    budget,
    onSession: (session: Session) => {
      sessions.push(session);
      session.closed.then((end) => ends.push(end));
    },
    onError: (error: unknown) => void errors.push(error),
  };
  return { options, sessions, ends, errors, admission, budget };
}

/** A listener of `transport` on a free port of loopback. */
export async function listenOn(transport: TransportUnderTest, limits: TestLimits = {}): Promise<Listening> {
  const { options, ...collected } = collecting(limits);
  return { listener: await transport.listen(options), ...collected };
}
