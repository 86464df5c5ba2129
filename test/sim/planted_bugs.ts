// Bugs that the simulator must find: each is one line of the product made wrong. A simulator that lets one of them pass has gone
// blind to what that line is for.

export interface PlantedBug {
  readonly name: string;
  /** Of the file that is changed, from the root of the repository. */
  readonly path: string;
  /** Found exactly once in the file. */
  readonly text: string;
  readonly replacement: string;
  /** What is wrong then. */
  readonly breaks: string;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: "ack-before-sync",
    path: "src/core/following.ts",
    text: "const syncedSeq = context.inquiry.isOver ? context.syncedSeq : 0;",
    replacement: "const syncedSeq = context.inquiry.isOver ? context.writtenSeq : 0;",
    breaks: "a replica says that it has synced what is only written",
  },
  {
    name: "leader-counts-itself-before-sync",
    path: "src/core/leading.ts",
    text: "if (id === this.#context.nodeId) return this.#context.syncedSeq;",
    replacement: "if (id === this.#context.nodeId) return this.#context.writtenSeq;",
    breaks: "a leader counts what it has only written",
  },
  {
    name: "sync-not-awaited",
    path: "src/log/log_writer.ts",
    text: "syncedIn = await this.#log.context.syncs.sync(this.#pieceOf(segment, batch));",
    replacement:
      'syncedIn = "segment"; void this.#log.context.syncs.sync(this.#pieceOf(segment, batch)).catch(() => {});',
    breaks: "the log calls synced what is still being synced",
  },
  {
    name: "failed-fsync-tried-again",
    path: "src/log/fencing_sync.ts",
    text: "    await file.sync();\n  } catch (cause) {",
    replacement: "    await file.sync().catch(() => file.sync());\n  } catch (cause) {",
    breaks: "a failed fsync is tried again, and the pages that it has dropped count as synced",
  },
  {
    name: "vote-not-kept",
    path: "src/core/election.ts",
    text: "context.keep({ votedFor: from });",
    replacement: "context.record = { ...context.record, votedFor: from };",
    breaks: "a vote is forgotten by a restart and given again",
  },
  {
    name: "epoch-not-kept",
    path: "src/core/roles.ts",
    text: 'context.keep({ epoch, votedFor: "" });',
    replacement: 'context.record = { ...context.record, epoch, votedFor: "" };',
    breaks: "an epoch is forgotten by a restart, with the promise to take nothing of those before",
  },
  {
    name: "effects-not-awaited",
    path: "src/stream/member.ts",
    text: "if (waiting) await waiting;",
    replacement: "if (waiting) void waiting.catch(() => {});",
    breaks: "what follows a record or a truncation is done before that is durable",
  },
  {
    name: "vote-without-looking-at-the-log",
    path: "src/core/election.ts",
    text: "const isGranted = isTime && !isLate && isFree && isUpToDate(end, context.end);",
    replacement: "const isGranted = isTime && !isLate && isFree;",
    breaks: "who has less than the voter is elected",
  },
  {
    name: "log-compared-by-length",
    path: "src/core/epoch_history.ts",
    text: "return one.epoch > other.epoch || (one.epoch === other.epoch && one.seq >= other.seq);",
    replacement: "return one.seq >= other.seq;",
    breaks: "a longer log of an older epoch beats a shorter one of a later epoch",
  },
  {
    name: "two-votes-an-epoch",
    path: "src/core/election.ts",
    text: 'return (votedFor === "" || votedFor === candidate) && (leader === undefined || leader === candidate);',
    replacement: "return votedFor !== undefined && (leader === undefined || leader === candidate);",
    breaks: "a voter votes for everybody who asks",
  },
  {
    name: "old-epoch-committed-by-count",
    path: "src/core/leading.ts",
    text: "if (seq <= context.commit || seq < this.#epochStart) return;",
    replacement: "if (seq <= context.commit) return;",
    breaks: "entries of older epochs are committed because many have them",
  },
  {
    name: "truncation-by-commit",
    path: "src/core/following.ts",
    text: "const lastSeq = epoch === message.epochAt ? Math.min(seq, message.seq) : seq;",
    replacement: "const lastSeq = Math.min(context.commit, seq, epoch + seq);",
    breaks: "a replica cuts its log at the commit that it happens to know",
  },
  {
    name: "divergence-overlooked",
    path: "src/core/leading.ts",
    text: "if (found === undefined || found !== epochBefore) {",
    replacement: "if (found === undefined) {",
    breaks: "a leader feeds a replica whose log differs",
  },
  {
    name: "commit-before-matching",
    path: "src/core/following.ts",
    text: "    if (!request.isAccepted) return;\n    this.#advance();\n    // What was pushed",
    replacement: "    this.#advance();\n    if (!request.isAccepted) return;\n    // What was pushed",
    breaks: "a replica takes the leader's commit for a log that it has not compared with the leader's",
  },
  {
    name: "observer-counted",
    path: "src/core/leading.ts",
    text: "const synced = voters.map((id) => this.#syncedOf(id));",
    replacement:
      "const synced = [...voters, ...context.membership.observers].map((id) => this.#syncedOf(id)).sort((a, b) => b - a).slice(0, voters.length);",
    breaks: "what observers have counts for the quorum",
  },
  {
    name: "minority-commits",
    path: "src/core/quorum.ts",
    text: "return descending[majorityOf(syncedSeqs.length) - 1]!;",
    replacement: "return descending[Math.max(0, majorityOf(syncedSeqs.length) - 2)]!;",
    breaks: "one voter less than a majority commits",
  },
  {
    name: "acks-outlive-their-request",
    path: "src/core/progress.ts",
    text: "    this.syncedSeq = 0;\n    this.commit = 0;",
    replacement: "    this.syncedSeq = matchedSeq;\n    this.commit = 0;",
    breaks: "what a replica has written when it asks counts as synced",
  },
  {
    name: "doubt-ignored-in-votes",
    path: "src/core/campaign.ts",
    text: "this.#grants.set(from, !isDoubtful);",
    replacement: "this.#grants.set(from, true);",
    breaks: "a node that may have lost entries votes like any other",
  },
  {
    name: "wiped-node-not-in-doubt",
    path: "src/stream/member_record.ts",
    text: "isDoubtful: !isKnown,",
    replacement: "isDoubtful: false,",
    breaks: "a node whose disk is new does not know that it may have lost something",
  },
  {
    name: "forgotten-epochs-not-asked-for",
    path: "src/core/inquiry.ts",
    text: "return record.isForgetful !== true || this.#answers.isWon(membership, everyone);",
    replacement: "return record.isForgetful !== undefined || this.#answers !== undefined || membership !== undefined;",
    breaks: "a node that has forgotten its epochs is counted by a leader that the others have left",
  },
  {
    name: "torn-tail-without-doubt",
    path: "src/stream/member_record.ts",
    text: "(clean || (tornBytes === 0 && !isUnsure))",
    replacement: "(clean || !isUnsure || tornBytes === 0)",
    breaks: "a node that has cut the end of its log does not doubt it",
  },
  {
    name: "checksum-not-checked",
    path: "src/wire/frame_run.ts",
    text: "  if (found !== expected >>> 0) return undefined;\n",
    replacement: "",
    breaks: "bytes that are not what was written are taken for entries",
  },
  {
    name: "later-epoch-ignored",
    path: "src/core/roles.ts",
    text: "if (this.#leading) this.stepDown(reason, { isSaid: false });",
    replacement: "",
    breaks: "a leader goes on when it hears of a later epoch",
  },
  {
    name: "take-back-overlooked",
    path: "src/core/roles.ts",
    text:
      "if (this.#leading && !(isUnseen && !this.#leading.hasFed && context.history.startOf(context.epoch) !== undefined)) {",
    replacement: "if (this.#leading && context.history.startOf(context.epoch) === undefined) {",
    breaks: "a leader whose write was undone gives the same seqs of the same epoch to other entries",
  },
  {
    name: "log-restored-without-writing",
    path: "src/log/restore_durability.ts",
    text: "for (let at = syncedTo; at < position;) {",
    replacement: "for (let at = position; at < position;) {",
    breaks: "what was read after a crash counts as synced, though it may never have reached the disk",
  },
  {
    name: "uncommitted-entries-fed",
    path: "src/stream/feeder.ts",
    text: "const { log, commit: upTo } = this.channel;",
    replacement: "const { log, log: { written: upTo } } = this.channel;",
    breaks: "browsers are fed what is not committed yet",
  },
  {
    name: "early-log-bytes-refused",
    path: "src/stream/replica.ts",
    text: "else this.#early.push(bytes);",
    replacement: 'else throw new ProtocolError("unexpected-message", "log bytes before the request was accepted");',
    breaks: "a replica relies on the order between lanes",
  },
  {
    name: "replica-ahead-refused",
    path: "src/stream/feeder.ts",
    text: "if (isAhead() && await this.#isBehind()) {",
    replacement: 'if (isAhead() && incarnation === "") {',
    breaks: "a node that knows of less than a browser tells it that its history differs",
  },
  {
    name: "deposed-leader-refuses",
    path: "src/server/channel.ts",
    text: "return !this.member || this.isAlone || await this.#options.isStillFollowed?.(this) !== false;",
    replacement: "return this.#options.isStillFollowed !== undefined;",
    breaks: "a leader that was deposed and does not know refuses for good who is ahead of it",
  },
  {
    name: "journal-not-synced",
    path: "src/log/sync_journal.ts",
    text: "await file.write(journal.end, [block]);\n      await file.sync();",
    replacement: "await file.write(journal.end, [block]);",
    breaks: "what only a journal has counts as synced before the journal is",
  },
  {
    name: "journal-removed-too-early",
    path: "src/log/sync_journal.ts",
    text: "await this.#syncAll();\n      await this.#remove([journal]);",
    replacement: "await this.#remove([journal]);",
    breaks: "a full journal is removed before the segments are synced",
  },
  {
    name: "journal-not-written-again",
    path: "src/log/redo.ts",
    text: "for (const { position, parts } of own) await file.write(position, parts);",
    replacement: "",
    breaks: "what a crash took from a segment is not written again from the journal",
  },
];
