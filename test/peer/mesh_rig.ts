// Nodes of a mesh in one process: real meshes over sessions in memory, on a clock that a test moves, with links that it cuts.

import type { Environment, Random } from "../../src/core/environment.ts";
import { type MemorySessionPair, memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { Mesh, type MeshOptions } from "../../src/peer/mesh.ts";
import type { PeerEvent } from "../../src/peer/peer_event.ts";
import type { PeerIdentity } from "../../src/peer/peer_identity.ts";
import { environment } from "../../src/server/environment.node.ts";
import { VirtualClock } from "../process/virtual_clock.ts";

export interface RigNode {
  readonly id: string;
  readonly mesh: Mesh;
  readonly events: PeerEvent[];
  readonly errors: unknown[];
  identity: PeerIdentity;
}

export interface RigOptions {
  readonly random: () => number;
  readonly heartbeatMs?: number;
}

interface Link {
  readonly ends: readonly [string, string];
  readonly pair: MemorySessionPair;
}

export class MeshRig {
  readonly clock = new VirtualClock();
  readonly nodes = new Map<string, RigNode>();
  readonly #random: Random;
  readonly #environment: Environment;
  readonly #heartbeatMs: number;
  readonly #cutPairs = new Set<string>();
  readonly #links = new Set<Link>();
  #sessionCount = 0;
  dialCount = 0;

  constructor({ random, heartbeatMs = 100 }: RigOptions) {
    this.#heartbeatMs = heartbeatMs;
    this.#random = {
      next: random,
      bytes: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
    };
    this.#environment = { clock: this.clock, random: this.#random, crc32: environment.crc32 };
  }

  /** A node that knows the peers named; not started yet. */
  add(id: string, peers: readonly string[], options: Partial<MeshOptions & PeerIdentity> = {}): RigNode {
    const events: PeerEvent[] = [];
    const errors: unknown[] = [];
    const { instance = `${id}-1`, clusterId = "test", proof } = options;
    const identity = { id, instance, clusterId, agent: "test", ...(proof ? { proof } : {}) };
    const mesh = new Mesh({
      peers: peers.map((peer) => ({ id: peer, url: `memory:${peer}` })),
      identity: () => node.identity,
      dial: ({ url }) => this.#dial(id, url.slice("memory:".length)),
      serverHashes: () => [],
      environment: this.#environment,
      limits: { handshakeGraceMs: 10_000, peerHeartbeatMs: this.#heartbeatMs },
      onError: (error) => errors.push(error),
      ...options,
    });
    const node: RigNode = { id, mesh, events, errors, identity };
    this.nodes.set(id, node);
    void this.#collect(node);
    return node;
  }

  /** A full mesh of started nodes. */
  fullMesh(ids: readonly string[]): RigNode[] {
    const nodes = ids.map((id) => this.add(id, ids.filter((other) => other !== id)));
    for (const { mesh } of nodes) mesh.start();
    return nodes;
  }

  /** Both ends of a pair lose their sessions, and cannot dial each other until it is mended. */
  cut(one: string, other: string): void {
    this.#cutPairs.add(pairOf(one, other));
    for (const { ends, pair } of this.#links) if (ends.includes(one) && ends.includes(other)) pair.cut();
  }

  mend(one: string, other: string): void {
    this.#cutPairs.delete(pairOf(one, other));
  }

  isCut(one: string, other: string): boolean {
    return this.#cutPairs.has(pairOf(one, other));
  }

  /** Sessions in memory between two nodes that have not ended, whichever side has dialed them. */
  sessionsBetween(one: string, other: string): number {
    return [...this.#links].filter(({ ends }) => ends.includes(one) && ends.includes(other)).length;
  }

  get sessionCount(): number {
    return this.#links.size;
  }

  /** Closes the meshes of `nodes`, all of them by default, while time passes. */
  async close(nodes: readonly RigNode[] = [...this.nodes.values()]): Promise<void> {
    const closing = Promise.all(nodes.map(({ mesh }) => mesh.close()));
    let isClosed = false;
    void closing.then(() => isClosed = true);
    for (let second = 0; !isClosed && second < 60; second++) await this.clock.pass(1000);
    if (!isClosed) throw new Error("the meshes did not close within a minute");
  }

  #dial(from: string, to: string): ReturnType<MeshOptions["dial"]> {
    this.dialCount++;
    const target = this.nodes.get(to);
    if (!target || this.isCut(from, to)) {
      return Promise.reject(new TransportError("refused", `${to} cannot be reached from ${from}`));
    }
    const pair = memorySessionPair({
      environment: this.#environment,
      limits: SESSION_LIMITS,
      delayMs: () => 1 + Math.floor(this.#random.next() * 5),
      serverAddress: `memory:${to}`,
      clientAddress: `memory:${from}`,
    });
    const link: Link = { ends: [from, to], pair };
    this.#links.add(link);
    void Promise.all([pair.client.closed, pair.server.closed]).then(() => this.#links.delete(link));
    target.mesh.accept(pair.server, `s${++this.#sessionCount}`);
    return Promise.resolve({ session: pair.client, serverHash: new Uint8Array(0) });
  }

  async #collect({ mesh, events }: RigNode): Promise<void> {
    for await (const heard of mesh.events()) {
      if ("value" in heard) events.push(heard.value);
      else throw new Error(`${heard.missed} events were missed`);
    }
  }
}

function pairOf(one: string, other: string): string {
  return [one, other].toSorted().join("-");
}
