// The contract of a session with its two ends in different processes, on different runtimes.

import { afterAll, describe, expect, test } from "bun:test";
import type { SessionListener } from "../../../src/net/listener.ts";
import { Lane, SESSION_LIMITS } from "../../../src/net/session.ts";
import { transportSuite } from "../../suites/session_suite.ts";
import { pattern, readExactly } from "../lane_bytes.ts";
import { listenOn, type TransportUnderTest } from "../transports/transport_under_test.ts";
import { until, within } from "../wait.ts";
import { CROSS_TRANSPORTS, crossIdentity } from "./cross_transports.ts";
import { localParty } from "./local_party.ts";
import type { CrossIdentity, CrossName, Party } from "./party.ts";
import { type CrossEnd, RemoteEnds, type StartEnd, type StartEnds } from "./remote_ends.ts";
import { processEnds } from "./remote_process.node.ts";

export interface CrossPair {
  readonly name: CrossName;
  readonly server: CrossEnd;
  readonly client: CrossEnd;
  /** Why it cannot run here. */
  readonly unsupported?: string;
  /** What the name of the suite says beside the pair. */
  readonly note?: string;
  /** Whether code and reason of a close arrive, where that is not as with the transport's other pairs. */
  readonly carriesCloseReason?: boolean;
}

/** {@link crossSuite} for pairs of processes. */
export function processSuites(pairs: readonly CrossPair[], newerBun?: string): void {
  const { starts, close } = processEnds(newerBun);
  for (const pair of pairs) crossSuite(pair, starts);
  afterAll(close);
}

/** The contract between `server` and `client`, and what becomes of one when the other's process does not answer any more. */
export function crossSuite(pair: CrossPair, starts: StartEnds): void {
  const ends = new RemoteEnds();
  const start = sideStarts(pair, starts);
  const transport = new CrossTransportUnderTest(pair, { start, ends });
  transportSuite(transport);
  const suite = pair.unsupported === undefined ? describe : describe.skip;
  suite(`${transport.name}: when the other process`, () => {
    for (const side of ["server", "client"] as const) {
      const startSide = start[side];
      if (startSide === undefined) continue;
      // Pages cannot be stopped where they stand.
      if (pair[side] !== "Chromium") freezeTest(transport, { side, ends, start: startSide });
      killTest(transport, { side, ends, start: startSide });
    }
    afterAll(() => ends.end());
  });
}

type StartSides = Readonly<Record<"server" | "client", StartEnd | undefined>>;

/** Bun is this process, but for the client of another Bun: each side is a process of its own. */
function sideStarts({ server, client }: CrossPair, starts: StartEnds): StartSides {
  const startOf = (end: CrossEnd) => end === "Bun" ? undefined : starts[end];
  const again = starts[client];
  return { server: startOf(server), client: server === client && again ? () => again() : startOf(client) };
}

class CrossTransportUnderTest implements TransportUnderTest {
  readonly name: string;
  readonly unsupported?: string;
  readonly carriesCloseReason: boolean;
  readonly isMultiplexed: boolean;
  readonly isBrowserQuic: boolean;
  readonly unreadBytesMax?: number;
  readonly #pair: CrossPair;
  readonly #start: StartSides;
  readonly #ends: RemoteEnds;
  #identity: Promise<CrossIdentity> | undefined;

  constructor(pair: CrossPair, { start, ends }: { start: StartSides; ends: RemoteEnds }) {
    const { name, server, client, unsupported } = pair;
    this.name = `${name} from ${client} to ${server}${pair.note === undefined ? "" : ` (${pair.note})`}`;
    if (unsupported !== undefined) this.unsupported = unsupported;
    const { carriesCloseReason, isMultiplexed, unreadBytesMax } = CROSS_TRANSPORTS[name];
    this.carriesCloseReason = pair.carriesCloseReason ?? carriesCloseReason;
    this.isMultiplexed = isMultiplexed;
    this.isBrowserQuic = client === "Chromium" && !isMultiplexed;
    if (unreadBytesMax !== undefined) this.unreadBytesMax = unreadBytesMax;
    this.#pair = pair;
    this.#start = start;
    this.#ends = ends;
  }

  async listen(options: Parameters<TransportUnderTest["listen"]>[0]): Promise<SessionListener> {
    const party = await this.#party("server");
    const listener = await party.listen(this.#pair.name, await this.#trust(), options);
    const close = async () => {
      await listener.close();
      for (const left of await this.#leftovers()) options.onError(left);
    };
    return { host: listener.host, port: listener.port, url: listener.url, close };
  }

  async connect({ url }: SessionListener, options: Parameters<TransportUnderTest["connect"]>[1]) {
    const party = await this.#party("client");
    return await party.connect(this.#pair.name, await this.#trust(), { ...options, url });
  }

  async #party(side: "server" | "client"): Promise<Party> {
    const start = this.#start[side];
    return start ? (await this.#ends.get(start)).party : localParty;
  }

  #trust(): Promise<CrossIdentity> {
    return this.#identity ??= crossIdentity();
  }

  /** What the other processes have not let go of. */
  async #leftovers(): Promise<string[]> {
    const starts = [this.#start.server, this.#start.client];
    const left = starts.map(async (start) => start ? await (await this.#ends.get(start)).party.leftovers() : []);
    return (await Promise.all(left)).flat();
  }
}

interface OtherSide {
  readonly side: "server" | "client";
  readonly ends: RemoteEnds;
  readonly start: StartEnd;
}

/** A pair on which both sides have said something, and the end of the side that stays. */
async function openPair(transport: TransportUnderTest, side: "server" | "client") {
  const limits = { ...SESSION_LIMITS, idleTimeoutMs: 1000, closeGraceMs: 200 };
  const { listener, sessions } = await listenOn(transport, limits);
  const client = await transport.connect(listener, { limits });
  await until(() => sessions.length === 1, "the server's session");
  const server = sessions[0]!;
  for (const [from, to] of [[client, server], [server, client]] as const) {
    await from.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    await readExactly(to.lane(Lane.control).readable.getReader(), 10);
  }
  const [witness, victim] = side === "server" ? [client, server] : [server, client];
  return { listener, witness, victim };
}

function freezeTest(transport: TransportUnderTest, { side, ends, start }: OtherSide): void {
  test(`(the ${side}) freezes, the session ends with idle-timeout, and over there too once it goes on`, async () => {
    const { listener, witness, victim } = await openPair(transport, side);
    const other = await ends.get(start);
    other.freeze!();
    try {
      const { code } = await within(witness.closed, "the end of who was left alone");
      expect(transport.isBrowserQuic ? ["idle-timeout", "lost"] : ["idle-timeout"]).toContain(code);
    } finally {
      other.thaw!();
    }
    await within(victim.closed, "the end over there");
    await within(listener.close(), "the listener to close");
  });
}

function killTest(transport: TransportUnderTest, { side, ends, start }: OtherSide): void {
  test(`(the ${side}) is killed, the session ends, at the idle timeout at the latest`, async () => {
    const { listener, witness } = await openPair(transport, side);
    const read = witness.lane(Lane.log).readable.getReader().read();
    read.catch(() => {});
    await ends.kill(start);
    const { code, by } = await within(witness.closed, "the end of who was left alone");
    expect(["lost", "closed", "idle-timeout"]).toContain(code);
    expect(by).not.toBe(code === "idle-timeout" ? "remote" : "local");
    await read.catch(() => {});
    if (side === "client") await within(listener.close(), "the listener to close");
    else await listener.close().catch(() => {});
  });
}
