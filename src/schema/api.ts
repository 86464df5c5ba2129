// Shapes of the control API's answers and parameters (routes/). Names are those of design and docs.

import { z } from "zod";
import { ACK_LEVELS } from "../core/ack_level.ts";
import { channelConfig, nodeIdText } from "./channel.ts";

const seq = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const ackLevel = z.enum(ACK_LEVELS);

export const appendAnswer = z.object({
  firstSeq: seq,
  lastSeq: seq,
  epoch: z.int(),
  ack: z.object({
    requested: ackLevel,
    achieved: ackLevel,
    copies: z.int().describe("voters that have the entries"),
    synced: z.int().describe("voters that have them on disk (fsync)"),
  }),
});

export const replicaStatus = z.object({
  id: z.string(),
  kind: z.string(),
  agent: z.string(),
  transport: z.string(),
  channel: z.string(),
  state: z.string(),
  sentSeq: seq,
  ackedSeq: seq,
  lagEntries: z.int(),
  lagBytes: z.int(),
  lagMs: z.int(),
});

export const channelStatus = z.object({
  name: z.string(),
  incarnation: z.string(),
  config: channelConfig,
  firstSeq: seq,
  nextSeq: seq,
  commit: seq,
  epoch: z.int(),
  role: z.enum(["idle", "replica", "candidate", "leader"]),
  leader: z.string().nullable().describe("node id"),
  leaderUrl: z.string().nullable().describe("where its API is, as far as this node knows"),
  members: z.object({ voters: z.array(z.string()), observers: z.array(z.string()) }).describe("node ids"),
  doubtful: z.boolean().describe("this node may have lost entries: it neither leads nor votes as others do"),
  bytes: z.int().describe("bytes of the entries that are kept"),
  chain: z.string().describe("chain checksum over all entries below nextSeq, hexadecimal"),
  damage: z.object({ seq, place: z.string(), reason: z.string() }).nullable(),
  fenced: z.string().nullable(),
  replicas: z.array(replicaStatus),
});
export type ChannelStatus = z.infer<typeof channelStatus>;

export const channelList = z.object({
  channels: z.array(channelStatus.omit({ replicas: true, config: true }).extend({ replicaCount: z.int() })),
  hasMore: z.boolean(),
});

export const listQuery = z.object({
  prefix: z.string().max(255).default(""),
  after: z.string().max(255).default("").describe("names after this one, in order"),
  limit: z.coerce.number().int().min(1).max(1000).default(1000),
});

/** `from` of a read: a seq, or `tail` for what comes next. */
const readFrom = z.union([z.literal("tail"), z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)]);

export const READ_LIMIT_DEFAULT = 1000;

export const readQuery = z.object({
  from: readFrom.optional().describe("first entry: a seq, 0 for the oldest kept, or tail; default 0"),
  limit: z.coerce.number().int().min(1).max(100_000).optional().describe(
    `entries at most, default ${READ_LIMIT_DEFAULT}; an event stream ends after so many, or not at all`,
  ),
  maxBytes: z.coerce.number().int().min(1).max(64 << 20).default(4 << 20),
  waitMs: z.coerce.number().int().min(0).max(60_000).default(0).describe("wait this long for an entry at the tail"),
  types: z.enum(["data", "all"]).default("data"),
});
export type ReadQuery = z.infer<typeof readQuery>;

export const entry = z.object({
  seq,
  epoch: z.int(),
  timestamp: z.int().describe("ms since 1970, by the leader"),
  type: z.string().optional().describe("given with types=all"),
  payload: z.string().optional().describe("the payload as text"),
  payloadBase64: z.string().optional().describe("the payload where it is not UTF-8"),
});

export const entryList = z.object({ entries: z.array(entry), nextSeq: seq, commit: seq });

export const transportStatus = z.object({
  name: z.string(),
  available: z.boolean(),
  reason: z.string().describe("why it is there, or what would enable it"),
  url: z.string().nullable().describe("where to connect to"),
  http: z.enum(["h3", "h2"]).optional().describe("what WebTransport is over: browsers need h3"),
  backend: z.string().optional().describe("what carries WebTransport"),
  certificateHashes: z.array(z.string()).optional().describe("SHA-256 of the certificates to be trusted there"),
});
export type TransportStatus = z.infer<typeof transportStatus>;

