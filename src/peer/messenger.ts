// Lane 4 of a session between nodes: messages, requests and their answers (PROTOCOL.md, section 8.5). Holds: a handler that
// fails ends nothing; what comes waits for the handlers, not in memory; every request is settled, by the session's end at last.

import type { Environment } from "../core/environment.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { messageOf } from "../lib/message_of.ts";
import { Lane, type Session } from "../net/session.ts";
import { TransportError } from "../net/transport_error.ts";
import { MessageDecoder } from "../wire/message_decoder.ts";
import { encodeMessage } from "../wire/messages.ts";
import { PEER_PAYLOAD_BYTES_MAX, type PeerMessage } from "../wire/peer_messages.ts";
import type { OutgoingMessage } from "./command.ts";
import type { Handlers, Handling } from "./handlers.ts";
import { PeerError } from "./peer_error.ts";

/** Handlers of messages that may be at work for one peer; a message that comes then waits, and all behind it on its side. */
const HANDLERS_MAX = 64;
/**
 * Handlers of requests that may be at work for one peer; one that comes then is answered `busy`. It must not wait: where both
 * sides did, each would wait for the other to read its answers.
 */
const REQUEST_HANDLERS_MAX = 64;
/** Messages of this node that may wait for room on the lane, and their bytes; more are refused as `busy`. */
const WAITING_WRITES_MAX = 1024;
const WAITING_BYTES_MAX = 16 << 20;
/** Requests of this node that may be unanswered. */
const REQUESTS_MAX = 4096;

export interface MessengerOptions {
  readonly session: Session;
  readonly environment: Environment;
  /** Id of this node and of the peer. */
  readonly ownId: string;
  readonly peerId: string;
  readonly handlers: Handlers;
  /** Told of handlers that fail. */
  readonly onError: (error: unknown) => void;
  /** Told what makes the lane useless: bytes that are no messages. */
  readonly onBroken: (error: unknown) => void;
}

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

type Outgoing = Omit<PeerMessage, "type" | "target">;

export class Messenger {
  readonly #options: MessengerOptions;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #requests = new Map<number, Deferred<PeerMessage>>();
  readonly #ending = new AbortController();
  #lastRequestId = 0;
  #waitingWrites = 0;
  #waitingBytes = 0;
  #waitingFailures = 0;
  #working = 0;
  #workingRequests = 0;
  #room: Deferred<void> | undefined;

