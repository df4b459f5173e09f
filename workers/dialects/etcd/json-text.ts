/**
 * JSON texts as the gateway takes them: the first value counts and the rest is not looked at; whole numbers keep all their
 * digits; several documents may follow one another in a stream.
 */
import { firstValue } from "../../request/go-json.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { EtcdError } from "./errors.ts";
import { messageTooLarge } from "./wire.ts";

/** A number that a double does not hold exactly, or that is not whole: as it was written. */
export class WrittenNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** There may be such a number: base64, of which bodies are made, has none of the characters before one. */
const UNUSUAL_NUMBER = /[:,[\s]-?\d+(?:[.eE]|\d{15})/;

/** Empty = the text has no value in it. Codes: 3. */
export function parseDocument(text: string): { value: unknown } | null {
  try {
    return { value: parse(text) };
  } catch {
    const first = firstValue(text);
    if ("end" in first) return { value: parse(text.slice(0, first.end)) };
    if (first.fault === "EOF") return null;
    throw badJson(first.fault);
  }
}

export const badJson = (fault: string): EtcdError => new EtcdError(GRPC.invalidArgument, fault);

type Reviver = (key: string, value: unknown, context: { source: string }) => unknown;

const parse = (text: string): unknown =>
  UNUSUAL_NUMBER.test(text)
    ? (JSON.parse as (text: string, reviver: Reviver) => unknown)(text, exactly)
    : JSON.parse(text);

const WHOLE = /^-?\d+$/;

const exactly: Reviver = (_key, value, { source }) =>
  typeof value === "number" && !(Number.isSafeInteger(value) && WHOLE.test(source)) ? new WrittenNumber(source) : value;

/** Finds the ends of documents in a text that comes in pieces. */
export class DocumentSplitter {
  readonly #charactersMax: number;
  #text = "";
  /** How far `#text` has been looked at. */
  #at = 0;
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** The documents that end in this piece. A value that is no object ends with the line. Codes: 8. */
  push(piece: string): string[] {
    this.#text += piece;
    const found: string[] = [];
    for (; this.#at < this.#text.length; this.#at++) {
      if (!this.#endsAt(this.#text.charCodeAt(this.#at))) continue;
      const document = this.#text.slice(0, this.#at + 1);
      if (document.trim() !== "") found.push(document);
      this.#text = this.#text.slice(this.#at + 1);
      this.#at = -1;
    }
    if (this.#text.length > this.#charactersMax) throw messageTooLarge(this.#text.length);
    return found;
  }

  /** What is left at the end. */
  rest(): string | null {
    return this.#text.trim() === "" ? null : this.#text;
  }

  #endsAt(code: number): boolean {
    if (this.#inString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (code === BACKSLASH) this.#isEscaped = true;
      else if (code === QUOTE) this.#inString = false;
      return false;
    }
    switch (code) {
      case QUOTE:
        this.#inString = true;
        return false;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        this.#depth++;
        return false;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        // One too many is a broken document, which has to end somewhere.
        if (this.#depth > 0) this.#depth--;
        return this.#depth === 0;
      case NEWLINE:
        return this.#depth === 0;
      default:
        return false;
    }
  }
}

const [BACKSLASH, QUOTE, NEWLINE] = [0x5c, 0x22, 0x0a];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];
