import { meshCycles } from "./mesh_cycles.ts";

meshCycles({ cycles: 100, deadlineMs: 60_000 });
