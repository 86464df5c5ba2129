/** Whether something can be done on this runtime, and if not, what would enable it. */
export type Capability = { readonly isSupported: true } | { readonly isSupported: false; readonly reason: string };

/** Whether this runtime can open WebTransport sessions. */
export function connectCapability(): Capability {
  if (typeof (globalThis as { WebTransport?: unknown }).WebTransport === "function") return { isSupported: true };
  return { isSupported: false, reason: "no global WebTransport: needs a browser, or Deno started with --unstable-net" };
}

/** Whether this runtime can accept WebTransport sessions. */
export function listenCapability(): Capability {
  const { Deno } = globalThis as { Deno?: { QuicEndpoint?: unknown; upgradeWebTransport?: unknown } };
  if (typeof Deno?.QuicEndpoint === "function" && typeof Deno.upgradeWebTransport === "function") {
    return { isSupported: true };
  }
  const reason = Deno
    ? "no Deno.QuicEndpoint: needs Deno started with --unstable-net"
    : "no server for WebTransport in this runtime: needs Deno; Bun and Node need a backend package";
  return { isSupported: false, reason };
}
