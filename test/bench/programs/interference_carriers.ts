// How the benchmark of interference listens and connects on each transport, across processes.

import process from "node:process";
import type { Environment } from "../../../src/core/environment.ts";
import type { ListenOptions, SessionListener } from "../../../src/net/listener.ts";
import type { Session, SessionLimits } from "../../../src/net/session.ts";
import type { HttpLimits } from "../../../src/net/websocket/listen_options.ts";
import type { Carrier } from "../interference.ts";

/** Where a listener is, and by what its certificate is believed. */
export interface Address {
  readonly url: string;
  /** PEM of the authority; not every runtime believes hashes over QUIC. */
  readonly ca: string;
  /** SHA-256 of the certificate, hexadecimal. */
  readonly hash: string;
}

interface Identity {
  readonly cert: string;
  readonly key: string;
}

interface ConnectOptions {
  readonly limits: SessionLimits;
  readonly environment: Environment;
}

export interface CarrierModule {
  listen(options: ListenOptions<SessionLimits & HttpLimits>, identity: Identity): Promise<SessionListener>;
  connect(address: Address, options: ConnectOptions): Promise<Session>;
}

const isBun = process.versions["bun"] !== undefined;

export const CARRIERS: Readonly<Record<Carrier, CarrierModule>> = {
  websocket: {
    listen: async (options) => {
      const { listenHttp }: typeof import("../../../src/net/websocket/listen.node.ts") = isBun
        ? await import("../../../src/net/websocket/listen.bun.ts")
        : await import("../../../src/net/websocket/listen.node.ts");
      return await listenHttp({ ...options, fetch: () => new Response(), acceptSession: () => undefined });
    },
    connect: async ({ url }, options) => {
      const { connectWebSocket } = await import("../../../src/net/websocket/connect_websocket.ts");
      return await connectWebSocket({ url, ...options });
    },
  },
  tls: {
    listen: async (options, identity) => {
      const { listenTls } = await import("../../../src/net/tls/listen.node.ts");
      return await listenTls({ ...options, identity });
    },
    connect: async ({ url, ca }, options) => {
      const { connectTls } = await import("../../../src/net/tls/connect.node.ts");
      return await connectTls({ url, identity: { ca: [ca] }, ...options });
    },
  },
  quic: {
    listen: async (options, identity) => {
      const { listenQuic } = await import("../../../src/net/quic/quic.node.ts");
      return await listenQuic({ ...options, identity });
    },
    connect: async ({ url, ca }, options) => {
      const { connectQuic } = await import("../../../src/net/quic/quic.node.ts");
      return await connectQuic({ url, identity: { ca: [ca] }, ...options });
    },
  },
  webtransport: {
    listen: async (options, certificate) => {
      const { listenWebTransport } = await import("../../../src/net/webtransport/listen.deno.ts");
      return await listenWebTransport({ ...options, certificate, acceptSession: () => undefined });
    },
    connect: async ({ url, hash }, options) => {
      const { connectWebTransport } = await import("../../../src/net/webtransport/connect_webtransport.ts");
      return await connectWebTransport({ url, certificateHashes: [hash], ...options });
    },
  },
};
