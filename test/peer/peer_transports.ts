// Real connections between two nodes of a test cluster, each with the certificate that it has.

import type { SessionListener } from "../../src/net/listener.ts";
import { connectQuic, listenQuic } from "../../src/net/quic/quic.node.ts";
import { type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { connectTls } from "../../src/net/tls/connect.node.ts";
import { listenTls } from "../../src/net/tls/listen.node.ts";
import type { ClientIdentity, ServerIdentity } from "../../src/net/tls_identity.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.node.ts";
import { connectWebTransport } from "../../src/net/webtransport/connect_webtransport.ts";
import { certificateFacts } from "../../src/peer/certificate_facts.ts";
import { environment } from "../../src/server/environment.node.ts";
import { type SelfSigned, selfSigned } from "../net/certificate.ts";
import { httpCapability, listenHttp } from "../net/http_listener.node.ts";
import { mutualUnsupported, quicUnsupported } from "../net/transports/quic.ts";
import { collecting, type TestListenOptions } from "../net/transports/transport_under_test.ts";
import type { WebTransportUnderTest } from "../net/transports/webtransport.ts";
import { until } from "../net/wait.ts";
import type { PeerConnection, PeerEnds, PeerTransport } from "../suites/peer_rig.ts";
import type { TestCluster } from "./identities.ts";

const BAD_CERTIFICATES = ["no-certificate", "foreign-authority", "certificate-expired", "certificate-not-yet-valid"];
/** A client's certificate is none of a server: its purpose says so. */
const BAD_SERVERS = [...BAD_CERTIFICATES, "not-a-node"];

/** How one transport listens and connects. */
interface Means {
  readonly name: string;
  readonly unsupported?: string;
  /** Whether the server asks for the client's certificate. */
  readonly isMutual: boolean;
  listen(options: TestListenOptions, identity: ServerIdentity): Promise<SessionListener>;
  connect(url: string, identity: ClientIdentity): Promise<Session>;
  /** Whether the client is shown the server's certificate, and a server that asks for it the client's. Default: they are. */
  readonly showsServer?: boolean;
  readonly showsClient?: boolean;
}

const limits = SESSION_LIMITS;

export const tlsPeers = overTls({
  name: "TLS with mutual TLS",
  isMutual: true,
  listen: (options, identity) => listenTls({ ...options, identity }),
  connect: (url, identity) => connectTls({ url, identity, environment, limits }),
});

export const webSocketPeers = overTls({
  name: "WebSocket with mutual TLS",
  isMutual: true,
  listen: (options, identity) =>
    listenHttp({ ...options, identity, fetch: () => new Response(""), acceptSession: () => undefined }),
  connect: (url, identity) => connectWebSocket({ url, identity, environment, limits }),
  showsClient: (await httpCapability()).showsPeerCertificate,
});

const QUIC = {
  listen: (options: TestListenOptions, identity: ServerIdentity) => listenQuic({ ...options, identity }),
  connect: (url: string, identity: ClientIdentity) => connectQuic({ url, identity, environment, limits }),
};

export const mutualQuicPeers = overTls({
  ...QUIC,
  name: "QUIC with mutual TLS (runs on Bun)",
  ...(mutualUnsupported === undefined ? {} : { unsupported: mutualUnsupported }),
  isMutual: true,
});

/** Deno's client is not shown the certificate; it is told here what a client on Bun would see. */
export const signedQuicPeers = overTls({
  ...QUIC,
  name: "QUIC with a signed hello (runs on Bun, and on Deno with --unstable-net)",
  ...(quicUnsupported === undefined ? {} : { unsupported: quicUnsupported }),
  isMutual: false,
  showsServer: mutualUnsupported === undefined,
});

function overTls(means: Means): PeerTransport {
  const listeners: SessionListener[] = [];
  const { name, unsupported, isMutual, showsServer = true, showsClient = isMutual } = means;
  return {
    name,
    ...(unsupported === undefined ? {} : { unsupported }),
    refuses: { client: isMutual ? BAD_CERTIFICATES : [], server: BAD_SERVERS },
    showsClient,
    dispose: () => closeAll(listeners),
    open: async (cluster, { client, server }) => {
      const ca = [cluster.authority.cert];
      // Whoever has no certificate of the cluster shows one of its own making.
      const shown = server.issued ?? await cluster.issue(server.id, { by: cluster.foreign });
      const identity: ServerIdentity = isMutual ? { ...shown, ca, clientCertificates: "require" } : shown;
      const { options, sessions } = collecting();
      const listener = await means.listen(options, identity);
      listeners.push(listener);
      const dialed = await means.connect(listener.url, { ca, ...client.issued });
      const hash = Uint8Array.fromHex((await certificateFacts(shown.cert)).hash);
      const seen = showsServer ? Uint8Array.fromHex(dialed.peerCertificate!.fingerprint256) : hash;
      return await bothEnds(dialed, sessions, { serverHash: seen, serverHashes: [hash] });
    },
  };
}

/** Nodes over WebTransport, which asks nobody for a certificate: a server has one of its own making, trusted by its hash. */
export function webTransportPeers({ name, unsupported, backend }: WebTransportUnderTest): PeerTransport {
  const listeners: SessionListener[] = [];
  const own = new Map<string, Promise<SelfSigned>>();
  return {
    name: `${name}, with a signed hello`,
    ...(unsupported === undefined ? {} : { unsupported }),
    dispose: () => closeAll(listeners),
    open: async (_cluster: TestCluster, { server }: PeerEnds) => {
      const certificate = await (own.get(server.id) ?? own.set(server.id, selfSigned()).get(server.id)!);
      const { options, sessions } = collecting();
      const listener = await backend.listen({ ...options, certificate, acceptSession: () => undefined });
      listeners.push(listener);
      const dialed = await connectWebTransport({
        url: listener.url,
        http: backend.http,
        backends: [backend],
        certificateHashes: [certificate.hash],
        environment,
        limits,
      });
      return await bothEnds(dialed, sessions, { serverHash: certificate.hash, serverHashes: [certificate.hash] });
    },
  };
}

async function bothEnds(
  client: Session,
  sessions: readonly Session[],
  hashes: Pick<PeerConnection, "serverHash" | "serverHashes">,
): Promise<PeerConnection> {
  await until(() => sessions.length === 1, "the server's session");
  return { client, server: sessions[0]!, ...hashes };
}

async function closeAll(listeners: SessionListener[]): Promise<void> {
  await Promise.all(listeners.splice(0).map((listener) => listener.close()));
}
