// The configuration of a node: one schema for file, environment (`MILLRACE_*`) and flags. Errors name field, value and what is
// allowed; contradictions are refused at start.

import { z } from "zod";
import { nodeIdText } from "./channel.ts";

const bytes = (initial: number) => z.int().min(1).max(1 << 30).default(initial);
const count = (largest: number) => z.int().min(1).max(largest);
const ms = (initial: number) => z.int().min(1).max(86_400_000).default(initial);

export const limitsConfig = z.strictObject({
  entryBytesMax: bytes(8 << 20).describe("largest entry of any channel"),
  requestBodyBytesMax: bytes(64 << 20).describe("largest HTTP body"),
  laneSliceBytesMax: z.int().min(1).max(64 << 10).default(64 << 10).describe(
    "largest WebSocket message, less its lane byte",
  ),
  logSliceBytesMax: z.int().min(1).max((256 << 10) - 1).default((256 << 10) - 1).describe(
    "the same of the log lane, to a client that asks for it",
  ),
  laneWindowBytes: z.int().min(64 << 10).max(1 << 30).default(1 << 20).describe(
    "unread bytes of a lane held by the receiver",
  ),
  logWindowBytes: z.int().min(64 << 10).max(1 << 30).default(2 << 20).describe(
    "the same of the log lane of a WebSocket, TLS or TCP session, with what is on its way",
  ),
  laneQueuedBytesMax: bytes(256 << 10).describe("bytes of a lane that wait at the sender"),
  sessionQueuedBytesMax: bytes(1 << 20).describe("bytes of all lanes of a session that wait at the sender"),
  serverQueuedBytesMax: bytes(256 << 20).describe("bytes of all sessions that wait at the sender"),
  socketQueuedBytesMax: bytes(256 << 10).describe("bytes handed to a socket and not sent"),
  appendQueuedBytesMax: bytes(64 << 20).describe("bytes of a channel that wait to be synced"),
  subscriptionsMax: count(1000).default(1000).describe("subscriptions of one session"),
  sessionsMax: count(1_000_000).default(20_000).describe("sessions of the node"),
  sessionsPerPrefixMax: count(1_000_000).default(2_000).describe(
    "sessions of one address prefix (IPv4 /24, IPv6 /56); loopback is exempt",
  ),
  handshakesMax: count(1_000_000).default(1_024).describe("handshakes under way at one time"),
  handshakesPerSecond: count(1_000_000).default(200).describe("handshakes a second, on average"),
  handshakeBurst: count(1_000_000).default(400).describe("handshakes at once after a quiet time"),
  handshakeGraceMs: ms(10_000).describe("from accepting a connection to its hello: TLS, upgrade and lanes included"),
  idleTimeoutMs: ms(30_000).describe("silence after which a session is over"),
  closeGraceMs: ms(2_000).describe("flushing, goodbye and shutdown of a session together"),
  stalledMessageMs: ms(10_000).describe("a message that has begun must be whole within this time"),
  stalledSendMs: ms(30_000).describe("bytes handed to a socket must leave within this time"),
  bodyStallMs: ms(10_000).describe("time in which the body of a request must bring 1 KiB/s"),
  keepAliveMs: ms(5_000).describe("how long an idle HTTP connection is kept"),
  heartbeatMs: ms(2_000).describe("between heartbeats to a replica"),
  peerHeartbeatMs: ms(100).describe("between heartbeats to another node"),
  appendTimeoutMs: ms(10_000).describe("after which an append is answered"),
  electionMsMin: ms(300).describe("silence of a leader after which the first of its voters stand for election"),
  electionMsMax: ms(600).describe("silence of a leader after which all of them do"),
}).superRefine((limits, context) => {
  const refuse = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
  if (limits.requestBodyBytesMax < limits.entryBytesMax) {
    refuse("requestBodyBytesMax", `${limits.requestBodyBytesMax} is below entryBytesMax ${limits.entryBytesMax}`);
  }
  if (limits.appendQueuedBytesMax < limits.requestBodyBytesMax) {
    refuse(
      "appendQueuedBytesMax",
      `${limits.appendQueuedBytesMax} is below requestBodyBytesMax ${limits.requestBodyBytesMax}`,
    );
  }
  if (limits.laneWindowBytes < limits.laneSliceBytesMax) {
    refuse("laneWindowBytes", `${limits.laneWindowBytes} is below laneSliceBytesMax ${limits.laneSliceBytesMax}`);
  }
  if (limits.logWindowBytes < limits.laneWindowBytes) {
    refuse("logWindowBytes", `${limits.logWindowBytes} is below laneWindowBytes ${limits.laneWindowBytes}`);
  }
  if (limits.sessionQueuedBytesMax < limits.laneQueuedBytesMax) {
    refuse(
      "sessionQueuedBytesMax",
      `${limits.sessionQueuedBytesMax} is below laneQueuedBytesMax ${limits.laneQueuedBytesMax}`,
    );
  }
  if (limits.serverQueuedBytesMax < limits.sessionQueuedBytesMax) {
    refuse(
      "serverQueuedBytesMax",
      `${limits.serverQueuedBytesMax} is below sessionQueuedBytesMax ${limits.sessionQueuedBytesMax}`,
    );
  }
  if (limits.idleTimeoutMs <= 2 * limits.heartbeatMs) {
    refuse("idleTimeoutMs", `${limits.idleTimeoutMs} leaves no room for two heartbeats of ${limits.heartbeatMs} ms`);
  }
  if (limits.electionMsMax < limits.electionMsMin) {
    refuse("electionMsMax", `${limits.electionMsMax} is below electionMsMin ${limits.electionMsMin}`);
  }
  if (limits.electionMsMin < 2 * limits.peerHeartbeatMs) {
    const { peerHeartbeatMs } = limits;
    refuse("electionMsMin", `${limits.electionMsMin} leaves no room for two heartbeats of ${peerHeartbeatMs} ms`);
  }
});
export type LimitsConfig = z.infer<typeof limitsConfig>;

