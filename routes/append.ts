import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Crc32 } from "../src/core/environment.ts";
import { ackLevel, appendAnswer } from "../src/schema/api.ts";
import { channelName } from "../src/schema/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { checkAppend, frameUnplaced } from "../src/wire/stamp_run.ts";
import { mediaType, readBody } from "./body.ts";
import { FRAMES_TYPE, framesOfLines, NDJSON_TYPE, OCTETS_TYPE } from "./entry_formats.ts";
import { Fault, validationHook } from "./problem.ts";
import { refused } from "./responses.ts";

const binary = z.string().openapi({ format: "binary" });
const PRODUCER_HEADERS = ["producer-id", "producer-epoch", "producer-seq"];

const flag = z.enum(["true", "false"]);

const request = {
  params: z.object({ name: channelName }),
  query: z.object({
    ack: ackLevel.default("quorum"),
    sync: flag.default("true").describe("false: copies count before they are on disk, where the channel allows that"),
    forward: flag.default("false").describe("true: a node that does not lead passes the append on to the leader"),
  }),
  headers: z.object({
    "if-match": z.string().optional().openapi({ description: 'the expected next seq, as "<seq>"' }),
  }),
};
/** What a request says besides its body, checked at one go. */
const head = z.object({ ...request.params.shape, ...request.query.shape });

const append = createRoute({
  method: "post",
  path: "/v1/channels/{name}/entries",
  summary: "Append entries",
  description:
    "One entry (octet-stream), one per line (x-ndjson), or many frames. The answer says what durability was achieved.",
  request: {
    ...request,
    body: {
      content: {
        [OCTETS_TYPE]: { schema: binary },
        [NDJSON_TYPE]: { schema: binary },
        [FRAMES_TYPE]: { schema: binary },
      },
    },
  },
  responses: {
    200: { description: "appended", content: { "application/json": { schema: appendAnswer } } },
    403: refused,
    404: refused,
    409: refused,
    412: refused,
    413: refused,
    415: refused,
    421: {
      ...refused,
      description: "a problem document: another node leads; the header Millrace-Leader says where it is",
    },
    422: refused,
    429: refused,
    501: refused,
    503: refused,
    504: refused,
    507: refused,
  },
});

/** Appending entries in each of the three forms. */
export function appendRoutes(node: MillraceNode): OpenAPIHono {
  const app = new OpenAPIHono();
  // Described here and checked below: with the validators of `openapi` an append of one entry took Bun 92 us instead of 62.
  app.openAPIRegistry.registerPath(append);
  app.post(append.getRoutingPath(), async (context) => {
    const query = (name: string) => {
      const asked = context.req.queries(name) ?? [];
      return asked.length > 1 ? asked : asked[0];
    };
    const [ack, sync, forward] = [query("ack"), query("sync"), query("forward")];
    const checked = head.safeParse({ name: context.req.param("name"), ack, sync, forward });
    if (!checked.success) return validationHook(checked, context);
    const { name } = checked.data;
    const channel = node.channels.appendable(name, { isForwarded: checked.data.forward === "true" });
    const { raw } = context.req;
    const type = mediaType(raw);
    if (![OCTETS_TYPE, NDJSON_TYPE, FRAMES_TYPE].includes(type)) {
      const allowed = `${OCTETS_TYPE}, ${NDJSON_TYPE}, ${FRAMES_TYPE}`;
      throw new Fault("unsupported-media-type", `content type is ${JSON.stringify(type)}, allowed are ${allowed}`);
    }
    for (const header of PRODUCER_HEADERS) {
      if (raw.headers.has(header)) {
        throw new Fault(
          "not-supported",
          `${header}: this version does not remember producers, so it cannot promise exactly once`,
        );
      }
    }
    const expectNextSeq = expectedSeq(context.req.header("if-match"));
    const body = await readBody(raw, node.config.limits.requestBodyBytesMax);
    const frames = toFrames(body, {
      type,
      entryBytesMax: channel.config.limits.entryBytesMax,
      crc32: node.environment.crc32,
    });
    const isSynced = checked.data.sync === "true";
    return context.json(await channel.append({ frames, ack: checked.data.ack, isSynced, expectNextSeq }), 200);
  });
  return app;
}

function toFrames(
  body: Uint8Array,
  { type, entryBytesMax, crc32 }: { type: string; entryBytesMax: number; crc32: Crc32 },
): Uint8Array {
  if (type === OCTETS_TYPE) {
    if (body.byteLength > entryBytesMax) {
      throw new Fault("entry-too-large", `the entry has ${body.byteLength} bytes, allowed are ${entryBytesMax}`);
    }
    return frameUnplaced([body]);
  }
  const frames = type === NDJSON_TYPE ? framesOfLines(body, entryBytesMax) : body;
  if (type === FRAMES_TYPE) checkAppend(frames, entryBytesMax, crc32);
  if (frames.byteLength === 0) throw new Fault("empty-append", "the body has no entry");
  return frames;
}

function expectedSeq(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined) return undefined;
  const seq = /^"(\d{1,16})"$/.exec(ifMatch)?.[1];
  if (seq === undefined) {
    throw new Fault("bad-request", `If-Match is ${JSON.stringify(ifMatch)}, allowed is "<seq>" in quotes`);
  }
  return Number(seq);
}
