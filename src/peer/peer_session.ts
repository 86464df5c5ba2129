// An established session with another node: who it is, whether it lives, and the messages between the two.

import type { Environment } from "../core/environment.ts";
import { PhiDetector } from "../core/phi.ts";
import type { Session, SessionEnd, TransportName } from "../net/session.ts";
import { deferred } from "../lib/deferred.ts";
import { ControlLane } from "./control_lane.ts";
import type { Handlers } from "./handlers.ts";
import { MemberLanes } from "./member_lanes.ts";
import { Messenger } from "./messenger.ts";
import { failureOf, PeerError } from "./peer_error.ts";
import {
  type AcceptedGreeting,
  type Acquaintance,
  type DialedGreeting,
  greetAsClient,
  greetAsServer,
} from "./peer_handshake.ts";
import type { PeerIdentity } from "./peer_identity.ts";
import type { Replication } from "./replication.ts";

/** Heartbeats in a row that may be missed before the session is given up, and the shortest silence that counts as that. */
const MISSED_BEATS_MAX = 20;
const SILENCE_MS_MIN = 3_000;
/** Share of a new measurement in the smoothed round-trip time (RFC 6298). */
const ROUND_TRIP_SHARE = 1 / 8;
/** Steady heartbeats on loopback deviate by less than a timer does. */
const DEVIATION_MS_MIN = 20;

export interface PeerSessionOptions {
  readonly session: Session;
  readonly identity: PeerIdentity;
  readonly environment: Environment;
  readonly handlers: Handlers;
  /** From the connection's start to the end of the greeting. */
  readonly handshakeGraceMs: number;
  readonly onError: (error: unknown) => void;
  /** Interrupts the greeting. */
  readonly signal: AbortSignal;
  /** The replica sets of this node, if it has any. */
  readonly replication?: Replication;
}

export class PeerSession {
  readonly session: Session;
  readonly messenger: Messenger;
  /** Why it ended: the peer's goodbye where there was one. Never rejects. */
  readonly closed: Promise<SessionEnd>;
  readonly #acquaintance: Acquaintance;
  readonly #control: ControlLane;
  readonly #environment: Environment;
  readonly #phi: PhiDetector;
  readonly #sentBeats = new Map<number, number>();
  #lastBeat = 0;
  #isBeating = false;
  #roundTripMs: number | undefined;
  #cancelBeat = () => {};
  #goodbye: SessionEnd | undefined;
  #ended = false;
  readonly #replication: Replication | undefined;
  #isReplicating = false;
  /** Resolved once messages of replica sets have somewhere to go, or nowhere any more. */
  readonly #decided = deferred<void>();

  /** Greets the node at the other end of a session that this node has dialed. @throws PeerError, DistrustError, ProtocolError. */
  static async dial(
    options: PeerSessionOptions & Pick<DialedGreeting, "expectedId" | "serverHash">,
  ): Promise<PeerSession> {
    const { expectedId, serverHash } = options;
    return await establish(options, (context) => greetAsClient({ ...context, expectedId, serverHash }));
  }

  /** Greets the node that has dialed a session to this one. @throws as `dial`. */
  static async accept(
    options: PeerSessionOptions & Pick<AcceptedGreeting, "serverHashes" | "heartbeatMs" | "sessionId" | "admit">,
  ): Promise<PeerSession> {
    const { serverHashes, heartbeatMs, sessionId, admit } = options;
    return await establish(
      options,
      (context) => greetAsServer({ ...context, serverHashes, heartbeatMs, sessionId, admit }),
    );
  }

