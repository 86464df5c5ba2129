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

/** What a channel is asked for with. Fields that are left out take the default; unknown ones are refused. */
export const channelRequest = z.strictObject({
  retention: z.literal("all").default("all").describe("which entries are kept; this version keeps all"),
  limits: z.strictObject({ entryBytesMax: entryBytesMax.optional() }).default({}),
});

/** The configuration that `asked` means on a node with that limit. A limit that is not asked for is never above the node's. */
export function configOf(asked: z.infer<typeof channelRequest>, nodeEntryBytesMax: number): ChannelConfig {
  const entryBytesMax = asked.limits.entryBytesMax ?? Math.min(ENTRY_BYTES_MAX_DEFAULT, nodeEntryBytesMax);
  return { retention: asked.retention, limits: { entryBytesMax } };
}

/** How a channel is configured. */
export const channelConfig = z.strictObject({
  retention: z.literal("all").default("all").describe("which entries are kept; this version keeps all"),
  limits: z.strictObject({
    entryBytesMax: entryBytesMax.default(ENTRY_BYTES_MAX_DEFAULT),
  }).default({ entryBytesMax: ENTRY_BYTES_MAX_DEFAULT }),
});
export type ChannelConfig = z.infer<typeof channelConfig>;

/** A record of the catalogue: what one of its entries says. */
export const catalogueRecord = z.discriminatedUnion("op", [
  z.strictObject({
    op: z.literal("create"),
    name: z.string(),
    incarnation: z.string(),
    config: channelConfig,
    at: z.number(),
  }),
  z.strictObject({ op: z.literal("delete"), name: z.string(), incarnation: z.string(), at: z.number() }),
]);
export type CatalogueRecord = z.infer<typeof catalogueRecord>;
