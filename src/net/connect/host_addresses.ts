// The addresses of a host in the order in which they are tried: RFC 8305, section 4.

import { TransportError } from "../transport_error.ts";
import type { HostAddress, Resolve } from "./dialer.ts";
import { reasonOf } from "./race.ts";

/** Addresses of one name that are tried. */
const ADDRESSES_MAX = 8;

/** The families in turn, IPv6 first, each in the order in which it came. */
export function interleave(addresses: readonly HostAddress[]): HostAddress[] {
  const six = addresses.filter(({ family }) => family === 6);
  const four = addresses.filter(({ family }) => family === 4);
  return Array.from({ length: Math.max(six.length, four.length) }, (_, index) => [six[index], four[index]])
    .flat()
    .filter((address) => address !== undefined)
    .slice(0, ADDRESSES_MAX);
}

/** What to try for `host`: itself where it is an address. @throws TransportError `refused` where the name has no address. */
export async function addressesOf(host: string, resolve: Resolve): Promise<string[]> {
  const bare = host.replace(/^\[|\]$/g, "");
  if (/^[\d.]+$/.test(bare) || bare.includes(":")) return [bare];
  let found: readonly HostAddress[];
  try {
    found = await resolve(bare);
  } catch (cause) {
    throw new TransportError("refused", `"${host}" has no address: ${reasonOf(cause)}`, { cause });
  }
  if (found.length === 0) throw new TransportError("refused", `"${host}" has no address`);
  return interleave(found).map(({ address }) => address);
}
