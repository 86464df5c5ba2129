import type { Capability } from "../capability.ts";

/** Whether this runtime can open WebTransport sessions. */
export function connectCapability(): Capability {
  if (typeof (globalThis as { WebTransport?: unknown }).WebTransport === "function") return { isSupported: true };
  return { isSupported: false, reason: "no global WebTransport: needs a browser, or Deno started with --unstable-net" };
}
