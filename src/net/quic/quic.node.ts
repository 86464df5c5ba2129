// QUIC on whichever runtime this is: Bun and Deno have it, each its own.

import process from "node:process";
import type { Session } from "../session.ts";
import { TransportError } from "../transport_error.ts";
import type { Capability } from "../capability.ts";
import type { QuicAttempt } from "./open_quic_session.ts";
import type { ConnectQuicOptions, DialQuicOptions, QuicListener, QuicListenOptions } from "./quic.ts";
import { denoQuicCapability } from "./quic.deno.ts";

type QuicModule = Pick<typeof import("./quic.deno.ts"), "listenQuic" | "connectQuic" | "dialQuic">;

/** Whether this runtime can accept QUIC sessions. May be asked on any runtime. */
export function quicListenCapability(): Capability {
  if (process.versions["bun"] !== undefined) return { isSupported: true };
  if (process.versions["deno"] !== undefined) return denoQuicCapability();
  return { isSupported: false, reason: "no QUIC in this runtime: needs Bun, or Deno started with --unstable-net" };
}

/** Whether this runtime can open QUIC sessions. */
export function quicConnectCapability(): Capability {
  return quicListenCapability();
}

/**
 * Whether a session that was dialed here tells the certificate that the server has shown. On Deno (2.9.6) it does not, and authorities
 * that it is given are added to its own: which certificate it is, is known there only where it was trusted by its hash.
 */
export function showsQuicServerCertificate(): boolean {
  return process.versions["deno"] === undefined;
}

/**
 * Listens for QUIC. TransportError `unsupported` where the runtime has none or cannot do what `identity` asks for, `refused` where
 * the port is taken; TypeError where `identity` contradicts itself.
 */
export async function listenQuic(options: QuicListenOptions): Promise<QuicListener> {
  return await (await quicModule(quicListenCapability())).listenQuic(options);
}

/**
 * Opens a session to a `quic:` address. TransportError `unsupported` where the runtime has no QUIC or cannot do what `identity` asks
 * for, `refused` where the server is not there, is not trusted or turns us away, `timeout` after `handshakeGraceMs`; the signal's
 * reason on abort.
 */
export async function connectQuic(options: ConnectQuicOptions): Promise<Session> {
  return await (await quicModule(quicConnectCapability())).connectQuic(options);
}

/** Connects without making a session of it, for tests of what a listener does about clients that break the rules. */
export async function dialQuic(options: DialQuicOptions): Promise<QuicAttempt> {
  return (await quicModule(quicConnectCapability())).dialQuic(options);
}

async function quicModule(capability: Capability): Promise<QuicModule> {
  if (!capability.isSupported) throw new TransportError("unsupported", capability.reason);
  return process.versions["bun"] === undefined ? await import("./quic.deno.ts") : await import("./quic.bun.ts");
}
