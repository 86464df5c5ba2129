// Whom a client command trusts and what it shows, read from the files that it was given.

import { readFileSync } from "node:fs";
import type { ClientIdentity } from "../net/tls_identity.ts";
import { UsageError } from "./terminal.node.ts";

export interface IdentityOptions {
  readonly ca?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** What the files say; `undefined` without any. @throws UsageError for half of a certificate, or a file that is none. */
export function clientIdentity({ ca, tlsCert, tlsKey }: IdentityOptions): ClientIdentity | undefined {
  if (tlsCert === undefined !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key are given together");
  }
  if (ca === undefined && tlsCert === undefined) return undefined;
  return {
    ...(ca !== undefined ? { ca: [readPem("--ca", ca)] } : {}),
    ...(tlsCert !== undefined ? { cert: readPem("--tls-cert", tlsCert) } : {}),
    ...(tlsKey !== undefined ? { key: readPem("--tls-key", tlsKey) } : {}),
  };
}

function readPem(option: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
  if (!text.includes("-----BEGIN ")) throw new UsageError(`${option}: ${path} is not a PEM file`);
  return text;
}
