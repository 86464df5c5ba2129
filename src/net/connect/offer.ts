// What a node says it offers: GET /v1/node, read as tolerantly as a newer or older node needs.

import { concatBytes } from "../../lib/bytes.ts";
import type { ClientIdentity } from "../tls_identity.ts";
import { TransportError } from "../transport_error.ts";
import type { HttpVersion } from "../webtransport/backend.ts";
import type { DialTarget, NetworkTransport } from "./dialer.ts";
import { reasonOf } from "./race.ts";

/** Largest answer that is read. */
const OFFER_BYTES_MAX = 1 << 20;

export type Fetch = (url: URL, init: { signal: AbortSignal; headers: Record<string, string> }) => Promise<Response>;

interface OfferedTransport {
  readonly name: string;
  readonly available: boolean;
  readonly reason: string;
  readonly url?: string;
  /** Of WebTransport only. */
  readonly http?: HttpVersion;
  readonly certificateHashes?: readonly string[];
}

interface Offer {
  readonly url: string;
  readonly transports: readonly OfferedTransport[];
  readonly certificateHashes: readonly string[];
}

export interface NodeOfferOptions {
  /** Default: the global one. */
  readonly fetch?: Fetch;
  readonly identity?: ClientIdentity;
  readonly signal: AbortSignal;
}

/** What a node offers, asked once however many transports want to know, and only when the first does. */
export class NodeOffer {
  readonly #url: string;
  readonly #options: NodeOfferOptions;
  #offer: Promise<Offer> | undefined;

  constructor(url: string, options: NodeOfferOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** @throws TransportError `unsupported` where it has no `transport`, or none over `httpVersions` */
  async target(transport: NetworkTransport, httpVersions: readonly HttpVersion[] = ["h3"]): Promise<DialTarget> {
    // The path of a session is the same everywhere, so WebSocket need not ask.
    if (transport === "websocket") return { url: this.#url, certificateHashes: [] };
    this.#offer ??= askOffer(this.#url, { fetch: this.#options.fetch ?? fetch, signal: this.#options.signal });
    const target = targetOf(await this.#offer, transport, httpVersions);
    return this.#isBelieved(transport) ? target : { ...target, certificateHashes: [] };
  }

  /**
   * Whether certificates that the node announces are trusted. Whoever names authorities goes by these alone: an announcement
   * that anybody on the way could have made must not stand above them. WebTransport has nothing else to go by.
   */
  #isBelieved(transport: NetworkTransport): boolean {
    return transport === "webtransport" || this.#options.identity?.ca === undefined;
  }
}

/** @throws TransportError `refused` where nobody answers, or not as a node does; the signal's reason on abort. */
async function askOffer(url: string, { fetch, signal }: { fetch: Fetch; signal: AbortSignal }): Promise<Offer> {
  try {
    const response = await fetch(new URL("/v1/node", url), { signal, headers: { accept: "application/json" } });
    if (!response.ok) {
      void response.body?.cancel().catch(() => {});
      throw new TransportError("refused", `${url} answered ${response.status}`);
    }
    return offerOf(url, JSON.parse(await boundedText(response)));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TransportError) throw error;
    throw new TransportError("refused", `${url} does not answer: ${reasonOf(error)}`, { cause: error });
  }
}

function targetOf(offer: Offer, transport: NetworkTransport, httpVersions: readonly HttpVersion[]): DialTarget {
  const entries = offer.transports.filter(({ name }) => name === transport);
  const usable = entries.filter(({ available, url }) => available && url !== undefined);
  if (usable.length === 0) {
    const refusal = entries.find(({ available }) => !available)?.reason;
    const reason = refusal ?? (entries.length > 0 ? "it does not say where" : "it does not know of it");
    throw new TransportError("unsupported", `${offer.url} has no ${TITLES[transport]}: ${reason}`);
  }
  const versions = transport === "webtransport" ? httpVersions : [undefined];
  const entry = versions.flatMap((version) => usable.find(({ http }) => http === version) ?? [])[0];
  if (!entry) {
    const reason = `it has it over ${usable.map(({ http }) => http).join(", ")}, possible here is ${
      versions.join(", ")
    }`;
    throw new TransportError("unsupported", `${offer.url} has no ${TITLES[transport]} for us: ${reason}`);
  }
  return {
    url: reachable(entry.url!, offer.url),
    certificateHashes: entry.certificateHashes ?? offer.certificateHashes,
    ...(entry.http ? { http: entry.http } : {}),
  };
}

const TITLES: Readonly<Record<NetworkTransport, string>> = {
  webtransport: "WebTransport",
  websocket: "WebSocket",
  quic: "QUIC",
  tls: "TLS",
  tcp: "TCP",
};

function offerOf(url: string, said: unknown): Offer {
  if (typeof said !== "object" || said === null) throw new TransportError("refused", `${url} is not a node`);
  const { transports, webtransport, certificateHashes } = said as Record<string, unknown>;
  const entries = Array.isArray(transports) ? transports.map(entryOf).filter((entry) => entry !== undefined) : [];
  return {
    url,
    certificateHashes: texts(certificateHashes),
    transports: entries.map((entry) => {
      // Older nodes name the address of WebTransport beside the list.
      const isBeside = entry.name === "webtransport" && entry.url === undefined && typeof webtransport === "string";
      return isBeside ? { ...entry, url: webtransport } : entry;
    }),
  };
}

function entryOf(said: unknown): OfferedTransport | undefined {
  if (typeof said !== "object" || said === null) return undefined;
  const { name, available, reason, url, http, certificateHashes } = said as Record<string, unknown>;
  if (typeof name !== "string") return undefined;
  return {
    name,
    available: available === true,
    reason: String(reason ?? ""),
    ...(typeof url === "string" && URL.canParse(url) ? { url } : {}),
    // Older nodes have HTTP/3 only and do not say so.
    ...(name === "webtransport" && (http === undefined || http === "h3" || http === "h2")
      ? { http: http ?? "h3" }
      : {}),
    ...(Array.isArray(certificateHashes) ? { certificateHashes: texts(certificateHashes) } : {}),
  };
}

function texts(said: unknown): string[] {
  return Array.isArray(said) ? said.filter((each) => typeof each === "string") : [];
}

/** A node that listens everywhere may name no address in particular: it is where it was asked. */
function reachable(offered: string, asked: string): string {
  const url = new URL(offered);
  if (url.hostname !== "0.0.0.0" && url.hostname !== "[::]") return offered;
  url.hostname = new URL(asked).hostname;
  return url.href;
}

async function boundedText(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  // Not `for await`: Safari's streams cannot be iterated.
  for (let next = await reader?.read(); next && !next.done; next = await reader!.read()) {
    byteLength += next.value.byteLength;
    if (byteLength > OFFER_BYTES_MAX) {
      void reader!.cancel().catch(() => {});
      throw new TransportError("refused", `a node said more than ${OFFER_BYTES_MAX} bytes of itself`);
    }
    chunks.push(next.value);
  }
  return new TextDecoder().decode(concatBytes(chunks));
}
