import { lookup } from "node:dns/promises";
import type { HostAddress } from "./dialer.ts";

/** All addresses of `host` as the system knows them, its hosts file included: both families in one question. */
export async function resolveHost(host: string): Promise<HostAddress[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
}
