import { describe, expect, test } from "bun:test";
import { ConnectMemory, SECOND_CHANCE_AFTER_MS } from "../../src/net/connect/connect_memory.ts";
import type { HostAddress } from "../../src/net/connect/dialer.ts";
import { SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { HandClock } from "../process/hand_clock.ts";
import { ConnectRig, settle } from "./connect_rig.ts";

const URL_A = "http://a.test:1";

describe("connect: WebTransport and WebSocket", () => {
  test("leaves WebTransport alone where it is ready in time", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 450 } };
    const outcome = rig.start(rig.connector(URL_A));
    await rig.advance(2_000);
    expect(outcome.connected).toMatchObject({ transport: "webtransport", address: "node.test" });
    expect(rig.dials).toEqual(["webtransport https://node.test:1/ at 0"]);
    expect(rig.fallbacks).toEqual([]);
    expect(await rig.finish()).toBe(0);
  });

  test("starts WebSocket beside it after 500 ms, and the first that is ready wins", async () => {
    const rig = new ConnectRig();
    rig.fates = { websocket: { readyMs: 200 } };
    const outcome = rig.start(rig.connector(URL_A));
    await rig.advance(650);
    expect([rig.dialled[0]!.abortedAtMs, outcome.connected]).toEqual([undefined, undefined]);
    await rig.advance(50);
    expect(outcome.connected).toMatchObject({ transport: "websocket", url: URL_A, address: "a.test" });
    expect(rig.dials).toEqual(["webtransport https://node.test:1/ at 0", `websocket ${URL_A} at 500`]);
    expect(rig.dialled.map(({ abortedAtMs }) => abortedAtMs)).toEqual([700, undefined]);
    expect(outcome.connected!.attempts).toEqual([
      {
        transport: "webtransport",
        url: "https://node.test:1/",
        address: "node.test",
        outcome: "overtaken",
        reason: "",
      },
      { transport: "websocket", url: URL_A, address: "a.test", outcome: "won", reason: "" },
    ]);
    expect(rig.attempts.map(({ transport, outcome }) => `${transport} ${outcome}`)).toEqual([
      "webtransport started",
      "websocket started",
      "webtransport overtaken",
      "websocket won",
    ]);
    expect(rig.fallbacks).toEqual(["webtransport: it was not ready in time"]);
    expect(await rig.finish()).toBe(0);
  });

  test("takes WebTransport all the same where it is ready before the WebSocket", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 600 } };
    const outcome = rig.start(rig.connector(URL_A));
    await rig.advance(1_000);
    expect(outcome.connected).toMatchObject({ transport: "webtransport" });
    expect(rig.dialled.map(({ abortedAtMs }) => abortedAtMs)).toEqual([undefined, 600]);
    expect(rig.fallbacks).toEqual([]);
    expect(await rig.finish()).toBe(0);
  });

  test("starts WebSocket at once where WebTransport fails", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { failMs: 100, error: new Error("no UDP") }, websocket: { readyMs: 50 } };
    const outcome = rig.start(rig.connector(URL_A));
    await rig.advance(150);
    expect(outcome.connected).toMatchObject({ transport: "websocket" });
    expect(rig.dials[1]).toBe(`websocket ${URL_A} at 100`);
    expect(rig.fallbacks).toEqual(["webtransport: no UDP"]);
    expect(await rig.finish()).toBe(0);
  });

  test("does not wait for a node that says nothing of what it offers, and asks no longer once it has a session", async () => {
    const rig = new ConnectRig();
    let asked: AbortSignal | undefined;
    rig.fates = { websocket: { readyMs: 50 } };
    const fetch = (_: URL, { signal }: { signal: AbortSignal }) => {
      asked = signal;
      return new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const outcome = rig.start(rig.connector(URL_A, { fetch }));
    await rig.advance(600);
    expect(outcome.connected?.attempts.map(({ transport, outcome }) => `${transport} ${outcome}`)).toEqual([
      "webtransport overtaken",
      "websocket won",
    ]);
    expect(asked?.aborted).toBe(true);
    expect(await rig.finish()).toBe(0);
  });

  test("counts no time for the code that a transport needs, and is interrupted while it loads", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 450 } };
    const { promise: loaded, resolve } = Promise.withResolvers<void>();
    rig.capability = () => loaded.then(() => ({ isSupported: true }));
    const abort = new AbortController();
    const outcome = rig.start(rig.connector(URL_A));
    const aborted = rig.start(rig.connector(URL_A), abort.signal);
    await rig.advance(2_000);
    expect(rig.dialled).toEqual([]);
    abort.abort("enough");
    await settle();
    expect(aborted.error).toBe("enough");
    resolve();
    await rig.advance(500);
    expect([outcome.connected?.transport, ...rig.dials]).toEqual([
      "webtransport",
      "webtransport https://node.test:1/ at 2000",
    ]);
    expect(await rig.finish()).toBe(0);
  });

  test("closes a loser that is ready although it was aborted", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 900, deaf: true }, websocket: { readyMs: 100 } };
    const outcome = rig.start(rig.connector(URL_A));
    await rig.advance(1_000);
    expect(outcome.connected!.transport).toBe("websocket");
    expect(rig.ends).toMatchObject([{ code: "overtaken", by: "local" }]);
    expect(await rig.finish()).toBe(0);
  });

  test("fails with all reasons, and with `unsupported` only where nothing could be tried", async () => {
    const rig = new ConnectRig();
    const unsupported = new TransportError("unsupported", "not here");
    rig.fates = {
      webtransport: { failMs: 50, error: new TransportError("refused", "no UDP") },
      websocket: { failMs: 50, error: unsupported },
    };
    const some = rig.start(rig.connector(URL_A));
    const none = rig.start(rig.connector(URL_A, { transports: ["websocket"] }));
    const nothing = rig.start(rig.connector(URL_A, { transports: [] }));
    await rig.advance(200);
    expect(some.error).toMatchObject({ name: "TransportError", code: "refused", message: "no UDP; not here" });
    expect(none.error).toBe(unsupported);
    expect(nothing.error).toMatchObject({ name: "TransportError", code: "unsupported" });
    expect(await rig.finish()).toBe(0);
  });
});

