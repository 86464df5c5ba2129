// The payload of an entry of type membership (PROTOCOL.md, section 2.7): who belongs to the replica set from that entry on.

import { MEMBERS_MAX } from "../core/membership.ts";
import type { Membership } from "../core/replica_set.ts";
import { textOf, utf8 } from "../lib/bytes.ts";
import { ProtocolError } from "./protocol_error.ts";

/** Longest id of a node, in UTF-16 code units. */
const ID_LENGTH_MAX = 64;
/** Largest payload: all ids at their longest, each unit of them escaped. */
export const MEMBERSHIP_BYTES_MAX = 64 + MEMBERS_MAX * (6 * ID_LENGTH_MAX + 3);

/** The payload for `membership`. @throws RangeError where that is none: see {@link decodeMembership}. */
export function encodeMembership({ voters, observers }: Membership): Uint8Array<ArrayBuffer> {
  const fault = faultOf(voters, observers);
  if (fault !== undefined) throw new RangeError(`a membership ${fault}`);
  return utf8(JSON.stringify({ voters, observers }));
}

/**
 * The membership in a payload: at least one voter, at most MEMBERS_MAX ids of 1 to 64 characters, both lists sorted by code
 * units, no id twice, nothing else in it.
 * @throws ProtocolError
 */
export function decodeMembership(payload: Uint8Array): Membership {
  if (payload.byteLength > MEMBERSHIP_BYTES_MAX) {
    throw malformed(`has ${payload.byteLength} bytes, allowed are ${MEMBERSHIP_BYTES_MAX}`);
  }
  const value = valueOf(payload);
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 2) {
    throw malformed("is not an object of voters and observers");
  }
  const { voters, observers } = value as { voters?: unknown; observers?: unknown };
  if (!isTexts(voters) || !isTexts(observers)) throw malformed("does not have voters and observers as lists of ids");
  const fault = faultOf(voters, observers);
  if (fault !== undefined) throw malformed(fault);
  return { voters, observers };
}

function valueOf(payload: Uint8Array): unknown {
  const text = textOf(payload);
  if (text === undefined) throw malformed("is not UTF-8");
  try {
    return JSON.parse(text);
  } catch {
    throw malformed("is not JSON");
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function faultOf(voters: readonly string[], observers: readonly string[]): string | undefined {
  const ids = [...voters, ...observers];
  if (voters.length === 0) return "names no voter";
  if (ids.length > MEMBERS_MAX) return `names ${ids.length} nodes, allowed are ${MEMBERS_MAX}`;
  const odd = ids.find((id) => id.length === 0 || id.length > ID_LENGTH_MAX || !id.isWellFormed());
  if (odd !== undefined) return `names ${JSON.stringify(odd)}, allowed are 1 to ${ID_LENGTH_MAX} characters`;
  if (new Set(ids).size < ids.length) return "names a node twice";
  return isSorted(voters) && isSorted(observers) ? undefined : "is not sorted";
}

function isSorted(ids: readonly string[]): boolean {
  return ids.every((id, index) => index === 0 || ids[index - 1]! < id);
}

function malformed(what: string): ProtocolError {
  return new ProtocolError("malformed-frame", `a membership ${what}`);
}
