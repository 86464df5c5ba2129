// The page's inspection handle: `window.millrace`, for tests, scripts and the curious at the browser's prompt. Reading it
// changes nothing; it is not a way to control the page.

import type { ReplicaStatus } from "../replica.ts";
import type { ChainVerdict } from "./chain_check.ts";

export interface Inspection {
  /** Name of the chosen channel, empty where there is none. */
  readonly channel: string;
  /** Status of this tab's copy of it; undefined until that is open. */
  readonly status: ReplicaStatus | undefined;
  readonly verdict: ChainVerdict;
  /** Entries that came since the channel was chosen. */
  readonly receivedCount: number;
  readonly failure: string;
}

declare global {
  /** Present on the console page. */
  var millrace: Inspection | undefined;
}

export function exposeInspection(inspection: Inspection): void {
  globalThis.millrace = inspection;
}
