// A channel as server-sent events: what is committed, then what comes, until the client or the channel goes away.

import { utf8 } from "../src/lib/bytes.ts";
import type { Channel } from "../src/server/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { readEntries, type ReadRequest } from "../src/server/read.ts";
import { toEvents } from "./entry_formats.ts";

/** A comment is sent when nothing else was for this long, so that proxies keep the connection. */
const PING_INTERVAL_MS = 15_000;
const RETRY_MS = 1_000;
/** Entries are turned into text in steps of this size, so that a slow reader costs no more memory than one of them. */
const STEP_BYTES_MAX = 256 << 10;

export interface EventStreamOptions {
  readonly node: MillraceNode;
  /** Where to begin. `limit` is the number of entries after which the stream ends. */
  readonly request: ReadRequest;
  readonly signal: AbortSignal;
}

/** A response whose body never ends by itself. Entries are read as the client takes them. */
export function eventStream(channel: Channel, { node, request, signal }: EventStreamOptions): Response {
  const left = new AbortController();
  const until = AbortSignal.any([signal, left.signal]);
  let from = request.from;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(utf8(`retry: ${RETRY_MS}\n\n`));
    },
    async pull(controller) {
      try {
        for (;;) {
          const answer = await readEntries(channel, { ...request, from, bytesMax: STEP_BYTES_MAX });
          from = answer.nextSeq;
          if (answer.count > 0) return controller.enqueue(utf8(toEvents(answer.parts, request.allTypes)));
          if (!await reachedOrPing(channel, from)) return controller.enqueue(utf8(": ping\n\n"));
        }
      } catch {
        // The client, the channel or the node has gone: the client comes back with Last-Event-ID and is told why.
        controller.close();
      }
    },
    cancel() {
      left.abort();
    },
  }, { highWaterMark: 0 });

  async function reachedOrPing(channel: Channel, seq: number): Promise<boolean> {
    const idle = new AbortController();
    const cancel = node.environment.clock.schedule(PING_INTERVAL_MS, () => idle.abort());
    try {
      await channel.commit.reached(seq, AbortSignal.any([until, idle.signal]));
      return true;
    } catch (error) {
      if (idle.signal.aborted && !until.aborted) return false;
      throw error;
    } finally {
      cancel();
    }
  }

  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
}
