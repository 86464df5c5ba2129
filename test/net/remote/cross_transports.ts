// How each transport is listened for and connected by from any process.

import type { SessionListener } from "../../../src/net/listener.ts";
import type { Session } from "../../../src/net/session.ts";
import type { ClientCertificates, ClientIdentity, ServerIdentity } from "../../../src/net/tls_identity.ts";
import { TransportError } from "../../../src/net/transport_error.ts";
import type { HttpVersion, WebTransportBackend } from "../../../src/net/webtransport/backend.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { testAuthority } from "../authority.ts";
import { listenHttp } from "../http_listener.node.ts";
import type { TestListenOptions, TransportUnderTest } from "../transports/transport_under_test.ts";
import type { CrossConnectOptions, CrossIdentity, CrossName } from "./party.ts";

/** Over HTTP/2 the windows of the package's own flow control come on top of the lane's. */
const H2_UNREAD_BYTES_MAX = 8 << 20;

export interface CrossTransport
  extends Pick<TransportUnderTest, "carriesCloseReason" | "isMultiplexed" | "unreadBytesMax"> {
  listen(identity: CrossIdentity, options: TestListenOptions): Promise<SessionListener>;
  connect(identity: CrossIdentity, options: CrossConnectOptions): Promise<Session>;
}

export const CROSS_TRANSPORTS: Readonly<Record<CrossName, CrossTransport>> = {
  "TCP": overTls("none", "tcp"),
  "TLS": overTls("none"),
  "TLS with client certificates": overTls("require"),
  "WebSocket": overHttp("none", "http"),
  "secure WebSocket": overHttp("none"),
  "secure WebSocket with mutual TLS": overHttp("require"),
  "QUIC": overQuic("none"),
  "QUIC with mutual TLS": overQuic("require"),
  "WebTransport over HTTP/2": webTransport("h2"),
  "WebTransport over HTTP/3": webTransport("h3"),
};

const acceptSession = () => undefined;

function serverIdentity({ ca, server }: CrossIdentity, clientCertificates: ClientCertificates): ServerIdentity {
  return clientCertificates === "none" ? server : { ...server, ca: [ca], clientCertificates };
}

function clientIdentity({ ca, client }: CrossIdentity, clientCertificates: ClientCertificates): ClientIdentity {
  return clientCertificates === "none" ? { ca: [ca] } : { ca: [ca], ...client };
}

function overTls(clientCertificates: ClientCertificates, scheme: "tcp" | "tls" = "tls"): CrossTransport {
  return {
    carriesCloseReason: true,
    isMultiplexed: true,
    listen: async (identity, options) => {
      const { listenTcp, listenTls } = await import("../../../src/net/tls/listen.node.ts");
      if (scheme === "tcp") return await listenTcp(options);
      return await listenTls({ ...options, identity: serverIdentity(identity, clientCertificates) });
    },
    connect: async (identity, options) => {
      const { connectTcp, connectTls } = await import("../../../src/net/tls/connect.node.ts");
      if (scheme === "tcp") return await connectTcp({ ...options, environment });
      return await connectTls({ ...options, environment, identity: clientIdentity(identity, clientCertificates) });
    },
  };
}

function overHttp(clientCertificates: ClientCertificates, scheme: "http" | "https" = "https"): CrossTransport {
  return {
    carriesCloseReason: true,
    isMultiplexed: true,
    listen: (identity, options) =>
      listenHttp({
        ...options,
        fetch: () => new Response("hello"),
        acceptSession,
        ...(scheme === "http" ? {} : { identity: serverIdentity(identity, clientCertificates) }),
      }),
    connect: async (identity, options) => {
      const { connectWebSocket } = await import("../../../src/net/websocket/connect_websocket.node.ts");
      const shown = scheme === "http" ? {} : { identity: clientIdentity(identity, clientCertificates) };
      return await connectWebSocket({ ...options, ...shown, environment });
    },
  };
}

function overQuic(clientCertificates: ClientCertificates): CrossTransport {
  return {
    carriesCloseReason: true,
    isMultiplexed: false,
    listen: async (identity, options) => {
      const { listenQuic } = await import("../../../src/net/quic/quic.node.ts");
      return await listenQuic({ ...options, identity: serverIdentity(identity, clientCertificates) });
    },
    connect: async (identity, options) => {
      const { connectQuic } = await import("../../../src/net/quic/quic.node.ts");
      return await connectQuic({ ...options, environment, identity: clientIdentity(identity, clientCertificates) });
    },
  };
}

function webTransport(http: HttpVersion): CrossTransport {
  return {
    carriesCloseReason: true,
    isMultiplexed: http === "h2",
    ...(http === "h2" ? { unreadBytesMax: H2_UNREAD_BYTES_MAX } : {}),
    listen: async ({ server }, options) => {
      const backend = (await backends()).find((each) => each.http === http && each.listening.isSupported);
      if (!backend) throw new TransportError("unsupported", `no backend for WebTransport over ${http} listens here`);
      return await backend.listen({ ...options, certificate: server, acceptSession });
    },
    connect: async ({ serverHash }, options) => {
      const { connectWebTransport } = await import("../../../src/net/webtransport/connect_webtransport.ts");
      const certificateHashes = [serverHash];
      return await connectWebTransport({
        ...options,
        http,
        backends: await backends(),
        certificateHashes,
        environment,
      });
    },
  };
}

async function backends(): Promise<readonly WebTransportBackend[]> {
  const { loadBackends } = await import("../../../src/net/webtransport/backends.node.ts");
  return await loadBackends();
}

/** Fresh certificates for one run: an authority, a server of loopback and a client. */
export async function crossIdentity(): Promise<CrossIdentity> {
  const authority = await testAuthority({ name: "Millrace test authority" });
  const [server, client] = [await authority.issue(), await authority.issue({ usage: "client", cn: "client" })];
  const serverHash = [...server.hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    ca: authority.ca,
    server: { cert: server.cert, key: server.key },
    serverHash,
    client: { cert: client.cert, key: client.key },
  };
}
