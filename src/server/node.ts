// A node: store, channels, sessions and listeners, wired together, with one way to start and one to end.

import { getLogger } from "@logtape/logtape";
import type { LogStore } from "../log/log_store.ts";
import type { Session } from "../net/session.ts";
import type { RequestInfo } from "../net/websocket/listen_options.ts";
import type { Mesh } from "../peer/mesh.ts";
import type { Replication as MeshReplication } from "../peer/replication.ts";
import type { NodeStatus, PeerList, ReloadAnswer } from "../schema/api.ts";
import type { NodeConfig } from "../schema/config.ts";
import type { Heard } from "../lib/broadcast.ts";
import type { Append } from "../wire/append_messages.ts";
import { certificateHosts } from "./certificate.ts";
import { CertificateKeeper } from "./certificate_keeper.ts";
import { Channels } from "./channels.ts";
import { Cluster } from "./cluster.ts";
import { nodeIdentity, openStore } from "./data_directory.ts";
import { environment } from "./environment.node.ts";
import { Listeners } from "./listeners.ts";
import { currentRuntime, type Runtime } from "./runtime.node.ts";
import { openingOf } from "../stream/opening.ts";
import { Refusal } from "./refusal.ts";
import { type NodeEvent, NodeEvents } from "./node_events.ts";
import { Replication } from "./replication.ts";
import { nodeReplicas } from "./node_replicas.ts";
import { appendForSession } from "./session_append.ts";
import { type ReplicaStatus, Sessions } from "./sessions.ts";
import { SetControl } from "./set_control.ts";
import { makeDirectory, readState, writeState } from "./state_file.node.ts";
import { certificateStatus, isSameIdentity, readTlsFiles, renewalWarning, type TlsFiles } from "./tls_files.node.ts";
import { VERSION } from "./version.ts";

const logger = getLogger(["millrace", "node"]);
/** How often the age of the node's certificate is looked at. */
const RENEWAL_LOOK_MS = 6 * 3_600_000;

