// What the nodes say to each other. Values are checked when they leave and when they come in.

import { z } from "zod";
import { Command, jsonCodec } from "../../src/mod.ts";

/** Told to others; there is no answer. */
export const notice = new Command("example/notice", {
  value: jsonCodec(z.object({ text: z.string().min(1).max(1_000) })),
});

/** Answered with the sum. */
export const sum = new Command("example/sum", {
  value: jsonCodec(z.array(z.number()).max(1_000)),
  reply: jsonCodec(z.number()),
});