describe("connect: what is remembered", () => {
  test("WebSocket that won comes first and alone, until WebTransport gets its second chance", async () => {
    const rig = new ConnectRig();
    rig.fates = { websocket: { readyMs: 50 } };
    const connector = rig.connector(URL_A);
    const dialsOfNext = async () => {
      const before = rig.dialled.length;
      const outcome = rig.start(connector);
      await rig.advance(600);
      await outcome.connected!.session.close({ code: "done", reason: "" });
      return [outcome.connected!.transport, ...rig.dialled.slice(before).map(({ transport }) => transport)];
    };
    expect(await dialsOfNext()).toEqual(["websocket", "webtransport", "websocket"]);
    expect(await dialsOfNext()).toEqual(["websocket", "websocket"]);
    rig.clock.moveTo(rig.clock.now() + SECOND_CHANCE_AFTER_MS);
    expect(await dialsOfNext()).toEqual(["websocket", "webtransport", "websocket"]);
    expect(await dialsOfNext()).toEqual(["websocket", "websocket"]);
    rig.clock.moveTo(rig.clock.now() + SECOND_CHANCE_AFTER_MS);
    rig.fates = { webtransport: { readyMs: 50 } };
    expect(await dialsOfNext()).toEqual(["webtransport", "webtransport"]);
    expect(await dialsOfNext()).toEqual(["webtransport", "webtransport"]);
    expect(await rig.finish()).toBe(0);
  });

  test("one that cannot be had is not held against it: it may be there the next time", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 0 }, websocket: { readyMs: 0 } };
    const memory = new ConnectMemory(rig.clock);
    const { offer } = rig;
    rig.offer = () => Promise.resolve(Response.json({ transports: [] }));
    const without = rig.start(rig.connector(URL_A, { memory }));
    await rig.advance(50);
    rig.offer = offer;
    const later = rig.start(rig.connector(URL_A, { memory }));
    await rig.advance(50);
    expect([without.connected!.transport, memory.size]).toEqual(["websocket", 0]);
    expect(rig.fallbacks).toEqual([`webtransport: ${URL_A} has no WebTransport: it does not know of it`]);
    expect(later.connected!.transport).toBe("webtransport");
    expect(await rig.finish()).toBe(0);
  });

  test("is of one origin and bounded", () => {
    const memory = new ConnectMemory(new HandClock(0));
    for (let port = 1; port <= 300; port++) memory.passedOver(`http://a.test:${port}`, "websocket");
    expect(memory.size).toBe(256);
    expect(memory.order("http://a.test:300", ["quic", "websocket"])).toEqual(["websocket", "quic"]);
    expect(memory.order("http://a.test:1", ["quic", "websocket"])).toEqual(["quic", "websocket"]);
    expect(memory.order("http://a.test:300", ["quic"])).toEqual(["quic"]);
  });
});

