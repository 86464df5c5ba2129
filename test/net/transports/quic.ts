import { connectQuic, listenQuic, quicListenCapability } from "../../../src/net/quic/quic.node.ts";
import type { ClientIdentity, ServerIdentity } from "../../../src/net/tls_identity.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { thisRuntime } from "../../process/program.ts";
import { testAuthority } from "../authority.ts";
import type { TransportUnderTest } from "./transport_under_test.ts";

const capability = quicListenCapability();

/** Why QUIC cannot run here, if so. */
export const quicUnsupported = capability.isSupported ? undefined : capability.reason;

/** Why a QUIC listener cannot ask for client certificates here, if so. */
export const mutualUnsupported = thisRuntime() === "bun" ? undefined : "QUIC with client certificates needs Bun";

interface Identities {
  readonly server: ServerIdentity;
  readonly client: ClientIdentity;
}

let made: Promise<Identities> | undefined;

/** What both ends show and trust, made once. */
export function quicIdentities(): Promise<Identities> {
  made ??= make();
  return made;
}

async function make(): Promise<Identities> {
  const authority = await testAuthority({ name: "quic" });
  const [server, client] = [await authority.issue(), await authority.issue({ cn: "replica", usage: "client" })];
  const ca = [authority.ca];
  return { server: { cert: server.cert, key: server.key, ca }, client: { cert: client.cert, key: client.key, ca } };
}

export const quic: TransportUnderTest = {
  name: "QUIC (runs on Bun, and on Deno with --unstable-net)",
  ...(quicUnsupported === undefined ? {} : { unsupported: quicUnsupported }),
  carriesCloseReason: true,
  isMultiplexed: false,
  listen: async (options) => {
    const { cert, key } = (await quicIdentities()).server;
    return await listenQuic({ ...options, identity: { cert, key } });
  },
  connect: async ({ url }, options) => {
    const { ca } = (await quicIdentities()).client;
    return await connectQuic({ url, identity: { ca: ca! }, environment, ...options });
  },
};

export const mutualQuic: TransportUnderTest = {
  ...quic,
  name: "QUIC with mutual TLS (runs on Bun)",
  ...(mutualUnsupported === undefined ? {} : { unsupported: mutualUnsupported }),
  listen: async (options) => {
    const { server } = await quicIdentities();
    return await listenQuic({ ...options, identity: { ...server, clientCertificates: "require" } });
  },
  connect: async ({ url }, options) =>
    await connectQuic({ url, identity: (await quicIdentities()).client, environment, ...options }),
};
