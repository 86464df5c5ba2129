// `millrace tail CHANNEL`: prints entries, over HTTP or as a replica that verifies what it gets.

import { ulid } from "ulid";
import { backoffMs, RECONNECT_BACKOFF } from "../core/backoff.ts";
import { sleep } from "../core/environment.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { environment } from "../server/environment.node.ts";
import type { LogTail } from "../core/position.ts";
import { type DiscardableLog, MemoryStore } from "../log/memory_store.ts";
import { Connector } from "../net/connect/connect.ts";
import { programConnecting } from "../net/connect/program_dialers.node.ts";
import type { NetworkTransport } from "../net/connect/dialer.ts";
import { SESSION_LIMITS } from "../net/session.ts";
import { Connection } from "../stream/connection.ts";
import { Replica, type ReplicaEvent } from "../stream/replica.ts";
import { replicaSlices } from "../stream/replica_entries.ts";
import { entriesOf, EntryType } from "../wire/frame.ts";
import { chosenTransport, type ClientTransport } from "./client_transports.ts";
import { clientIdentity } from "./client_identity.node.ts";
import { channelPath, type ClientOptions, HttpClient } from "./http_client.ts";
import { goToLeader } from "./leader.ts";
import { ProblemError, UnreachableError } from "./node_error.ts";
import { interruption, note, print } from "./terminal.node.ts";

/** Entries that were received and not yet printed may take this much memory. */
const UNPRINTED_BYTES_MAX = 8 << 20;
const ENTRY_BYTES_MAX = 1 << 30;
const HTTP_READ_BYTES_MAX = 4 << 20;
const HTTP_WAIT_MS = 30_000;
/** A server that has not been reached for so many tries is given up, unless the tail is followed. */
const TRIES_MAX = 5;
/** A node whose log ends before what was read already is asked again so often: then it is another log. */
const BEHIND_TRIES_MAX = 10;
const NEWLINE = utf8("\n");

export interface TailOptions extends ClientOptions {
  readonly from: number;
  readonly limit?: number;
  readonly follow?: boolean;
  /** Default: the one that the address says. */
  readonly transport?: ClientTransport;
}