describe("connect: addresses of a host", () => {
  const six = (last: number): HostAddress => ({ address: `fd00::${last}`, family: 6 });
  const four = (last: number): HostAddress => ({ address: `10.0.0.${last}`, family: 4 });
  const TLS_URL = "tls://two.test:7";
  const options = (...found: HostAddress[]) => ({
    transports: ["tls"] as const,
    resolve: () => Promise.resolve(found),
  });

  test("both families in turn, IPv6 first, 250 ms apart", async () => {
    const rig = new ConnectRig();
    rig.fates = { "10.0.0.2": { readyMs: 100 } };
    const found = [four(1), four(2), six(1), four(3), six(2)];
    const outcome = rig.start(rig.connector(TLS_URL, options(...found)));
    await rig.advance(2_000);
    expect(rig.dials).toEqual([
      "tls fd00::1 at 0",
      "tls 10.0.0.1 at 250",
      "tls fd00::2 at 500",
      "tls 10.0.0.2 at 750",
    ]);
    expect(outcome.connected).toMatchObject({ transport: "tls", url: TLS_URL, address: "10.0.0.2" });
    expect(rig.dialled.map(({ abortedAtMs }) => abortedAtMs)).toEqual([850, 850, 850, undefined]);
    expect(outcome.connected!.attempts.map(({ outcome }) => outcome)).toEqual([
      "overtaken",
      "overtaken",
      "overtaken",
      "won",
    ]);
    expect(await rig.finish()).toBe(0);
  });

  test("the next one at once where one fails, and the reasons of all where none is left", async () => {
    const rig = new ConnectRig();
    rig.fates = { tls: { failMs: 50 } };
    const outcome = rig.start(rig.connector(TLS_URL, options(four(1), six(1))));
    await rig.advance(200);
    expect(rig.dials).toEqual(["tls fd00::1 at 0", "tls 10.0.0.1 at 50"]);
    expect(outcome.error).toMatchObject({ name: "TransportError", code: "refused", message: "tls failed; tls failed" });
    expect(rig.attempts.map(({ address, outcome }) => `${address} ${outcome}`)).toEqual([
      "fd00::1 started",
      "fd00::1 failed",
      "10.0.0.1 started",
      "10.0.0.1 failed",
    ]);
    expect(await rig.finish()).toBe(0);
  });

  test("an address is taken as it is; a name without one is refused; no more than eight are tried", async () => {
    const rig = new ConnectRig();
    rig.fates = { tls: { failMs: 0 } };
    const asked: string[] = [];
    const resolve = (host: string) => {
      asked.push(host);
      if (host === "gone.test") return Promise.reject(new Error("ENOTFOUND"));
      return Promise.resolve(host === "none.test" ? [] : Array.from({ length: 20 }, (_, index) => four(index)));
    };
    const start = (url: string) => rig.start(rig.connector(url, { transports: ["tls"], resolve }));
    start("tls://10.9.9.9:7");
    start("tls://[fd00::9]:7");
    await rig.advance(50);
    expect([rig.dialled.map(({ address }) => address), asked]).toEqual([["10.9.9.9", "fd00::9"], []]);
    const [gone, none] = [start("tls://gone.test:7"), start("tls://none.test:7")];
    start("tls://many.test:7");
    await rig.advance(600);
    expect(gone.error).toMatchObject({ code: "refused", message: expect.stringContaining("ENOTFOUND") });
    expect(none.error).toMatchObject({ code: "refused", message: `"none.test" has no address` });
    expect(rig.dialled.length).toBe(2 + 8);
    expect(await rig.finish()).toBe(0);
  });

  test("a host is left to the runtime where the transport cannot choose", async () => {
    const rig = new ConnectRig();
    rig.fates = { websocket: { readyMs: 0 } };
    const resolve = () => Promise.reject(new Error("not asked"));
    const outcome = rig.start(rig.connector("ws://two.test:7", { resolve }));
    await rig.advance(50);
    expect(outcome.connected).toMatchObject({ transport: "websocket", url: "ws://two.test:7", address: "two.test" });
    expect(await rig.finish()).toBe(0);
  });
});

