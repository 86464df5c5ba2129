import { afterEach } from "bun:test";
import { type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { connectWebSocket } from "../../src/net/websocket/connect_websocket.node.ts";
import type { HttpListener, HttpListenOptions } from "../../src/net/websocket/listen_options.ts";
import { environment } from "../../src/server/environment.node.ts";
import {
  listenHttp,
  RawConnection,
  type RawIdentity,
  Relay,
  upgradeHead,
  type UpgradeOptions,
} from "./http_listener.node.ts";
import { collecting, type Listening, type TestLimits } from "./transports/transport_under_test.ts";
import { goodIdentities } from "./transports/websocket.ts";
import { until } from "./wait.ts";

export interface HttpListening extends Omit<Listening, "listener"> {
  readonly listener: HttpListener;
}

/** Starts listeners and raw connections for the tests of one `describe`, and ends them after each. */
export class HttpListenings {
  readonly #listenings: HttpListening[] = [];
  readonly #raws: RawConnection[] = [];
  readonly #relays: Relay[] = [];

  readonly #isSecure: boolean;

  /** With `isSecure`, all is said over TLS. */
  constructor({ isSecure = false }: { readonly isSecure?: boolean } = {}) {
    this.#isSecure = isSecure;
    afterEach(() => this.end());
  }

  async start(limits: TestLimits = {}, options: Partial<HttpListenOptions> = {}): Promise<HttpListening> {
    const { options: common, ...collected } = collecting({ closeGraceMs: 300, ...limits });
    const answers = { fetch: () => new Response("hello"), acceptSession: () => undefined };
    const identity = this.#isSecure ? { identity: (await goodIdentities("none")).server } : {};
    const listening = { listener: await listenHttp({ ...common, ...answers, ...identity, ...options }), ...collected };
    this.#listenings.push(listening);
    return listening;
  }

  async connect({ listener: { url } }: HttpListening): Promise<Session> {
    const identity = this.#isSecure ? { identity: (await goodIdentities("none")).client } : {};
    return await connectWebSocket({ url, limits: SESSION_LIMITS, environment, ...identity });
  }

  raw({ listener }: HttpListening, shown?: RawIdentity): RawConnection {
    const connection = new RawConnection(listener.url, shown);
    this.#raws.push(connection);
    return connection;
  }

  /** A connection that has become a WebSocket, for frames that no client would send. */
  async rawUpgraded(listening: HttpListening, upgrade: UpgradeOptions = {}): Promise<RawConnection> {
    const connection = this.raw(listening);
    connection.send(upgradeHead(listening.listener.url, upgrade));
    await until(() => connection.received.includes("101 Switching"), "the upgrade");
    return connection;
  }

  /** A WebSocket that stops to read once told so by the relay. */
  async rawStallable(
    listening: HttpListening,
    upgrade: UpgradeOptions = {},
  ): Promise<{ peer: RawConnection; relay: Relay }> {
    const relay = await Relay.open(listening.listener.url);
    this.#relays.push(relay);
    const through = { ...listening, listener: { ...listening.listener, url: relay.url } };
    const peer = await this.rawUpgraded(through, upgrade);
    return { peer, relay };
  }

  async end(): Promise<void> {
    for (const relay of this.#relays.splice(0)) relay.close();
    for (const connection of this.#raws.splice(0)) connection.end();
    await Promise.all(this.#listenings.splice(0).map(({ listener }) => listener.close()));
  }
}
