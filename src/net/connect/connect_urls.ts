// The addresses by which a node can be named.

import type { DialTarget, NetworkTransport } from "./dialer.ts";

/** Addresses that one connect takes. */
const URLS_MAX = 16;

/** `direct` where the address says by which transport; else the node is asked what it offers. */
export interface ConnectTarget {
  readonly url: string;
  /** What is remembered of it goes by this. */
  readonly origin: string;
  readonly direct?: { readonly transport: NetworkTransport; readonly target: DialTarget };
}

const DIRECT: Readonly<Record<string, NetworkTransport>> = {
  "ws:": "websocket",
  "wss:": "websocket",
  "quic:": "quic",
  "tls:": "tls",
  "tcp:": "tcp",
};

/** The transport that `url` names by its scheme; `undefined` for an HTTP address and for what is no address. */
export function directTransport(url: string): NetworkTransport | undefined {
  return URL.canParse(url) ? DIRECT[new URL(url).protocol] : undefined;
}

/** @throws TypeError for an address that means nothing here, RangeError for none or too many. */
export function connectTargets(urls: string | readonly string[]): ConnectTarget[] {
  const list = typeof urls === "string" ? [urls] : urls;
  if (list.length < 1 || list.length > URLS_MAX) {
    throw new RangeError(`${list.length} addresses to connect to, allowed are 1 to ${URLS_MAX}`);
  }
  return list.map(connectTarget);
}

function connectTarget(text: string): ConnectTarget {
  const allowed = "allowed are http(s):, ws(s):, quic:, tls: and tcp: with a host";
  if (!URL.canParse(text)) throw new TypeError(`an address to connect to is ${JSON.stringify(text)}, ${allowed}`);
  const url = new URL(text);
  const origin = `${url.protocol}//${url.host}`;
  const transport = DIRECT[url.protocol];
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  if (url.hostname === "" || (!isHttp && transport === undefined)) {
    throw new TypeError(`an address to connect to is ${JSON.stringify(text)}, ${allowed}`);
  }
  if (transport === undefined) return { url: text, origin };
  if (transport !== "websocket" && url.port === "") {
    throw new TypeError(`an address to connect to is ${JSON.stringify(text)}, allowed is one with a port`);
  }
  return { url: text, origin, direct: { transport, target: { url: text, certificateHashes: [] } } };
}
