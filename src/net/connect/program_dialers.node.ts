// The transports of a program on Deno, Bun and Node. What belongs to one runtime is loaded when it is dialled.

import type { Environment } from "../../core/environment.ts";
import { TlsTickets } from "../tls/tls_tickets.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import type { WebTransportBackend } from "../webtransport/backend.ts";
import { connectWebTransport } from "../webtransport/connect_webtransport.ts";
import type { ConnectOptions } from "./connect.ts";
import type { Dialer, Dialers, DialOptions, DialTarget } from "./dialer.ts";
import { resolveHost } from "./resolve.node.ts";
import { trustingFetch } from "./trusting_fetch.node.ts";

/** What `connect` needs of a program, which trusts and shows what `identity` says. TLS tickets are kept for the next connect. */
export function programConnecting(
  environment: Environment,
  identity?: ClientIdentity,
): Pick<ConnectOptions, "dialers" | "environment" | "resolve" | "fetch" | "identity"> {
  return {
    dialers: programDialers(new TlsTickets(environment.clock)),
    environment,
    resolve: resolveHost,
    fetch: trustingFetch(identity),
    ...(identity ? { identity } : {}),
  };
}

function programDialers(tickets: TlsTickets): Dialers {
  return {
    webtransport: webTransportDialer(),
    websocket: WEBSOCKET,
    quic: QUIC,
    tls: {
      choosesAddress: true,
      dial: async (target, options) => {
        const { connectTls } = await import("../tls/connect.node.ts");
        return await connectTls({ ...options, ...chosen(target), identity: believing(target, options), tickets });
      },
    },
    tcp: {
      choosesAddress: true,
      dial: async (target, options) => {
        const { connectTcp } = await import("../tls/connect.node.ts");
        return await connectTcp({ ...options, ...chosen(target) });
      },
    },
  };
}

function webTransportDialer(): Dialer {
  let loading: Promise<readonly WebTransportBackend[]> | undefined;
  const load = () => loading ??= import("../webtransport/backends.node.ts").then(({ loadBackends }) => loadBackends());
  const usable = async () => (await load()).filter(({ connecting }) => connecting.isSupported);
  return {
    capability: async () => {
      const backends = await load();
      const reasons = backends.map(({ connecting, name }) =>
        connecting.isSupported ? "" : `${name}: ${connecting.reason}`
      );
      return reasons.includes("") ? { isSupported: true } : { isSupported: false, reason: reasons.join("; ") };
    },
    httpVersions: async () => {
      const versions = (await usable()).map(({ http }) => http);
      return (["h3", "h2"] as const).filter((version) => versions.includes(version));
    },
    dial: async ({ url, certificateHashes, http = "h3" }, { limits, environment, signal }) => {
      const backends = await usable();
      return await connectWebTransport({ url, certificateHashes, http, backends, limits, environment, signal });
    },
  };
}

const WEBSOCKET: Dialer = {
  dial: async ({ url }, { identity, ...options }) => {
    const { connectWebSocket } = await import("../websocket/connect_websocket.node.ts");
    const isSecure = url.startsWith("https:") || url.startsWith("wss:");
    return await connectWebSocket({ ...options, url, ...(isSecure && identity ? { identity } : {}) });
  },
};

const QUIC: Dialer = {
  choosesAddress: true,
  capability: async () => (await import("../quic/quic.node.ts")).quicConnectCapability(),
  dial: async (target, options) => {
    const { connectQuic } = await import("../quic/quic.node.ts");
    const { address } = target;
    const url = new URL(target.url);
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const identity = believing(target, options);
    if (address === undefined || address === host) return await connectQuic({ ...options, url: target.url, identity });
    // The certificate is still held against the name that was asked for.
    url.hostname = address.includes(":") ? `[${address}]` : address;
    const named = { ...identity, serverName: identity.serverName ?? host };
    return await connectQuic({ ...options, url: url.href, identity: named });
  },
};

function chosen({ url, address }: DialTarget): { url: string; address?: string } {
  return { url, ...(address !== undefined ? { address } : {}) };
}

/** Our identity, and the certificates that the node announced. */
function believing({ certificateHashes }: DialTarget, { identity = {} }: DialOptions): ClientIdentity {
  const hashes = [...identity.certificateHashes ?? [], ...certificateHashes];
  return hashes.length > 0 ? { ...identity, certificateHashes: hashes } : identity;
}
