import { describe, expect, test } from "bun:test";
import { type NodeConfigInput, parseConfig } from "../../src/schema/config.ts";

/** What `parseConfig` says to `config`, a line per fault. */
function faultsOf(config: unknown): string[] {
  try {
    parseConfig(config as NodeConfigInput);
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return (error as Error).message.split("\n  ");
  }
  return [];
}

describe("configuration", () => {
  test("is complete without a single field", () => {
    expect(parseConfig({})).toEqual(expect.objectContaining({
      host: "127.0.0.1",
      port: 4437,
      data: "./data",
      store: "segments",
      transports: ["websocket", "webtransport"],
      limits: expect.objectContaining({ entryBytesMax: 8 << 20, heartbeatMs: 2000, sessionsMax: 20_000 }),
    }));
  });

  const WRONG: readonly (readonly [config: unknown, field: string, found: string, rule: RegExp])[] = [
    [{ port: 70_000 }, "port", "70000", /65535/],
    [{ port: -1 }, "port", "-1", /0/],
    [{ port: 1.5 }, "port", "1.5", /int/],
    [{ port: "80" }, "port", `"80"`, /number/],
    [{ port: NaN }, "port", "NaN", /number/],
    [{ host: "" }, "host", `""`, /host name/],
    [{ host: "http://127.0.0.1" }, "host", `"http://127.0.0.1"`, /without scheme/],
    [{ data: "" }, "data", `""`, /1/],
    [{ store: "disk" }, "store", `"disk"`, /"segments"\|"memory"/],
    [{ nodeId: "a b" }, "nodeId", `"a b"`, /1 to 64 of A-Z/],
    [{ nodeId: "n".repeat(65) }, "nodeId", `"${"n".repeat(65)}"`, /1 to 64/],
    [{ transports: ["carrier-pigeon"] }, "transports.0", `"carrier-pigeon"`, /"websocket"\|"webtransport"/],
    [{ origins: ["https://app.example/"] }, "origins.0", `"https://app.example/"`, /origin as browsers send it/],
    [{ origins: ["*"] }, "origins.0", `"*"`, /origin/],
    [{ origins: ["null"] }, "origins.0", `"null"`, /origin/],
    [{ hosts: ["box:4437"] }, "hosts.0", `"box:4437"`, /without scheme, port/],
    [{ limits: { heartbeatMs: 0 } }, "limits.heartbeatMs", "0", /1/],
    [{ limits: { sessionsMax: "many" } }, "limits.sessionsMax", `"many"`, /number/],
    [{ limits: { laneQueuedBytesMax: 2 ** 31 } }, "limits.laneQueuedBytesMax", String(2 ** 31), /1073741824/],
  ];

  test("names every wrong field, the value found and what is allowed", () => {
    for (const [config, field, found, rule] of WRONG) {
      const [title, line, ...others] = faultsOf(config);
      expect([title, others]).toEqual(["bad configuration", []]);
      expect(line).toMatch(rule);
      expect([line!.slice(0, field.length + 1), line!.endsWith(`(found ${found})`)]).toEqual([`${field}:`, true]);
    }
  });

  test("names unknown fields, at the top and among the limits", () => {
    expect(faultsOf({ prot: 80 })[1]).toContain(`"prot"`);
    expect(faultsOf({ limits: { sessionMax: 1 } })[1]).toMatch(/^limits: .*"sessionMax"/);
  });

  test("tells of all faults at once", () => {
    expect(faultsOf({ port: -1, store: "x", limits: { heartbeatMs: -1 } })).toHaveLength(4);
  });

  const CONTRADICTIONS = [
    [
      { requestBodyBytesMax: 1000, entryBytesMax: 1001 },
      "limits.requestBodyBytesMax: 1000 is below entryBytesMax 1001",
    ],
    [
      { requestBodyBytesMax: 9 << 20, appendQueuedBytesMax: 9 },
      `limits.appendQueuedBytesMax: 9 is below requestBodyBytesMax ${9 << 20}`,
    ],
    [{ laneWindowBytes: 65_535 }, "limits.laneWindowBytes: Too small"],
    [{ laneSliceBytesMax: 65_537 }, "limits.laneSliceBytesMax"],
    [
      { idleTimeoutMs: 4000, heartbeatMs: 2000 },
      "limits.idleTimeoutMs: 4000 leaves no room for two heartbeats of 2000 ms",
    ],
  ] as const;

  test("refuses limits that contradict one another or the protocol", () => {
    for (const [limits, fault] of CONTRADICTIONS) {
      const found = faultsOf({ limits });
      expect([limits, found.some((line) => line.startsWith(fault))]).toEqual([limits, true]);
    }
  });

  test("does not listen for other machines unless anyone is allowed in", () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.5", "box.example", "127.evil.example", "128.0.0.1"]) {
      expect(faultsOf({ host })[0]).toContain(`host: "${host}" is reachable from other machines`);
      expect(parseConfig({ host, allowAnonymous: true }).host).toBe(host);
    }
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST"]) {
      expect(parseConfig({ host }).host).toBe(host.toLowerCase());
    }
  });
});
