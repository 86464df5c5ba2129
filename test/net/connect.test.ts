import { afterAll, describe, expect, test } from "bun:test";
import type { Environment } from "../../src/core/environment.ts";
import { connect, type ConnectOptions, NEXT_TRANSPORT_AFTER_MS } from "../../src/net/connect/connect.ts";
import type { NetworkTransport } from "../../src/net/connect/dialer.ts";
import { programConnecting } from "../../src/net/connect/program_dialers.node.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { connectCapability } from "../../src/net/webtransport/capability.ts";
import { listenCapability } from "../../src/net/webtransport/listen.deno.ts";
import { environment } from "../../src/server/environment.node.ts";
import { Workbench } from "../process/workbench.ts";
import { rejection, until } from "./wait.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const HAS_WEBTRANSPORT = listenCapability().isSupported && connectCapability().isSupported;
const NEEDS_WEBTRANSPORT = "(needs WebTransport at both ends: run it on Deno)";
const END = { code: "done", reason: "" };

/** On a busy machine WebTransport may take longer than it has before WebSocket starts beside it: here it has the time. */
const patient: Environment = {
  ...environment,
  clock: {
    ...environment.clock,
    schedule: (delayMs, task) =>
      environment.clock.schedule(delayMs === NEXT_TRANSPORT_AFTER_MS ? SESSION_LIMITS.handshakeGraceMs : delayMs, task),
  },
};

function connectTo(
  urls: string | string[],
  transports: NetworkTransport[],
  options: Partial<ConnectOptions> = {},
) {
  const fallbacks: string[] = [];
  const onFallback = (transport: string, reason: string) => void fallbacks.push(`${transport}: ${reason}`);
  const fixed = { ...programConnecting(environment), transports, limits: SESSION_LIMITS, onFallback };
  return { connected: connect(urls, { ...fixed, ...options }), fallbacks };
}

describe("connect", () => {
  test.skipIf(!HAS_WEBTRANSPORT)(`takes the preferred transport ${NEEDS_WEBTRANSPORT}`, async () => {
    const { url, port } = await bench.node();
    const { connected, fallbacks } = connectTo(url, ["webtransport", "websocket"], { environment: patient });
    const { session, transport, address, attempts } = await connected;
    expect([session.transport, transport, address]).toEqual(["webtransport", "webtransport", "127.0.0.1"]);
    expect(attempts.map(({ transport, outcome }) => `${transport} ${outcome}`)).toEqual(["webtransport won"]);
    expect(new URL(attempts[0]!.url).port).toBe(String(port));
    expect(fallbacks).toEqual([]);
    await session.close(END);
  });

  test("takes the next transport where the node lacks the first, and says why", async () => {
    const { url } = await bench.node({ transports: ["websocket"] });
    const { connected, fallbacks } = connectTo(url, ["webtransport", "websocket"]);
    const { session, transport, attempts } = await connected;
    expect([session.transport, transport]).toEqual(["websocket", "websocket"]);
    expect(attempts.map(({ transport, outcome }) => `${transport} ${outcome}`)).toEqual([
      "webtransport failed",
      "websocket won",
    ]);
    expect(fallbacks.length).toBe(1);
    expect(fallbacks[0]).toContain("WebTransport");
    await session.close(END);
  });

  test("fails with the reason of each where no transport is left", async () => {
    const { url } = await bench.node({ transports: ["webtransport"] });
    expect(await rejection(connectTo(url, ["websocket"]).connected)).toMatchObject({
      name: "TransportError",
      code: "refused",
    });
    const nobody = connectTo("http://127.0.0.1:1", ["webtransport", "websocket"]);
    expect(await rejection(nobody.connected)).toMatchObject({ name: "TransportError", code: "refused" });
    expect(nobody.fallbacks.map((text) => text.split(":")[0])).toEqual(["webtransport", "websocket"]);
  });

  test("gives up at once when it is aborted", async () => {
    const { url } = await bench.node();
    const reason = new Error("enough");
    const { connected, fallbacks } = connectTo(url, ["websocket"], { signal: AbortSignal.abort(reason) });
    expect(await rejection(connected)).toBe(reason);
    expect(fallbacks).toEqual([]);
  });

  test("goes to the node that is there, by whichever address names it", async () => {
    const { url, port } = await bench.node({ transports: ["websocket"] });
    const { connected } = connectTo(["http://127.0.0.1:1", url], ["websocket"]);
    const direct = connectTo(`ws://localhost:${port}`, ["websocket"]);
    const found = await Promise.all([connected, direct.connected]);
    expect(found.map(({ url }) => url)).toEqual([url, `ws://localhost:${port}`]);
    expect(found[0]!.attempts.map(({ outcome }) => outcome)).toEqual(["failed", "won"]);
    for (const { session } of found) await session.close(END);
  });

  test.skipIf(!HAS_WEBTRANSPORT)(
    `closes the session that came second, at the server too ${NEEDS_WEBTRANSPORT}`,
    async () => {
      const { node, url } = await bench.node();
      // The first is ready and yet not handed out before the second is: both are open at the server then.
      const options = programConnecting(environment);
      const { promise: webSocketIsReady, resolve } = Promise.withResolvers<void>();
      const dialers: ConnectOptions["dialers"] = {
        webtransport: {
          dial: async (target, rest) => {
            const session = await options.dialers!.webtransport!.dial(target, {
              ...rest,
              signal: new AbortController().signal,
            });
            await webSocketIsReady;
            return session;
          },
        },
        websocket: {
          dial: async (target, rest) => {
            const session = await options.dialers!.websocket!.dial(target, rest);
            resolve();
            return session;
          },
        },
      };
      const { connected } = connectTo(url, ["webtransport", "websocket"], { dialers });
      const { session } = await connected;
      await until(() => node.sessions.count === 1, "one session at the server");
      await session.close(END);
      await until(() => node.sessions.count === 0, "no session at the server");
    },
  );
});