describe("connect: several nodes", () => {
  const [wsA, wsB, wsC] = ["ws://a.test:1", "ws://b.test:1", "ws://c.test:1"] as const;

  test("in their order, a second apart, the next at once where one fails", async () => {
    const rig = new ConnectRig();
    rig.fates = { [wsA]: {}, [wsB]: { failMs: 100 }, [wsC]: { readyMs: 100 } };
    const outcome = rig.start(rig.connector([wsA, wsB, wsC]));
    await rig.advance(2_000);
    expect(rig.dials).toEqual([
      `websocket ${wsA} at 0`,
      `websocket ${wsB} at 1000`,
      `websocket ${wsC} at 1100`,
    ]);
    expect(outcome.connected).toMatchObject({ url: wsC, transport: "websocket" });
    expect(outcome.connected!.attempts.map(({ outcome }) => outcome)).toEqual(["overtaken", "failed", "won"]);
    expect(await rig.finish()).toBe(0);
  });

  test("addresses that mean nothing are refused before anything is tried", () => {
    const rig = new ConnectRig();
    for (const url of ["", "nonsense", "ftp://a.test", "quic:a", "tls://a.test", "file:///a"]) {
      expect(() => rig.connector([wsA, url])).toThrow(TypeError);
    }
    expect(() => rig.connector([])).toThrow(RangeError);
    expect(() => rig.connector(Array.from({ length: 17 }, () => wsA))).toThrow(RangeError);
  });

  test("an address that says by which transport is not reached by another", async () => {
    const rig = new ConnectRig();
    const outcome = rig.start(rig.connector("quic://a.test:1"));
    await rig.advance(50);
    expect(outcome.error).toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("allowed are webtransport"),
    });
    expect(rig.dialled).toEqual([]);
    expect(await rig.finish()).toBe(0);
  });
});

describe("connect: giving up", () => {
  test("one deadline for all of it", async () => {
    const rig = new ConnectRig();
    const outcome = rig.start(rig.connector([URL_A, "http://b.test:1"]));
    await rig.advance(SESSION_LIMITS.handshakeGraceMs - 50);
    expect(outcome.error).toBe(undefined);
    await rig.advance(50);
    expect(outcome.error).toMatchObject({ name: "TransportError", code: "timeout" });
    const { handshakeGraceMs } = SESSION_LIMITS;
    expect(rig.dialled.map(({ abortedAtMs }) => abortedAtMs)).toEqual([1, 2, 3, 4].map(() => handshakeGraceMs));
    expect(rig.attempts.slice(4).map(({ outcome }) => outcome)).toEqual(["aborted", "aborted", "aborted", "aborted"]);
    expect(await rig.finish()).toBe(0);
  });

  test("an abort interrupts everything at once, and what is ready later is closed", async () => {
    const rig = new ConnectRig();
    rig.fates = { webtransport: { readyMs: 900, deaf: true } };
    const abort = new AbortController();
    const outcome = rig.start(rig.connector(URL_A), abort.signal);
    await rig.advance(600);
    const reason = new Error("enough");
    abort.abort(reason);
    await settle();
    expect(outcome.error).toBe(reason);
    expect(rig.dialled.map(({ abortedAtMs }) => abortedAtMs)).toEqual([600, 600]);
    await rig.advance(400);
    expect(rig.ends).toMatchObject([{ code: "overtaken", by: "local" }]);
    expect(rig.fallbacks).toEqual([]);
    expect(await rig.finish()).toBe(0);
  });

  test("nothing is tried for a signal that is aborted already", async () => {
    const rig = new ConnectRig();
    const reason = new Error("enough");
    const outcome = rig.start(rig.connector(URL_A), AbortSignal.abort(reason));
    await settle();
    expect([outcome.error, rig.dialled]).toEqual([reason, []]);
    expect(await rig.finish()).toBe(0);
  });
});
