// `millrace append CHANNEL [FILE|-]`: each line becomes an entry, byte for byte. One append is under way at a time and
// carries all that was read meanwhile, so thousands of entries are in flight and their order is the file's.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import process from "node:process";
import { SingleBar } from "cli-progress";
import { sleep } from "../core/environment.ts";
import { concatBytes } from "../lib/bytes.ts";
import { environment } from "../server/environment.node.ts";
import type { Appender, AppendOptions } from "./appender.ts";
import { chosenTransport } from "./client_transports.ts";
import { HttpAppender } from "./http_appender.ts";
import type { ClientOptions } from "./http_client.ts";
import { SessionAppender } from "./session_appender.ts";
import { print, printJson } from "./terminal.node.ts";

const BATCH_BYTES_MAX = 1 << 20;
const BATCH_ENTRIES_MAX = 10_000;
/** How long a batch that is not full waits for more input. */
const LINGER_MS = 5;
const NEWLINE = 10;

interface Sum {
  appended: number;
  firstSeq: number | null;
  lastSeq: number | null;
}

export async function append(channel: string, file: string | undefined, options: AppendOptions): Promise<void> {
  const appender = appenderOf(channel, options);
  const path = file === undefined || file === "-" ? undefined : file;
  const totalBytes = path === undefined ? 0 : (await stat(path)).size;
  const bar = makeBar(totalBytes, options);
  const sum: Sum = { appended: 0, firstSeq: null, lastSeq: null };
  let readBytes = 0;
  try {
    const input = path === undefined ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 });
    for await (const lines of batches(input)) {
      const answer = await appender.append(lines);
      sum.appended += lines.length;
      sum.firstSeq ??= answer.firstSeq;
      sum.lastSeq = answer.lastSeq;
      for (const line of lines) readBytes += line.byteLength + 1;
      bar?.update(Math.min(readBytes, totalBytes || readBytes), { entries: sum.appended });
    }
  } finally {
    bar?.stop();
    await appender.close();
    // Also after a failure: what was appended before it is there.
    if (options.json) await printJson(sum);
    else {await print(
        `${sum.appended} appended${sum.lastSeq === null ? "" : `, entries ${sum.firstSeq} to ${sum.lastSeq}`}\n`,
      );}
  }
}

function appenderOf(channel: string, options: AppendOptions): Appender {
  const transport = chosenTransport(options);
  return transport === "http"
    ? new HttpAppender(channel, options)
    : new SessionAppender(channel, { ...options, transport });
}

/**
 * Lines of `input` in batches; a last line without a newline counts. A batch ends when it is full, or when no more input
 * comes for a moment: a line that somebody typed does not wait for the next one.
 */
async function* batches(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  const chunks = input[Symbol.asyncIterator]();
  const read = () => {
    const next = chunks.next();
    // Told when it is awaited, which may be after the batch before it was sent.
    next.catch(() => {});
    return next;
  };
  const splitter = new LineSplitter();
  let next = read();
  for (;;) {
    const { value: chunk, done } = await next;
    if (done) break;
    next = read();
    for (const line of splitter.push(chunk)) if (splitter.keep(line)) yield splitter.takeBatch();
    if (splitter.hasLines && !await comesSoon(next)) yield splitter.takeBatch();
  }
  splitter.end();
  if (splitter.hasLines) yield splitter.takeBatch();
}

/** Whether `next` settles within LINGER_MS. */
function comesSoon(next: Promise<unknown>): Promise<boolean> {
  const came = next.then(() => true, () => true);
  return Promise.race([came, sleep(environment.clock, LINGER_MS).then(() => false)]);
}

/** Cuts chunks into lines and gathers these into batches. */
class LineSplitter {
  #lines: Uint8Array[] = [];
  #byteLength = 0;
  #rest: Uint8Array[] = [];

  get hasLines(): boolean {
    return this.#lines.length > 0;
  }

  /** The lines that `chunk` completes. What it leaves unfinished is kept once all of them are taken. */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, at)) {
      this.#rest.push(chunk.subarray(at, end));
      at = end + 1;
      yield this.#takeRest();
    }
    if (at < chunk.byteLength) this.#rest.push(chunk.subarray(at));
  }

  /** Adds `line` to the batch; true where that is full now. */
  keep(line: Uint8Array): boolean {
    this.#lines.push(line);
    this.#byteLength += line.byteLength;
    return this.#byteLength >= BATCH_BYTES_MAX || this.#lines.length >= BATCH_ENTRIES_MAX;
  }

  takeBatch(): Uint8Array[] {
    const lines = this.#lines;
    this.#lines = [];
    this.#byteLength = 0;
    return lines;
  }

  /** No more input: what is left is the last line. */
  end(): void {
    if (this.#rest.length > 0) this.keep(this.#takeRest());
  }

  #takeRest(): Uint8Array {
    const line = concatBytes(this.#rest);
    this.#rest = [];
    return line;
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
