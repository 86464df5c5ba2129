// `millrace append CHANNEL [FILE|-]`: each line becomes an entry, byte for byte. One request is under way at a time and
// carries all that was read meanwhile, so thousands of entries are in flight and their order is the file's.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import process from "node:process";
import { SingleBar } from "cli-progress";
import { sleep } from "../core/environment.ts";
import { concatBytes } from "../lib/bytes.ts";
import type { AppendAnswer } from "../server/channel.ts";
import { environment } from "../server/environment.node.ts";
import { encodeAppend } from "../wire/stamp_run.ts";
import { channelPath, type ClientOptions, HttpClient, ProblemError } from "./http_client.ts";
import { print, printJson } from "./terminal.node.ts";

const BATCH_BYTES_MAX = 1 << 20;
const BATCH_ENTRIES_MAX = 10_000;
const TRIES_MAX = 6;
const NEWLINE = 10;

export interface AppendOptions extends ClientOptions {
  readonly ack: string;
}

interface Sum {
  appended: number;
  firstSeq: number | null;
  lastSeq: number | null;
}

export async function append(channel: string, file: string | undefined, options: AppendOptions): Promise<void> {
  const client = new HttpClient(options);
  const path = file === undefined || file === "-" ? undefined : file;
  const totalBytes = path === undefined ? 0 : (await stat(path)).size;
  const bar = makeBar(totalBytes, options);
  const sum: Sum = { appended: 0, firstSeq: null, lastSeq: null };
  let readBytes = 0;
  try {
    const input = path === undefined ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 });
    for await (const lines of batches(input)) {
      const answer = await send(client, { channel, lines, ack: options.ack });
      sum.appended += lines.length;
      sum.firstSeq ??= answer.firstSeq;
      sum.lastSeq = answer.lastSeq;
      for (const line of lines) readBytes += line.byteLength + 1;
      bar?.update(Math.min(readBytes, totalBytes || readBytes), { entries: sum.appended });
    }
  } finally {
    bar?.stop();
    // Also after a failure: what was appended before it is there.
    if (options.json) await printJson(sum);
    else {await print(
        `${sum.appended} appended${sum.lastSeq === null ? "" : `, entries ${sum.firstSeq} to ${sum.lastSeq}`}\n`,
      );}
  }
}

/** Lines of `input` in batches; a last line without a newline counts. The next batch is read while one is being used. */
async function* batches(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  let lines: Uint8Array[] = [];
  let byteLength = 0;
  let rest: Uint8Array[] = [];
  for await (const chunk of input) {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, at)) {
      rest.push(chunk.subarray(at, end));
      const line = concatBytes(rest);
      rest = [];
      lines.push(line);
      byteLength += line.byteLength;
      at = end + 1;
      if (byteLength >= BATCH_BYTES_MAX || lines.length >= BATCH_ENTRIES_MAX) {
        yield lines;
        lines = [];
        byteLength = 0;
      }
    }
    if (at < chunk.byteLength) rest.push(chunk.subarray(at));
  }
  if (rest.length > 0) lines.push(concatBytes(rest));
  if (lines.length > 0) yield lines;
}

async function send(
  client: HttpClient,
  { channel, lines, ack }: { channel: string; lines: readonly Uint8Array[]; ack: string },
): Promise<AppendAnswer> {
  const body = encodeAppend(lines, environment.crc32);
  const headers = { "content-type": "application/vnd.millrace.frames" };
  for (let attempt = 0;; attempt++) {
    try {
      return await client.json(channelPath(channel, `/entries?ack=${ack}`), { method: "POST", headers, body });
    } catch (error) {
      // Only what certainly had no effect is sent again.
      const again = error instanceof ProblemError && error.isRetryable && attempt + 1 < TRIES_MAX;
      if (!again) throw error;
      await sleep(environment.clock, 100 * 2 ** attempt);
    }
  }
}

function makeBar(totalBytes: number, options: ClientOptions): SingleBar | undefined {
  if (!process.stderr.isTTY || options.json) return undefined;
  const format = totalBytes > 0
    ? "{bar} {percentage} % | {entries} entries | {eta} s left"
    : "{entries} entries | {value} bytes | {duration} s";
  const bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true });
  bar.start(totalBytes, 0, { entries: 0 });
  return bar;
}
