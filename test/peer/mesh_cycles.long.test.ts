import { meshCycles } from "./mesh_cycles.ts";

meshCycles({ cycles: 10_000, deadlineMs: 900_000 });
