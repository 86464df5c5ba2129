// By which transport a command talks to its node.

import { directTransport } from "../net/connect/connect_urls.ts";
import { UsageError } from "./terminal.node.ts";

/** Ways in which `millrace tail` gets entries, and `millrace append` brings them. */
export const CLIENT_TRANSPORTS = ["http", "webtransport", "websocket", "quic", "tls", "tcp"] as const;
export type ClientTransport = (typeof CLIENT_TRANSPORTS)[number];

export interface TransportOptions {
  readonly url: readonly string[];
  /** Default: the one that the addresses say. */
  readonly transport?: ClientTransport;
}

/** The transport that is named, or that the addresses say. @throws UsageError where these disagree. */
export function chosenTransport({ url, transport }: TransportOptions): ClientTransport {
  const named = transport ?? directTransport(url[0]!) ?? "http";
  for (const each of url) {
    const direct = directTransport(each);
    if (direct === undefined && (transport !== undefined || named === "http")) continue;
    if (direct !== named) {
      const allowed = direct === undefined ? "the same transport for all" : `${direct}, or an http address`;
      throw new UsageError(`--transport is ${named} and --url is ${each}; allowed is ${allowed}`);
    }
  }
  return named;
}
