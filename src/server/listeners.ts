// Everything that a node listens on: one listener for each transport that is configured and that this runtime has. What it
// cannot have is told with the reason; the rest goes on.

import { getLogger } from "@logtape/logtape";
import { Admission } from "../net/admission.ts";
import type { ListenOptions } from "../net/listener.ts";
import { problemResponse } from "../net/problem.ts";
import { type QuicListener } from "../net/quic/quic.ts";
import { listenQuic, quicListenCapability } from "../net/quic/quic.node.ts";
import { QueueBudget } from "../net/queue_budget.ts";
import type { Session } from "../net/session.ts";
import type { SessionListener } from "../net/listener.ts";
import { listenTcp, listenTls, type TlsListener } from "../net/tls/listen.node.ts";
import type { ServerIdentity } from "../net/tls_identity.ts";
import { TransportError } from "../net/transport_error.ts";
import type { HttpListener, RequestInfo } from "../net/websocket/listen_options.ts";
import type { HttpVersion, WebTransportBackend } from "../net/webtransport/backend.ts";
import type { WebTransportListener } from "../net/webtransport/listen_options.ts";
import type { TransportStatus } from "../schema/api.ts";
import type { NodeConfig } from "../schema/config.ts";
import type { Environment } from "../core/environment.ts";
import type { CertificateKeeper } from "./certificate_keeper.ts";
import type { Runtime } from "./runtime.node.ts";

const logger = getLogger(["millrace", "node"]);
/** Why a transport that nobody asked for is not there. */
export const NOT_CONFIGURED = "not among the configured transports";
const NEEDS_OPTIONAL =
  "it cannot ask for the client certificates that are required here; with request it is listened on";

/** The port that the system chooses for TCP may be somebody's for UDP: so often another one is tried. */
const PORT_TRIES_MAX = 8;

type TransportName = NodeConfig["transports"][number];

export interface ListenersOptions {
  readonly config: NodeConfig;
  readonly runtime: Runtime;
  readonly environment: Environment;
  /** The node's certificate for HTTPS, secure WebSocket, TLS and QUIC; without it they have none, or its own. */
  readonly identity: ServerIdentity | undefined;
  /** Opens the keeper of the node's own short-lived certificate; called where something needs it. */
  readonly ownCertificate: () => Promise<CertificateKeeper>;
  readonly fetch: (request: Request, info: RequestInfo) => Response | Promise<Response>;
  readonly acceptSession: (request: Request) => Response | undefined;
  readonly onSession: (session: Session) => void;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #shared: Omit<ListenOptions<NodeConfig["limits"]>, "port">;
  readonly #webTransports = new Map<HttpVersion, WebTransportListener>();
  #http!: HttpListener;
  #keeper: CertificateKeeper | undefined;
  #identityInUse: ServerIdentity | undefined;
  #quic: QuicListener | undefined;
  #tls: TlsListener | undefined;
  #tcp: SessionListener | undefined;

  /** Listens on everything, or on nothing. @throws what the first listener that fails throws. */
  static async open(options: ListenersOptions): Promise<Listeners> {
    for (let triesLeft = PORT_TRIES_MAX;; triesLeft--) {
      const listeners = new Listeners(options);
      try {
        await listeners.#open();
        return listeners;
      } catch (error) {
        await listeners.close();
        const isTaken = error instanceof TransportError && error.code === "refused";
        if (!isTaken || options.config.port !== 0 || triesLeft === 1) throw error;
      }
    }
  }

