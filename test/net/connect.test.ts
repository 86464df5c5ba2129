import { afterAll, describe, expect, test } from "bun:test";
import { connect } from "../../src/net/connect.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { connectCapability } from "../../src/net/webtransport/capability.ts";
import { listenCapability } from "../../src/net/webtransport/listen.deno.ts";
import { environment } from "../../src/server/environment.node.ts";
import { Workbench } from "../process/workbench.ts";
import { rejection } from "./wait.ts";

const bench = new Workbench();
afterAll(() => bench.clear());

const HAS_WEBTRANSPORT = listenCapability().isSupported && connectCapability().isSupported;

function connectTo(url: string, transports: ("webtransport" | "websocket")[], signal?: AbortSignal) {
  const fallbacks: string[] = [];
  const onFallback = (transport: string, reason: string) => void fallbacks.push(`${transport}: ${reason}`);
  const aborted = signal ? { signal } : {};
  const session = connect({ url, transports, limits: SESSION_LIMITS, environment, onFallback, ...aborted });
  return { session, fallbacks };
}

describe("connect", () => {
  test.skipIf(!HAS_WEBTRANSPORT)(
    "takes the preferred transport (needs WebTransport at both ends: run it on Deno)",
    async () => {
      const { url } = await bench.node();
      const { session, fallbacks } = connectTo(url, ["webtransport", "websocket"]);
      expect((await session).transport).toBe("webtransport");
      expect(fallbacks).toEqual([]);
      await (await session).close({ code: "done", reason: "" });
    },
  );

  test("takes the next transport where the node lacks the first, and says why", async () => {
    const { url } = await bench.node({ transports: ["websocket"] });
    const { session, fallbacks } = connectTo(url, ["webtransport", "websocket"]);
    expect((await session).transport).toBe("websocket");
    expect(fallbacks.length).toBe(1);
    expect(fallbacks[0]).toContain("WebTransport");
    await (await session).close({ code: "done", reason: "" });
  });

  test("fails with the last reason where no transport is left", async () => {
    const { url } = await bench.node({ transports: ["webtransport"] });
    const failure = await rejection(connectTo(url, ["websocket"]).session);
    expect(failure).toMatchObject({ name: "TransportError", code: "refused" });
    const nobody = await rejection(connectTo("http://127.0.0.1:1", ["websocket"]).session);
    expect(nobody).toMatchObject({ name: "TransportError", code: "refused" });
  });

  test("gives up at once when it is aborted", async () => {
    const { url } = await bench.node();
    const reason = new Error("enough");
    const { session, fallbacks } = connectTo(url, ["websocket"], AbortSignal.abort(reason));
    expect(await rejection(session)).toBe(reason);
    expect(fallbacks).toEqual([]);
  });
});
