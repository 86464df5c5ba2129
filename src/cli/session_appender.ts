// Appends over a session, which is made anew where it is lost, to whoever leads by then.

import { ulid } from "ulid";
import type { AckLevel } from "../core/ack_level.ts";
import { messageOf } from "../lib/message_of.ts";
import { Connector } from "../net/connect/connect.ts";
import type { NetworkTransport } from "../net/connect/dialer.ts";
import { programConnecting } from "../net/connect/program_dialers.node.ts";
import { SESSION_LIMITS } from "../net/session.ts";
import { TransportError } from "../net/transport_error.ts";
import { environment } from "../server/environment.node.ts";
import { AppendError } from "../stream/append_error.ts";
import { Upstream } from "../stream/upstream.ts";
import { APPEND_FRAMES_BYTES_MAX } from "../wire/append_messages.ts";
import { FRAME_HEADER_BYTES } from "../wire/frame.ts";
import { encodeAppend } from "../wire/stamp_run.ts";
import { type Appender, type AppendOptions, type Placed, RunProducer } from "./appender.ts";
import { clientIdentity } from "./client_identity.node.ts";
import { NodeAddresses } from "./node_addresses.ts";
import { ProblemError, UnreachableError } from "./node_error.ts";
import { Persistence } from "./persistence.ts";

export interface SessionAppenderOptions extends AppendOptions {
  readonly transport: NetworkTransport;
}

export class SessionAppender implements Appender {
  readonly #channel: string;
  readonly #ack: AckLevel;
  readonly #token: string;
  readonly #transport: NetworkTransport;
  readonly #connecting: ReturnType<typeof programConnecting>;
  readonly #addresses: NodeAddresses;
  readonly #persistence: Persistence;
  readonly #producer = new RunProducer();
  #session: { readonly address: string; readonly upstream: Upstream } | undefined;

  /** @throws UsageError where the files of `options` cannot be used. */
  constructor(channel: string, options: SessionAppenderOptions) {
    this.#channel = channel;
    this.#ack = options.ack;
    this.#token = options.token ?? "";
    this.#transport = options.transport;
    this.#connecting = programConnecting(environment, clientIdentity(options));
    this.#addresses = new NodeAddresses(options.url, { hasToken: options.token !== undefined });
    this.#persistence = new Persistence(this.#addresses);
  }

  async append(lines: readonly Uint8Array[]): Promise<Placed> {
    let firstSeq: number | undefined;
    let lastSeq = 0;
    for (const part of partsOf(lines)) {
      const placed = await this.#persistence.run({ isRepeatable: true }, () => this.#append(part));
      this.#producer.done();
      firstSeq ??= placed.firstSeq;
      ({ lastSeq } = placed);
    }
    return { firstSeq: firstSeq ?? 0, lastSeq };
  }

  async close(): Promise<void> {
    await this.#session?.upstream.close();
  }

  async #append(lines: readonly Uint8Array[]): Promise<Placed> {
    const upstream = await this.#upstream();
    try {
      return await upstream.append({
        channel: this.#channel,
        ack: this.#ack,
        isSynced: true,
        expectNextSeq: 0,
        producer: this.#producer.triple,
        frames: encodeAppend(lines, environment.crc32),
      });
    } catch (error) {
      if (!(error instanceof AppendError)) throw error;
      if (error.problem) throw new ProblemError(Number(error.problem["status"]), error.problem);
      throw new UnreachableError(`${this.#addresses.current} went away: ${error.message}`, error);
    }
  }

  /** The session with the node that is to be asked now. */
  async #upstream(): Promise<Upstream> {
    const address = this.#addresses.current;
    if (this.#session?.address === address) return this.#session.upstream;
    await this.#session?.upstream.close();
    this.#session = undefined;
    const upstream = await this.#open(address);
    const session = { address, upstream };
    this.#session = session;
    this.#persistence.reached();
    void upstream.closed.then(() => {
      if (this.#session === session) this.#session = undefined;
    });
    return upstream;
  }

  async #open(address: string): Promise<Upstream> {
    const connector = new Connector(address, {
      ...this.#connecting,
      transports: [this.#transport],
      limits: SESSION_LIMITS,
    });
    try {
      const { session } = await connector.connect();
      const id = ulid(environment.clock.now(), () => environment.random.next());
      return await Upstream.open(session, {
        hello: { kind: "program", id, agent: "millrace append", token: this.#token },
        environment,
        handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
      });
    } catch (error) {
      if (error instanceof TransportError && error.code === "unsupported") throw error;
      const reason = `${address} is not reached by ${this.#transport}: ${messageOf(error)}`;
      throw new UnreachableError(reason, error, { isUnsent: true });
    }
  }
}

/** `lines` in groups whose frames fit an append each. @throws Error for a line that fits none. */
function* partsOf(lines: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let part: Uint8Array[] = [];
  let bytes = 0;
  for (const line of lines) {
    const frameBytes = FRAME_HEADER_BYTES + line.byteLength;
    if (frameBytes > APPEND_FRAMES_BYTES_MAX) {
      const allowed = `${APPEND_FRAMES_BYTES_MAX - FRAME_HEADER_BYTES} over a session, more over HTTP`;
      throw new Error(`an entry of ${line.byteLength} bytes, allowed are ${allowed}`);
    }
    if (bytes + frameBytes > APPEND_FRAMES_BYTES_MAX) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(line);
    bytes += frameBytes;
  }
  if (part.length > 0) yield part;
}
