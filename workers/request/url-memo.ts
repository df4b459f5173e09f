/**
 * What URLs mean, of those seen lately: on the hottest paths the same ones come again and again, and reading one costs as
 * much as answering it.
 */

const REMEMBERED_MAX = 1000;
/** A longer URL is read anew each time. */
const URL_CHARACTERS_MAX = 512;

/** `read` as a function that remembers; null = not a URL of this kind. */
export function rememberingUrls<T extends object>(read: (url: string) => T | null): (url: string) => T | null {
  const remembered = new Map<string, T | null>();
  return (url) => {
    const known = remembered.get(url);
    if (known !== undefined) return known;
    const meaning = read(url);
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    if (url.length <= URL_CHARACTERS_MAX) remembered.set(url, meaning);
    return meaning;
  };
}
