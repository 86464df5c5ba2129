// Keeps the node's own WebTransport certificate fresh: one in use and the next one, whose hash is published half a validity
// before it is used, so that a client that learned both stays able to connect. Each certificate is used for half its validity
// and valid for nearly another half, so one that is in use never runs out.

import type { Environment } from "../core/environment.ts";
import { type Certificate, CERTIFICATE_VALIDITY_MS, firstUse, makeCertificate } from "./certificate.ts";

/** How often the age of the certificate is looked at. */
const LOOK_INTERVAL_MS = 3_600_000;

/** For so long a certificate is the one in use. */
const USE_MS = CERTIFICATE_VALIDITY_MS / 2;

interface Kept {
  readonly current: Certificate;
  readonly next: Certificate;
}

export interface CertificateKeeperOptions {
  readonly hosts: readonly string[];
  readonly environment: Environment;
  readonly read: () => Promise<unknown>;
  readonly write: (kept: unknown) => Promise<void>;
  /** Told after each rotation. */
  readonly onRotate: (current: Certificate) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #kept: Kept;
  #cancel: () => void = () => {};

  /** Takes up the kept certificates, or makes new ones where there are none or they are too old. */
  static async open(options: CertificateKeeperOptions): Promise<CertificateKeeper> {
    const kept = await options.read() as Kept | undefined;
    const now = options.environment.clock.now();
    const usable = kept !== undefined && kept.current.notBefore < now && now < firstUse(kept.next) + USE_MS;
    const keeper = new CertificateKeeper(options, usable ? kept : await makePair(options));
    if (!usable) await options.write(keeper.#kept);
    await keeper.#rotateIfDue(false);
    keeper.#look();
    return keeper;
  }

  private constructor(options: CertificateKeeperOptions, kept: Kept) {
    this.#options = options;
    this.#kept = kept;
  }

  get current(): Certificate {
    return this.#kept.current;
  }

  /** Hashes that clients should accept: in use now, and next. */
  get hashes(): string[] {
    return [this.#kept.current.hash, this.#kept.next.hash];
  }

  close(): void {
    this.#cancel();
  }

  #look(): void {
    this.#cancel = this.#options.environment.clock.schedule(LOOK_INTERVAL_MS, () => {
      this.#rotateIfDue(true).catch(this.#options.onError).finally(() => this.#look());
    });
  }

  async #rotateIfDue(tell: boolean): Promise<void> {
    const { next } = this.#kept;
    if (this.#options.environment.clock.now() < firstUse(next)) return;
    const kept = { current: next, next: await make(this.#options, firstUse(next) + USE_MS) };
    await this.#options.write(kept);
    this.#kept = kept;
    if (tell) await this.#options.onRotate(kept.current);
  }
}

async function makePair(options: CertificateKeeperOptions): Promise<Kept> {
  const now = options.environment.clock.now();
  return { current: await make(options, now), next: await make(options, now + USE_MS) };
}

function make({ hosts, environment }: CertificateKeeperOptions, from: number): Promise<Certificate> {
  return makeCertificate({ from, hosts, random: environment.random });
}
