import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { entryList, READ_LIMIT_DEFAULT, type ReadQuery, readQuery } from "../src/schema/api.ts";
import { channelName } from "../src/schema/channel.ts";
import type { Channel } from "../src/server/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { checkFrom, type ReadAnswer, readEntries, type ReadRequest } from "../src/server/read.ts";
import { entryObjects, FRAMES_TYPE, NDJSON_TYPE, toNdjson } from "./entry_formats.ts";
import { eventStream } from "./event_stream.ts";
import { Fault, validationHook } from "./problem.ts";
import { refused } from "./responses.ts";

const EVENTS_TYPE = "text/event-stream";
const JSON_TYPE = "application/json";

const read = createRoute({
  method: "get",
  path: "/v1/channels/{name}/entries",
  summary: "Read committed entries",
  description:
    "Accept chooses JSON, x-ndjson, frames, or text/event-stream, which follows the tail and resumes by Last-Event-ID.",
  request: { params: z.object({ name: channelName }), query: readQuery },
  responses: {
    200: {
      description: "entries in order; none where the tail is reached",
      content: {
        [JSON_TYPE]: { schema: entryList },
        [NDJSON_TYPE]: { schema: z.string() },
        [FRAMES_TYPE]: { schema: z.string().openapi({ format: "binary" }) },
        [EVENTS_TYPE]: { schema: z.string() },
      },
    },
    404: refused,
    410: refused,
    416: refused,
    422: refused,
    503: refused,
  },
});

/** Reading entries, once or as they come. */
export function readRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validationHook });
  app.openapi(read, async (context) => {
    const channel = node.channels.get(context.req.valid("param").name);
    const query = context.req.valid("query");
    const accept = context.req.header("accept") ?? "*/*";
    const { signal } = context.req.raw;
    await channel.informed(signal);
    const from = await startOf(channel, { query, lastEventId: context.req.header("last-event-id"), signal });
    const { waitMs, limit, maxBytes: bytesMax } = query;
    const allTypes = query.types === "all";
    if (accept.includes(EVENTS_TYPE)) return await eventStream(channel, { node, from, limit, allTypes, signal });
    const request = { from, limit: limit ?? READ_LIMIT_DEFAULT, bytesMax, allTypes };
    const answer = await readOrWait(channel, { node, request, waitMs, signal });
    return respond(answer, { accept, channel, request });
  });
  return app;
}

/** The first entry to read: the one after Last-Event-ID, the one asked for, or the oldest. */
async function startOf(
  channel: Channel,
  { query, lastEventId, signal }: { query: ReadQuery; lastEventId: string | undefined; signal: AbortSignal },
): Promise<number> {
  if (lastEventId !== undefined) {
    if (!/^\d{1,16}$/.test(lastEventId)) {
      throw new Fault("bad-request", `Last-Event-ID is ${JSON.stringify(lastEventId)}, allowed is a seq`);
    }
    return await checkFrom(channel, Number(lastEventId) + 1, signal);
  }
  return await checkFrom(channel, query.from === "tail" ? channel.commit.value + 1 : query.from ?? 0, signal);
}

interface WaitOptions {
  readonly node: MillraceNode;
  readonly request: ReadRequest;
  readonly waitMs: number;
  readonly signal: AbortSignal;
}

/** Reads; at the tail, waits for something to read until `waitMs` are over or the client goes away. */
async function readOrWait(channel: Channel, { node, request, waitMs, signal }: WaitOptions): Promise<ReadAnswer> {
  let answer = await readEntries(channel, request);
  if (answer.count > 0 || waitMs === 0) return answer;
  const over = new AbortController();
  const cancel = node.environment.clock.schedule(waitMs, () => over.abort());
  const until = AbortSignal.any([over.signal, signal]);
  try {
    while (answer.count === 0) {
      await channel.readable(answer.nextSeq, until);
      answer = await readEntries(channel, { ...request, from: answer.nextSeq });
    }
  } catch (error) {
    if (!until.aborted) throw error;
  } finally {
    cancel();
  }
  return answer;
}

function respond(
  { parts, nextSeq }: ReadAnswer,
  { accept, channel, request }: { accept: string; channel: Channel; request: ReadRequest },
): Response {
  const commit = channel.commit.value;
  const headers = {
    "millrace-next-seq": String(nextSeq),
    "millrace-commit": String(commit),
    "cache-control": "no-store",
  };
  if (accept.includes(FRAMES_TYPE)) {
    return new Response(framesBody(parts), { headers: { ...headers, "content-type": FRAMES_TYPE } });
  }
  if (accept.includes(NDJSON_TYPE)) {
    return new Response(toNdjson(parts, request.allTypes), { headers: { ...headers, "content-type": NDJSON_TYPE } });
  }
  const entries = [...entryObjects(parts, request.allTypes)];
  return Response.json({ entries, nextSeq, commit }, { headers });
}

/** The frames as they are stored, uncopied. */
function framesBody(parts: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  let index = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const part = parts[index++];
      if (part) controller.enqueue(part);
      else controller.close();
    },
  }, { highWaterMark: 0 });
}