  constructor(options: PeerSessionOptions, control: ControlLane, acquaintance: Acquaintance) {
    const { session, environment, handlers, identity, onError, replication } = options;
    this.session = session;
    this.#replication = replication;
    this.#control = control;
    this.#environment = environment;
    this.#acquaintance = acquaintance;
    const { heartbeatMs } = acquaintance;
    const phi = { expectedMs: heartbeatMs, deviationMsMin: DEVIATION_MS_MIN, pauseMs: heartbeatMs };
    this.#phi = new PhiDetector(phi, environment.clock.monotonic());
    this.messenger = new Messenger({
      session,
      environment,
      ownId: identity.id,
      peerId: acquaintance.id,
      handlers,
      onError,
      onBroken: (error) => this.#broken(error),
    });
    this.closed = session.closed.then((end) => this.#release(end));
    this.#beat();
    this.#listen().catch((error) => this.#broken(error));
  }

  get id(): string {
    return this.#acquaintance.id;
  }

  get instance(): string {
    return this.#acquaintance.instance;
  }

  get agent(): string {
    return this.#acquaintance.agent;
  }

  get transport(): TransportName {
    return this.session.transport;
  }

  /** Whether this node has dialed it. */
  get isDialed(): boolean {
    return this.session.side === "client";
  }

  /** Smoothed, in ms; undefined before the first echo. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** How suspicious its silence is; see core/phi.ts. */
  get phi(): number {
    return this.#phi.phi(this.#environment.clock.monotonic());
  }

  /** Whether it was heard within `beats` heartbeats. */
  isHeardWithin(beats: number): boolean {
    return this.#phi.silentMs(this.#environment.clock.monotonic()) <= beats * this.#acquaintance.heartbeatMs;
  }

  /** It is the session with this peer from now on: it carries messages of replica sets, where this node has any. */
  replicate(): void {
    const { id, session } = this;
    const replication = this.#replication;
    if (!replication || this.#isReplicating || this.#ended) return;
    this.#isReplicating = true;
    const lanes = new MemberLanes({
      session,
      peerId: id,
      sendControl: (bytes) => this.#control.write(bytes),
      roundTripMs: () => this.#roundTripMs,
      phi: () => this.phi,
      entryBytesMax: replication.entryBytesMax,
      onMessage: (message) => this.#ended || replication.receive(id, message),
      onBroken: (error) => this.#broken(error),
    });
    replication.connected(lanes);
    this.#decided.resolve();
  }

  /** Says goodbye and ends the session. Harmless when repeated. */
  async close(code: string, reason: string): Promise<void> {
    if (!this.#ended) void this.#control.goodbye(code, reason);
    await this.session.close({ code, reason });
  }

  #release(end: SessionEnd): SessionEnd {
    this.#ended = true;
    this.#cancelBeat();
    this.#sentBeats.clear();
    this.#decided.resolve();
    return this.#goodbye ?? end;
  }

  #broken(error: unknown): void {
    if (this.#ended) return;
    const { code, detail } = failureOf(error);
    void this.close(code, detail);
  }

  #beat(): void {
    const { heartbeatMs, id } = this.#acquaintance;
    const { clock } = this.#environment;
    const silentMs = this.#phi.silentMs(clock.monotonic());
    if (silentMs > Math.max(SILENCE_MS_MIN, MISSED_BEATS_MAX * heartbeatMs)) {
      void this.close("idle-timeout", `nothing heard from ${id} for ${Math.round(silentMs)} ms`);
      return;
    }
    if (!this.#isBeating) void this.#sendBeat();
    this.#cancelBeat = clock.schedule(heartbeatMs, () => this.#beat());
  }

  /** One heartbeat at a time: a peer that does not read has none piled up for it. */
  async #sendBeat(): Promise<void> {
    const { clock } = this.#environment;
    const beat = ++this.#lastBeat;
    this.#sentBeats.set(beat, clock.monotonic());
    // An echo that has not come by now tells nothing of use.
    this.#sentBeats.delete(beat - MISSED_BEATS_MAX);
    this.#isBeating = true;
    await this.#control.send({ type: "peerHeartbeat", wallClock: clock.now(), beat });
    this.#isBeating = false;
  }

  async #listen(): Promise<void> {
    while (!this.#ended) {
      const message = await this.#control.next();
      const nowMs = this.#environment.clock.monotonic();
      switch (message.type) {
        case "peerHeartbeat":
          this.#phi.heard(nowMs);
          if (this.#isReplicating) this.#replication!.heard(this.id);
          await this.#control.send({ type: "peerEcho", beat: message.beat });
          break;
        case "peerEcho":
          this.#echoed(message.beat, nowMs);
          break;
        case "goodbye":
          this.#goodbye = { code: message.code, reason: message.reason, by: "remote" };
          return void this.session.close({ code: message.code, reason: message.reason });
        case "peerHello":
        case "peerWelcome":
        case "peerProof":
        case "peerReady":
          throw new PeerError("unexpected-message", `${message.type} after the greeting`);
        default:
          // The peer may count the session from a moment earlier than this node does.
          if (!this.#isReplicating) await this.#decided.promise;
          if (!this.#ended) this.#replication!.receive(this.id, message);
      }
    }
  }

  #echoed(beat: number, nowMs: number): void {
    const sentMs = this.#sentBeats.get(beat);
    if (sentMs === undefined) return;
    this.#sentBeats.delete(beat);
    const measuredMs = nowMs - sentMs;
    this.#roundTripMs ??= measuredMs;
    this.#roundTripMs += ROUND_TRIP_SHARE * (measuredMs - this.#roundTripMs);
  }
}

type Greet = (
  context: Pick<DialedGreeting, "session" | "control" | "identity" | "random">,
) => Promise<Acquaintance>;

/** Greets within the grace; whoever fails is told why and the session is ended. */
async function establish(options: PeerSessionOptions, greet: Greet): Promise<PeerSession> {
  const { session, identity, environment, handshakeGraceMs, signal } = options;
  const { clock, random } = environment;
  const control = new ControlLane(session, { isReplicating: options.replication !== undefined });
  let abandoned: PeerError | undefined;
  const abandon = (code: string, reason: string) => {
    abandoned ??= new PeerError(code, reason);
    void session.close({ code, reason });
  };
  const leave = () => abandon("draining", "the node is shutting down");
  signal.addEventListener("abort", leave, { once: true });
  const leftMs = Math.max(0, session.acceptedMs + handshakeGraceMs - clock.monotonic());
  const cancel = clock.schedule(
    leftMs,
    () => abandon("handshake-timeout", `no greeting within ${handshakeGraceMs} ms`),
  );
  try {
    signal.throwIfAborted();
    const acquaintance = await greet({ session, control, identity, random });
    // The last message may have come just before the end.
    if (abandoned) throw abandoned;
    return new PeerSession(options, control, acquaintance);
  } catch (error) {
    const failure = abandoned ?? await endOf(session, error);
    const { code, detail } = failureOf(failure);
    void control.goodbye(code, detail);
    void session.close({ code, reason: detail });
    throw failure;
  } finally {
    cancel();
    signal.removeEventListener("abort", leave);
  }
}

/** What has ended a greeting: where the session is over, what the other side has ended it with. */
async function endOf(session: Session, error: unknown): Promise<unknown> {
  if (!(error instanceof PeerError) || error.code !== "lost") return error;
  const { code, reason, by } = await session.closed;
  const said = by === "remote" ? `the peer ended it: ${reason}` : reason;
  return new PeerError(code, said, { cause: error });
}
