import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { guardPings, type Pinged } from "../../src/net/webtransport/fails_h2_connection.node.ts";

describe("the pings of an HTTP/2 connection", () => {
  test("are sent while it lives, with all that was given, and do nothing once it is destroyed", () => {
    const pings: unknown[][] = [];
    const http2 = {
      destroyed: false,
      ping(...words: unknown[]) {
        if (this.destroyed) throw new Error("the session has been destroyed");
        return pings.push(words) > 0;
      },
    };
    guardPings(http2);
    expect([http2.ping("a", "b"), pings]).toEqual([true, [["a", "b"]]]);
    http2.destroyed = true;
    expect([http2.ping("c"), pings]).toEqual([false, [["a", "b"]]]);
  });

  // Deno's HTTP/2 is not used: it ends the process under load.
  test.skipIf("Deno" in globalThis)("of node:http2 would throw else (runs on Bun and Node)", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [bare, guarded] = [connect(address), connect(address)];
    try {
      guardPings(guarded as unknown as Pinged);
      await Promise.all([bare, guarded].map((session) => once(session, "connect")));
      const answered = new Promise((resolve) => guarded.ping(resolve));
      expect(await answered).toBeNull();
      for (const session of [bare, guarded]) session.destroy();
      expect(() => bare.ping(() => {})).toThrow();
      expect(guarded.ping(() => {})).toBe(false);
    } finally {
      server.close();
    }
  });
});
