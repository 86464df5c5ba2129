// Bodies of requests, bounded in size and pace whatever the runtime does by itself. A body of declared length is cut off by
// every runtime at that length, so the declaration is judged before a byte is read; a chunked one is counted as it streams.

import type { Clock } from "../../core/environment.ts";
import { type Deferred, deferred } from "../../lib/deferred.ts";
import { problemResponse } from "../problem.ts";
import type { HttpLimits } from "./listen_options.ts";

/** A body must bring this many bytes for each second that is spent waiting for it. */
export const BODY_BYTES_PER_SECOND_MIN = 1024;

/** A body declared no larger than this is taken whole before its handler runs: a stream around it costs Bun 45 µs more. */
export const WHOLE_BODY_BYTES_MAX = 64 << 10;

export interface BodyGuardOptions {
  readonly limits: HttpLimits;
  readonly clock: Clock;
}

/** Whether a request brings a body, seen from its head alone. */
export function hasBody(headers: Headers): boolean {
  return headers.has("transfer-encoding") || (headers.get("content-length") ?? "0") !== "0";
}

/** The 413 for a body declared larger than allowed, or `undefined`. */
export function refuseDeclaredBody(headers: Headers, limits: HttpLimits): Response | undefined {
  const declared = Number(headers.get("content-length") ?? 0);
  return declared > limits.requestBodyBytesMax ? tooLarge(`${declared} bytes are declared`, limits) : undefined;
}

/** Whether the head declares a body of at most WHOLE_BODY_BYTES_MAX. */
export function hasSmallBody(headers: Headers): boolean {
  return !headers.has("transfer-encoding") && Number(headers.get("content-length")) <= WHOLE_BODY_BYTES_MAX;
}

/** The body of declared length as a whole, or the 408 where it takes longer than at the slowest pace allowed. */
export async function takeWholeBody(
  request: Request,
  { limits, clock }: BodyGuardOptions,
): Promise<ArrayBuffer | Response> {
  const slowestMs = Number(request.headers.get("content-length")) / BODY_BYTES_PER_SECOND_MIN * 1000;
  const late = deferred<Response>();
  const giveUp = () => late.resolve(tooSlow(limits.bodyStallMs));
  const cancel = clock.schedule(Math.max(limits.bodyStallMs, slowestMs), giveUp);
  try {
    return await Promise.race([request.arrayBuffer(), late.promise]);
  } finally {
    cancel();
  }
}

/** A request whose body is within bounds, and what to answer where reading it showed that it was not. */
export class GuardedRequest {
  /** The request for the handler: its body fails as soon as it is too large or too slow. */
  readonly request: Request;
  readonly #options: BodyGuardOptions;
  readonly #source: ReadableStreamDefaultReader<Uint8Array>;
  readonly #drained: Deferred<void> = deferred();
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #totalBytes = 0;
  #windowBytes = 0;
  #windowWaitedMs = 0;
  #isOver = false;
  #refusal: Response | undefined;

  constructor(request: Request, options: BodyGuardOptions) {
    this.#options = options;
    this.#source = request.body!.getReader();
    this.#source.closed.catch(() => {});
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason) => this.#source.cancel(reason),
    }, { highWaterMark: 0 });
    const { method, headers, signal } = request;
    this.request = new Request(request.url, { method, headers, signal, body, duplex: "half" } as RequestInit);
  }

  /** What came of the body so far. */
  get receivedBytes(): number {
    return this.#totalBytes;
  }

  /** The answer that takes the place of the handler's, or `undefined` where the body kept to the rules. */
  async refusal(): Promise<Response | undefined> {
    if (this.#refusal) await this.#drained.promise;
    return this.#refusal;
  }

  async #pull(): Promise<void> {
    const next = await this.#read();
    if (this.#isOver) return;
    if (next.done) {
      this.#isOver = true;
      return this.#controller.close();
    }
    if (this.#totalBytes <= this.#options.limits.requestBodyBytesMax) return this.#controller.enqueue(next.value);
    this.#refuse(tooLarge(`${this.#totalBytes} bytes came`, this.#options.limits));
    await this.#drain();
  }

  /** One chunk, with the time spent waiting for it counted: a window of `bodyStallMs` must bring its share of bytes. */
  async #read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
    const { limits, clock } = this.#options;
    const startedMs = clock.monotonic();
    const cancel = clock.schedule(Math.max(0, limits.bodyStallMs - this.#windowWaitedMs), () => this.#windowEnded());
    const next = await this.#source.read().finally(cancel);
    this.#windowWaitedMs += clock.monotonic() - startedMs;
    const size = next.value?.byteLength ?? 0;
    this.#totalBytes += size;
    this.#windowBytes += size;
    if (this.#windowWaitedMs >= limits.bodyStallMs) this.#windowEnded();
    return next;
  }

  #windowEnded(): void {
    const { bodyStallMs } = this.#options.limits;
    const isTooSlow = this.#windowBytes < bodyBytesMin(bodyStallMs);
    this.#windowWaitedMs = 0;
    this.#windowBytes = 0;
    if (!isTooSlow || this.#isOver) return;
    this.#refuse(tooSlow(bodyStallMs));
    this.#finish();
  }

  /** Reads on for a while: a client that is still sending would meet a reset instead of our answer. */
  async #drain(): Promise<void> {
    const { requestBodyBytesMax } = this.#options.limits;
    try {
      while (this.#totalBytes <= 2 * requestBodyBytesMax && !(await this.#read()).done);
    } catch {
      // The client has given up.
    }
    this.#finish();
  }

  #refuse(refusal: Response): void {
    this.#isOver = true;
    this.#refusal = refusal;
    this.#controller.error(new Error(`the body of the request is refused with ${refusal.status}`));
  }

  #finish(): void {
    this.#source.cancel().catch(() => {});
    this.#drained.resolve();
  }
}

/** Fewest bytes of a body that must come in `waitedMs` of waiting. */
export function bodyBytesMin(waitedMs: number): number {
  return waitedMs / 1000 * BODY_BYTES_PER_SECOND_MIN;
}

function tooLarge(what: string, limits: HttpLimits): Response {
  const detail = `the body is too large: ${what}, allowed are ${limits.requestBodyBytesMax}`;
  const headers = { connection: "close" };
  return problemResponse({ status: 413, code: "body-too-large", title: "Body too large", detail, headers });
}

/** The 408 for a body that brought too little within `bodyStallMs`. */
export function tooSlow(bodyStallMs: number): Response {
  const detail = `the body came too slowly: less than ${BODY_BYTES_PER_SECOND_MIN} bytes/s for ${bodyStallMs} ms`;
  const headers = { connection: "close" };
  return problemResponse({ status: 408, code: "body-too-slow", title: "Body too slow", detail, headers });
}
