import "reflect-metadata";
import { afterEach, describe, expect, test } from "bun:test";
import * as x509 from "@peculiar/x509";
import { Admission, ADMISSION_LIMITS } from "../../src/net/admission.ts";
import { encodeLanePreface } from "../../src/net/lane_preface.ts";
import type { ListenOptions } from "../../src/net/listener.ts";
import { INITIAL_WINDOW_BYTES, type QuicListener } from "../../src/net/quic/quic.ts";
import { connectQuic, dialQuic, listenQuic } from "../../src/net/quic/quic.node.ts";
import { RoundTrips } from "../../src/net/quic/round_trips.ts";
import { ReceiveWindow, SendWindow } from "../../src/net/quic/stream_windows.ts";
import { Lane, SESSION_LIMITS } from "../../src/net/session.ts";
import type { ServerIdentity } from "../../src/net/tls_identity.ts";
import { environment } from "../../src/server/environment.node.ts";
import { pattern, readExactly } from "./lane_bytes.ts";
import { quic, quicIdentities, quicUnsupported } from "./transports/quic.ts";
import { collecting, type Listening as AnyListening } from "./transports/transport_under_test.ts";
import { rejection, until, within } from "./wait.ts";

interface Listening extends Omit<AnyListening, "listener"> {
  readonly listener: QuicListener;
}

const open: Listening[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map(({ listener }) => listener.close()));
});

async function start(identity?: ServerIdentity, changes: Partial<ListenOptions> = {}): Promise<Listening> {
  const { options, ...collected } = collecting();
  const { cert, key } = identity ?? (await quicIdentities()).server;
  const listener = await listenQuic({ ...options, ...changes, identity: { cert, key } });
  const listening = { listener, ...collected };
  open.push(listening);
  return listening;
}

async function options({ listener }: Listening, ca?: readonly string[]) {
  const identity = { ca: ca ?? (await quicIdentities()).client.ca! };
  return { url: listener.url, identity, limits: SESSION_LIMITS, environment };
}

function grant(bytes: readonly number[]): Uint8Array {
  const padded = new Uint8Array(9);
  padded.set(bytes);
  return padded;
}

/** Takes all clients for one that is not on this machine, which has no limit. */
class Abroad extends Admission {
  override admit(): ReturnType<Admission["admit"]> {
    const place = super.admit();
    if ("refusal" in place) return place;
    const { admitted } = place;
    return { admitted: { ...admitted, located: () => admitted.located("192.0.2.7") } };
  }
}

/** A client that has said on a stream which lane it is. */
async function dialLane(listening: Listening, lane: Lane) {
  const { connection: dialled } = await dialQuic(await options(listening));
  const connection = await within(dialled, "the connection");
  await connection.ready;
  // On Bun the stream of the grants has no number before its first byte.
  await connection.beneath.grantStream!.write(grant([1, 0, 0, 1]));
  const stream = await connection.beneath.connection.openStream();
  await stream.write(encodeLanePreface(lane));
  await within(connection.welcomed, "the welcome");
  return { connection, stream };
}

