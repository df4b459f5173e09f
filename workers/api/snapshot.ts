import type { Route } from "./route.ts";
export const snapshotRoutes: Route[] = [];
