/** Durability that an append may wait for: nothing, the leader's copy, a majority's, every voter's. */
export const ACK_LEVELS = ["none", "leader", "quorum", "all"] as const;
export type AckLevel = (typeof ACK_LEVELS)[number];
