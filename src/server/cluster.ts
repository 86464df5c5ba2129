// The node among its peers: who it is, how it dials them, and what it shows of them.

import { getLogger } from "@logtape/logtape";
import { ulid } from "ulid";
import type { Environment } from "../core/environment.ts";
import type { Session } from "../net/session.ts";
import type { ClientIdentity } from "../net/tls_identity.ts";
import { dialPeer } from "../peer/dial_peer.node.ts";
import { type DialedSession, Mesh, type PeerAddress } from "../peer/mesh.ts";
import { PeerError } from "../peer/peer_error.ts";
import type { Replication } from "../peer/replication.ts";
import type { PeerIdentity } from "../peer/peer_identity.ts";
import type { PeerList } from "../schema/api.ts";
import { type NodeConfig, peerFault } from "../schema/config.ts";
import { ApiAddresses } from "./api_addresses.ts";
import type { NodeEvents } from "./node_events.ts";
import type { Listeners } from "./listeners.ts";
import { Refusal } from "./refusal.ts";
import type { TlsFiles } from "./tls_files.node.ts";

const logger = getLogger(["millrace", "peer"]);
/** Certificates shown that a greeting under way may be about. */
const SHOWN_MAX = 3;

export interface ClusterOptions {
  readonly config: NodeConfig;
  readonly nodeId: string;
  readonly agent: string;
  readonly environment: Environment;
  readonly tls: TlsFiles | undefined;
  readonly listeners: () => Listeners;
  readonly events: NodeEvents;
  /** Takes what peers say of replica sets. */
  readonly replication: Replication;
}

export class Cluster {
  readonly mesh: Mesh;
  readonly #options: ClusterOptions;
  readonly #apis: ApiAddresses;
  readonly #instance: string;
  #tls: TlsFiles | undefined;
  /** Hashes of the certificates that this node has shown since it started, the latest first. */
  #shownHashes: string[];

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { config: { peers, limits }, nodeId, environment, tls, replication } = options;
    const { clock, random } = environment;
    this.#instance = ulid(clock.now(), () => random.next());
    this.#tls = tls;
    this.#shownHashes = tls ? [tls.facts.hash] : [];
    this.mesh = new Mesh({
      peers: peers.filter(({ id }) => id !== nodeId),
      identity: () => this.#identity(),
      dial: (peer, signal) => this.#dial(peer, signal),
      serverHashes: (session) => this.#serverHashes(session),
      environment,
      limits,
      replication,
      onError: (error) => logger.error("a message failed: {error}", { error }),
    });
    this.#apis = new ApiAddresses({
      mesh: this.mesh,
      own: () => ({ advertised: this.#advertised ?? null, listens: this.#listens }),
      dialed: (id) => this.mesh.peers().find((peer) => peer.id === id && isHttp(peer.url))?.url ?? undefined,
    });
    void this.#log();
  }

  /** Shows and believes `tls` from now on, and tries again whoever was given up. */
  replaceTls(tls: TlsFiles): void {
    this.#tls = tls;
    this.#shownHashes = [tls.facts.hash, ...this.#shownHashes].slice(0, SHOWN_MAX);
    this.mesh.retry();
  }

  /** Where clients reach the HTTP API of a node; null where that is not known. */
  urlOf(nodeId: string): string | null {
    const { nodeId: ownId, listeners } = this.#options;
    return nodeId === ownId ? this.#advertised ?? listeners().http.url : this.#apis.urlOf(nodeId);
  }

  /** What clients are told of this node: as configured, or as the list of all nodes has it. */
  get #advertised(): string | undefined {
    const { config: { advertise, peers }, nodeId } = this.#options;
    const own = peers.find(({ id, url }) => id === nodeId && isHttp(url));
    return advertise ?? (own && new URL(own.url).origin);
  }

  /** Where this node listens; null where that is all addresses of the machine. */
  get #listens(): string | null {
    const { config: { host }, listeners } = this.#options;
    return isEveryAddress(host) ? null : listeners().http.url;
  }

  /** Takes one more peer; it is forgotten when the node ends. @throws Refusal `bad-member` */
  add(peer: PeerAddress): void {
    const { config, nodeId } = this.#options;
    const fault = peerFault({ ...config, nodeId }, peer);
    if (fault !== undefined) throw new Refusal("bad-member", fault);
    try {
      this.mesh.add(peer);
    } catch (error) {
      if (error instanceof PeerError) throw new Refusal("bad-member", error.message, {}, { cause: error });
      throw error;
    }
  }

  list(): PeerList {
    const { mesh } = this;
    return {
      peers: mesh.peers().map((peer) => ({ ...peer, api: this.urlOf(peer.id) })),
      events: { ...mesh.eventCounts },
      messages: { ...mesh.handlers.counts },
    };
  }

  #identity(): PeerIdentity {
    const { nodeId: id, config: { cluster: clusterId }, agent } = this.#options;
    const proof = this.#tls?.proof;
    return { id, instance: this.#instance, clusterId, agent, ...(proof ? { proof } : {}) };
  }

  async #dial({ url }: PeerAddress, signal: AbortSignal): Promise<DialedSession> {
    const { environment, config: { limits } } = this.#options;
    const { cert, key, ca } = this.#tls?.identity ?? {};
    const identity: ClientIdentity | undefined = cert !== undefined && key !== undefined && ca
      ? { ca, cert, key }
      : undefined;
    return await dialPeer(url, { ...(identity ? { identity } : {}), environment, limits, signal });
  }

  #serverHashes({ transport }: Session): readonly Uint8Array[] {
    const { config: { tlsCert } } = this.#options;
    if (transport === "memory" || transport === "tcp") return [];
    if (transport === "websocket" && tlsCert === undefined) return [];
    const isOwn = transport === "webtransport" || tlsCert === undefined;
    const hashes = isOwn ? this.#options.listeners().certificateHashes : this.#shownHashes;
    return hashes.map((hash) => Uint8Array.fromHex(hash));
  }

  async #log(): Promise<void> {
    for await (const heard of this.mesh.events()) {
      if (!("value" in heard)) continue;
      this.#options.events.publish(heard.value);
      const { event, ...facts } = heard.value;
      const isFatal = "kind" in facts && facts.kind === "permanent";
      logger[isFatal ? "error" : "info"]("{event} {facts}", { event, facts });
    }
    this.#options.events.end();
  }
}

function isHttp(url: string | null): boolean {
  return url !== null && /^https?:/.test(url);
}

function isEveryAddress(host: string): boolean {
  return /^[0:.]+$/.test(host);
}
