// Shapes of channels, in the control API and in the catalogue.

import { z } from "zod";
import { channelNameFault } from "../core/channel_name.ts";

/** Name of a channel; the message says what is wrong with it. */
export const channelName = z.string().superRefine((name, context) => {
  const fault = channelNameFault(name);
  if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
});

export const ENTRY_BYTES_MAX_DEFAULT = 8 << 20;

const entryBytesMax = z.int().min(1).max(1 << 30).describe("largest payload, in bytes");

/** Id of a node. */
export const nodeIdText = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 _ -");

/** Voters of one channel at most. */
export const VOTERS_MAX = 9;

/** Nodes, each named once. */
const nodeIds = z.array(nodeIdText).min(1).max(VOTERS_MAX).refine(
  (ids) => new Set(ids).size === ids.length,
  "allowed is each node once",
);

/** Voters as they are asked for: by id, or how many. */
export const votersRequest = z.union([nodeIds, z.int().min(1).max(VOTERS_MAX)], {
  error: `allowed are ids of nodes, each once, or a number from 1 to ${VOTERS_MAX}`,
});
export type VotersRequest = z.infer<typeof votersRequest>;

const allowUnsynced = z.boolean().optional().describe(
  "whether an append may be acknowledged before it is on disk (sync=false); not so unless true",
);

/** What a channel is asked for with. Fields that are left out take the default; unknown ones are refused. */
export const channelRequest = z.strictObject({
  retention: z.literal("all").default("all").describe("which entries are kept; this version keeps all"),
  limits: z.strictObject({ entryBytesMax: entryBytesMax.optional() }).default({}),
  allowUnsynced,
  voters: votersRequest.optional().describe(
    "nodes that vote on the channel, or how many; default: those of the catalogue, where they are five at most",
  ),
});

/** The configuration that `asked` means on a node with that limit. A limit that is not asked for is never above the node's. */
export function configOf(asked: z.infer<typeof channelRequest>, nodeEntryBytesMax: number): ChannelConfig {
  const entryBytesMax = asked.limits.entryBytesMax ?? Math.min(ENTRY_BYTES_MAX_DEFAULT, nodeEntryBytesMax);
  const unsynced = asked.allowUnsynced === true ? { allowUnsynced: true } : {};
  return { retention: asked.retention, limits: { entryBytesMax }, ...unsynced };
}

/** How a channel is configured. */
export const channelConfig = z.strictObject({
  retention: z.literal("all").default("all").describe("which entries are kept; this version keeps all"),
  limits: z.strictObject({
    entryBytesMax: entryBytesMax.default(ENTRY_BYTES_MAX_DEFAULT),
  }).default({ entryBytesMax: ENTRY_BYTES_MAX_DEFAULT }),
  allowUnsynced,
});
export type ChannelConfig = z.infer<typeof channelConfig>;

/** A record of the catalogue: what one of its entries says. */
export const catalogueRecord = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("create"),
    name: z.string(),
    incarnation: z.string(),
    config: channelConfig,
    // Absent in catalogues of a node that was alone: the voter is that node.
    voters: z.array(nodeIdText).min(1).optional(),
    at: z.number(),
  }),
  // Which nodes take part in the channel from now on, voters and observers, whoever of them its own log counts already.
  z.strictObject({
    op: z.literal("place"),
    name: z.string(),
    incarnation: z.string(),
    nodes: z.array(nodeIdText).min(1),
    at: z.number(),
  }),
  z.strictObject({ op: z.literal("delete"), name: z.string(), incarnation: z.string(), at: z.number() }),
]);
export type CatalogueRecord = z.infer<typeof catalogueRecord>;
