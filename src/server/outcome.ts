// A refusal on its way from one node to another and back to whoever asked.

import { PeerError } from "../peer/peer_error.ts";
import { isRefusalCode, Refusal } from "./refusal.ts";

export type Outcome<Value> =
  | { readonly kind: "done"; readonly value: Value }
  | {
    readonly kind: "refused";
    readonly code: string;
    readonly detail: string;
    readonly details: Record<string, unknown>;
  };

/** What came of `task`. What is no refusal is a failure of this node, and thrown. */
export async function outcomeOf<Value>(task: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { kind: "done", value: await task() };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { kind: "refused", code: error.code, detail: error.message, details: { ...error.details } };
  }
}

/** The value of `outcome`. @throws the Refusal that the other node has answered with. */
export function valueOf<Value>(outcome: Outcome<Value>): Value {
  if (outcome.kind === "done") return outcome.value;
  const { code, detail, details } = outcome;
  // A code of a later version is none that this one could tell what it means for the client.
  throw new Refusal(isRefusalCode(code) ? code : "append-unknown", detail, details);
}

/** Whether a request that failed with `error` has certainly not reached its handler. */
export function isUnsent(error: unknown): boolean {
  return error instanceof PeerError &&
    ["not-connected", "busy", "unknown-command", "wrong-target"].includes(error.code);
}