export async function tail(channel: string, options: TailOptions): Promise<void> {
  const transport = chosenTransport(options);
  const signal = interruption();
  try {
    if (transport === "http") await tailByHttp(channel, options, signal);
    else await tailAsReplica(channel, { ...options, transport }, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function tailByHttp(channel: string, options: TailOptions, signal: AbortSignal): Promise<void> {
  const client = new HttpClient(options);
  const printer = new Printer(options);
  const waitMs = options.follow ? HTTP_WAIT_MS : 0;
  let isReached = false;
  // Whoever asks for what is there wants what was acknowledged a moment ago, too.
  if (!options.follow && !await goToLeader(client, channel, signal)) {
    note("nobody leads the channel: there may be more than this node knows of");
  }
  for (let from = options.from; !printer.isDone;) {
    const query = `?from=${from}&limit=100000&maxBytes=${HTTP_READ_BYTES_MAX}&waitMs=${waitMs}`;
    const headers = { accept: "application/vnd.millrace.frames" };
    const ask = () => client.request(channelPath(channel, `/entries${query}`), { headers, signal, waitMs });
    const response = isReached && options.follow ? await askUntilAnswered(ask, signal) : await ask();
    isReached = true;
    const bytes = await response.arrayBuffer().catch(() => undefined);
    // The node went away in the middle of its answer: nothing of it counts.
    if (bytes === undefined && options.follow) continue;
    if (bytes === undefined) {
      throw new UnreachableError(`${client.address} went away in the middle of an answer`, undefined);
    }
    await printer.print(new Uint8Array(bytes));
    from = Number(response.headers.get("millrace-next-seq"));
    if (!options.follow && from > Number(response.headers.get("millrace-commit"))) return;
  }
}

/** Asks again, with back-off, while the nodes are away or shutting down, or the one that answers has yet to catch up. */
async function askUntilAnswered(ask: () => Promise<Response>, signal: AbortSignal): Promise<Response> {
  const { clock, random } = environment;
  for (let attempt = 0;; attempt++) {
    try {
      return await ask();
    } catch (error) {
      const isBehind = error instanceof ProblemError && (error.code === "past-tail" || error.code === "behind");
      const isAway = error instanceof UnreachableError || (error instanceof ProblemError && error.isRetryable);
      if (isBehind ? attempt >= BEHIND_TRIES_MAX : !isAway) throw error;
      await sleep(clock, backoffMs(RECONNECT_BACKOFF, attempt, random.next()), signal);
    }
  }
}

async function tailAsReplica(
  channel: string,
  options: TailOptions & { readonly transport: NetworkTransport },
  interrupted: AbortSignal,
): Promise<void> {
  const { url, token = "", from, follow = false } = options;
  const connector = new Connector(url, {
    ...programConnecting(environment, clientIdentity(options)),
    transports: [options.transport],
    limits: SESSION_LIMITS,
  });
  const ended = new AbortController();
  const signal = AbortSignal.any([interrupted, ended.signal]);
  const store = new MemoryStore({ crc32: environment.crc32, bytesMax: UNPRINTED_BYTES_MAX, whenFull: "wait" });
  let commitAtStart: number | undefined;
  const onEvent = (event: ReplicaEvent) => {
    if (event.kind === "streaming") commitAtStart ??= replica.commit;
    if (event.kind === "failed") ended.abort(new Error(`${event.code}: ${event.detail}`));
  };
  let log: DiscardableLog | undefined;
  const openLog = async (incarnation: string, after: LogTail) => log = await store.open(incarnation, { after });
  const replica: Replica = new Replica({
    channel,
    from,
    openLog,
    environment,
    entryBytesMax: ENTRY_BYTES_MAX,
    onEvent,
  });
  const connection = new Connection({
    connect: async (signal) => (await connector.connect(signal)).session,
    hello: {
      kind: "program",
      id: ulid(environment.clock.now(), () => environment.random.next()),
      agent: "millrace tail",
      token,
    },
    environment,
    handshakeGraceMs: SESSION_LIMITS.handshakeGraceMs,
    onState: (state) => {
      if (state.kind !== "waiting") return;
      failures++;
      const isHopeless = state.unsupported || (failures >= TRIES_MAX && !follow);
      if (isHopeless) {
        ended.abort(new Error(`${url.join(", ")} is not reached by ${options.transport}: ${state.reason}`));
      }
    },
  });
  let failures = 0;
  connection.follow(replica);
  try {
    const printer = new Printer(options);
    await replica.opened(signal);
    const isOver = (nextSeq: number) =>
      printer.isDone || (!follow && commitAtStart !== undefined && nextSeq > commitAtStart);
    if (isOver(log!.firstSeq)) return;
    for await (const { bytes, lastSeq } of replicaSlices(replica, from, signal)) {
      await printer.print(bytes);
      log!.discard(lastSeq + 1);
      if (isOver(lastSeq + 1)) return;
    }
  } catch (error) {
    throw ended.signal.aborted ? ended.signal.reason : error;
  } finally {
    await connection.close();
    await store.close();
  }
}

/** Prints the data entries of whole frames: a payload and a newline each, or an object each. */
class Printer {
  readonly #json: boolean;
  #remaining: number;

  constructor({ json = false, limit = Infinity }: TailOptions) {
    this.#json = json;
    this.#remaining = limit;
  }

  get isDone(): boolean {
    return this.#remaining <= 0;
  }

  async print(frames: Uint8Array): Promise<void> {
    const parts: Uint8Array[] = [];
    for (const entry of entriesOf(frames)) {
      if (entry.type !== EntryType.data || this.isDone) continue;
      this.#remaining--;
      if (this.#json) parts.push(utf8(jsonLine(entry)));
      else parts.push(entry.payload, NEWLINE);
    }
    if (parts.length > 0) await print(Buffer.concat(parts));
  }
}

function jsonLine(
  { seq, epoch, timestamp, payload }: { seq: number; epoch: number; timestamp: number; payload: Uint8Array },
) {
  const text = textOf(payload);
  const content = text === undefined ? { payloadBase64: payload.toBase64() } : { payload: text };
  return `${JSON.stringify({ seq, epoch, timestamp, ...content })}\n`;
}
