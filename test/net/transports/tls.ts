import { connectTls } from "../../../src/net/tls/connect.node.ts";
import { listenTls } from "../../../src/net/tls/listen.node.ts";
import type { ClientIdentity, ServerIdentity } from "../../../src/net/tls_identity.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { testAuthority } from "../authority.ts";
import type { TransportUnderTest } from "./transport_under_test.ts";

export const tls: TransportUnderTest = overTls("TLS", "none");

export const mutualTls: TransportUnderTest = overTls("TLS with client certificates", "require");

function overTls(name: string, clientCertificates: "none" | "require"): TransportUnderTest {
  let made: ReturnType<typeof identities> | undefined;
  const identified = () => made ??= identities(clientCertificates);
  return {
    name,
    carriesCloseReason: true,
    isMultiplexed: true,
    listen: async (options) => await listenTls({ ...options, identity: (await identified()).server }),
    connect: async ({ url }, options) =>
      await connectTls({ url, environment, identity: (await identified()).client, ...options }),
  };
}

async function identities(
  clientCertificates: "none" | "require",
): Promise<{ server: ServerIdentity; client: ClientIdentity }> {
  const authority = await testAuthority({ name: "transports under test" });
  const [server, client] = [await authority.issue({ usage: "server" }), await authority.issue({ usage: "client" })];
  const ca = [authority.ca];
  if (clientCertificates === "none") return { server, client: { ca } };
  return { server: { ...server, ca, clientCertificates }, client: { ca, cert: client.cert, key: client.key } };
}
