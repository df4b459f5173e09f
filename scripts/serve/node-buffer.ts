/** Stands for `buffer` in packages that require it by its bare name; wrangler does the same by itself. */
export { Buffer } from "node:buffer";
