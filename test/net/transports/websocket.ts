import { connectWebSocket } from "../../../src/net/websocket/connect_websocket.node.ts";
import type { ClientCertificates, ClientIdentity, ServerIdentity } from "../../../src/net/tls_identity.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { type TestAuthority, testAuthority } from "../authority.ts";
import { listenHttp } from "../http_listener.node.ts";
import type { TransportUnderTest } from "./transport_under_test.ts";

let authority: Promise<TestAuthority> | undefined;

/** The authority of everybody who is trusted in the tests of WebSocket. */
export function trustedAuthority(): Promise<TestAuthority> {
  return authority ??= testAuthority({ name: "trusted" });
}

/** A good identity of a server, and of a client that gets in. */
export async function goodIdentities(
  clientCertificates: ClientCertificates,
): Promise<{ readonly server: ServerIdentity; readonly client: ClientIdentity }> {
  const { ca, issue } = await trustedAuthority();
  const [server, client] = await Promise.all([issue(), issue({ cn: "replica-1", usage: "client" })]);
  const shown = clientCertificates === "none" ? {} : { cert: client.cert, key: client.key };
  return {
    server: { cert: server.cert, key: server.key, ca: [ca], clientCertificates },
    client: { ca: [ca], ...shown },
  };
}

export const webSocket: TransportUnderTest = {
  name: "WebSocket",
  carriesCloseReason: true,
  isMultiplexed: true,
  listen: (options) => listenHttp({ ...options, fetch: () => new Response("hello"), acceptSession: () => undefined }),
  connect: ({ url }, options) => connectWebSocket({ url, environment, ...options }),
};

export const secureWebSocket = secure("secure WebSocket", "none");
export const mutualWebSocket = secure("secure WebSocket with mutual TLS", "require");

function secure(name: string, clientCertificates: ClientCertificates): TransportUnderTest {
  let made: ReturnType<typeof goodIdentities> | undefined;
  const identities = () => made ??= goodIdentities(clientCertificates);
  return {
    name,
    carriesCloseReason: true,
    isMultiplexed: true,
    listen: async (options) => {
      const { server: identity } = await identities();
      const answers = { fetch: () => new Response("hello"), acceptSession: () => undefined };
      return await listenHttp({ ...options, ...answers, identity });
    },
    connect: async ({ url }, options) => {
      const { client: identity } = await identities();
      return await connectWebSocket({ url, environment, identity, ...options });
    },
  };
}
