// WebTransport over HTTP/2 by @fails-components/webtransport: for replicas that are programs, no native part needed. Browsers do
// not speak it.

import process from "node:process";
import { TransportError } from "../transport_error.ts";
import type { DialOptions, WebTransportBackend } from "./backend.ts";
import type { BidirectionalStream, StreamConnection } from "../stream_connection.ts";
import { H2Connection, h2Windows } from "./fails_h2_connection.node.ts";
import { H2Input } from "./fails_h2_input.node.ts";
import { FailsH2Listener } from "./fails_h2_listener.node.ts";
import type { FailsClientSession, FailsPackage, LoadedFails } from "./fails_package.node.ts";
import { guardHttp2 } from "./guard_http2.node.ts";

/** Whether the runtime's HTTP/2 needs {@link guardHttp2} to outlive a peer's frames. */
const IS_UNSOUND = process.versions["deno"] !== undefined;
const WHY_ONLY_WHEN_ASKED = "only where its port is named (webtransportHttp2Port, 0 for a free one), " +
  "since nothing but a guard keeps a peer's frames from ending the process in Deno's HTTP/2";

export function failsH2Backend(loaded: LoadedFails): WebTransportBackend {
  return {
    name: "fails",
    http: "h2",
    listening: loaded.h2,
    connecting: loaded.h2,
    certificateReplacement: "in place",
    ...(IS_UNSOUND ? { whyOnlyWhenAsked: WHY_ONLY_WHEN_ASKED } : {}),
    listen: (options) => FailsH2Listener.open(needed(loaded), options),
    dial: (options) => new FailsH2Dial(needed(loaded), options),
  };
}

function needed({ package: loaded, h2 }: LoadedFails): FailsPackage {
  if (loaded && h2.isSupported) return loaded;
  throw new TransportError("unsupported", h2.isSupported ? "the package is not loaded" : h2.reason);
}

/** A connection on its way; once it is ready, it is that of the session. */
class FailsH2Dial implements StreamConnection {
  readonly ready: Promise<unknown>;
  readonly closed: StreamConnection["closed"];
  readonly unreadBytesMax: number;
  readonly #options: DialOptions;
  readonly #session: FailsClientSession;
  #connection: H2Connection | undefined;
  #refusedWith: number | undefined;
  /** Of what the server has shown in the handshake, as node:tls writes it. */
  #certificateHash: string | undefined;

  constructor({ WebTransport }: FailsPackage, options: DialOptions) {
    const { url, certificateHashes, limits } = options;
    const hashes = certificateHashes.map((value) => ({ algorithm: "sha-256", value }));
    const transport = new WebTransport(url.href, {
      ...(hashes.length > 0 ? { serverCertificateHashes: hashes } : {}),
      ...h2Windows(limits),
      forceReliable: true,
      // Its own waits are of no use here: the caller waits as long as it wants, and closes.
      quicConnectTimeout: 2 * limits.handshakeGraceMs,
      webTransportConnectTimeout: limits.handshakeGraceMs,
    });
    this.#options = options;
    this.unreadBytesMax = limits.laneWindowBytes;
    this.#session = transport.sessionint;
    this.#watch();
    this.closed = transport.closed;
    this.closed.catch(() => {});
    this.ready = transport.ready.then(() => this.#verify(), (cause) => this.#refuse(cause));
    this.ready.catch(() => {});
  }

  get incomingBidirectionalStreams(): ReadableStream<BidirectionalStream> {
    return this.#connection!.incomingBidirectionalStreams;
  }

  get datagrams(): StreamConnection["datagrams"] {
    return this.#connection!.datagrams;
  }

  createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream> {
    return this.#connection!.createBidirectionalStream(options);
  }

  close(info?: { closeCode?: number; reason?: string }): void {
    if (this.#session.state === "connected") return this.#connection!.close(info);
    this.#destroy();
    this.#session.parentobj.onClientConnected({ success: false });
  }

  /** Takes the session over the moment it has its stream, and keeps the status of an answer that refuses it. */
  #watch(): void {
    const session = this.#session;
    const { setSessionObj, onClose, parentobj } = session;
    const { onClientConnected } = parentobj;
    parentobj.onClientConnected = (event) => {
      const http2 = parentobj.transportInt?.clientInt;
      if (http2 && event.success) {
        guardHttp2(http2, this.#options.clock);
        this.#certificateHash = http2.socket?.getPeerCertificate().fingerprint256;
      }
      onClientConnected.call(parentobj, event);
    };
    session.setSessionObj = (...words) => {
      setSessionObj.apply(session, words);
      const { clock, limits } = this.#options;
      const { capsParser } = session.objint!;
      const input = new H2Input({ parser: capsParser, side: "client", state: () => session.state });
      this.#connection = new H2Connection(session, { clock, limits, input, destroy: () => this.#destroy() });
    };
    session.onClose = (event) => {
      if (session.state === "connecting") this.#refusedWith = event.errorcode;
      onClose.call(session, event);
    };
  }

  #refuse(cause: unknown): never {
    this.#destroy();
    const status = this.#refusedWith ?? 0;
    throw status >= 400 && status < 600 ? new Error(`the server answered ${status}`) : cause;
  }

  /**
   * The package looks at the hashes only where the certificate is not good otherwise, and then at no name either: whoever has a
   * public certificate for anything would do. Here the hashes are all that counts.
   */
  #verify(): void {
    const { certificateHashes } = this.#options;
    if (certificateHashes.length === 0) return;
    const shown = this.#certificateHash;
    const allowed = certificateHashes.map((hash) =>
      [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join(":").toUpperCase()
    );
    if (shown !== undefined && allowed.includes(shown)) return;
    this.#destroy();
    throw new Error(`the server's certificate has the hash ${shown}, which is none of ${allowed.join(", ")}`);
  }

  #destroy(): void {
    const http2 = this.#session.parentobj.transportInt?.clientInt;
    if (http2 && !http2.destroyed) http2.destroy();
  }
}
