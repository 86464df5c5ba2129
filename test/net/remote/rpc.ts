// Calls between a test and a remote peer, in both directions, over any connection of binary messages.

import { type Deferred, deferred } from "../../../src/lib/deferred.ts";
import { TransportError, type TransportErrorCode } from "../../../src/net/transport_error.ts";
import { decodeRpcMessage, encodeRpcMessage, type RpcFailure } from "./rpc_message.ts";

const NO_BYTES = new Uint8Array(0);

export interface RpcAnswer {
  readonly result?: unknown;
  readonly bytes?: Uint8Array;
}

/** Does what a call asks for. What it throws is the failure of the call. */
export type RpcHandler = (params: unknown, bytes: Uint8Array<ArrayBuffer>) => Promise<RpcAnswer> | RpcAnswer;

export class Rpc {
  readonly #send: (message: Uint8Array<ArrayBuffer>) => void;
  readonly #handlers = new Map<string, RpcHandler>();
  readonly #waiting = new Map<number, Deferred<RpcAnswer>>();
  #lastId = 0;
  #ended: Error | undefined;
  readonly #gone = deferred<string>();

  constructor(send: (message: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  /** Resolves with the reason when the other side is gone. */
  get gone(): Promise<string> {
    return this.#gone.promise;
  }

  handle(handlers: Readonly<Record<string, RpcHandler>>): void {
    for (const [method, handler] of Object.entries(handlers)) this.#handlers.set(method, handler);
  }

  /** Rejects with what the other side threw, or where it is gone. */
  call(method: string, params: unknown, bytes: Uint8Array = NO_BYTES): Promise<Required<RpcAnswer>> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = ++this.#lastId;
    const answer = deferred<RpcAnswer>();
    this.#waiting.set(id, answer);
    this.#send(encodeRpcMessage({ id, method, params }, bytes));
    return answer.promise as Promise<Required<RpcAnswer>>;
  }

  /** A call without an answer. */
  tell(method: string, params: unknown, bytes: Uint8Array = NO_BYTES): void {
    if (!this.#ended) this.#send(encodeRpcMessage({ id: 0, method, params }, bytes));
  }

  received(message: ArrayBuffer): void {
    const { head, bytes } = decodeRpcMessage(message);
    if (head.method !== undefined) return void this.#perform(head.id, head.method, head.params, bytes);
    const waiting = this.#waiting.get(head.id);
    this.#waiting.delete(head.id);
    if (head.failure) waiting?.reject(errorOf(head.failure));
    else waiting?.resolve({ result: head.result, bytes });
  }

  /** Fails all that waits for an answer. Harmless when repeated. */
  ended(reason: string): void {
    if (this.#ended) return;
    this.#ended = new TransportError("lost", `the remote peer is gone: ${reason}`);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
    this.#waiting.clear();
    this.#gone.resolve(reason);
  }

  async #perform(id: number, method: string, params: unknown, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      const handler = this.#handlers.get(method);
      if (!handler) throw new Error(`a remote peer has no method "${method}"`);
      const answer = await handler(params, bytes);
      this.#answer({ id, result: answer.result }, answer.bytes);
    } catch (error) {
      this.#answer({ id, failure: failureOf(error) });
    }
  }

  #answer(head: { id: number; result?: unknown; failure?: RpcFailure }, bytes: Uint8Array = NO_BYTES): void {
    if (head.id !== 0 && !this.#ended) this.#send(encodeRpcMessage(head, bytes));
  }
}

function failureOf(error: unknown): RpcFailure {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  return error instanceof TransportError ? { name, message, code: error.code } : { name, message };
}

function errorOf({ name, message, code }: RpcFailure): Error {
  if (name === "TransportError") return new TransportError(code as TransportErrorCode, message);
  if (name === "TypeError") return new TypeError(message);
  if (name === "RangeError") return new RangeError(message);
  return Object.assign(new Error(message), { name });
}
