// Listeners and clients of TLS and TCP for tests, and what they show and trust.

import type { SessionListener } from "../../src/net/listener.ts";
import { Lane, type Session, SESSION_LIMITS, type SessionLimits } from "../../src/net/session.ts";
import { connectTcp, connectTls, type ConnectTlsOptions } from "../../src/net/tls/connect.node.ts";
import { listenTcp, listenTls, type TlsListener, type TlsListenOptions } from "../../src/net/tls/listen.node.ts";
import { ALPN_PROTOCOL } from "../../src/net/tls/mapping.ts";
import { environment } from "../../src/server/environment.node.ts";
import { expect } from "bun:test";
import { testAuthority } from "./authority.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { StreamPeer } from "./stream_peer.node.ts";
import { collecting, type Listening as AnyListening, type TestLimits } from "./transports/transport_under_test.ts";

export type Kind = "TCP" | "TLS";
export const KINDS: readonly Kind[] = ["TCP", "TLS"];

export const DAY_MS = 86_400_000;

/** Whom the server and the clients here belong to, and somebody else. */
export const authority = await testAuthority({ name: "ours" });
export const stranger = await testAuthority({ name: "theirs" });
/** The server's certificate. */
export const server = await authority.issue({ usage: "server" });
/** What a raw client of TLS needs. */
export const trusting = { ca: [authority.ca], ALPNProtocols: [ALPN_PROTOCOL], servername: "localhost" };

/** What is undone after each test, the latest first. */
export const cleanUps: (() => unknown)[] = [];

/** To be called after each test. */
export async function cleanUp(): Promise<void> {
  await Promise.all(cleanUps.splice(0).reverse().map((undo) => undo()));
}

export interface Listening<Listener extends SessionListener = SessionListener> extends Omit<AnyListening, "listener"> {
  readonly listener: Listener;
}

export async function startTls(
  limits: TestLimits = {},
  options: Partial<TlsListenOptions> = {},
): Promise<Listening<TlsListener>> {
  const { options: common, ...collected } = collecting({ closeGraceMs: 300, ...limits });
  const listener = await listenTls({ ...common, identity: server, ...options });
  cleanUps.push(() => listener.close());
  return { listener, ...collected };
}

export async function start(
  kind: Kind,
  limits: TestLimits = {},
  options: Partial<TlsListenOptions> = {},
): Promise<Listening> {
  if (kind === "TLS") return await startTls(limits, options);
  const { options: common, ...collected } = collecting({ closeGraceMs: 300, ...limits });
  const listener = await listenTcp({ ...common, ...options });
  cleanUps.push(() => listener.close());
  return { listener, ...collected };
}

/** A client that speaks TLS or TCP and nothing else. */
export function rawPeer(url: string, changes: object = {}): StreamPeer {
  const peer = new StreamPeer(url, url.startsWith("tls") ? { ...trusting, ...changes } : undefined);
  cleanUps.push(() => peer.destroy());
  return peer;
}

export async function rawWelcomed(url: string): Promise<StreamPeer> {
  const peer = rawPeer(url);
  await peer.welcomed();
  return peer;
}

type Options = Partial<SessionLimits & ConnectTlsOptions>;

export function connect(url: string, { identity, tickets, signal, ...limits }: Options = {}): Promise<Session> {
  const options = { url, limits: { ...SESSION_LIMITS, ...limits }, environment, ...(signal ? { signal } : {}) };
  if (url.startsWith("tcp")) return connectTcp(options);
  return connectTls({ ...options, identity: identity ?? { ca: [authority.ca] }, ...(tickets ? { tickets } : {}) });
}

/** A TransportError `refused` whose message has `text`. */
export const refused = (text: string) => ({
  name: "TransportError",
  code: "refused",
  message: expect.stringMatching(new RegExp(text)),
});

/** Sends something from client to server and sees it arrive. */
export async function proveAlive(client: Session, session: Session): Promise<void> {
  await client.lane(Lane.control).writable.getWriter().write(pattern(0, 100));
  expect(await readExactly(session.lane(Lane.control).readable.getReader(), 100)).toEqual(pattern(0, 100));
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
