// A node: store, channels, sessions and listeners, wired together, with one way to start and one to end.

import { getLogger } from "@logtape/logtape";
import { ulid } from "ulid";
import type { LogStore } from "../log/log_store.ts";
import { MemoryStore } from "../log/memory_store.ts";
import { NodeDisk } from "../log/disk.node.ts";
import { openSegmentStore } from "../log/segment_store.ts";
import { problemResponse } from "../net/problem.ts";
import { HTTP_LIMITS, type HttpListener } from "../net/websocket/listen_options.ts";
import type { WebTransportListener } from "../net/webtransport/listen.deno.ts";
import type { NodeStatus } from "../schema/api.ts";
import type { NodeConfig } from "../schema/config.ts";
import { certificateHosts } from "./certificate.ts";
import { CertificateKeeper } from "./certificate_keeper.ts";
import { Channels } from "./channels.ts";
import { environment } from "./environment.node.ts";
import { currentRuntime, type Runtime } from "./runtime.node.ts";
import { Sessions } from "./sessions.ts";
import { makeDirectory, readState, writeState } from "./state_file.node.ts";
import { VERSION } from "./version.ts";

const logger = getLogger(["millrace", "node"]);
const NOT_CONFIGURED = "not among the configured transports";

export type HttpHandler = (request: Request, info: { peerAddress: string }) => Response | Promise<Response>;

export interface NodeOptions {
  readonly config: NodeConfig;
  /** Makes the HTTP API of the node; called once, at start. */
  readonly http: (node: MillraceNode) => HttpHandler;
  /** Judges the upgrade of an HTTP request to a session; a response refuses it. */
  readonly acceptSession: (node: MillraceNode, request: Request) => Response | undefined;
}

export class MillraceNode {
  readonly config: NodeConfig;
  readonly environment = environment;
  readonly #options: NodeOptions;
  #started: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #parts: Parts | undefined;
  #draining = false;

  constructor(options: NodeOptions) {
    this.config = options.config;
    this.#options = options;
  }

  /** Opens the data directory, takes up every channel and listens. Harmless when repeated. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  /** Stops taking requests, finishes what was accepted, says goodbye to all, syncs and releases everything. Harmless when repeated. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get channels(): Channels {
    return this.#running.channels;
  }

  get sessions(): Sessions {
    return this.#running.sessions;
  }

  get nodeId(): string {
    return this.#running.nodeId;
  }

  get #running(): Parts {
    if (!this.#parts) throw new TypeError("the node is not started");
    return this.#parts;
  }

  /** SHA-256 of the WebTransport certificates now and next; none without WebTransport. */
  get certificateHashes(): string[] {
    return this.#running.certificates?.hashes ?? [];
  }

  status(): NodeStatus {
    const { nodeId, runtime, http, webTransport, store, startedAt } = this.#running;
    const hasWebSocket = this.config.transports.includes("websocket");
    const webSocketReason = hasWebSocket ? "on the HTTP port" : NOT_CONFIGURED;
    return {
      nodeId,
      version: VERSION,
      runtime: runtime.name,
      startedAt: new Date(startedAt).toISOString(),
      http: http!.url,
      websocket: hasWebSocket ? `${http!.url.replace(/^http/, "ws")}/v1/replicate` : null,
      webtransport: webTransport?.url ?? null,
      transports: [
        { name: "websocket", available: hasWebSocket, reason: webSocketReason },
        { name: "webtransport", available: webTransport !== undefined, reason: this.#webTransportReason() },
      ],
      certificateHashes: this.certificateHashes,
      store: { kind: store.kind, durable: store.durable, durability: store.durability },
      limits: { ...this.config.limits },
    };
  }

  #webTransportReason(): string {
    if (!this.config.transports.includes("webtransport")) return NOT_CONFIGURED;
    return this.#running.runtime.webTransportReason;
  }