const suite = quicUnsupported === undefined ? describe : describe.skip;
suite(`${quic.name}: limits`, () => {
  test("a client that ignores its grants is ended as lane-overflow, and what it sent is bounded", async () => {
    const listening = await start();
    const { connection, stream } = await dialLane(listening, Lane.log);
    const send = async () => {
      for (let piece = 0; piece < 256 && listening.ends.length === 0; piece++) {
        await stream.write(new Uint8Array(64 << 10));
      }
    };
    send().catch(() => {});
    await until(() => listening.ends.length === 1, "the end of the session");
    expect(listening.ends[0]).toMatchObject({ code: "lane-overflow", by: "local" });
    expect(listening.sessions[0]!.laneBytes(Lane.log).receivedBytes).toBeLessThan(SESSION_LIMITS.laneWindowBytes * 2);
    expect(await within(connection.closed, "the close")).toMatchObject({ closeCode: 4000 });
    expect(listening.errors).toEqual([]);
  });

  test("grants for no lane, or beyond what can be counted, end the session as malformed-message", async () => {
    for (const bytes of [[0, 1], [8, 1], [1, 0, 0, 0, 0, 0, 0, 0x20]]) {
      const listening = await start();
      const { connection } = await dialLane(listening, Lane.control);
      await connection.beneath.grantStream!.write(grant(bytes));
      await until(() => listening.ends.length === 1, "the end of the session");
      expect(listening.ends[0]).toMatchObject({ code: "malformed-message", by: "local" });
      expect((await within(connection.closed, "the close"))?.reason).toContain("malformed-message a grant");
      expect(listening.errors).toEqual([]);
    }
  });

  test("an address that has no place left is refused by name once it is known, and gets the next place", async () => {
    const admission = new Abroad({
      limits: { ...ADMISSION_LIMITS, sessionsPerPrefixMax: 1 },
      clock: environment.clock,
    });
    const listening = await start(undefined, { admission });
    const session = await connectQuic(await options(listening));
    const error = await rejection(connectQuic(await options(listening)));
    expect(error).toMatchObject({ name: "TransportError", code: "refused" });
    expect(String(error)).toContain("too-many-sessions-of-prefix");
    await session.close({ code: "done", reason: "" });
    await until(() => admission.sessionCount === 0, "the place to be free");
    await (await connectQuic(await options(listening))).close({ code: "done", reason: "" });
  });

  test("a server shows the certificates between its own and the authority", async () => {
    const { identity, ca } = await chain();
    const listening = await start(identity);
    const client = await connectQuic(await options(listening, [ca]));
    await client.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    await until(() => listening.sessions.length === 1, "the session");
    const reader = listening.sessions[0]!.lane(Lane.control).readable.getReader();
    expect(await readExactly(reader, 10)).toEqual(pattern(0, 10));
    const [leaf] = identity.cert.split(/(?<=-----END CERTIFICATE-----\n?)(?=-----BEGIN)/);
    const broken = await start({ ...identity, cert: leaf! });
    expect(await rejection(connectQuic(await options(broken, [ca])))).toMatchObject({ code: "refused" });
  });
});

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A server's certificate that another one has signed, which the authority has signed. */
async function chain(): Promise<{ identity: ServerIdentity; ca: string }> {
  const makeKeys = async () => await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as CryptoKeyPair;
  const [root, middle, leaf] = [await makeKeys(), await makeKeys(), await makeKeys()];
  const certify = async (
    subject: string,
    of: CryptoKeyPair,
    by: { name: string; keys: CryptoKeyPair },
    isCa: boolean,
  ) =>
    await x509.X509CertificateGenerator.create({
      subject: `CN=${subject}`,
      issuer: `CN=${by.name}`,
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 86_400_000),
      publicKey: of.publicKey,
      signingKey: by.keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(isCa, undefined, true),
        ...(isCa
          ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)]
          : [new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }])]),
      ],
    });
  const rootCertificate = await certify("root", root, { name: "root", keys: root }, true);
  const middleCertificate = await certify("middle", middle, { name: "root", keys: root }, true);
  const leafCertificate = await certify("localhost", leaf, { name: "middle", keys: middle }, false);
  const pem = (certificate: x509.X509Certificate) => `${certificate.toString("pem")}\n`;
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", leaf.privateKey), "PRIVATE KEY");
  return { identity: { cert: pem(leafCertificate) + pem(middleCertificate), key }, ca: pem(rootCertificate) };
}

describe("QUIC windows", () => {
  const WINDOW_BYTES_MAX = 1 << 20;

  /** A window over a way of `ms` whose reader takes all at once; answers the window granted when `totalBytes` were read. */
  function grown(ms: number, totalBytes: number): number {
    let nowMs = 0;
    const window = new ReceiveWindow({
      bytesMax: WINDOW_BYTES_MAX,
      roundTrips: new RoundTrips({ monotonic: () => nowMs }),
    });
    let limitBytes = window.consumed(0)!;
    let readBytes = 0;
    while (readBytes < totalBytes) {
      const size = limitBytes - readBytes;
      nowMs += ms;
      window.received(size);
      readBytes += size;
      limitBytes = window.consumed(size) ?? limitBytes;
    }
    return limitBytes - readBytes;
  }

  test("are as large as the way to the peer is long, within what a lane may hold", () => {
    expect(grown(0.3, 4 << 20)).toBe(INITIAL_WINDOW_BYTES);
    expect(grown(4, 4 << 20)).toBe(4 * INITIAL_WINDOW_BYTES);
    expect(grown(100, 16 << 20)).toBe(WINDOW_BYTES_MAX);
  });

  test("follow the shortest way seen lately, so that one stall changes nothing and a longer way is found", () => {
    const roundTrips = new RoundTrips({ monotonic: () => 0 });
    for (const ms of [2, 500, 2, 80]) roundTrips.add(ms);
    expect(roundTrips.windowBytes(WINDOW_BYTES_MAX)).toBe(2 * INITIAL_WINDOW_BYTES);
    for (let count = 0; count < 64; count++) roundTrips.add(8);
    expect(roundTrips.windowBytes(WINDOW_BYTES_MAX)).toBe(8 * INITIAL_WINDOW_BYTES);
  });

  test("are never taken back", () => {
    const roundTrips = new RoundTrips({ monotonic: () => 0 });
    roundTrips.add(16);
    const window = new ReceiveWindow({ bytesMax: WINDOW_BYTES_MAX, roundTrips });
    expect(window.consumed(0)).toBe(WINDOW_BYTES_MAX);
    roundTrips.add(0);
    expect(window.consumed(WINDOW_BYTES_MAX / 2)).toBe(undefined);
    expect(window.consumed(WINDOW_BYTES_MAX / 2)).toBe(WINDOW_BYTES_MAX + INITIAL_WINDOW_BYTES);
  });

  test("tell a stream that has used up what it may send from one without haste", async () => {
    const window = new SendWindow();
    await window.take(100);
    window.grant(2 * INITIAL_WINDOW_BYTES);
    expect(window.isBusy).toBe(false);
    await window.take(2 * INITIAL_WINDOW_BYTES);
    window.grant(3 * INITIAL_WINDOW_BYTES);
    expect(window.isBusy).toBe(true);
    window.stop();
    expect(await window.take(1)).toBe(0);
  });
});
