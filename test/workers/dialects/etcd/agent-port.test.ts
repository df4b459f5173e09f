/** What these files say of the gateway is so at the agent's port too, where most of it comes over the tunnel. */
import { asked } from "./gateway.ts";
import "./hostile.test.ts";
import "./kv.test.ts";
import "./lock.test.ts";
import "./txn.test.ts";

asked.atAgent = true;
