// The control API as a test speaks it.

import { expect } from "bun:test";

export const FRAMES = "application/vnd.millrace.frames";
export const NDJSON = "application/x-ndjson";
export const OCTETS = "application/octet-stream";

export interface EntryShown {
  readonly seq: number;
  readonly epoch: number;
  readonly timestamp: number;
  readonly type?: string;
  readonly payload?: string;
  readonly payloadBase64?: string;
}

/** An answer whose body is JSON, or nothing. */
export interface Told<Body = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export class Api {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    init: RequestInit = {},
  ): Promise<Told<Body>> {
    const response = await fetch(this.url + path, { method, ...init });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: (text === "" ? {} : JSON.parse(text)) as Body };
  }

  create(name: string, config?: unknown): Promise<Told> {
    const json = config === undefined
      ? {}
      : { body: JSON.stringify(config), headers: { "content-type": "application/json" } };
    return this.call("PUT", `/v1/channels/${encodeURIComponent(name)}`, json);
  }

  append(
    name: string,
    body: string | Uint8Array<ArrayBuffer>,
    { type = OCTETS, query = "", headers = {} }: { type?: string; query?: string; headers?: Record<string, string> } =
      {},
  ): Promise<Told> {
    const path = `/v1/channels/${encodeURIComponent(name)}/entries${query}`;
    return this.call("POST", path, { body, headers: { "content-type": type, ...headers } });
  }

  read(name: string, query = ""): Promise<Told<{ entries: EntryShown[]; nextSeq: number; commit: number }>> {
    return this.call("GET", `/v1/channels/${encodeURIComponent(name)}/entries${query}`);
  }

  readAs(name: string, accept: string, query = ""): Promise<Response> {
    return fetch(`${this.url}/v1/channels/${encodeURIComponent(name)}/entries${query}`, { headers: { accept } });
  }

  status(name: string): Promise<Told> {
    return this.call("GET", `/v1/channels/${encodeURIComponent(name)}`);
  }

  /** What every channel here must still do, whatever was refused before: take an entry and give it back. */
  async expectUnharmed(name: string): Promise<void> {
    const appended = await this.append(name, "still here");
    expect([appended.status, appended.body]).toEqual([200, expect.objectContaining({ lastSeq: expect.any(Number) })]);
    const { body } = await this.read(name, `?from=${appended.body["lastSeq"]}`);
    expect(body.entries.map(({ payload }) => payload)).toEqual(["still here"]);
  }
}

/** Holds `answer` to be the problem document `code`; its members beside the usual ones are the result. */
export async function expectProblem(
  answer: Told<unknown> | Response,
  expected: { status: number; code: string; retryable?: boolean; sideEffects?: string },
): Promise<Record<string, unknown>> {
  // Not `instanceof Response`: the listener's package puts another class in its place on Node and Deno.
  const body = ("json" in answer ? await answer.json() : answer.body) as Record<string, unknown>;
  expect({ status: answer.status, code: body["code"], detail: body["detail"] })
    .toEqual({ status: expected.status, code: expected.code, detail: expect.any(String) });
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(body).toEqual(expect.objectContaining({
    type: expect.any(String),
    title: expect.any(String),
    status: expected.status,
    retryable: expected.retryable ?? false,
    sideEffects: expected.sideEffects ?? "none",
    requestId: expect.any(String),
  }));
  return body;
}
