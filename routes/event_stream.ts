// A channel as server-sent events: what is committed, then what comes, until the client or the channel goes away.

import type { Seq } from "../src/core/position.ts";
import { utf8 } from "../src/lib/bytes.ts";
import type { Channel } from "../src/server/channel.ts";
import type { MillraceNode } from "../src/server/node.ts";
import { type ReadAnswer, readEntries } from "../src/server/read.ts";
import { toEvents } from "./entry_formats.ts";

/** A comment is sent when nothing else was for this long, so that proxies keep the connection. */
const PING_INTERVAL_MS = 15_000;
const RETRY_MS = 1_000;
/** Entries are turned into text in steps of this size, so that a slow reader costs no more memory than one of them. */
const STEP_BYTES_MAX = 256 << 10;

export interface EventStreamOptions {
  readonly node: MillraceNode;
  /** The first entry. */
  readonly from: Seq;
  /** Entries after which the stream ends; without it, it never ends by itself. */
  readonly limit: number | undefined;
  readonly allTypes: boolean;
  readonly signal: AbortSignal;
}

/**
 * A response whose body follows the channel. Entries are read as the client takes them.
 * @throws as readEntries where nothing can be read at `from`: the client is told by a problem document, not by an empty stream.
 */
export async function eventStream(
  channel: Channel,
  { node, from, limit, allTypes, signal }: EventStreamOptions,
): Promise<Response> {
  const left = new AbortController();
  const until = AbortSignal.any([signal, left.signal]);
  let remaining = limit ?? Infinity;
  let nextSeq = from;
  const read = () => readEntries(channel, { from: nextSeq, limit: remaining, bytesMax: STEP_BYTES_MAX, allTypes });
  let answer: ReadAnswer | undefined = await read();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(utf8(`retry: ${RETRY_MS}\n\n`));
    },
    async pull(controller) {
      try {
        for (;;) {
          const { parts, count, nextSeq: next } = answer ?? await read();
          answer = undefined;
          nextSeq = next;
          remaining -= count;
          if (count > 0) controller.enqueue(utf8(toEvents(parts, allTypes)));
          if (remaining === 0) return controller.close();
          if (count > 0) return;
          if (!await reachedOrPing(channel, nextSeq)) return controller.enqueue(utf8(": ping\n\n"));
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
      await channel.readable(seq, AbortSignal.any([until, idle.signal]));
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
