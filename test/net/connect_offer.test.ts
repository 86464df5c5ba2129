import { describe, expect, test } from "bun:test";
import type { ConnectOptions } from "../../src/net/connect/connect.ts";
import type { NetworkTransport } from "../../src/net/connect/dialer.ts";
import type { HttpVersion } from "../../src/net/webtransport/backend.ts";
import { ConnectRig } from "./connect_rig.ts";

const HASH = "aa".repeat(32);
const OTHER_HASH = "bb".repeat(32);
const HTTP_URL = "http://node.test:80";

/** What is dialled for `transport` where the node says `offer` of itself. */
async function dialled(
  offer: unknown,
  { transport = "webtransport", url = HTTP_URL, httpVersions, ...options }: Partial<ConnectOptions> & {
    transport?: NetworkTransport;
    url?: string;
    httpVersions?: readonly HttpVersion[];
  } = {},
) {
  const rig = new ConnectRig();
  rig.fates = { [transport]: { readyMs: 0 } };
  if (httpVersions) rig.httpVersions = () => Promise.resolve(httpVersions);
  rig.offer = () => Promise.resolve(offer instanceof Response ? offer : Response.json(offer));
  const outcome = rig.start(rig.connector(url, { transports: [transport], ...options }));
  await rig.advance(100);
  expect(await rig.finish()).toBe(0);
  return { target: rig.dialled[0]?.target, error: outcome.error };
}

const entry = (name: string, rest: object = {}) => ({ name, available: true, reason: "", ...rest });

describe("what a node offers", () => {
  test("gives the address, the HTTP version and the certificates of each transport", async () => {
    const offer = {
      certificateHashes: [HASH],
      transports: [
        entry("webtransport", { url: "https://node.test:2/", http: "h3" }),
        entry("quic", { url: "quic://node.test:3", certificateHashes: [OTHER_HASH] }),
        entry("tls", { url: "tls://node.test:4" }),
      ],
    };
    const find = async (transport: NetworkTransport) => (await dialled(offer, { transport })).target;
    expect(await find("webtransport")).toEqual({ url: "https://node.test:2/", http: "h3", certificateHashes: [HASH] });
    expect(await find("quic")).toEqual({ url: "quic://node.test:3", certificateHashes: [OTHER_HASH] });
    expect(await find("tls")).toEqual({ url: "tls://node.test:4", certificateHashes: [HASH] });
  });

  test("is understood as older nodes say it", async () => {
    const old = {
      webtransport: "https://node.test:2/",
      certificateHashes: [HASH],
      transports: [entry("webtransport")],
    };
    expect((await dialled(old)).target).toEqual({ url: "https://node.test:2/", http: "h3", certificateHashes: [HASH] });
  });

  test("is WebTransport over what both ends have", async () => {
    const h2 = entry("webtransport", { url: "https://node.test:2/", http: "h2" });
    const h3 = entry("webtransport", { url: "https://node.test:3/", http: "h3" });
    const found = async (offered: object[], ...versions: HttpVersion[]) => {
      const { target, error } = await dialled({ transports: offered }, { httpVersions: versions });
      return target?.http ?? (error as Error).message;
    };
    expect(await found([h2, h3], "h3", "h2")).toBe("h3");
    expect(await found([h2, h3], "h2")).toBe("h2");
    expect(await found([h2], "h3", "h2")).toBe("h2");
    expect(await found([h2], "h3")).toContain("it has it over h2, possible here is h3");
  });

  test("names the host that was asked where the node listens everywhere", async () => {
    const at = async (url: string) =>
      (await dialled({ transports: [entry("quic", { url })] }, { transport: "quic" })).target!.url;
    expect(await at("quic://0.0.0.0:3")).toBe("quic://node.test:3");
    expect(await at("quic://[::]:3")).toBe("quic://node.test:3");
    expect(await at("quic://10.0.0.1:3")).toBe("quic://10.0.0.1:3");
  });

  test("says why a transport cannot be had", async () => {
    const missing = {
      transports: [{ name: "webtransport", available: false, reason: "the addon is absent", url: null }],
    };
    expect((await dialled(missing)).error).toMatchObject({
      code: "unsupported",
      message: `${HTTP_URL} has no WebTransport: the addon is absent`,
    });
    expect((await dialled({ transports: [entry("quic")] }, { transport: "quic" })).error).toMatchObject({
      code: "unsupported",
    });
  });

  test("is refused where it is none", async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 16)),
    });
    const answers: [unknown, string][] = [
      [new Response("{", {}), "does not answer"],
      [new Response(null, { status: 503 }), "answered 503"],
      [null, "is not a node"],
      [new Response(endless), "more than 1048576 bytes"],
    ];
    for (const [answer, said] of answers) {
      expect((await dialled(answer)).error).toMatchObject({ code: "refused", message: expect.stringContaining(said) });
    }
    for (const odd of [{}, { transports: 5 }, { transports: [null, 5, {}, { name: 7 }] }, []]) {
      expect((await dialled(odd)).error).toMatchObject({ code: "unsupported" });
    }
  });

  test("does not stand above authorities of one's own", async () => {
    const offer = { certificateHashes: [HASH], transports: [entry("tls", { url: "tls://node.test:4" })] };
    const identity = { ca: ["an authority"] };
    const hashes = async (options: Parameters<typeof dialled>[1]) =>
      (await dialled(offer, { transport: "tls", ...options })).target!.certificateHashes;
    expect(await hashes({})).toEqual([HASH]);
    expect(await hashes({ identity })).toEqual([]);
    expect(await hashes({ identity, url: "https://node.test" })).toEqual([]);
  });
});
