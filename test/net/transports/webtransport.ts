// WebTransport by each of its backends. Both ends are of one backend here; across backends and runtimes it is tried with
// processes.

import type { WebTransportBackend } from "../../../src/net/webtransport/backend.ts";
import { loadBackends } from "../../../src/net/webtransport/backends.node.ts";
import { connectWebTransport } from "../../../src/net/webtransport/connect_webtransport.ts";
import { environment } from "../../../src/server/environment.node.ts";
import { type SelfSigned, selfSigned } from "../certificate.ts";
import type { TransportUnderTest } from "./transport_under_test.ts";

/** A transport, and the backend that carries both of its ends. */
export interface WebTransportUnderTest extends TransportUnderTest {
  readonly backend: WebTransportBackend;
  /** Of all its listeners. */
  certificate(): Promise<SelfSigned>;
}

const backends = await loadBackends();

export const denoWebTransport = underTest("deno", {
  http: "h3",
  title: "WebTransport over HTTP/3, Deno (runs on Deno with --unstable-net)",
});

export const webTransportH2 = underTest("fails", {
  http: "h2",
  title: "WebTransport over HTTP/2",
});

export const failsWebTransport = underTest("fails", {
  http: "h3",
  title: "WebTransport over HTTP/3, fails (runs where the native part of @fails-components/webtransport is installed)",
});

export const moqWebTransport = underTest("moq", {
  http: "h3",
  title: "WebTransport over HTTP/3, moq (runs where @moq/web-transport loads: glibc 2.38 or newer on Linux)",
});

export const webTransports = [denoWebTransport, webTransportH2, failsWebTransport, moqWebTransport];

function underTest(
  name: WebTransportBackend["name"],
  { http, title }: { http: WebTransportBackend["http"]; title: string },
): WebTransportUnderTest {
  const backend = backends.find((each) => each.name === name && each.http === http)!;
  const { listening, connecting } = backend;
  const unsupported = !listening.isSupported
    ? listening.reason
    : !connecting.isSupported
    ? connecting.reason
    : undefined;
  let made: Promise<SelfSigned> | undefined;
  const certificate = () => made ??= selfSigned();
  return {
    name: title,
    ...(unsupported === undefined ? {} : { unsupported }),
    backend,
    certificate,
    carriesCloseReason: true,
    isMultiplexed: http === "h2",
    ...(http === "h2" ? { unreadBytesMax: 8 << 20 } : {}),
    ...(name === "moq" ? { releasesSocketsLate: true } : {}),
    listen: async (options) => {
      return await backend.listen({ ...options, certificate: await certificate(), acceptSession: () => undefined });
    },
    connect: async ({ url }, options) =>
      await connectWebTransport({
        url,
        http,
        backends: [backend],
        certificateHashes: [(await certificate()).hash],
        environment,
        ...options,
      }),
  };
}
