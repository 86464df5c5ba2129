// Keeps the node's own WebTransport certificate fresh: one in use and the next one, whose hash is published half a validity
// before it is used, so that a client that learned both stays able to connect.

import type { Environment } from "../core/environment.ts";
import { type Certificate, CERTIFICATE_VALIDITY_MS, makeCertificate } from "./certificate.ts";

/** How often the age of the certificate is looked at. */
const LOOK_INTERVAL_MS = 3_600_000;

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
    const usable = kept !== undefined && kept.current.notBefore < now && now < kept.next.notAfter;
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
    const { current, next } = this.#kept;
    const dueAt = current.notAfter - CERTIFICATE_VALIDITY_MS / 2;
    if (this.#options.environment.clock.now() < dueAt) return;
    this.#kept = { current: next, next: await makeCertificate(certificateOptions(this.#options)) };
    await this.#options.write(this.#kept);
    if (tell) await this.#options.onRotate(this.#kept.current);
  }
}

function certificateOptions({ hosts, environment }: CertificateKeeperOptions) {
  return { hosts, clock: environment.clock, random: environment.random };
}

async function makePair(options: CertificateKeeperOptions): Promise<Kept> {
  return {
    current: await makeCertificate(certificateOptions(options)),
    next: await makeCertificate(certificateOptions(options)),
  };
}
