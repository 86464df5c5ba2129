// The mesh of nodes: keeps one session with each peer, whoever dials first, and carries messages over them. Holds: at most one
// session for each peer; every wait ends at once when the mesh closes; a failure that will not pass is not tried again.

import { backoffMs, type BackoffPolicy } from "../core/backoff.ts";
import { type Environment, sleep } from "../core/environment.ts";
import { Broadcast, type Heard } from "../lib/broadcast.ts";
import { type LaneBytes, type LaneName, laneName, LANES, type Session } from "../net/session.ts";
import type { Command, Handler, OutgoingMessage } from "./command.ts";
import { Handlers } from "./handlers.ts";
import type { RequestOptions } from "./messenger.ts";
import { failureOf, isOfPeer, isPermanent, PeerError } from "./peer_error.ts";
import type { PeerEvent, PeerEventCounts } from "./peer_event.ts";
import type { PeerIdentity } from "./peer_identity.ts";
import { PeerSession } from "./peer_session.ts";
import { PeerSlot, type PeerState } from "./peer_slot.ts";
import type { Replication } from "./replication.ts";

export const DIAL_BACKOFF: BackoffPolicy = { firstMs: 1_000, maxMs: 30_000, jitterMs: 250 };
/** A session that ends sooner counts as a failed try: otherwise two nodes that disagree would dial without a pause. */
const LASTING_MS = 1_000;
/** Events that wait for a listener. */
const EVENTS_MAX = 1_024;
/** How long a broadcast waits for one peer to have room. */
const BROADCAST_MS = 1_000;
/** Peers that dial us without being configured, where that is allowed. */
const UNCONFIGURED_MAX = 1_000;

export interface PeerAddress {
  readonly id: string;
  readonly url: string;
}

/** A session to a peer and the hash of the certificate that its end has shown (empty without TLS). */
export interface DialedSession {
  readonly session: Session;
  readonly serverHash: Uint8Array;
}

export interface MeshOptions {
  readonly peers: readonly PeerAddress[];
  /** Whether nodes of the cluster that are not among `peers` may join. Default: no. */
  readonly acceptsUnconfigured?: boolean;
  /** Who this node is, and what it proves that with; asked for each greeting, so that certificates can change. */
  readonly identity: () => PeerIdentity;
  /** Opens a session to a peer. */
  readonly dial: (peer: PeerAddress, signal: AbortSignal) => Promise<DialedSession>;
  /** SHA-256 of the certificates that the end of an accepted session may have shown; none without TLS. */
  readonly serverHashes: (session: Session) => readonly Uint8Array[];
  readonly environment: Environment;
  readonly limits: { readonly handshakeGraceMs: number; readonly peerHeartbeatMs: number };
  /** Told what fails in a handler, or in the background. */
  readonly onError: (error: unknown) => void;
  /** The replica sets of this node, whose messages the sessions carry; all nodes of a cluster have them, or none has. */
  readonly replication?: Replication;
}

export interface PeerStatus {
  readonly id: string;
  readonly url: string | null;
  readonly state: PeerState;
  readonly transport: string | null;
  readonly address: string | null;
  readonly dialedBy: "us" | "them" | null;
  readonly roundTripMs: number | null;
  readonly phi: number | null;
  /** What each lane of the session has carried, by its name. */
  readonly lanes: Readonly<Record<LaneName, LaneBytes>> | null;
  readonly failure: { readonly code: string; readonly detail: string } | null;
}

export class Mesh {
  readonly handlers = new Handlers();
  readonly eventCounts: PeerEventCounts = { connecting: 0, connected: 0, disconnected: 0, connectFailed: 0 };
  readonly #options: MeshOptions;
  readonly #slots = new Map<string, PeerSlot>();
  readonly #events = new Broadcast<PeerEvent>(EVENTS_MAX);
  readonly #closing = new AbortController();
  /** Aborts when all sessions are over, so that listeners hear of that too. */
  readonly #closed = new AbortController();
  readonly #accepted = new Set<Promise<void>>();
  #dialing: Promise<void>[] = [];
  #isStarted = false;

