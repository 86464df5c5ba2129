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
    [
      { transports: ["carrier-pigeon"] },
      "transports.0",
      `"carrier-pigeon"`,
      /"websocket"\|"webtransport"\|"quic"\|"tls"\|"tcp"/,
    ],
    [{ origins: ["https://app.example/"] }, "origins.0", `"https://app.example/"`, /origin as browsers send it/],
    [{ origins: ["*"] }, "origins.0", `"*"`, /origin/],
    [{ origins: ["null"] }, "origins.0", `"null"`, /origin/],
    [{ advertise: "log.example:4437" }, "advertise", `"log.example:4437"`, /http: or https:/],
    [{ advertise: "ftp://log.example" }, "advertise", `"ftp://log.example"`, /http: or https:/],
    [{ advertise: "https://log.example/v1" }, "advertise", `"https://log.example/v1"`, /a host and a port/],
    [{ hosts: ["box:4437"] }, "hosts.0", `"box:4437"`, /without scheme, port/],
    [{ limits: { heartbeatMs: 0 } }, "limits.heartbeatMs", "0", /1/],
    [{ limits: { sessionsMax: "many" } }, "limits.sessionsMax", `"many"`, /number/],
    [{ limits: { appendQueuedBytesMax: 2 ** 31 } }, "limits.appendQueuedBytesMax", String(2 ** 31), /1073741824/],
    [{ limits: { handshakesPerSecond: 0 } }, "limits.handshakesPerSecond", "0", /1/],
    [{ clientCertificates: "maybe" }, "clientCertificates", `"maybe"`, /"none"\|"request"\|"require"/],
    [{ tlsPort: 70_000 }, "tlsPort", "70000", /65535/],
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
    [
      { laneWindowBytes: 1 << 20, logWindowBytes: 1000 << 10 },
      `limits.logWindowBytes: ${1000 << 10} is below laneWindowBytes ${1 << 20}`,
    ],
    [{ laneSliceBytesMax: 65_537 }, "limits.laneSliceBytesMax"],
    [{ logSliceBytesMax: 262_144 }, "limits.logSliceBytesMax"],
    [
      { idleTimeoutMs: 4000, heartbeatMs: 2000 },
      "limits.idleTimeoutMs: 4000 leaves no room for two heartbeats of 2000 ms",
    ],
    [{ electionMsMin: 500, electionMsMax: 499 }, "limits.electionMsMax: 499 is below electionMsMin 500"],
    [
      { electionMsMin: 299, peerHeartbeatMs: 150 },
      "limits.electionMsMin: 299 leaves no room for two heartbeats of 150 ms",
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

  const TLS = { tlsCert: "a.pem", tlsKey: "a.key" };
  const HALF_SECURE: readonly (readonly [config: NodeConfigInput, rule: RegExp])[] = [
    [{ tlsCert: "a.pem" }, /tlsKey: tlsCert needs its private key/],
    [{ tlsKey: "a.key" }, /tlsCert: tlsKey needs its certificate/],
    [{ ca: "ca.pem" }, /ca: client certificates need TLS/],
    [{ ...TLS, clientCertificates: "require" }, /clientCertificates: they are checked against ca, which is missing/],
    [{ host: "10.0.0.1", allowAnonymous: true, transports: ["tcp"] }, /transports: plain tcp is for loopback only/],
    [{ ...TLS, ca: "ca.pem", transports: ["websocket", "webtransport"] }, /transports: webtransport cannot ask for/],
  ];

  test("refuses what would be less secure than it looks", () => {
    for (const [config, rule] of HALF_SECURE) expect(faultsOf(config).join("\n")).toMatch(rule);
  });

  test("requires client certificates where there is a ca, on every transport that listens", () => {
    const config = parseConfig({ ...TLS, ca: "ca.pem", host: "10.0.0.1" });
    expect([config.clientCertificates, config.transports]).toEqual(["require", ["websocket"]]);
    expect(parseConfig({ ...TLS, ca: "ca.pem", clientCertificates: "request" }).transports).toContain("webtransport");
    expect(parseConfig({}).clientCertificates).toBe("none");
  });
});