/** Names are compared as URLs have them: small letters, no brackets, no port. */
const hostName = z.string().toLowerCase().regex(
  /^([a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+)$/,
  "allowed is a host name or an address, without scheme, port or brackets",
);

const origin = z.string().refine(
  (text) => URL.canParse(text) && new URL(text).origin === text && text !== "null",
  "allowed is an origin as browsers send it, such as https://app.example:8443",
);

/** Where an HTTP API is, as an origin. */
export const httpOrigin = z.string().max(2_000).refine(
  (text) => /^https?:\/\/[^/?#@]+\/?$/.test(text) && URL.canParse(text),
  "allowed is http: or https:, a host and a port if need be, such as https://log.example:4437",
).transform((text) => new URL(text).origin);

export const TRANSPORTS = ["websocket", "webtransport", "quic", "tls", "tcp"] as const;

/** Those that a node has unless told otherwise. */
const DEFAULT_TRANSPORTS: readonly (typeof TRANSPORTS)[number][] = ["websocket", "webtransport"];

const port = z.int().min(0).max(65_535);
const pemFile = z.string().min(1);

/** A node of the cluster and where it is reached. */
export const peer = z.strictObject({
  id: nodeIdText,
  url: z.string().refine(
    (text) => URL.canParse(text) && /^(https?|tls|tcp|quic):$/.test(new URL(text).protocol),
    "allowed is an address that begins with https:, http:, tls:, tcp: or quic:",
  ),
});

export const nodeConfig = z.strictObject({
  host: hostName.default("127.0.0.1").describe("address to listen on"),
  port: port.default(4437).describe("TCP and UDP port; 0 picks a free one"),
  quicPort: port.default(0).describe("UDP port for QUIC; 0 picks a free one"),
  tlsPort: port.default(0).describe("TCP port for sessions over TLS; 0 picks a free one"),
  tcpPort: port.default(0).describe("TCP port for sessions over plain TCP, on loopback only; 0 picks a free one"),
  webtransportHttp2Port: port.optional().describe(
    "TCP port for WebTransport over HTTP/2; 0 picks a free one, as does none, but on Deno, which then does not listen on it",
  ),
  data: z.string().min(1).default("./data").describe("data directory"),
  store: z.enum(["segments", "memory"]).default("segments"),
  nodeId: nodeIdText.optional(),
  transports: z.array(z.enum(TRANSPORTS)).default([...DEFAULT_TRANSPORTS]),
  tlsCert: pemFile.optional().describe("certificate chain (PEM file) for HTTPS, secure WebSocket, TLS and QUIC"),
  tlsKey: pemFile.optional().describe("private key (PEM file) of tlsCert"),
  ca: pemFile.optional().describe("authorities (PEM file) whose client certificates are accepted"),
  clientCertificates: z.enum(["none", "request", "require"]).optional().describe(
    "whether clients must show a certificate of ca; with ca the default is require",
  ),
  origins: z.array(origin).default([]).describe("origins of web pages that may use this node, besides its own"),
  hosts: z.array(hostName).default([]).describe("host names by which this node is reached, besides loopback ones"),
  advertise: httpOrigin.optional().describe("address of the API as clients reach it, which the other nodes name too"),
  allowAnonymous: z.boolean().default(false).describe(
    "listen beyond loopback although anyone may then read and append",
  ),
  cluster: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 . _ -").default("millrace").describe(
    "name of the cluster: nodes of another one are turned away",
  ),
  peers: z.array(peer).max(100).default([]).describe("the nodes of the cluster, this one among them or not"),
  preferLeader: z.boolean().default(false).describe("stand for election before the other nodes do, wherever it votes"),
  limits: limitsConfig.prefault({}),
}).superRefine((config, context) => {
  const refuse = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
  if (config.tlsCert !== undefined && config.tlsKey === undefined) refuse("tlsKey", "tlsCert needs its private key");
  if (config.tlsKey !== undefined && config.tlsCert === undefined) refuse("tlsCert", "tlsKey needs its certificate");
  if (config.ca !== undefined && config.tlsCert === undefined) {
    refuse("ca", "client certificates need TLS: give tlsCert and tlsKey too");
  }
  if ((config.clientCertificates ?? "none") !== "none" && config.ca === undefined) {
    refuse("clientCertificates", "they are checked against ca, which is missing");
  }
  checkPeers(config, refuse);
  if (config.transports.includes("tcp") && !isLoopback(config.host)) {
    refuse("transports", `plain tcp is for loopback only, and host is ${JSON.stringify(config.host)}`);
  }
});

interface PeersConfig {
  readonly nodeId?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly ca?: string | undefined;
  readonly peers: readonly { readonly id: string; readonly url: string }[];
}

/** Schemes of addresses that are reached over TLS. */
const SECURE_SCHEMES = ["https:", "tls:", "quic:"];

/** Why a node with `config` cannot have `peer` as one of its own, if it cannot. */
export function peerFault(
  config: PeersConfig,
  peer: { readonly id: string; readonly url: string },
): string | undefined {
  let fault: string | undefined;
  checkPeers({ ...config, peers: [peer] }, (_path, message) => fault ??= message);
  return fault;
}

function checkPeers(
  { nodeId, tlsCert, ca, peers }: PeersConfig,
  refuse: (path: string, message: string) => void,
): void {
  if (peers.length === 0) return;
  if (nodeId === undefined) refuse("nodeId", "a node with peers needs an id by which they know it");
  const ids = peers.map(({ id }) => id);
  if (new Set(ids).size < ids.length) refuse("peers", `${ids.join(", ")} names a node twice`);
  const others = peers.filter(({ id }) => id !== nodeId);
  const hasCertificates = tlsCert !== undefined && ca !== undefined;
  for (const { id, url } of others) {
    const { protocol, hostname } = new URL(url);
    const isSecure = SECURE_SCHEMES.includes(protocol);
    if (hasCertificates && !isSecure) refuse("peers", `${id}=${url} is not over TLS, and this node has certificates`);
    if (!hasCertificates && isSecure) refuse("peers", `${id}=${url} needs tlsCert, tlsKey and ca`);
    if (!hasCertificates && !isLoopback(hostname.replace(/^\[|\]$/g, ""))) {
      refuse("peers", `${id}=${url} is not of this machine: without certificates every peer must be on loopback`);
    }
  }
}

export type NodeConfig = z.infer<typeof nodeConfig>;
/** The configuration as people write it: everything optional. */
export type NodeConfigInput = z.input<typeof nodeConfig>;

/** Whether `host` can mean this machine only. A name such as `127.evil.example` is anybody's. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** One line per fault: field, what was found, what is allowed. */
export function configFaults(error: z.ZodError, input: unknown): string[] {
  return error.issues.map((issue) => {
    const path = issue.path.map(String);
    let found: unknown = input;
    for (const step of path) found = (found as Record<string, unknown> | undefined)?.[step];
    const text = typeof found === "number" ? String(found) : JSON.stringify(found);
    const shown = found === undefined ? "" : ` (found ${text})`;
    return `${path.join(".") || "configuration"}: ${issue.message}${shown}`;
  });
}

/** A checked configuration. @throws RangeError listing every fault. */
export function parseConfig(input: NodeConfigInput): NodeConfig {
  const parsed = nodeConfig.safeParse(input);
  if (!parsed.success) throw new RangeError(`bad configuration\n  ${configFaults(parsed.error, input).join("\n  ")}`);
  const { ca, clientCertificates = ca === undefined ? "none" : "require" } = parsed.data;
  const config = { ...parsed.data, clientCertificates };
  return requiringCertificates(requireAccessControl(config), input.transports !== undefined);
}

function requireAccessControl(config: NodeConfig): NodeConfig {
  const { host, allowAnonymous, clientCertificates } = config;
  if (isLoopback(host) || allowAnonymous || clientCertificates === "require") return config;
  throw new RangeError(
    `host: ${JSON.stringify(host)} is reachable from other machines, and nothing says who may come in; listen on a ` +
      "loopback address, let only client certificates of a CA in (--tls-cert, --tls-key, --ca), or set allowAnonymous " +
      "(--allow-anonymous) to let anyone read and append",
  );
}

/** Transports that cannot ask a client for its certificate: none of them listens where certificates are required. */
const WITHOUT_CLIENT_CERTIFICATES: readonly string[] = ["webtransport", "tcp"];

function requiringCertificates(config: NodeConfig, areTransportsNamed: boolean): NodeConfig {
  if (config.clientCertificates !== "require") return config;
  const open = config.transports.filter((name) => WITHOUT_CLIENT_CERTIFICATES.includes(name));
  if (open.length > 0 && areTransportsNamed) {
    throw new RangeError(
      `transports: ${open.join(", ")} cannot ask for the client certificates that ca requires; ` +
        "leave them out, or set clientCertificates to request",
    );
  }
  return { ...config, transports: config.transports.filter((name) => !open.includes(name)) };
}
