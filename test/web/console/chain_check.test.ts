import { describe, expect, test } from "bun:test";
import { ChainCheck } from "../../../web/console/chain_check.ts";

describe("ChainCheck", () => {
  test("says nothing before both have been at the same entry", () => {
    const check = new ChainCheck();
    check.noteCopy(5, "aaaa");
    check.noteNode(6, "bbbb");
    expect(check.verdict).toEqual({ kind: "unknown" });
  });

  test("finds equal checksums, whoever was there first", () => {
    const check = new ChainCheck();
    check.noteCopy(5, "aaaa");
    check.noteNode(5, "aaaa");
    expect(check.verdict).toEqual({ kind: "equal", seq: 5, copy: "aaaa", node: "aaaa" });
    check.noteNode(9, "cccc");
    check.noteCopy(9, "cccc");
    expect(check.verdict).toMatchObject({ kind: "equal", seq: 9 });
  });

  test("keeps a difference, whatever is equal later", () => {
    const check = new ChainCheck();
    check.noteCopy(5, "aaaa");
    check.noteNode(5, "bbbb");
    check.noteCopy(6, "cccc");
    check.noteNode(6, "cccc");
    expect(check.verdict).toEqual({ kind: "different", seq: 5, copy: "aaaa", node: "bbbb" });
  });

  test("forgets old places", () => {
    const check = new ChainCheck();
    for (let seq = 1; seq <= 2_000; seq++) check.noteCopy(seq, "aaaa");
    check.noteNode(1, "bbbb");
    expect(check.verdict).toEqual({ kind: "unknown" });
  });
});
