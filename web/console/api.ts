// The parts of the node's HTTP API that the page uses.

import { utf8 } from "../../src/lib/bytes.ts";

export interface NodeInfo {
  readonly nodeId: string;
  readonly version: string;
  readonly runtime: string;
  readonly store: { readonly kind: string; readonly durable: boolean; readonly durability: string };
  readonly transports: readonly { readonly name: string; readonly available: boolean; readonly reason: string }[];
}

export interface ReplicaInfo {
  readonly id: string;
  readonly kind: string;
  readonly transport: string;
  readonly channel: string;
  readonly state: string;
  readonly ackedSeq: number;
  readonly lagEntries: number;
  readonly lagBytes: number;
  readonly lagMs: number;
}

export interface ChannelInfo {
  readonly name: string;
  readonly incarnation: string;
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly commit: number;
  readonly epoch: number;
  readonly role: string;
  readonly bytes: number;
  readonly chain: string;
  readonly damage: { readonly seq: number; readonly reason: string } | null;
  readonly fenced: string | null;
}

export interface ListedChannel extends ChannelInfo {
  readonly replicaCount: number;
}

export interface ChannelDetail extends ChannelInfo {
  readonly replicas: readonly ReplicaInfo[];
}

/** The node refused, or did not answer: then `status` is 0 and `code` is "away". */
export class ApiError extends Error {
  override name = "ApiError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.code = code;
  }
}

export function getNode(signal: AbortSignal): Promise<NodeInfo> {
  return request("/v1/node", { signal });
}

export function listChannels(signal: AbortSignal): Promise<{ channels: ListedChannel[]; hasMore: boolean }> {
  return request("/v1/channels", { signal });
}

export function getChannel(name: string, signal: AbortSignal): Promise<ChannelDetail> {
  return request(channelPath(name), { signal });
}

export function createChannel(name: string): Promise<ChannelDetail> {
  return request(channelPath(name), { method: "PUT" });
}

/** Appends `text` as one entry and answers its seq, once it is as durable as the channel promises. */
export async function appendText(channel: string, text: string): Promise<number> {
  const headers = { "content-type": "application/octet-stream" };
  const answer = await request<{ firstSeq: number }>(`${channelPath(channel)}/entries`, {
    method: "POST",
    headers,
    body: utf8(text),
  });
  return answer.firstSeq;
}

export function channelPath(name: string): string {
  return `/v1/channels/${encodeURIComponent(name)}`;
}

async function request<Answer>(path: string, init: RequestInit): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(path, { cache: "no-store", ...init });
  } catch (error) {
    throw new ApiError(0, "away", "The node does not answer.", { cause: error });
  }
  const body: unknown = await response.json().catch(() => ({}));
  if (response.ok) return body as Answer;
  const { code = `status-${response.status}`, title, detail } = body as Record<string, string | undefined>;
  throw new ApiError(response.status, code, detail ?? title ?? `The node answered ${response.status}.`);
}
