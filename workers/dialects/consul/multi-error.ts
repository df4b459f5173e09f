/** Several errors as one text, as Consul prints them. Source: hashicorp/go-multierror 1.1. */
export function multiError(errors: readonly string[]): string {
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  return `${count} occurred:\n${errors.map((error) => `\t* ${error}\n`).join("")}\n`;
}
