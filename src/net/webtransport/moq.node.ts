// WebTransport over HTTP/3 by the addon of @moq/web-transport (quinn), for browsers and programs alike, on Bun, Node and Deno
// with glibc 2.38 or newer, macOS and Windows. It tells neither headers nor the peer's address before or after a session is
// open, so neither page nor address prefix can be judged; and a certificate needs a port of its own.

import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { sleep } from "../../core/environment.ts";
import type { Admitted } from "../admission.ts";
import { listenerUrl } from "../listener.ts";
import { TransportError } from "../transport_error.ts";
import type { DialOptions, WebTransportBackend } from "./backend.ts";
import type { ListenerCertificate, WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";
import { MoqConnection } from "./moq_connection.node.ts";
import type { LoadedMoq, MoqPackage, MoqRequest, MoqServer } from "./moq_package.node.ts";
import { type Endpoint, RotatingListener } from "./rotating_listener.ts";
import { SessionGate } from "./session_gate.ts";

/** The addon does not tell the port it was given, so a free one is looked for; another may take it meanwhile. */
const PORT_TRIES_MAX = 8;

/** After a failure to accept, so that one that stays does not keep the process busy. */
const ACCEPT_RETRY_MS = 50;

export function moqBackend(loaded: LoadedMoq): WebTransportBackend {
  return {
    name: "moq",
    http: "h3",
    listening: loaded.h3,
    connecting: loaded.h3,
    certificateReplacement: "next port",
    listen: (options) => listen(needed(loaded), options),
    dial: (options) => dial(needed(loaded), options),
  };
}

function needed({ package: loaded, h3 }: LoadedMoq): MoqPackage {
  if (loaded && h3.isSupported) return loaded;
  throw new TransportError("unsupported", h3.isSupported ? "the addon is not loaded" : h3.reason);
}

function dial({ NapiClient }: MoqPackage, { url, certificateHashes }: DialOptions): MoqConnection {
  const client = certificateHashes.length > 0
    ? NapiClient.withCertificateHashes(certificateHashes.map((hash) => Buffer.from(hash)))
    : NapiClient.withSystemRoots();
  return new MoqConnection(client.connect(url.href, null));
}

async function listen(loaded: MoqPackage, options: WebTransportListenOptions): Promise<WebTransportListener> {
  const gate = new SessionGate(options);
  const bind = async (certificate: ListenerCertificate, port: number): Promise<Endpoint> => {
    const bound = await bindServer(loaded, { host: options.host, port, certificate });
    return new MoqEndpoint({ loaded, options, gate, ...bound });
  };
  return await RotatingListener.open(bind, { options, gate });
}

interface Binding {
  readonly host: string;
  readonly port: number;
  readonly certificate: ListenerCertificate;
}

async function bindServer(loaded: MoqPackage, { host, port, certificate }: Binding) {
  let failure: unknown;
  for (let tries = 0; tries < (port === 0 ? PORT_TRIES_MAX : 1); tries++) {
    try {
      const { address } = await lookup(host);
      const bound = port === 0 ? await freePort(address) : port;
      const name = `${isIPv6(address) ? `[${address}]` : address}:${bound}`;
      const { cert, key } = certificate;
      return { server: loaded.NapiServer.bind(name, Buffer.from(cert), Buffer.from(key)), address, port: bound };
    } catch (error) {
      failure = error;
    }
  }
  throw new TransportError("refused", `cannot listen on UDP ${host}:${port}`, { cause: failure });
}

function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
    socket.once("error", reject);
    socket.bind(0, address, () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

interface EndpointParts {
  readonly loaded: MoqPackage;
  readonly server: MoqServer;
  readonly address: string;
  readonly port: number;
  readonly options: WebTransportListenOptions;
  readonly gate: SessionGate;
}

class MoqEndpoint implements Endpoint {
  readonly port: number;
  readonly #parts: EndpointParts;
  readonly #options: WebTransportListenOptions;
  readonly #gate: SessionGate;
  readonly #accepting: Promise<void>;
  #retired: Promise<void> | undefined;

  constructor(parts: EndpointParts) {
    this.port = parts.port;
    this.#parts = parts;
    this.#options = parts.options;
    this.#gate = parts.gate;
    this.#accepting = this.#acceptAll();
  }

  retire(): Promise<void> {
    this.#retired ??= this.#retire();
    return this.#retired;
  }

  /** The server cannot be closed while it waits for a session, so one is asked for here. */
  async #retire(): Promise<void> {
    const { loaded, address, port } = this.#parts;
    const { environment, limits } = this.#options;
    const host = address === "0.0.0.0" ? "127.0.0.1" : address === "::" ? "::1" : address;
    const url = listenerUrl("https", host, port);
    const stop = new AbortController();
    loaded.NapiClient.disableVerify().connect(url, null).then((session) => session.close(0, ""), () => {});
    const grace = sleep(environment.clock, limits.closeGraceMs, stop.signal).catch(() => {});
    await Promise.race([this.#accepting, grace]);
    stop.abort();
  }

  async #acceptAll(): Promise<void> {
    const { environment, onError } = this.#options;
    const { server } = this.#parts;
    while (this.#retired === undefined) {
      try {
        const request = await server.accept();
        if (request === null) return;
        if (this.#retired === undefined) void this.#answer(request);
        else await request.reject(503).catch(() => {});
      } catch (error) {
        if (this.#retired === undefined) onError(error);
        await sleep(environment.clock, ACCEPT_RETRY_MS);
      }
    }
    server.close();
  }

  async #answer(request: MoqRequest): Promise<void> {
    const place = this.#options.admission.admit();
    if ("refusal" in place) {
      const status = place.refusal.code === "too-many-handshakes" ? 429 : 503;
      return await request.reject(status).catch(() => {});
    }
    const { admitted } = place;
    const { environment, limits } = this.#options;
    const cancelTimer = environment.clock.schedule(limits.handshakeGraceMs, admitted.release);
    try {
      await this.#open(request, admitted);
    } catch {
      // The peer went away meanwhile.
      admitted.release();
    } finally {
      cancelTimer();
    }
  }

  async #open(request: MoqRequest, admitted: Admitted): Promise<void> {
    const acceptedMs = this.#options.environment.clock.monotonic();
    const url = new URL(await request.url);
    const refusal = this.#gate.judge(url, { peerAddress: "" });
    if (refusal) {
      await request.reject(refusal.code === "not-found" ? 404 : 403);
      return admitted.release();
    }
    const connection = new MoqConnection(Promise.resolve(await request.ok()));
    await connection.ready;
    connection.closed.then(admitted.release, admitted.release);
    admitted.opened();
    this.#gate.open(connection, { peerAddress: "", acceptedMs });
  }
}
