/** What a request may be at most, before anything of it is looked at. */
import { HoldfastError } from "../../objects/errors.ts";
import { problemResponse } from "./problem.ts";

export const URL_CHARACTERS_MAX = 8192;
export const HEADER_BYTES_MAX = 32_768;

/** A refusal, or null. */
export function refusedBySize(request: Request): Response | null {
  if (request.url.length > URL_CHARACTERS_MAX) {
    const error = new HoldfastError("too_large", `the URL has more than ${URL_CHARACTERS_MAX} characters`, {
      field: "url",
      limit: URL_CHARACTERS_MAX,
    });
    return problemResponse(error, { status: 414 });
  }
  let bytes = 0;
  request.headers.forEach((value, name) => {
    bytes += name.length + value.length + 4;
  });
  if (bytes > HEADER_BYTES_MAX) {
    const error = new HoldfastError("too_large", `the headers have more than ${HEADER_BYTES_MAX} bytes`, {
      field: "headers",
      limit: HEADER_BYTES_MAX,
    });
    return problemResponse(error, { status: 431 });
  }
  return null;
}
