// The parts of a route's description that every resource has.

import type { z } from "@hono/zod-openapi";
import { problem } from "../src/schema/api.ts";

/** An answer of JSON. */
export const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

/** An answer that refuses, whatever its status. */
export const refused = {
  description: "a problem document",
  content: { "application/problem+json": { schema: problem } },
};