  private constructor(options: ListenersOptions) {
    this.#options = options;
    this.#identityInUse = options.identity;
    const { config: { host, limits }, environment, onSession } = options;
    this.#shared = {
      host,
      limits,
      environment,
      admission: new Admission({ limits, clock: environment.clock }),
      budget: new QueueBudget(limits.serverQueuedBytesMax),
      onSession,
      onError: (error: unknown) => logger.error("background failure: {error}", { error }),
    };
  }

  get http(): HttpListener {
    return this.#http;
  }

  webTransport(http: HttpVersion): WebTransportListener | undefined {
    return this.#webTransports.get(http);
  }

  /** SHA-256 of the node's own certificates, now and next; none where nothing uses them. */
  get certificateHashes(): string[] {
    return this.#keeper?.hashes ?? [];
  }

  /** What there is, where, and why the rest is not. */
  status(): TransportStatus[] {
    const { runtime } = this.#options;
    // By an authority or by hash, never by either.
    const own = { certificateHashes: this.#options.identity ? [] : this.certificateHashes };
    const quic = quicListenCapability();
    return [
      this.#entry(
        "websocket",
        this.#has("websocket") ? this.#http.url.replace(/^http/, "ws") : undefined,
        "on the HTTP port",
      ),
      ...(["h3", "h2"] as const).map((http) => {
        const listener = this.#webTransports.get(http);
        const backend = this.#backend(http);
        const unasked = listener ? undefined : backend?.whyOnlyWhenAsked;
        const entry = this.#entry("webtransport", listener?.url, unasked ?? runtime.webTransport.reasons[http]);
        return { ...entry, http, ...(listener && backend ? { backend: backend.name } : {}) };
      }),
      {
        ...this.#entry("quic", this.#quic?.url, quic.isSupported ? "in this runtime" : quic.reason),
        ...(this.#quic ? own : {}),
      },
      { ...this.#entry("tls", this.#tls?.url, "on every runtime"), ...(this.#tls ? own : {}) },
      this.#entry("tcp", this.#tcp?.url, "on every runtime, on loopback only"),
    ];
  }

  /**
   * New connections get `identity` from now on; those that are open go on, but for sessions over QUIC where the listener has
   * to be opened anew (on Bun, where clients show certificates). @throws where it cannot be used: all is as it was then.
   */
  async replaceIdentity(identity: ServerIdentity): Promise<void> {
    const previous = this.#identityInUse;
    try {
      await this.#show(identity);
    } catch (error) {
      if (previous) await this.#show(previous);
      throw error;
    }
    this.#identityInUse = identity;
  }

  /** New connections to what uses the node's own certificate get `certificate` from now on. */
  async replaceOwnCertificate(certificate: { cert: string; key: string }): Promise<void> {
    for (const listener of this.#webTransports.values()) await listener.replaceCertificate(certificate);
    if (this.#options.identity) return;
    this.#tls?.replaceIdentity(certificate);
    this.#quic?.replaceIdentity(certificate);
  }

  /** Stops listening and ends what is left of the sessions. Harmless when repeated. */
  async close(): Promise<void> {
    const all = [
      ...this.#webTransports.values(),
      this.#quic,
      this.#tls,
      this.#tcp,
      this.#http as HttpListener | undefined,
    ];
    await Promise.all(all.map((listener) => listener?.close()));
  }

  async #show(identity: ServerIdentity): Promise<void> {
    this.#http.replaceIdentity(identity);
    this.#tls?.replaceIdentity(identity);
    const quic = this.#quic;
    try {
      quic?.replaceIdentity(identity);
    } catch (error) {
      if (!(error instanceof TransportError) || error.code !== "unsupported") throw error;
      // What it does not show any more it must not go on to accept: an authority that was taken out stays out.
      await quic!.close();
      this.#quic = await listenQuic({ ...this.#shared, port: quic!.port, identity });
    }
  }

  #has(transport: TransportName): boolean {
    return this.#options.config.transports.includes(transport);
  }

  /** A node has it unless told otherwise, but not where it could not keep the rule on client certificates. */
  #isLeftOut(name: TransportName): boolean {
    return name === "webtransport" && this.#options.config.clientCertificates === "require";
  }

  #backend(http: HttpVersion): WebTransportBackend | undefined {
    return this.#options.runtime.webTransport.listen.find((backend) => backend.http === http);
  }

  #entry(name: TransportName, url: string | undefined, reason: string): TransportStatus {
    const why = this.#has(name) ? reason : this.#isLeftOut(name) ? NEEDS_OPTIONAL : NOT_CONFIGURED;
    return { name, available: url !== undefined, reason: why, url: url ?? null };
  }

  async #open(): Promise<void> {
    const { config, identity, runtime, fetch, acceptSession } = this.#options;
    this.#http = await runtime.listenHttp({
      ...this.#shared,
      port: config.port,
      ...(identity ? { identity } : {}),
      fetch,
      acceptSession: (request) => this.#has("websocket") ? acceptSession(request) : noWebSocket(),
    });
    if (this.#has("webtransport")) await this.#openWebTransports();
    if (this.#has("quic") && quicListenCapability().isSupported) {
      this.#quic = await listenQuic({ ...this.#shared, port: config.quicPort, identity: await this.#identity() });
    }
    if (this.#has("tls")) {
      this.#tls = await listenTls({ ...this.#shared, port: config.tlsPort, identity: await this.#identity() });
    }
    if (this.#has("tcp")) this.#tcp = await listenTcp({ ...this.#shared, port: config.tcpPort });
  }

  async #openWebTransports(): Promise<void> {
    const { config, acceptSession } = this.#options;
    for (const backend of this.#options.runtime.webTransport.listen) {
      // Beside HTTP on the same number, where it is UDP.
      const port = backend.http === "h3" ? this.#http.port : config.webtransportHttp2Port;
      if (port === undefined && backend.whyOnlyWhenAsked !== undefined) continue;
      const certificate = (await this.#ownCertificate()).current;
      const listener = await backend.listen({
        ...this.#shared,
        port: port ?? 0,
        certificate,
        acceptSession: (url, { origin }) => judgeOrigin(url, origin, acceptSession),
      });
      this.#webTransports.set(backend.http, listener);
    }
  }

  async #ownCertificate(): Promise<CertificateKeeper> {
    this.#keeper ??= await this.#options.ownCertificate();
    return this.#keeper;
  }

  async #identity(): Promise<ServerIdentity> {
    return this.#options.identity ?? (await this.#ownCertificate()).current;
  }
}

/** Applies the rules of an upgrade to a session whose backend tells where the page came from. */
function judgeOrigin(
  url: URL,
  origin: string | undefined,
  acceptSession: (request: Request) => Response | undefined,
): { code: string; reason: string } | undefined {
  if (origin === undefined) return undefined;
  const refusal = acceptSession(new Request(url, { headers: { origin, host: url.host } }));
  return refusal ? { code: "foreign-origin", reason: `pages of ${origin} may not connect` } : undefined;
}

function noWebSocket(): Response {
  const title = "There are no sessions by WebSocket here";
  return problemResponse({ status: 404, code: "not-found", title, detail: `WebSocket is ${NOT_CONFIGURED}` });
}
