// Which backends for WebTransport this process has, in the order of preference: what the runtime has itself, then
// @fails-components/webtransport, then @moq/web-transport.

import type { HttpVersion, WebTransportBackend } from "./backend.ts";
import { failsH2Backend } from "./fails_h2.node.ts";
import { failsH3Backend } from "./fails_h3.node.ts";
import { loadFails } from "./fails_package.node.ts";
import { denoBackend } from "./listen.deno.ts";
import { loadMoq } from "./moq_package.node.ts";
import { moqBackend } from "./moq.node.ts";

/** All backends there are, those that cannot be used here included, the preferred ones first. Loads the packages. */
export async function loadBackends(): Promise<readonly WebTransportBackend[]> {
  const fails = await loadFails();
  return [denoBackend(), failsH3Backend(fails), moqBackend(loadMoq()), failsH2Backend(fails)];
}

/** What was chosen, and why. */
export interface BackendChoice {
  /** At most one for each version of HTTP. */
  readonly listen: readonly WebTransportBackend[];
  readonly connect: readonly WebTransportBackend[];
  /** One line a version of HTTP, for people. */
  readonly reasons: Readonly<Record<HttpVersion, string>>;
  /** The lines as one text. */
  readonly reason: string;
}

/** Chooses from `backends` what listens and what connects. */
export function backendChoice(backends: readonly WebTransportBackend[]): BackendChoice {
  const reasons = { h3: reasonOf("h3", backends), h2: reasonOf("h2", backends) };
  return {
    listen: firstOfEach(backends.filter(({ listening }) => listening.isSupported)),
    connect: firstOfEach(backends.filter(({ connecting }) => connecting.isSupported)),
    reasons,
    reason: `${reasons.h3}; ${reasons.h2}`,
  };
}

function firstOfEach(usable: readonly WebTransportBackend[]): WebTransportBackend[] {
  return (["h3", "h2"] as const).flatMap((http) => usable.find((backend) => backend.http === http) ?? []);
}

function reasonOf(http: HttpVersion, backends: readonly WebTransportBackend[]): string {
  const ofVersion = backends.filter((backend) => backend.http === http);
  const chosen = ofVersion.findIndex(({ listening }) => listening.isSupported);
  const passedOver = ofVersion.slice(0, chosen < 0 ? undefined : chosen).map(({ name, listening }) =>
    `${name}: ${listening.isSupported ? "" : listening.reason}`
  );
  const over = http === "h3" ? "HTTP/3" : "HTTP/2";
  if (chosen < 0) return `no WebTransport over ${over} (${passedOver.join("; ")})`;
  const why = passedOver.length > 0 ? ` (${passedOver.join("; ")})` : "";
  return `WebTransport over ${over} by ${ofVersion[chosen]!.name}${why}`;
}