export const peerStatus = z.object({
  id: z.string(),
  url: z.string().nullable().describe("where this node dials it; null for a peer that only dials us"),
  api: z.string().nullable().describe("where clients reach its API, as far as this node knows"),
  state: z.enum(["connecting", "connected", "failed"]).describe("failed: given up until a configuration changes"),
  transport: z.string().nullable(),
  address: z.string().nullable(),
  dialedBy: z.enum(["us", "them"]).nullable(),
  roundTripMs: z.number().nullable(),
  phi: z.number().nullable().describe(
    "suspicion of its silence: 1 is one wrong guess in ten, 8 one in a hundred million",
  ),
  lanes: z.record(z.string(), z.object({ sentBytes: z.int(), receivedBytes: z.int() })).nullable().describe(
    "what each lane of the session has carried, by its name; null without a session",
  ),
  failure: z.object({ code: z.string(), detail: z.string() }).nullable(),
});
export const peerList = z.object({
  peers: z.array(peerStatus),
  events: z.record(z.string(), z.int()).describe("how often each event has happened since the node started"),
  messages: z.record(z.string(), z.int()).describe("what became of the messages that came in"),
});
export type PeerList = z.infer<typeof peerList>;

/** Whom the leadership of a channel is handed to. */
export const leaderTransfer = z.strictObject({
  nodeId: nodeIdText.optional().describe("a voter; default: the one that has most"),
});

/** A change of who belongs to a replica set: one node at a time. */
export const memberChange = z.strictObject({
  add: nodeIdText.optional().describe("becomes a voter, once it has caught up"),
  observe: nodeIdText.optional().describe("becomes an observer: it is fed, and does not count"),
  remove: nodeIdText.optional().describe("takes part no more, and its copy is removed"),
}).refine((change) => Object.values(change).filter((id) => id !== undefined).length === 1, {
  message: "allowed is one of add, observe and remove",
});

export const drainAnswer = z.object({
  handedOver: z.array(z.string()).describe("channels that this node leads no more"),
  kept: z.array(z.object({ name: z.string(), reason: z.string() })).describe("channels that it leads still"),
});
export type DrainAnswer = z.infer<typeof drainAnswer>;

const moment = z.string().describe("ISO 8601");

export const certificateStatus = z.object({
  name: z.string().describe("whom it names"),
  issuer: z.string(),
  hosts: z.array(z.string()),
  notBefore: moment,
  notAfter: moment,
  daysLeft: z.int(),
  hash: z.string().describe("SHA-256 of the certificate, hexadecimal"),
  warning: z.string().nullable().describe("that it should be renewed: a third of its life is left, or less"),
  authorities: z.array(z.object({ name: z.string(), notAfter: moment, hash: z.string() })).describe(
    "whose certificates are accepted; two while one takes the place of the other",
  ),
});
export type CertificateStatus = z.infer<typeof certificateStatus>;

export const reloadAnswer = z.object({
  isChanged: z.boolean().describe("whether the files are others than those in use before"),
  certificate: certificateStatus,
});
export type ReloadAnswer = z.infer<typeof reloadAnswer>;

export const nodeStatus = z.object({
  nodeId: z.string(),
  version: z.string(),
  runtime: z.string(),
  startedAt: z.string(),
  http: z.string(),
  websocket: z.string().nullable(),
  webtransport: z.string().nullable(),
  transports: z.array(transportStatus),
  certificate: certificateStatus.nullable().describe("what tlsCert says; null without one"),
  certificateHashes: z.array(z.string()).describe(
    "SHA-256 of the WebTransport certificates, now and next, hexadecimal",
  ),
  store: z.object({ kind: z.string(), durable: z.boolean(), durability: z.string() }),
  drops: z.record(z.string(), z.int()).describe("messages of replica sets that changed nothing, by why"),
  limits: z.record(z.string(), z.number()),
});
export type NodeStatus = z.infer<typeof nodeStatus>;

export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  retryable: z.boolean(),
  sideEffects: z.enum(["none", "possible"]),
  requestId: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
}).catchall(z.unknown());
