import type { Refusal } from "../admission.ts";
import { problemResponse } from "../problem.ts";
import { SESSION_PATH } from "../session_endpoint.ts";
import { askedLogSlice, SUBPROTOCOL } from "./mapping.ts";

/** Whether `request` asks for a WebSocket. */
export function isWebSocketUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** The answer to a request whose head makes no sense. */
export function badRequest(): Response {
  const detail = "the head of the request is not one of HTTP/1.1";
  return problemResponse({ status: 400, code: "bad-request", title: "Bad request", detail });
}

/** The answer to an upgrade that cannot become a session, or `undefined` where it can. */
export function refuseUpgrade(request: Request): Response | undefined {
  const url = new URL(request.url);
  const path = url.pathname;
  if (path !== SESSION_PATH) {
    const detail = `a WebSocket was asked for at "${path}", sessions are at "${SESSION_PATH}"`;
    return problemResponse({ status: 404, code: "not-found", title: "Not found", detail });
  }
  if (request.headers.get("sec-websocket-version") !== "13") {
    const detail = "a WebSocket needs Sec-WebSocket-Version: 13";
    const headers = { "sec-websocket-version": "13" };
    return problemResponse({ status: 426, code: "upgrade-required", title: "Upgrade required", detail, headers });
  }
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  if (!offered.includes(SUBPROTOCOL)) {
    const detail = `the subprotocols offered are "${offered.join(", ")}", needed is "${SUBPROTOCOL}"`;
    return problemResponse({ status: 400, code: "bad-subprotocol", title: "Bad subprotocol", detail });
  }
  if (askedLogSlice(url) === undefined) {
    const detail = `the query "${url.search}" has a log-slice that is no number of bytes`;
    return problemResponse({ status: 400, code: "bad-log-slice", title: "Bad log-slice", detail });
  }
  return undefined;
}

/** The largest slice of the log lane for the session of `request`, which was not refused, where the server sends at most `allowed`. */
export function logSliceOf(request: { readonly url: string }, allowed: number): number {
  return Math.min(askedLogSlice(new URL(request.url)) ?? 0, allowed);
}

/** The answer to an upgrade for which there is no place now. */
export function noPlace({ code, reason }: Refusal): Response {
  const status = code === "too-many-handshakes" ? 429 : 503;
  const headers = { "retry-after": "1" };
  return problemResponse({ status, code, title: "No place for a session now", detail: reason, headers });
}
