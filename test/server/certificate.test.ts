import { describe, expect, test } from "bun:test";
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { certificateHosts, makeCertificate } from "../../src/server/certificate.ts";
import { CertificateKeeper, type CertificateKeeperOptions } from "../../src/server/certificate_keeper.ts";
import { environment } from "../../src/server/environment.node.ts";
import { HandClock } from "../process/hand_clock.ts";
import { eventually } from "../process/waiting.ts";

const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 1);

describe("a certificate for WebTransport", () => {
  const make = () => {
    const hosts = certificateHosts("127.0.0.1", ["box.example", "10.0.0.7"]);
    return makeCertificate({ from: START, hosts, random: environment.random });
  };

  test("is what browsers take by hash: P-256, at most fourteen days, the hash that of its DER", async () => {
    const made = await make();
    const read = new X509Certificate(made.cert);
    expect(made.hash).toBe(createHash("sha256").update(read.raw).digest("hex"));
    expect(read.publicKey.asymmetricKeyType).toBe("ec");
    expect(read.publicKey.export({ format: "jwk" }).crv).toBe("P-256");
    expect(Date.parse(read.validFrom)).toBe(made.notBefore);
    expect(Date.parse(read.validTo)).toBe(made.notAfter);
    expect(made.notAfter - made.notBefore).toBe(13 * DAY_MS);
    expect(made.notBefore).toBeLessThan(START);
  });

  test("has the key that goes with it, and the names by which the node is reached", async () => {
    const made = await make();
    const read = new X509Certificate(made.cert);
    expect(read.checkPrivateKey(createPrivateKey(made.key))).toBe(true);
    const names = read.subjectAltName!.split(", ");
    expect(names).toEqual(expect.arrayContaining(["DNS:localhost", "IP Address:127.0.0.1", "DNS:box.example"]));
    expect(names).toContain("IP Address:10.0.0.7");
    expect(names.some((name) => /^IP Address:(::1|0:0:0:0:0:0:0:1)$/.test(name))).toBe(true);
  });

  test("is another one each time", async () => {
    const [one, two] = await Promise.all([make(), make()]);
    expect(one.hash).not.toBe(two.hash);
    expect(new X509Certificate(one.cert).serialNumber).not.toBe(new X509Certificate(two.cert).serialNumber);
  });
});

/** A keeper with a clock moved by hand, and a file that is a variable. */
class Rig {
  readonly clock: HandClock;
  readonly rotated: string[] = [];
  readonly errors: unknown[] = [];
  kept: unknown;
  writeFails = false;

  constructor(now = START) {
    this.clock = new HandClock(now);
  }

  async open(): Promise<CertificateKeeper> {
    const options: CertificateKeeperOptions = {
      hosts: ["localhost"],
      environment: { ...environment, clock: this.clock },
      read: () => Promise.resolve(this.kept),
      write: (kept) => {
        if (this.writeFails) return Promise.reject(new Error("no space"));
        this.kept = JSON.parse(JSON.stringify(kept));
        return Promise.resolve();
      },
      onRotate: ({ hash }) => {
        this.rotated.push(hash);
        return Promise.resolve();
      },
      onError: (error) => this.errors.push(error),
    };
    return await CertificateKeeper.open(options);
  }

  /** Moves the clock on by half a day at a time; each look at the certificates is over before the next. */
  async goTo(time: number): Promise<void> {
    while (this.clock.now() < time) {
      this.clock.moveTo(Math.min(time, this.clock.now() + DAY_MS / 2));
      await eventually("the look is over", () => this.clock.timerCount > 0 ? true : undefined);
    }
  }
}

describe("the keeper of certificates", () => {
  test("changes to the next one at half life, and has published each half a validity before", async () => {
    const rig = new Rig();
    const keeper = await rig.open();
    const published = new Map<string, number>();
    const used: { hash: string; from: number }[] = [];
    for (let days = 0; days <= 30; days += 0.5) {
      await rig.goTo(START + days * DAY_MS);
      const now = rig.clock.now();
      for (const hash of keeper.hashes) if (!published.has(hash)) published.set(hash, now);
      const { hash, notBefore, notAfter } = keeper.current;
      expect(now > notBefore && now < notAfter - 5 * DAY_MS).toBe(true);
      if (used.at(-1)?.hash !== hash) used.push({ hash, from: now });
    }
    expect(used.map(({ from }) => (from - START) / DAY_MS)).toEqual([0, 6.5, 13, 19.5, 26]);
    for (const { hash, from } of used.slice(1)) expect(from - published.get(hash)!).toBe(6.5 * DAY_MS);
    expect(rig.rotated).toEqual(used.slice(1).map(({ hash }) => hash));
    keeper.close();
  });

  test("takes the same two up again after a restart, and rotates what became due meanwhile", async () => {
    const rig = new Rig();
    // Each keeper is closed before the clock moves: one that is still open would rotate on its own.
    const first = await rig.open();
    const [current, next] = first.hashes;
    first.close();
    rig.clock.moveTo(START + 6 * DAY_MS);
    const second = await rig.open();
    expect(second.hashes).toEqual([current!, next!]);
    second.close();
    rig.clock.moveTo(START + 8 * DAY_MS);
    const later = await rig.open();
    expect(later.hashes[0]).toBe(next!);
    expect((rig.kept as { next: { hash: string } }).next.hash).toBe(later.hashes[1]!);
  });

  test("makes new ones where the kept ones are too old, or from the future", async () => {
    for (const now of [START + 20 * DAY_MS, START - 2 * DAY_MS]) {
      const rig = new Rig();
      const { hashes } = await rig.open();
      const late = new Rig(now);
      late.kept = rig.kept;
      const keeper = await late.open();
      expect(keeper.hashes.filter((hash) => hashes.includes(hash))).toEqual([]);
      expect(keeper.current.notBefore < now && now < keeper.current.notAfter).toBe(true);
    }
  });

  test("stays with the certificates that it could write down, and tries again", async () => {
    const rig = new Rig();
    const keeper = await rig.open();
    const before = keeper.hashes;
    rig.writeFails = true;
    await rig.goTo(START + 7 * DAY_MS);
    expect(keeper.hashes).toEqual(before);
    expect(rig.errors.length).toBeGreaterThan(0);
    rig.writeFails = false;
    await rig.goTo(START + 7 * DAY_MS + 3_600_000);
    await eventually("rotated", () => keeper.hashes[0] === before[1] ? true : undefined);
    keeper.close();
  });
});
