// The configuration of a node: one schema for file, environment (`MILLRACE_*`) and flags. Errors name field, value and what is
// allowed; contradictions are refused at start.

import { z } from "zod";

const bytes = (initial: number) => z.int().min(1).max(1 << 30).default(initial);
const ms = (initial: number) => z.int().min(1).max(86_400_000).default(initial);

export const limitsConfig = z.strictObject({
  entryBytesMax: bytes(8 << 20).describe("largest entry of any channel"),
  requestBodyBytesMax: bytes(64 << 20).describe("largest HTTP body"),
  laneSliceBytesMax: z.int().min(1).max(64 << 10).default(64 << 10).describe(
    "largest WebSocket message, less its lane byte",
  ),
  laneWindowBytes: z.int().min(64 << 10).max(1 << 30).default(1 << 20).describe(
    "unread bytes of a lane held by the receiver",
  ),
  laneQueuedBytesMax: bytes(256 << 10).describe("bytes of a lane that wait at the sender"),
  socketQueuedBytesMax: bytes(256 << 10).describe("bytes handed to a socket and not sent"),
  appendQueuedBytesMax: bytes(64 << 20).describe("bytes of a channel that wait to be synced"),
  subscriptionsMax: z.int().min(1).max(1000).default(1000).describe("subscriptions of one session"),
  sessionsMax: z.int().min(1).max(1_000_000).default(20_000).describe("sessions of the node"),
  handshakeGraceMs: ms(10_000),
  idleTimeoutMs: ms(30_000),
  closeGraceMs: ms(2_000),
  heartbeatMs: ms(2_000),
  appendTimeoutMs: ms(10_000),
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
  if (limits.idleTimeoutMs <= 2 * limits.heartbeatMs) {
    refuse("idleTimeoutMs", `${limits.idleTimeoutMs} leaves no room for two heartbeats of ${limits.heartbeatMs} ms`);
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

export const TRANSPORTS = ["websocket", "webtransport"] as const;

export const nodeConfig = z.strictObject({
  host: hostName.default("127.0.0.1").describe("address to listen on"),
  port: z.int().min(0).max(65_535).default(4437).describe("TCP and UDP port; 0 picks a free one"),
  data: z.string().min(1).default("./data").describe("data directory"),
  store: z.enum(["segments", "memory"]).default("segments"),
  nodeId: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 _ -").optional(),
  transports: z.array(z.enum(TRANSPORTS)).default([...TRANSPORTS]),
  origins: z.array(origin).default([]).describe("origins of web pages that may use this node, besides its own"),
  hosts: z.array(hostName).default([]).describe("host names by which this node is reached, besides loopback ones"),
  allowAnonymous: z.boolean().default(false).describe(
    "listen beyond loopback although anyone may then read and append",
  ),
  limits: limitsConfig.prefault({}),
});
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
  const { host, allowAnonymous } = parsed.data;
  if (!isLoopback(host) && !allowAnonymous) {
    throw new RangeError(
      `host: ${JSON.stringify(host)} is reachable from other machines, and this version has no access control; ` +
        "listen on a loopback address, or set allowAnonymous (--allow-anonymous) to let anyone read and append",
    );
  }
  return parsed.data;
}