  constructor(options: MeshOptions) {
    this.#options = options;
    for (const { id, url } of options.peers) this.#slots.set(id, new PeerSlot(id, url));
  }

  get #ownId(): string {
    return this.#options.identity().id;
  }

  /** Begins to dial. Harmless when repeated. */
  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.#dialing = [...this.#slots.values()].map((slot) => this.#keep(slot));
  }

  /** Takes one more peer, and dials it once the mesh has started. PeerError `id-in-use` where it is known by another address. */
  add({ id, url }: PeerAddress): void {
    const known = this.#slots.get(id);
    if (known?.url === url) return;
    if (known || id === this.#ownId) {
      throw new PeerError(
        "id-in-use",
        `node ${id} is known ${known?.url === undefined ? "already" : `as ${known.url}`}`,
      );
    }
    const slot = new PeerSlot(id, url);
    this.#slots.set(id, slot);
    if (this.#isStarted) this.#dialing.push(this.#keep(slot));
  }

  /** Says goodbye to all and ends every wait. Harmless when repeated. */
  async close(reason = "the node is shutting down"): Promise<void> {
    this.#closing.abort(new PeerError("closed", reason));
    const sessions = [...this.#slots.values()].flatMap(({ session }) => session ? [session] : []);
    await Promise.all([...sessions.map((session) => session.close("draining", reason)), ...this.#dialing]);
    await Promise.all(this.#accepted);
    this.#closed.abort();
  }

  /** Serves a session that another node has dialed, until it ends. */
  accept(session: Session, sessionId: string): void {
    const accepted = this.#accept(session, sessionId).finally(() => this.#accepted.delete(accepted));
    this.#accepted.add(accepted);
  }

  /** Tries peers again that were given up: a configuration or a certificate has changed. */
  retry(): void {
    for (const slot of this.#slots.values()) slot.retry();
  }

  peers(): PeerStatus[] {
    return [...this.#slots.values()].map(statusOf);
  }

  session(peerId: string): PeerSession | undefined {
    return this.#slots.get(peerId)?.session;
  }

  /** What happens from now on; a listener that is too slow is told how many events it has missed. */
  events(signal?: AbortSignal): AsyncGenerator<Heard<PeerEvent>, void, undefined> {
    const { signal: closed } = this.#closed;
    return this.#events.subscribe(closed, ...(signal ? [signal] : []));
  }

  /** Resolves once there is a session with `peerId`. PeerError `timeout`; the signal's reason on abort. */
  async waitForPeer(peerId: string, options: { timeoutMs: number; signal?: AbortSignal }): Promise<PeerStatus> {
    const { timeoutMs, signal } = options;
    const slot = this.#options.acceptsUnconfigured ? this.#slot(peerId) : this.#slots.get(peerId);
    if (!slot) throw new PeerError("unknown-peer", `there is no peer ${JSON.stringify(peerId)}`);
    const until = new AbortController();
    const { clock } = this.#options.environment;
    const late = new PeerError("timeout", `no session with ${peerId} within ${timeoutMs} ms`);
    const cancel = clock.schedule(timeoutMs, () => until.abort(late));
    const release = abortWith(until, [this.#closing.signal, ...(signal ? [signal] : [])]);
    try {
      while (!slot.session) {
        until.signal.throwIfAborted();
        await slot.change(until.signal);
      }
      return statusOf(slot);
    } finally {
      cancel();
      release();
      this.#forgetUnused(slot);
    }
  }

  /** Takes `handler` for what comes with `command`; the answer takes it away. */
  handle<Value, Reply>(command: Command<Value, Reply>, handler: Handler<Value, Reply>): () => void {
    return this.handlers.add(command, handler);
  }

  /** Resolves once the message is on its way. PeerError `not-connected`, `lost` or `busy`. */
  async sendTo(peerId: string, message: OutgoingMessage): Promise<void> {
    await this.#connected(peerId).messenger.send(message);
  }

  /** The peer's answer. @throws PeerError. */
  async request<Reply>(peerId: string, message: OutgoingMessage<Reply>, options: RequestOptions): Promise<Reply> {
    return await this.#connected(peerId).messenger.request(message, options);
  }

  /** Sends to all that are connected; answers whom it is on its way to, and who failed. One that is slow holds up nobody. */
  async broadcast(
    message: OutgoingMessage,
  ): Promise<{ reached: string[]; failed: { peerId: string; code: string }[] }> {
    const [reached, failed]: [string[], { peerId: string; code: string }[]] = [[], []];
    const { clock } = this.#options.environment;
    const send = async ({ id, session }: PeerSlot) => {
      const done = new AbortController();
      const late = sleep(clock, BROADCAST_MS, done.signal).then(() => {
        throw new PeerError("timeout", `${id} had no room in ${BROADCAST_MS} ms`);
      });
      late.catch(() => {});
      try {
        if (!session) throw new PeerError("not-connected", `there is no session with ${id}`);
        await Promise.race([session.messenger.send(message), late]);
        reached.push(id);
      } catch (error) {
        failed.push({ peerId: id, code: failureOf(error).code });
      } finally {
        done.abort();
      }
    };
    await Promise.all([...this.#slots.values()].map(send));
    return { reached, failed };
  }

  #connected(peerId: string): PeerSession {
    const session = this.#slots.get(peerId)?.session;
    if (!session) throw new PeerError("not-connected", `there is no session with ${JSON.stringify(peerId)}`);
    return session;
  }

  /** Keeps a session with one peer for as long as the mesh is open. */
  async #keep(slot: PeerSlot): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      if (slot.session) failures = 0;
      if (slot.session || slot.isGivenUp || slot.url === undefined) {
        await slot.change(signal);
        continue;
      }
      const { retryCount } = slot;
      const triedMs = this.#options.environment.clock.monotonic();
      const failure = await this.#try(slot, failures);
      if (signal.aborted) return;
      const livedMs = this.#options.environment.clock.monotonic() - triedMs;
      // A try from before a change of configuration tells nothing of what is so now.
      if (retryCount !== slot.retryCount || (failure === undefined && livedMs >= LASTING_MS)) {
        failures = 0;
        continue;
      }
      await this.#pause(slot, failure, failures++);
    }
  }

  /** Dials once; resolves with why that failed, or, where it did not, with nothing once the session is over. */
  async #try(slot: PeerSlot, attempt: number): Promise<{ code: string; detail: string } | undefined> {
    const { identity, dial } = this.#options;
    const { signal } = this.#closing;
    this.#publish({ event: "connecting", peerId: slot.id, attempt });
    try {
      const { session, serverHash } = await dial({ id: slot.id, url: slot.url! }, signal);
      if (slot.session) return void await session.close({ code: "duplicate", reason: "the peer was faster" });
      slot.isGreeting = true;
      const options = { ...this.#sessionOptions(session), identity: identity(), expectedId: slot.id, serverHash };
      const peer = await PeerSession.dial(options).finally(() => slot.isGreeting = false);
      await this.#adopt(slot, peer);
      return undefined;
    } catch (error) {
      const failure = failureOf(error);
      // The other side has dialed as well, and its session is the one that stays.
      if (failure.code === "duplicate") return undefined;
      return failure;
    }
  }

  async #pause(slot: PeerSlot, failure: { code: string; detail: string } | undefined, failures: number): Promise<void> {
    const { environment: { clock, random } } = this.#options;
    if (slot.session) return;
    const isGivenUp = failure !== undefined && isPermanent(failure.code);
    const retryInMs = isGivenUp ? null : backoffMs(DIAL_BACKOFF, failures, random.next());
    slot.failure = failure;
    slot.isGivenUp = isGivenUp;
    if (failure) {
      const kind = isGivenUp ? "permanent" : "transient";
      this.#publish({ event: "connectFailed", peerId: slot.id, kind, ...failure, retryInMs });
    }
    if (retryInMs === null) return;
    const cancel = clock.schedule(retryInMs, () => slot.changed());
    await slot.change(this.#closing.signal);
    cancel();
  }

  async #accept(session: Session, sessionId: string): Promise<void> {
    const { identity, serverHashes, limits, onError } = this.#options;
    try {
      const peer = await PeerSession.accept({
        ...this.#sessionOptions(session),
        identity: identity(),
        serverHashes: serverHashes(session),
        heartbeatMs: limits.peerHeartbeatMs,
        sessionId,
        admit: ({ id, instance }) => this.#admit(id, instance),
      });
      await this.#adopt(this.#slot(peer.id), peer);
    } catch (error) {
      // Whoever does not get in is told why; that is its affair, not a failure of this node.
      if (!isOfPeer(error)) onError(error);
    }
  }

  /** @throws PeerError where a node may not join now. */
  #admit(id: string, instance: string): void {
    if (this.#closing.signal.aborted) throw new PeerError("draining", "the node is shutting down");
    const slot = this.#slots.get(id);
    if (slot) return slot.checkDialedByPeer(instance, this.#ownId);
    if (!this.#options.acceptsUnconfigured) throw new PeerError("not-allowed", `node ${id} is not among the peers`);
    if (this.#slots.size >= UNCONFIGURED_MAX) throw new PeerError("busy", `${UNCONFIGURED_MAX} peers are allowed`);
  }

  #slot(id: string): PeerSlot {
    const known = this.#slots.get(id) ?? new PeerSlot(id, undefined);
    this.#slots.set(id, known);
    return known;
  }

  /** Nobody asks for a peer that is not configured and not there. */
  #forgetUnused(slot: PeerSlot): void {
    if (slot.url === undefined && !slot.session && !slot.isWaitedFor) this.#slots.delete(slot.id);
  }

  /** Makes `peer` the session with its node and resolves when it is over. PeerError where it may not be that, once it has ended. */
  async #adopt(slot: PeerSlot, peer: PeerSession): Promise<void> {
    const wasConnected = slot.session !== undefined;
    const refusal = slot.offer(peer, this.#ownId);
    if (refusal) {
      await peer.closed;
      throw refusal;
    }
    const { peerAddress: address, transport } = peer.session;
    if (!wasConnected) this.#publish({ event: "connected", peerId: slot.id, address, transport });
    peer.replicate();
    if (this.#closing.signal.aborted) void peer.close("draining", "the node is shutting down");
    const { code, reason } = await peer.closed;
    if (slot.lost(peer)) {
      this.#options.replication?.lost(slot.id);
      this.#publish({ event: "disconnected", peerId: slot.id, code, reason });
    }
    this.#forgetUnused(slot);
  }

  #sessionOptions(session: Session) {
    const { environment, limits: { handshakeGraceMs }, onError, replication } = this.#options;
    const { signal } = this.#closing;
    const { handlers } = this;
    return {
      session,
      environment,
      handlers,
      handshakeGraceMs,
      onError,
      signal,
      ...(replication ? { replication } : {}),
    };
  }

  #publish(event: PeerEvent): void {
    this.eventCounts[event.event]++;
    this.#events.publish(event);
  }
}

function statusOf({ id, url, state, session, failure }: PeerSlot): PeerStatus {
  return {
    id,
    url: url ?? null,
    state,
    transport: session?.transport ?? null,
    address: session?.session.peerAddress ?? null,
    dialedBy: session ? (session.isDialed ? "us" : "them") : null,
    roundTripMs: session?.roundTripMs ?? null,
    phi: session?.phi ?? null,
    lanes: session ? lanesOf(session.session) : null,
    failure: session ? null : failure ?? null,
  };
}

function lanesOf(session: Session): Record<LaneName, LaneBytes> {
  const entries = LANES.map((lane) => [laneName(lane), session.laneBytes(lane)] as const);
  return Object.fromEntries(entries) as Record<LaneName, LaneBytes>;
}

/** Aborts `controller` as soon as one of `sources` aborts; the answer lets go of them, as AbortSignal.any never does. */
function abortWith(controller: AbortController, sources: readonly AbortSignal[]): () => void {
  const links = sources.map((source) => ({ source, abort: () => controller.abort(source.reason) }));
  for (const { source, abort } of links) {
    if (source.aborted) abort();
    else source.addEventListener("abort", abort, { once: true });
  }
  return () => {
    for (const { source, abort } of links) source.removeEventListener("abort", abort);
  };
}
