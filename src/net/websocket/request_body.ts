// Bodies of requests, bounded in size and time whatever the runtime does by itself. A body of declared length is cut off by
// every runtime at that length, so the declaration is judged before a byte is read; a chunked one is counted as it streams.

import type { Clock } from "../../core/environment.ts";
import { problemResponse } from "../problem.ts";
import type { HttpLimits } from "./listen_options.ts";

/** A request whose body is within bounds, and what to answer where reading it showed that it was not. */
export interface GuardedRequest {
  readonly request: Request;
  /** Stops the clocks of the body. */
  release(): void;
  /** The answer that takes the place of the handler's, or `undefined` where the body kept to the rules. */
  refusal(): Response | undefined;
}

/** Whether `request` brings a body, seen from its head alone. */
export function hasBody(headers: Headers): boolean {
  return headers.has("transfer-encoding") || (headers.get("content-length") ?? "0") !== "0";
}

/** The 413 for a body declared larger than allowed, or `undefined`. */
export function refuseDeclaredBody(headers: Headers, limits: HttpLimits): Response | undefined {
  const declared = Number(headers.get("content-length") ?? 0);
  return declared > limits.requestBodyBytesMax ? tooLarge(`${declared} bytes are declared`, limits) : undefined;
}

/** `request` with a body that fails as soon as it is too large, stalls, or takes too long altogether. */
export function guardBody(request: Request, options: { limits: HttpLimits; clock: Clock }): GuardedRequest {
  const meter = new BodyMeter(request.body!, options);
  const { method, headers, signal } = request;
  const init = { method, headers, signal, body: meter.readable, duplex: "half" };
  return { request: new Request(request.url, init), release: () => meter.release(), refusal: () => meter.refusal };
}

class BodyMeter {
  readonly readable: ReadableStream<Uint8Array>;
  refusal: Response | undefined;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #limits: HttpLimits;
  readonly #clock: Clock;
  #countBytes = 0;
  #cancelTotal: () => void;
  #cancelStall: (() => void) | undefined;
  #controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor(body: ReadableStream<Uint8Array>, options: { limits: HttpLimits; clock: Clock }) {
    this.#reader = body.getReader();
    this.#limits = options.limits;
    this.#clock = options.clock;
    const { bodyTotalMs } = options.limits;
    this.#cancelTotal = this.#clock.schedule(
      bodyTotalMs,
      () => this.#fail(tooSlow(`not whole within ${bodyTotalMs} ms`)),
    );
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => this.#pull(),
      cancel: (reason) => {
        this.release();
        return this.#reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }

  release(): void {
    this.#cancelTotal();
    this.#cancelStall?.();
  }

  async #pull(): Promise<void> {
    const { bodyStallMs, requestBodyBytesMax } = this.#limits;
    this.#cancelStall = this.#clock.schedule(
      bodyStallMs,
      () => this.#fail(tooSlow(`no byte came for ${bodyStallMs} ms`)),
    );
    const { done, value } = await this.#reader.read();
    this.#cancelStall();
    if (this.refusal) return;
    if (done) {
      this.release();
      return this.#controller.close();
    }
    this.#countBytes += value.byteLength;
    if (this.#countBytes > requestBodyBytesMax) this.#fail(tooLarge(`${this.#countBytes} bytes came`, this.#limits));
    else this.#controller.enqueue(value);
  }

  #fail(refusal: Response): void {
    if (this.refusal) return;
    this.refusal = refusal;
    this.release();
    const error = new Error(`the body of the request is refused with ${refusal.status}`);
    this.#controller.error(error);
    this.#reader.cancel(error).catch(() => {});
  }
}

function tooLarge(what: string, limits: HttpLimits): Response {
  const detail = `the body is too large: ${what}, allowed are ${limits.requestBodyBytesMax}`;
  const headers = { connection: "close" };
  return problemResponse({ status: 413, code: "body-too-large", title: "Body too large", detail, headers });
}

function tooSlow(what: string): Response {
  const detail = `the body came too slowly: ${what}`;
  const headers = { connection: "close" };
  return problemResponse({ status: 408, code: "body-too-slow", title: "Body too slow", detail, headers });
}
