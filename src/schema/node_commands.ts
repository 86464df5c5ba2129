// What nodes ask of one another: shapes of the messages between them (peer/command.ts) and of their answers.

import { z } from "zod";
import { ackLevel, appendAnswer } from "./api.ts";
import { channelConfig, nodeIdText, votersRequest } from "./channel.ts";
import { httpOrigin } from "./config.ts";

const seq = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const uint32 = z.int().min(0).max(0xffff_ffff);
const channel = { name: z.string(), incarnation: z.string() };

/** A change of the catalogue, asked of its leader. Asked twice, it happens once. */
export const catalogueRequest = z.discriminatedUnion("op", [
  z.object({ op: z.literal("create"), ...channel, config: channelConfig, voters: votersRequest.optional() }),
  z.object({ op: z.literal("delete"), ...channel }),
  z.object({ op: z.literal("place"), ...channel, add: nodeIdText.optional(), remove: nodeIdText.optional() }),
]);
export type CatalogueRequest = z.infer<typeof catalogueRequest>;

/** Up to where the catalogue must be applied for the change to be seen. */
export const catalogueChanged = z.object({ seq });

/** What the leader of a channel is asked for. */
export const leaderRequest = z.discriminatedUnion("op", [
  z.object({ op: z.literal("transfer"), incarnation: z.string(), to: nodeIdText.optional() }),
  z.object({ op: z.literal("add"), incarnation: z.string(), nodeId: nodeIdText }),
  z.object({ op: z.literal("observe"), incarnation: z.string(), nodeId: nodeIdText }),
  z.object({ op: z.literal("remove"), incarnation: z.string(), nodeId: nodeIdText }),
]);
export type LeaderRequest = z.infer<typeof leaderRequest>;

/** Who belongs to a replica set after what was asked for, and who leads it. */
export const replicaSetNow = z.object({
  leader: z.string().nullable(),
  members: z.object({ voters: z.array(z.string()), observers: z.array(z.string()) }),
});
export type ReplicaSetNow = z.infer<typeof replicaSetNow>;

/** Whether a node leads a channel and has committed something since. */
export const leadingQuestion = z.object({ incarnation: z.string() });
export const leadingAnswer = z.object({ isLeading: z.boolean() });

export const followingQuestion = z.object({ incarnation: z.string(), epoch: z.number() });
export const followingAnswer = z.object({ isFollowing: z.boolean() });

/** Where the API of a node is: as it was told to say, and where it listens. */
export const apiQuestion = z.object({});
export const apiAddress = z.object({ advertised: httpOrigin.nullable(), listens: httpOrigin.nullable() });
export type ApiAddress = z.infer<typeof apiAddress>;

/** Committed entries of a channel, from the one after a place that both nodes have; `offset` bytes of the first are known. */
export const entriesQuestion = z.object({
  incarnation: z.string(),
  after: z.object({ nextSeq: seq, epoch: uint32, timestamp: seq, chain: uint32 }),
  upTo: seq,
  offset: uint32,
});
export type EntriesQuestion = z.infer<typeof entriesQuestion>;

/** What an append that is passed on says besides its frames. */
export const forwardedHead = z.object({
  incarnation: z.string(),
  ack: ackLevel,
  isSynced: z.boolean(),
  expectNextSeq: seq.optional(),
  producer: z.object({ id: z.string(), epoch: seq, seq }).optional(),
});
export type ForwardedHead = z.infer<typeof forwardedHead>;
export const forwardedAnswer = appendAnswer.extend({ isDuplicate: z.boolean().optional() });

/** What came of a request: its value, or why it was refused. */
export const outcome = <Value extends z.ZodType>(value: Value) =>
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("done"), value }),
    z.object({
      kind: z.literal("refused"),
      code: z.string(),
      detail: z.string(),
      details: z.record(z.string(), z.unknown()),
    }),
  ]);
