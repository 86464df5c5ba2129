// What the suites of the session's contract have in common: pairs of connected sessions and what is done with them.

import { type Lane, laneName, LANES, type Session, type SessionLimits } from "../../src/net/session.ts";
import type { TransportUnderTest } from "../net/transports/transport_under_test.ts";
import { pattern, readExactly } from "../net/lane_bytes.ts";
import { until } from "../net/wait.ts";

/** The network between two sessions, where a test has it in its hand. */
export interface LinkUnderTest {
  /** While frozen, nothing passes and neither end is told. */
  freeze(isFrozen: boolean): void;
  /** Ends the connection without a word. */
  cut(): void;
}

/** Two connected sessions and what a test may do to the connection between them. */
export interface SessionsUnderTest {
  readonly client: Session;
  readonly server: Session;
  /** Where it was asked for and the suite has links. */
  readonly link?: LinkUnderTest;
  /** Two new sessions between the same ends over a new connection; there where `link` is. */
  readonly reconnect?: () => Promise<{ readonly client: Session; readonly server: Session }>;
  dispose(): Promise<void>;
}

export interface SessionSuiteOptions extends
  Pick<
    TransportUnderTest,
    "carriesCloseReason" | "isMultiplexed" | "isBrowserQuic" | "unreadBytesMax" | "releasesSocketsLate"
  > {
  /** Why the suite cannot run here, if so: the title of the suite says what would enable it. */
  readonly unsupported?: string;
  /** Whether pairs come with a link where it is asked for. */
  readonly hasLinks?: boolean;
}

export interface PairOptions {
  /** Asks for `link`. Bytes that pass it wait in more buffers than those of the kernel. */
  readonly isLinked?: boolean;
}

export type MakeSessions = (limits: SessionLimits, options: PairOptions) => Promise<SessionsUnderTest>;

/** Opens a pair that is gone when the test ends. */
export type Open = (limits?: Partial<SessionLimits>, options?: PairOptions) => Promise<SessionsUnderTest>;

/** One byte each way on every lane, so that all of them are known to be open at both ends. */
export async function settleLanes({ client, server }: Pick<SessionsUnderTest, "client" | "server">): Promise<void> {
  await Promise.all(LANES.flatMap((lane) =>
    [[client, server], [server, client]].map(async ([from, to]) => {
      const writer = from!.lane(lane).writable.getWriter();
      await writer.write(pattern(0, 1));
      writer.releaseLock();
      const reader = to!.lane(lane).readable.getReader();
      await readExactly(reader, 1);
      reader.releaseLock();
    })
  ));
}

/** Bytes that the session holds for `lane`, in both directions; all sessions of Millrace can tell. */
export async function heldBytes(session: Session, lane: Lane): Promise<number> {
  return await (session as Session & { heldBytes(lane: Lane): number | Promise<number> }).heldBytes(lane);
}

/** Waits until the session holds `size` bytes for `lane`. */
export async function untilHeld(session: Session, lane: Lane, size: number): Promise<void> {
  let held = 0;
  const look = () => {
    heldBytes(session, lane).then((bytes) => held = bytes, () => {});
    return held === size;
  };
  await until(look, `${size} bytes of ${laneName(lane)} to arrive`);
}

export const FLOOD_CHUNK_BYTES = 32 << 10;

/** Writes to `lane` until its peer takes no more; gives the bytes whose write has settled, and goes on later. */
export function flood(session: Session, lane: Lane) {
  const writer = session.lane(lane).writable.getWriter();
  const counter = { acceptedBytes: 0, isStopped: false };
  const run = async () => {
    while (!counter.isStopped) {
      await writer.write(pattern(counter.acceptedBytes, FLOOD_CHUNK_BYTES));
      counter.acceptedBytes += FLOOD_CHUNK_BYTES;
    }
  };
  const running = run().catch(() => {});
  return { counter, running };
}

/** Reads `lane` to its end, or until the lane fails; gives how many bytes came, at any time. */
export function drain(session: Session, lane: Lane) {
  const reader = session.lane(lane).readable.getReader();
  const counter = { readBytes: 0 };
  const run = async () => {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      counter.readBytes += value.byteLength;
    }
  };
  const running = run().catch(() => {});
  return { counter, running };
}
