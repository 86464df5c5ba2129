import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { type GuardedHttp2, guardHttp2 } from "../../src/net/webtransport/guard_http2.node.ts";
import { environment } from "../../src/server/environment.node.ts";
import { within } from "./wait.ts";

const { clock } = environment;

describe("the pings of an HTTP/2 connection", () => {
  test("are sent while it lives, with all that was given, and do nothing once it is destroyed", () => {
    const pings: unknown[][] = [];
    const http2 = {
      destroyed: false,
      ping(...words: unknown[]) {
        if (this.destroyed) throw new Error("the session has been destroyed");
        return pings.push(words) > 0;
      },
      destroy() {},
    };
    guardHttp2(http2, clock);
    expect([http2.ping("a", "b"), pings]).toEqual([true, [["a", "b"]]]);
    http2.destroyed = true;
    expect([http2.ping("c"), pings]).toEqual([false, [["a", "b"]]]);
  });

  test("of node:http2 would throw else", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [bare, guarded] = [connect(address), connect(address)];
    try {
      await Promise.all([bare, guarded].map((session) => once(session, "connect")));
      guardHttp2(guarded as unknown as GuardedHttp2, clock);
      const answered = new Promise((resolve) => guarded.ping(resolve));
      expect(await answered).toBeNull();
      const gone = Promise.all([bare, guarded].map((session) => once(session, "close")));
      for (const session of [bare, guarded]) session.destroy();
      await within(gone, "the end of both");
      expect(() => bare.ping(() => {})).toThrow();
      expect(guarded.ping(() => {})).toBe(false);
    } finally {
      server.close();
    }
  });
});

describe("the end of an HTTP/2 connection", () => {
  test("comes once, in a later turn, with what was given first", () => {
    const ends: unknown[][] = [];
    const tasks: (() => void)[] = [];
    const http2 = { destroyed: false, ping: () => true, destroy: (...words: unknown[]) => void ends.push(words) };
    guardHttp2(http2, {
      ...clock,
      schedule: (delayMs, task) => {
        expect(delayMs).toBe(0);
        tasks.push(task);
        return () => {};
      },
    });
    http2.destroy("first", 7);
    http2.destroy("second");
    expect(ends).toEqual([]);
    for (const task of tasks) task();
    expect(ends).toEqual([["first", 7]]);
  });
});
