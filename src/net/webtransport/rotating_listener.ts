// A listener over a backend that cannot change a certificate in place: the new one listens on another port, and the old port
// lives on until its sessions are over.

import { assert } from "../../lib/assert.ts";
import { listenerUrl } from "../listener.ts";
import type { ListenerCertificate, WebTransportListener, WebTransportListenOptions } from "./listen_options.ts";
import type { SessionGate } from "./session_gate.ts";

/** One port with one certificate. */
export interface Endpoint {
  readonly port: number;
  /**
   * Takes no more sessions; goes away by itself once those that are open are over. Resolves, within the close grace, when nobody
   * is let in any more. Harmless when repeated. Never rejects.
   */
  retire(): Promise<void>;
}

/** Opens a port; 0 lets the system choose. Rejects with TransportError `refused` where it is taken. */
export type Bind = (certificate: ListenerCertificate, port: number) => Promise<Endpoint>;

export class RotatingListener implements WebTransportListener {
  readonly host: string;
  readonly http = "h3";
  readonly #gate: SessionGate;
  readonly #bind: Bind;
  #endpoint: Endpoint;

  static async open(bind: Bind, { options, gate }: { options: WebTransportListenOptions; gate: SessionGate }) {
    const endpoint = await bind(options.certificate, options.port);
    return new RotatingListener({ host: options.host, gate, bind, endpoint });
  }

  private constructor(parts: { host: string; gate: SessionGate; bind: Bind; endpoint: Endpoint }) {
    this.host = parts.host;
    this.#gate = parts.gate;
    this.#bind = parts.bind;
    this.#endpoint = parts.endpoint;
  }

  get port(): number {
    return this.#endpoint.port;
  }

  get url(): string {
    return listenerUrl("https", this.host, this.port);
  }

  get sessionCount(): number {
    return this.#gate.sessionCount;
  }

  async replaceCertificate(certificate: ListenerCertificate): Promise<void> {
    assert(!this.#gate.isClosing, "a listener that closes gets no new certificate");
    const next = await this.#bind(certificate, 0);
    if (this.#gate.isClosing) return await next.retire();
    const old = this.#endpoint;
    this.#endpoint = next;
    await old.retire();
  }

  async close(): Promise<void> {
    await this.#gate.close();
    await this.#endpoint.retire();
  }
}
