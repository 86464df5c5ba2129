// Certificates of a cluster for programs that embed nodes; `millrace cert` makes the same as files.

import {
  AUTHORITY_DAYS,
  type Bearer,
  issueCertificate,
  type Issued,
  LEAF_DAYS,
  makeAuthority,
} from "../peer/authority.ts";
import { environment } from "./environment.node.ts";

/** A new authority for the certificates of a cluster, as `millrace cert init` makes it; valid for ten years by default. */
export function createAuthority(name: string, { days = AUTHORITY_DAYS }: { days?: number } = {}): Promise<Issued> {
  return makeAuthority(name, { ...environment, days });
}

/**
 * A key and a certificate of `authority`, as `millrace cert node` and `cert client` make them; valid for a year by default.
 * @throws RangeError where the authority has expired
 */
export function createCertificate(
  authority: Issued,
  bearer: Bearer,
  { days = LEAF_DAYS }: { days?: number } = {},
): Promise<Issued> {
  return issueCertificate(authority, bearer, { ...environment, days });
}
