/** Links from tokens and roles to policies and roles, as bodies and answers have them. */
import type { Link, LinkInput } from "../../../../objects/policy/grants.ts";
import { object, text } from "../decode.ts";

export const linkFields = object({ ID: text, Name: text });

export const linksOf = (given: { ID: string; Name: string }[]): LinkInput[] =>
  given.map(({ ID, Name }) => ({ id: ID, name: Name }));

/** Left out when there are none, as Go's `omitempty` does. */
export const showLinks = (field: "Policies" | "Roles", links: Link[]): Record<string, unknown> =>
  links.length === 0 ? {} : { [field]: links.map(({ id, name }) => ({ ID: id, Name: name })) };
