/** Something that people who run the store should see. */
export interface StoreNotice {
  /** `torn-tail`: an unfinished write was cut. `damage`: stored bytes are not what was written. `fenced`: the log stopped
   * accepting. `take-back`: a write failed and was undone. `index`: an index was missing or wrong and has been rebuilt.
   * `mended`: what was damaged is what it was again. `journal`: something about the sync journal. */
  readonly kind: "torn-tail" | "damage" | "fenced" | "take-back" | "index" | "mended" | "journal";
  readonly log: string;
  readonly message: string;
}