  constructor(options: MessengerOptions) {
    this.#options = options;
    const { readable, writable } = options.session.lane(Lane.message);
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
    const decoder = new MessageDecoder("message", ["peerMessage"]);
    const sink = new WritableStream<Uint8Array>({
      write: async (bytes) => {
        for (const message of decoder.push(bytes)) await this.#take(message as PeerMessage);
      },
    });
    readable.pipeTo(sink).catch((error) => {
      if (!(error instanceof TransportError)) options.onBroken(error);
    });
    void options.session.closed.then(() => this.#stop());
  }

  /** Resolves once the message is within the lane's bound. PeerError `lost` without a session, `busy` beyond the bound. */
  send({ command, payload }: OutgoingMessage): Promise<void> {
    return this.#say({ kind: "send", requestId: 0, command: command.id, payload });
  }

  /** The peer's answer. PeerError with the peer's code where it fails, `timeout` after `timeoutMs`, the signal's reason on abort. */
  async request<Reply>(
    { command, payload }: OutgoingMessage<Reply>,
    { timeoutMs, signal }: RequestOptions,
  ): Promise<Reply> {
    if (!command.reply) throw new TypeError(`command ${command.id} has no reply: send it`);
    signal?.throwIfAborted();
    if (this.#requests.size >= REQUESTS_MAX) throw new PeerError("busy", `${REQUESTS_MAX} requests wait for an answer`);
    const requestId = ++this.#lastRequestId;
    const answer = deferred<PeerMessage>();
    answer.promise.catch(() => {});
    this.#requests.set(requestId, answer);
    const { clock } = this.#options.environment;
    const late = new PeerError("timeout", `${this.#options.peerId} did not answer ${command.id} in ${timeoutMs} ms`);
    const cancel = clock.schedule(timeoutMs, () => answer.reject(late));
    const abandon = () => answer.reject(signal!.reason);
    signal?.addEventListener("abort", abandon, { once: true });
    try {
      await Promise.race([this.#say({ kind: "request", requestId, command: command.id, payload }), answer.promise]);
      return command.reply.decode(resultOf(await answer.promise));
    } finally {
      cancel();
      signal?.removeEventListener("abort", abandon);
      this.#requests.delete(requestId);
    }
  }

  #stop(): void {
    const error = new PeerError("lost", `the session with ${this.#options.peerId} is over`);
    this.#ending.abort(error);
    for (const answer of this.#requests.values()) answer.reject(error);
    this.#room?.resolve();
  }

  /** Sends what this node has to say, where there is room. */
  async #say(message: Outgoing): Promise<void> {
    const { byteLength } = message.payload;
    if (byteLength > PEER_PAYLOAD_BYTES_MAX) throw tooLong(byteLength);
    if (this.#waitingWrites >= WAITING_WRITES_MAX || this.#waitingBytes >= WAITING_BYTES_MAX) {
      const waiting = `${this.#waitingWrites} messages of ${this.#waitingBytes} bytes`;
      throw new PeerError("busy", `${waiting} to ${this.#options.peerId} wait already`);
    }
    this.#waitingWrites++;
    this.#waitingBytes += byteLength;
    try {
      await this.#write(message);
    } finally {
      this.#waitingWrites--;
      this.#waitingBytes -= byteLength;
    }
  }

  async #write(message: Outgoing): Promise<void> {
    if (this.#ending.signal.aborted) throw this.#ending.signal.reason;
    try {
      await this.#writer.write(encodeMessage({ type: "peerMessage", target: this.#options.peerId, ...message }));
    } catch (cause) {
      throw new PeerError("lost", `the session with ${this.#options.peerId} is over`, { cause });
    }
  }

  /** Takes a message in; one that has to wait for a handler holds up the lane, and is dropped with its session. */
  async #take(message: PeerMessage): Promise<void> {
    const { handlers: { counts }, ownId } = this.#options;
    if (message.kind === "reply" || message.kind === "failure") return this.#answered(message);
    if (message.target !== ownId) {
      counts.wrongTarget++;
      return this.#fail(message, "wrong-target", `this is ${ownId}`);
    }
    const handling = this.#options.handlers.find(message.command);
    if (!handling) {
      counts.unknownCommand++;
      return this.#fail(message, "unknown-command", `there is no command ${message.command}`);
    }
    if (message.kind === "request") return this.#takeRequest(message, handling);
    while (this.#working >= HANDLERS_MAX) {
      if (this.#ending.signal.aborted) return;
      this.#room ??= deferred<void>();
      await this.#room.promise;
    }
    this.#working++;
    void this.#handle(message, handling).finally(() => {
      this.#working--;
      this.#room?.resolve();
      this.#room = undefined;
    });
  }

  #takeRequest(message: PeerMessage, handling: Handling): void {
    const { handlers: { counts }, ownId } = this.#options;
    if (!handling.command.reply) {
      counts.unknownCommand++;
      return this.#fail(message, "unknown-command", `${message.command} is not a request`);
    }
    if (this.#workingRequests >= REQUEST_HANDLERS_MAX) {
      counts.busy++;
      return this.#fail(message, "busy", `${ownId} works on ${REQUEST_HANDLERS_MAX} requests of yours`);
    }
    this.#workingRequests++;
    void this.#handle(message, handling).finally(() => this.#workingRequests--);
  }

  #answered(message: PeerMessage): void {
    const answer = this.#requests.get(message.requestId);
    if (answer) answer.resolve(message);
    else this.#options.handlers.counts.unknownRequest++;
  }

  async #handle(message: PeerMessage, { command, handler }: Handling): Promise<void> {
    const { handlers: { counts }, peerId, onError } = this.#options;
    let value: unknown;
    try {
      value = command.codec.decode(message.payload);
    } catch (error) {
      counts.badPayload++;
      return this.#fail(message, "bad-payload", messageOf(error));
    }
    try {
      const reply = await handler(value, { from: peerId, signal: this.#ending.signal });
      if (message.kind === "request") await this.#reply(message, command.reply!.encode(reply));
      counts.handled++;
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      counts.handlerFailed++;
      onError(error);
      this.#fail(message, "handler-failed", messageOf(error));
    }
  }

  /** There are no more of them than handlers of requests. */
  async #reply({ requestId, command }: PeerMessage, payload: Uint8Array): Promise<void> {
    if (payload.byteLength > PEER_PAYLOAD_BYTES_MAX) throw tooLong(payload.byteLength);
    await this.#write({ kind: "reply", requestId, command, payload });
  }

  /** A peer that reads no answers has no more of them kept for it than it may have requests. */
  #fail({ kind, requestId }: PeerMessage, code: string, detail: string): void {
    if (kind !== "request" || this.#waitingFailures >= REQUESTS_MAX) return;
    const payload = new TextEncoder().encode(detail.slice(0, 500));
    this.#waitingFailures++;
    const written = this.#write({ kind: "failure", requestId, command: code, payload });
    written.catch(() => {}).finally(() => this.#waitingFailures--);
  }
}

/** The payload of a reply. @throws PeerError for a failure. */
function resultOf({ kind, command, payload }: PeerMessage): Uint8Array {
  if (kind === "reply") return payload;
  throw new PeerError(command, `the peer says: ${new TextDecoder().decode(payload)}`);
}

function tooLong(byteLength: number): RangeError {
  return new RangeError(`a message of ${byteLength} bytes, allowed are ${PEER_PAYLOAD_BYTES_MAX}`);
}