export type HttpHandler = (request: Request, info: RequestInfo) => Response | Promise<Response>;

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
  /** Who leads the channels, and who belongs to them. */
  readonly control: SetControl;
  readonly #options: NodeOptions;
  readonly #events = new NodeEvents();
  readonly #cluster: Cluster;
  #started: Promise<void> | undefined;
  #closed: Promise<void> | undefined;
  #parts: Parts | undefined;
  #draining = false;
  /** Settles when no reload is under way. */
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(options: NodeOptions) {
    this.config = options.config;
    this.#options = options;
    this.#cluster = this.#newCluster();
    this.control = new SetControl({
      channels: () => this.channels,
      mesh: this.mesh,
      nodeId: () => this.nodeId,
      environment,
      timeoutMs: this.config.limits.appendTimeoutMs,
    });
  }

  /** Opens the data directory, takes up every channel and listens. Harmless when repeated; TypeError after `close`. */
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
    return this.#draining || this.control.isDrained;
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

  /** The node among its peers. Handlers and listeners may be there before the start: then nothing that comes is missed. */
  get mesh(): Mesh {
    return this.#cluster.mesh;
  }

  /** The other nodes of the cluster. */
  peers(): PeerList {
    return this.#cluster.list();
  }

  /** Every replica that this node feeds, of `channel` if given: browsers and programs, and nodes where it leads. */
  async replicas(channel?: string): Promise<ReplicaStatus[]> {
    const { channels, sessions, nodeId } = this.#running;
    const found = channel === undefined ? undefined : channels.find(channel);
    const led = channel === undefined ? channels.list() : found ? [found] : [];
    const options = { mesh: this.mesh, nodeId, clock: environment.clock };
    const nodes = await Promise.all(led.map((each) => nodeReplicas(each, options)));
    return [...nodes.flat(), ...sessions.replicas(channel)];
  }

  /** Takes one more peer, until the node ends: its configuration is to name it too. @throws Refusal `bad-member` */
  addPeer(peer: { id: string; url: string }): PeerList {
    this.#cluster.add(peer);
    return this.peers();
  }

  /** What happens from now on between this node and its peers, and in the replica sets of its channels. */
  events(signal?: AbortSignal): AsyncGenerator<Heard<NodeEvent>, void, undefined> {
    return this.#events.from(signal);
  }

  /** SHA-256 of the node's own certificates now and next; none where nothing uses them. */
  get certificateHashes(): string[] {
    return this.#running.listeners.certificateHashes;
  }

  status(): NodeStatus {
    const { nodeId, runtime, listeners, store, startedAt, tls, replication } = this.#running;
    const { url } = listeners.http;
    const hasWebSocket = this.config.transports.includes("websocket");
    return {
      nodeId,
      version: VERSION,
      runtime: runtime.name,
      startedAt: new Date(startedAt).toISOString(),
      http: url,
      websocket: hasWebSocket ? `${url.replace(/^http/, "ws")}/v1/replicate` : null,
      webtransport: listeners.webTransport("h3")?.url ?? null,
      transports: listeners.status(),
      certificate: tls ? certificateStatus(tls, environment.clock.now()) : null,
      certificateHashes: this.certificateHashes,
      store: { kind: store.kind, durable: store.durable, durability: store.durability },
      drops: { ...replication.sets.drops },
      limits: { ...this.config.limits },
    };
  }

  /**
   * Reads certificate, key and authorities again: new connections get the new ones, open ones go on, peers that were given up
   * are tried again. Refusal `unusable-certificate` where a file cannot be used, and all stays as it was; `no-certificate` where
   * the node was started without one. One after the other where called at the same time.
   */
  async reload(): Promise<ReloadAnswer> {
    const reloaded = this.#reloading.then(() => this.#reload());
    this.#reloading = reloaded.catch(() => {});
    return await reloaded;
  }

  async #reload(): Promise<ReloadAnswer> {
    const parts = this.#running;
    const { clock } = environment;
    if (this.#draining) throw new Refusal("draining", "the node is shutting down");
    const before = parts.tls;
    if (!before) {
      throw new Refusal("no-certificate", "there is nothing to reload: give tlsCert and tlsKey at the start");
    }
    const tls = await readTlsFiles(this.config, clock).catch((cause) => {
      throw new Refusal("unusable-certificate", (cause as Error).message, {}, { cause });
    }) as TlsFiles;
    const isChanged = !isSameIdentity(before.identity, tls.identity);
    if (isChanged) {
      await parts.listeners.replaceIdentity(tls.identity);
      parts.tls = tls;
      this.#cluster.replaceTls(tls);
      const { hash, notAfter } = certificateStatus(tls, clock.now());
      logger.info("the node's certificate is now {hash}, good until {notAfter}", { hash, notAfter });
    } else {
      this.mesh.retry();
    }
    return { isChanged, certificate: certificateStatus(tls, clock.now()) };
  }

  async #start(): Promise<void> {
    const { config } = this;
    if (this.#closed) throw new TypeError("the node is closed: make another one");
    const parts: Parts = { startedAt: environment.clock.now(), runtime: await currentRuntime() } as Parts;
    try {
      parts.tls = await readTlsFiles(config, environment.clock);
      if (config.store === "segments") await makeDirectory(config.data);
      parts.store = await openStore(config);
      parts.nodeId = await nodeIdentity(config);
      const { nodeId } = parts;
      await this.#openChannels(parts);
      const channel = (name: string) => parts.channels.find(name);
      const isPassing = (name: string) => parts.channels.isPassing(name);
      const append = (message: Append) => this.#appendForSession(parts.channels, message);
      parts.sessions = new Sessions({ nodeId, environment, limits: config.limits, channel, isPassing, append });
      this.#parts = parts;
      if (parts.tls) this.#cluster.replaceTls(parts.tls);
      parts.listeners = await this.#listen(parts);
      this.mesh.start();
      this.#watchRenewal(parts);
    } catch (error) {
      await this.#release(parts);
      throw error;
    }
  }

  #appendForSession(channels: Channels, message: Append) {
    return appendForSession(message, {
      appendable: (name) => channels.appendable(name, { isForwarded: false }),
      crc32: environment.crc32,
      onInternal: (error) => logger.error("an append over a session failed: {error}", { error }),
    });
  }

  /** What comes before the start is for nobody: peers are not met until then. */
  #replicationHost(): MeshReplication {
    const sets = () => this.#parts?.replication.sets;
    return {
      entryBytesMax: this.config.limits.entryBytesMax,
      connected: (port) => sets()?.connected(port),
      lost: (peerId) => sets()?.lost(peerId),
      heard: (peerId) => sets()?.heard(peerId),
      receive: (peerId, message) => sets()?.receive(peerId, message),
    };
  }

  async #openChannels(parts: Parts): Promise<void> {
    const { config, mesh } = this;
    const { store, nodeId } = parts;
    const { replication } = Object.assign(parts, {
      replication: await Replication.open({
        config,
        nodeId,
        environment,
        peers: () => mesh.peers(),
        events: this.#events,
      }),
    });
    parts.channels = await Channels.open({
      store,
      replication,
      mesh,
      nodeId,
      clusterIds: [...new Set([nodeId, ...config.peers.map(({ id }) => id)])].sort(),
      environment,
      limits: config.limits,
      urlOf: (id) => this.#cluster.urlOf(id),
      onNotice: (message) => logger.warn(message),
      onLed: (incarnation) => this.control.led(incarnation),
    });
  }

  /** Made before the start, which finds out what is asked for here: nobody is dialed or greeted until then. */
  #newCluster(): Cluster {
    const { config } = this;
    const nodeId = () => this.#parts?.nodeId ?? config.nodeId ?? "";
    const agent = () => `millrace/${VERSION} ${this.#running.runtime.name}`;
    return new Cluster({
      config,
      environment,
      tls: undefined,
      listeners: () => this.#running.listeners,
      events: this.#events,
      replication: this.#replicationHost(),
      get nodeId() {
        return nodeId();
      },
      get agent() {
        return agent();
      },
    });
  }

  #listen(parts: Parts): Promise<Listeners> {
    const { runtime, sessions, tls } = parts;
    return Listeners.open({
      config: this.config,
      runtime,
      environment,
      identity: tls?.identity,
      ownCertificate: async () => parts.certificates ??= await this.#openCertificates(parts),
      fetch: this.#options.http(this),
      acceptSession: (request) => this.#options.acceptSession(this, request),
      onSession: (session) => void this.#serve(session, sessions),
    });
  }

  /** Hands a session to whoever its first message is for. */
  async #serve(accepted: Session, sessions: Sessions): Promise<void> {
    const { handshakeGraceMs } = this.config.limits;
    const known = sessions.awaitFirstMessage();
    const { kind, session } = await openingOf(accepted, { clock: environment.clock, handshakeGraceMs });
    known();
    if (kind === "peer") this.mesh.accept(session, sessions.nextId());
    else sessions.accept(session);
  }

  #watchRenewal(parts: Parts): void {
    if (!parts.tls) return;
    const warning = renewalWarning(parts.tls.facts, environment.clock.now());
    if (warning !== undefined) logger.warn(warning);
    parts.cancelRenewal = environment.clock.schedule(RENEWAL_LOOK_MS, () => this.#watchRenewal(parts));
  }

  #openCertificates(parts: Parts): Promise<CertificateKeeper> {
    const { host, hosts, data, store } = this.config;
    const path = `${data}/webtransport_certificate.json`;
    const durable = store === "segments";
    return CertificateKeeper.open({
      hosts: certificateHosts(host, hosts),
      environment,
      onError: (error) => logger.error("background failure: {error}", { error }),
      read: () => durable ? readState(path) : Promise.resolve(undefined),
      write: (kept) => durable ? writeState(path, kept) : Promise.resolve(),
      onRotate: async (certificate) => {
        // While the listeners are still being opened they get the current one anyway.
        await (parts.listeners as Listeners | undefined)?.replaceOwnCertificate(certificate);
        logger.info("the node's own certificate is now {hash}", { hash: certificate.hash });
      },
    });
  }

  async #close(): Promise<void> {
    await this.#started?.catch(() => {});
    this.#draining = true;
    await this.#reloading;
    await this.#release(this.#parts ?? {});
  }

  async #release(parts: Partial<Parts>): Promise<void> {
    const { sessions, channels, store, certificates, listeners, cancelRenewal, replication } = parts;
    const reason = "the node is shutting down";
    certificates?.close();
    cancelRenewal?.();
    await channels?.quiesce(reason);
    channels?.leave(reason);
    await replication?.leave();
    await Promise.all([sessions?.drain(), this.mesh.close()]);
    await store?.close();
    await listeners?.close();
    await replication?.close();
  }
}

interface Parts {
  startedAt: number;
  runtime: Runtime;
  tls: TlsFiles | undefined;
  store: LogStore;
  nodeId: string;
  replication: Replication;
  channels: Channels;
  sessions: Sessions;
  listeners: Listeners;
  certificates: CertificateKeeper | undefined;
  cancelRenewal: (() => void) | undefined;
}