  async #start(): Promise<void> {
    const { config } = this;
    const parts: Parts = { startedAt: environment.clock.now(), runtime: await currentRuntime() } as Parts;
    try {
      if (config.store === "segments") await makeDirectory(config.data);
      parts.store = await openStore(config);
      parts.nodeId = await identity(config);
      const { store, nodeId } = parts;
      const onNotice = (message: string) => logger.warn(message);
      parts.channels = await Channels.open({ store, nodeId, environment, limits: config.limits, onNotice });
      const channel = (name: string) => parts.channels.find(name);
      parts.sessions = new Sessions({ nodeId, environment, limits: config.limits, channel });
      this.#parts = parts;
      await this.#listen(parts);
    } catch (error) {
      await this.#release(parts);
      throw error;
    }
  }

  async #listen(parts: Parts): Promise<void> {
    const { host, port, transports } = this.config;
    const { runtime, sessions } = parts;
    const onError = (error: unknown) => logger.error("background failure: {error}", { error });
    const limits = { ...HTTP_LIMITS, ...this.config.limits };
    const shared = { host, limits, environment, onError, onSession: sessions.accept.bind(sessions) };
    parts.http = await runtime.listenHttp({
      ...shared,
      port,
      fetch: this.#options.http(this),
      acceptSession: (request) =>
        transports.includes("websocket") ? this.#options.acceptSession(this, request) : noWebSocket(),
    });
    if (!transports.includes("webtransport") || !runtime.listenWebTransport) return;
    parts.certificates = await this.#openCertificates(parts, onError);
    const certificate = parts.certificates.current;
    parts.webTransport = await runtime.listenWebTransport({
      ...shared,
      port: parts.http.port,
      certificate,
      acceptSession: () => undefined,
    });
  }

  #openCertificates(parts: Parts, onError: (error: unknown) => void): Promise<CertificateKeeper> {
    const { host, hosts, data, store } = this.config;
    const path = `${data}/webtransport_certificate.json`;
    const durable = store === "segments";
    return CertificateKeeper.open({
      hosts: certificateHosts(host, hosts),
      environment,
      onError,
      read: () => durable ? readState(path) : Promise.resolve(undefined),
      write: (kept) => durable ? writeState(path, kept) : Promise.resolve(),
      onRotate: async (certificate) => {
        await parts.webTransport?.replaceCertificate(certificate);
        logger.info("the WebTransport certificate is now {hash}", { hash: certificate.hash });
      },
    });
  }

  async #close(): Promise<void> {
    await this.#started?.catch(() => {});
    this.#draining = true;
    if (this.#parts) await this.#release(this.#parts);
  }

  async #release({ sessions, channels, store, certificates, webTransport, http }: Partial<Parts>): Promise<void> {
    certificates?.close();
    await channels?.leave("the node is shutting down");
    await sessions?.drain();
    await store?.close();
    await webTransport?.close();
    await http?.close();
  }
}

function noWebSocket(): Response {
  const title = "There are no sessions by WebSocket here";
  return problemResponse({ status: 404, code: "not-found", title, detail: `WebSocket is ${NOT_CONFIGURED}` });
}

interface Parts {
  startedAt: number;
  runtime: Runtime;
  store: LogStore;
  nodeId: string;
  channels: Channels;
  sessions: Sessions;
  http: HttpListener | undefined;
  webTransport: WebTransportListener | undefined;
  certificates: CertificateKeeper | undefined;
}

async function openStore(config: NodeConfig): Promise<LogStore> {
  const { entryBytesMax } = config.limits;
  if (config.store === "memory") return new MemoryStore({ crc32: environment.crc32 });
  return await openSegmentStore({
    disk: new NodeDisk(),
    root: `${config.data}/channels`,
    environment,
    entryBytesMax,
    onNotice: (notice) => logger.warn("log {log}: {message}", { ...notice }),
  });
}

/** The node's id: the configured one, which must be the one the data directory was made with, or a new one. */
async function identity({ data, nodeId, store }: NodeConfig): Promise<string> {
  const { clock, random } = environment;
  if (store === "memory") return nodeId ?? ulid(clock.now(), () => random.next());
  const path = `${data}/node.json`;
  const known = (await readState(path) as { nodeId?: string } | undefined)?.nodeId;
  if (known !== undefined && nodeId !== undefined && known !== nodeId) {
    throw new RangeError(`nodeId: the data directory ${data} belongs to node ${known}, not to ${nodeId}`);
  }
  if (known !== undefined) return known;
  const made = nodeId ?? ulid(clock.now(), () => random.next());
  await writeState(path, { nodeId: made });
  return made;
}
