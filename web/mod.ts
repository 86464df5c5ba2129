// The browser replica library: a channel's log, verified and kept in this tab, followed live.

export { type BrowserReplica, openReplica, type OpenReplicaOptions, type ReplicaStatus } from "./replica.ts";
export type { Entry } from "../src/wire/frame.ts";
