// Loads @fails-components/webtransport (1.6.8), and says what Millrace uses of it. Its HTTP/2 side is plain JavaScript; HTTP/3
// needs the native part, a package of its own. What is marked as internal is not in its documentation: the version is pinned.

import type { EventEmitter } from "node:events";
import type { Http2SecureServer, ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import type { Capability } from "../capability.ts";

const PACKAGE = "@fails-components/webtransport";
const NATIVE_PART = "@fails-components/webtransport-transport-http3-quiche";

export interface FlowController {
  addBytesConsumed(bytes: number): void;
}

/** Both sides of a stream. Internal. */
export interface FailsStream extends BidirectionalStream {
  readonly writable: WritableStream<Uint8Array> & { sendOrder: number };
  readonly objint: { readonly streamid: bigint; readonly flowController: FlowController };
}

/** What reads and writes the capsules of a session over HTTP/2. Internal. */
export interface CapsuleParser {
  parseData(data: Uint8Array): void;
  /** Makes a stream; its first bytes come right after. Undefined where the peer may open no more. */
  newStream(id: bigint, priority: unknown): { readonly flowController: FlowController } | undefined;
  closeHttp2Stream(code: number): void;
  /** The beginning of a capsule that has not come whole yet. */
  readonly saveddata?: Uint8Array;
  readonly wtstreams: ReadonlyMap<bigint, unknown>;
  readonly scheduler: TurnScheduler;
}

/** Which stream writes next: of those that have something to write, the one with the largest order. Internal. */
export interface TurnScheduler {
  PopFront(): bigint | undefined;
  IsScheduled(id: bigint): boolean;
  UpdateSendOrder(id: bigint, sendOrder: number): void;
}

/** A session, and below it what carries it. */
export interface FailsSession extends Omit<StreamConnection, "createBidirectionalStream"> {
  /** What the answer to its request gave it. */
  readonly userData?: unknown;
  /** Address and port. */
  readonly peerAddress?: string;
  readonly draining: Promise<unknown>;
  createBidirectionalStream(options: { sendOrder: number }): Promise<BidirectionalStream>;
  /** Internal, as is all that follows. */
  readonly streamObjs: ReadonlySet<FailsStream>;
  readonly state: string;
  onClose(event: { errorcode: number; error: string }): void;
  /** Gives a client's session its stream. */
  setSessionObj(...words: unknown[]): void;
  /** Gone when the session is over. */
  readonly objint?: {
    readonly stream: ServerHttp2Stream;
    readonly capsParser: CapsuleParser;
    readonly flowController: FlowController;
    readonly datagramsWaiting_: Uint8Array[];
  };
}

export interface FailsClientSession extends FailsSession {
  readonly parentobj: {
    onClientConnected(event: { success: boolean }): void;
    readonly transportInt?: { readonly clientInt?: ClientHttp2 };
  };
}

/** The client's end of the HTTP/2 connection. */
export interface ClientHttp2 extends EventEmitter {
  readonly socket?: TLSSocket;
  readonly destroyed: boolean;
  ping(...words: never[]): boolean;
  destroy(): void;
}

export interface FailsWebTransport extends StreamConnection {
  /** Internal. */
  readonly sessionint: FailsClientSession;
}

export interface FailsServer {
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  startServer(): void;
  stopServer(): void;
  address(): { port: number } | null;
  sessionStream(path: string): ReadableStream<FailsSession>;
  setRequestCallback(
    callback: (
      request: { header: Record<string, string> },
    ) => Promise<{ status: number; path: string; userData?: unknown }>,
  ): void;
  updateCert(cert: string, key: string, http2only: boolean): void;
  /** Internal. Makes the session of a request that was accepted. */
  onHttpWTSessionVisitor(
    event: { readonly session: { readonly capsParser: CapsuleParser; readonly jsobj?: { readonly state: string } } },
  ): void;
  /** Internal. There once `startServer` was called. */
  readonly transportInt: { readonly serverInt: Http2SecureServer };
}

export interface FailsPackage {
  readonly Http2Server: new (options: Record<string, unknown>) => FailsServer;
  readonly Http3Server: new (options: Record<string, unknown>) => FailsServer;
  readonly WebTransport: new (url: string, options: Record<string, unknown>) => FailsWebTransport;
  readonly quicheLoaded: Promise<unknown>;
}

export interface LoadedFails {
  readonly package: FailsPackage | undefined;
  readonly h2: Capability;
  readonly h3: Capability;
}

/** Loads the package. Never rejects: what cannot be loaded is said by the capabilities. */
export async function loadFails(): Promise<LoadedFails> {
  try {
    const loaded = await quietly(async () => {
      const loaded: FailsPackage = await import(PACKAGE);
      await loaded.quicheLoaded;
      return loaded;
    });
    return { package: loaded, h2: { isSupported: true }, h3: await nativePart() };
  } catch (error) {
    const isAbsent = (error as { code?: string }).code === "ERR_MODULE_NOT_FOUND";
    const reason = isAbsent
      ? `${PACKAGE} is not installed: npm install ${PACKAGE}`
      : `${PACKAGE} does not load: ${oneLine(error)}`;
    return { package: undefined, h2: { isSupported: false, reason }, h3: { isSupported: false, reason } };
  }
}

async function nativePart(): Promise<Capability> {
  try {
    await import(NATIVE_PART);
    return { isSupported: true };
  } catch (error) {
    const isAbsent = (error as { code?: string }).code === "ERR_MODULE_NOT_FOUND";
    const reason = isAbsent
      ? `${NATIVE_PART} is not installed: npm install ${NATIVE_PART}`
      : `${NATIVE_PART} does not load: ${oneLine(error)}`;
    return { isSupported: false, reason };
  }
}

/**
 * `source` for a reader that may cancel: the package closes its streams at the end of a session, which throws where they were
 * cancelled, in the middle of its own tidying up. What comes after a cancel is read and dropped.
 */
export function cancellable<Chunk>(source: ReadableStream<Chunk>): ReadableStream<Chunk> {
  const reader = source.getReader();
  reader.closed.catch(() => {});
  return new ReadableStream<Chunk>({
    pull: async (controller) => {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void discard(reader),
  }, { highWaterMark: 0 });
}

async function discard(reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {
    // The session is over.
  }
}

/** The first line of what an error says. */
export function oneLine(error: unknown): string {
  return String((error as Error | undefined)?.message ?? error).split("\n", 1)[0]!;
}

/** The package writes to the console where it finds no native part; that is said by a capability here. */
async function quietly<Value>(load: () => Promise<Value>): Promise<Value> {
  const { console: terminal } = globalThis;
  const { log, error } = terminal;
  const silenced = (write: typeof log): typeof log => (...words) => {
    if (/http3(-quiche| loader)/.test(String(words[0]))) return;
    write.apply(terminal, words);
  };
  Object.assign(terminal, { log: silenced(log), error: silenced(error) });
  try {
    return await load();
  } finally {
    Object.assign(terminal, { log, error });
  }
}
