// Blocks that are given back and read into again: which, how many, and within which budget.

import { expect, test } from "bun:test";
import { BlockRecycler, RecyclerBudget } from "../../src/log/block_recycler.ts";

const BLOCK_BYTES = 10;
const newBlock = () => new Uint8Array(BLOCK_BYTES);

test("a block is used again once its last entry was returned, the oldest first", () => {
  const recycler = new BlockRecycler(new RecyclerBudget(1000));
  const [first, second] = [newBlock(), newBlock()];
  recycler.lend(first, 10);
  recycler.lend(second, 20);
  expect(recycler.reuse()).toBeUndefined();
  recycler.returned(9);
  expect(recycler.reuse()).toBeUndefined();
  recycler.returned(19);
  expect(recycler.reuse()).toBe(first);
  expect(recycler.reuse()).toBeUndefined();
  recycler.returned(20);
  expect(recycler.reuse()).toBe(second);
  expect([recycler.reuse(), recycler.heldBytes]).toEqual([undefined, 0]);
});

test("blocks beyond the bound of one reader go to the collector, the oldest first", () => {
  const budget = new RecyclerBudget(1000);
  const recycler = new BlockRecycler(budget);
  const blocks = Array.from({ length: 20 }, newBlock);
  for (const [index, block] of blocks.entries()) recycler.lend(block, index + 1);
  expect([recycler.heldBytes, budget.byteLength]).toEqual([8 * BLOCK_BYTES, 8 * BLOCK_BYTES]);
  recycler.returned(20);
  expect(recycler.reuse()).toBe(blocks[12]);
});

test("all readers of a store share one budget", () => {
  const budget = new RecyclerBudget(3 * BLOCK_BYTES);
  const [one, other] = [new BlockRecycler(budget), new BlockRecycler(budget)];
  for (const seq of [1, 2]) one.lend(newBlock(), seq);
  for (const seq of [1, 2]) other.lend(newBlock(), seq);
  expect([one.heldBytes, other.heldBytes]).toEqual([2 * BLOCK_BYTES, BLOCK_BYTES]);
  one.clear();
  expect([one.heldBytes, budget.byteLength]).toEqual([0, BLOCK_BYTES]);
  for (const seq of [3, 4]) other.lend(newBlock(), seq);
  expect(budget.byteLength).toBe(3 * BLOCK_BYTES);
});

test("what was returned before a clear says nothing of blocks after it", () => {
  const recycler = new BlockRecycler(new RecyclerBudget(1000));
  recycler.returned(100);
  recycler.clear();
  recycler.lend(newBlock(), 50);
  expect(recycler.reuse()).toBeUndefined();
});
