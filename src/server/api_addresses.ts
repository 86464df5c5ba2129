// Where clients reach the HTTP APIs of the nodes. Each node tells the others when they meet: nodes may have sessions over another
// transport, or another network, than clients.

import { isLoopbackAddress, isLoopbackHost } from "../net/address_prefix.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { type ApiAddress, apiAddress, apiQuestion } from "../schema/node_commands.ts";

const command = new Command<Record<never, never>, ApiAddress>("millrace/api", {
  value: jsonCodec(apiQuestion),
  reply: jsonCodec(apiAddress),
});

const ANSWER_MS_MAX = 5_000;
const TRIES_MAX = 4;

export interface ApiAddressesOptions {
  readonly mesh: Pick<Mesh, "handle" | "events" | "peers" | "session" | "request">;
  /** Address that this node is configured to tell, and where it listens; null where that means nothing to others. */
  readonly own: () => ApiAddress;
  /** Where this node dials another one, if that is an address of HTTP. */
  readonly dialed: (nodeId: string) => string | undefined;
}

export class ApiAddresses {
  readonly #options: ApiAddressesOptions;
  /** The last answer of each peer. */
  readonly #told = new Map<string, ApiAddress>();

  constructor(options: ApiAddressesOptions) {
    this.#options = options;
    options.mesh.handle(command, () => options.own());
    void this.#follow();
  }

  /** What a node is configured to tell counts most, then where this one dials it, then where it listens. */
  urlOf(nodeId: string): string | null {
    const { advertised = null, listens = null } = this.#told.get(nodeId) ?? {};
    return advertised ?? this.#options.dialed(nodeId) ?? (this.#isReached(nodeId, listens) ? listens : null);
  }

  /** A loopback address says nothing about a node on another machine. */
  #isReached(nodeId: string, url: string | null): boolean {
    if (url === null || !isLocal(url)) return true;
    const { peerAddress = "" } = this.#options.mesh.session(nodeId)?.session ?? {};
    // Of a peer that was dialed it has a port.
    return isLoopbackAddress(peerAddress) || isLocal(`tcp://${peerAddress}`);
  }

  async #follow(): Promise<void> {
    const { mesh } = this.#options;
    for await (const heard of mesh.events()) {
      if ("missed" in heard) { for (const { id } of mesh.peers()) void this.#ask(id); }
      else if (heard.value.event === "connected") void this.#ask(heard.value.peerId);
    }
  }

  /** Asks over the session that there is, and over the one that takes its place meanwhile, as where both nodes have dialed. */
  async #ask(nodeId: string): Promise<void> {
    const { mesh } = this.#options;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const session = mesh.session(nodeId);
      if (!session) return;
      try {
        this.#told.set(nodeId, await mesh.request(nodeId, command.of({}), { timeoutMs: ANSWER_MS_MAX }));
        return;
      } catch {
        // It is gone, or does not know the question: what it said before is the best that is known.
        if (mesh.session(nodeId) === session) return;
      }
    }
  }
}

function isLocal(url: string): boolean {
  return URL.canParse(url) && isLoopbackHost(new URL(url).hostname);
}
