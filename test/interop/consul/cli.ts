/** The `consul` command, where one is on the PATH: what its users type, and what has to come back. */
import type { Step } from "../steps.ts";

export const consulCli: Step[] = [
  { command: ["consul", "members"], expect: /alive/ },
  { command: ["consul", "kv", "put", "cli/a", "one"], expect: /Success! Data written to: cli\/a/ },
  { command: ["consul", "kv", "get", "cli/a"], expect: /^one$/m },
  { command: ["consul", "kv", "export", "cli/"], expect: /"key": "cli\/a"/ },
  { command: ["consul", "services", "register", "-name=cli-web", "-port=80"], expect: /Registered service: cli-web/ },
  { command: ["consul", "catalog", "services"], expect: /cli-web/ },
  { command: ["consul", "catalog", "nodes"], expect: /holdfast/ },
  { command: ["consul", "watch", "-type=service", "-service=cli-web"], expect: /cli-web/ },
  { command: ["consul", "lock", "cli/lock", "echo held"], expect: /held/ },
  { command: ["consul", "snapshot", "save", "backup.snap"], expect: /Saved and verified snapshot/ },
  { command: ["consul", "acl", "token", "list"], expect: /AccessorID/ },
  { command: ["consul", "kv", "delete", "-recurse", "cli/"], expect: /Success!/ },
];
