// What the suite of peers works with: both ends of a connection, and what becomes of their greeting.

import { expect } from "bun:test";
import type { Session } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { Handlers } from "../../src/peer/handlers.ts";
import { Mesh } from "../../src/peer/mesh.ts";
import { failureOf } from "../../src/peer/peer_error.ts";
import type { PeerIdentity } from "../../src/peer/peer_identity.ts";
import { PeerSession, type PeerSessionOptions } from "../../src/peer/peer_session.ts";
import { environment } from "../../src/server/environment.node.ts";
import { type TestCluster, testCluster, type TestIdentity } from "../peer/identities.ts";
import { within } from "../net/wait.ts";

/** Both ends of one connection, and what each knows of the certificate at the server's end. */
export interface PeerConnection {
  readonly client: Session;
  readonly server: Session;
  /** As the client has seen it; empty without TLS. */
  readonly serverHash: Uint8Array;
  /** Those that the server has; none without TLS. */
  readonly serverHashes: readonly Uint8Array[];
}

/** Who is at either end. Both use the certificates that they have. */
export interface PeerEnds {
  readonly client: TestIdentity;
  readonly server: TestIdentity;
}

export interface PeerTransport {
  readonly name: string;
  readonly unsupported?: string;
  /** Whom the transport turns away by itself, by the names that the hello has for that; nobody by default. */
  readonly refuses?: { readonly client: readonly string[]; readonly server: readonly string[] };
  /** Whether the server's end is told the client's certificate. */
  readonly showsClient?: boolean;
  /** A new connection to a server of its own. TransportError where the transport refuses one end. */
  open(cluster: TestCluster, ends: PeerEnds): Promise<PeerConnection>;
  /** Ends what `open` has begun. */
  dispose(): Promise<void>;
}

export type Outcome = { readonly id: string } | { readonly refused: string } | { readonly refusedByTransport: string };

export class PeerRig {
  cluster!: TestCluster;
  readonly #transport: PeerTransport;
  readonly #sessions: Session[] = [];

  constructor(transport: PeerTransport) {
    this.#transport = transport;
  }

  async prepare(): Promise<void> {
    this.cluster = await testCluster();
  }

  async clear(): Promise<void> {
    await Promise.all(this.#sessions.splice(0).map((session) => session.close({ code: "done", reason: "" })));
    await this.#transport.dispose();
  }

  get transport(): PeerTransport {
    return this.#transport;
  }

  async open(client: TestIdentity, server: TestIdentity): Promise<PeerConnection> {
    const connection = await this.#transport.open(this.cluster, { client, server });
    this.#sessions.push(connection.client, connection.server);
    return connection;
  }

  /** Both ends greet; what became of it at the client and at the server. */
  async greet(client: TestIdentity, server: TestIdentity, expectedId = server.id): Promise<[Outcome, Outcome]> {
    const connection = await this.open(client, server).catch((error) => {
      if (error instanceof TransportError) return { refusedByTransport: error.code };
      throw error;
    });
    if ("refusedByTransport" in connection) return [connection, connection];
    return await Promise.all([this.dial(connection, client, expectedId), this.accept(connection, server)]);
  }

  mesh(identity: PeerIdentity, peers: readonly string[]): AcceptingMesh {
    return new AcceptingMesh(identity, peers);
  }

  /** Ids of the nodes: `m` is one that is not true. */
  async identities(...ids: string[]): Promise<TestIdentity[]> {
    return await Promise.all(ids.map((id) => this.cluster.identity(id)));
  }

  dial({ client, serverHash }: PeerConnection, identity: PeerIdentity, expectedId: string): Promise<Outcome> {
    return outcomeOf(PeerSession.dial({ ...optionsOf(client, identity), expectedId, serverHash }));
  }

  accept({ server, serverHashes }: PeerConnection, identity: PeerIdentity): Promise<Outcome> {
    return outcomeOf(PeerSession.accept({
      ...optionsOf(server, identity),
      serverHashes,
      heartbeatMs: 50,
      sessionId: "s",
      admit: () => {},
    }));
  }
}

/** A mesh that is only dialed. */
class AcceptingMesh {
  readonly #mesh: Mesh;
  readonly #hashes = new Map<Session, readonly Uint8Array[]>();

  constructor(identity: PeerIdentity, peers: readonly string[]) {
    this.#mesh = new Mesh({
      peers: peers.map((id) => ({ id, url: "memory:" })),
      identity: () => identity,
      dial: () => Promise.reject(new TransportError("refused", "it is only dialed")),
      serverHashes: (session) => this.#hashes.get(session)!,
      environment,
      limits: { handshakeGraceMs: 5_000, peerHeartbeatMs: 1_000 },
      onError: (error) => expect(error).toBe(undefined),
    });
  }

  serve({ server, serverHashes }: PeerConnection): void {
    this.#hashes.set(server, serverHashes);
    this.#mesh.accept(server, "s");
  }

  stateOf(id: string): string | undefined {
    return this.#mesh.peers().find((peer) => peer.id === id)?.state;
  }

  close(): Promise<void> {
    return this.#mesh.close();
  }
}

export function optionsOf(session: Session, identity: PeerIdentity): PeerSessionOptions {
  return {
    session,
    identity,
    environment,
    handlers: new Handlers(),
    handshakeGraceMs: 5_000,
    onError: () => {},
    signal: new AbortController().signal,
  };
}

export async function outcomeOf(session: Promise<PeerSession>): Promise<Outcome> {
  try {
    return { id: (await within(session, "the greeting")).id };
  } catch (error) {
    return { refused: failureOf(error).code };
  }
}
