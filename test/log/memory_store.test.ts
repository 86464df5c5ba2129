import { MemoryStore } from "../../src/log/memory_store.ts";
import { crc32 } from "../../src/wire/crc32.node.ts";
import { logStoreSuite } from "../suites/log_store_suite.ts";

logStoreSuite(
  "MemoryStore",
  () => Promise.resolve({ store: new MemoryStore({ crc32 }), dispose: () => Promise.resolve() }),
);
