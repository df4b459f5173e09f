/** `GET /api/docs`: the OpenAPI document as a page to read, complete in itself: no script, nothing loaded from elsewhere. */
import { html, raw } from "hono/html";
import type { OpenApiDocument } from "./openapi.ts";

type Html = ReturnType<typeof html>;
interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  anyOf?: Schema[];
  oneOf?: Schema[];
}
interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; in: string; description?: string; required?: boolean; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  code, pre { font: 0.9em ui-monospace, monospace; }
  pre { overflow-x: auto; padding: 0.6rem; background: #8881; border-radius: 4px; }
  details { border: 1px solid #8884; border-radius: 4px; margin: 0.4rem 0; padding: 0.4rem 0.8rem; }
  summary { cursor: pointer; }
  .method { display: inline-block; min-width: 4.5em; font-weight: 600; }
  table { border-collapse: collapse; width: 100%; }
  td, th { text-align: left; vertical-align: top; padding: 0.2rem 0.6rem 0.2rem 0; }
  nav a { margin-right: 1rem; }
`;

export async function docsResponse(document: OpenApiDocument): Promise<Response> {
  const nonce = crypto.randomUUID();
  const groups = new Map<string, Html[]>();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(item as Record<string, Operation>)) {
      const tag = operation.tags[0] ?? "Other";
      groups.set(tag, [...(groups.get(tag) ?? []), operationOf(method.toUpperCase(), path, operation)]);
    }
  }
  const schemas = Object.entries((document.components?.schemas ?? {}) as Record<string, Schema>);
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Holdfast API</title>
        <style nonce="${nonce}">
          ${raw(STYLE)}
        </style>
      </head>
      <body>
        <h1>Holdfast API</h1>
        <p>${document.info.description} As a document: <a href="/api/openapi.json">/api/openapi.json</a>.</p>
        <nav>${[...groups.keys(), "Schemas"].map((tag) => html`<a href="#${tag}">${tag}</a>`)}</nav>
        ${[...groups].map(
          ([tag, operations]) =>
            html`<h2 id="${tag}">${tag}</h2>
              ${operations}`,
        )}
        <h2 id="Schemas">Schemas</h2>
        ${schemas.map(
          ([name, schema]) =>
            html`<details id="schema-${name}">
              <summary><code>${name}</code></summary>
              ${fieldsOf(schema)}
            </details>`,
        )}
      </body>
    </html>`;
  return new Response((await page).toString(), {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; frame-ancestors 'none'`,
      "x-content-type-options": "nosniff",
    },
  });
}

function operationOf(method: string, path: string, operation: Operation): Html {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  return html`<details id="${operationId}">
    <summary><span class="method">${method}</span> <code>${path}</code> ${summary}</summary>
    <pre>${curl(method, path, requestBody !== undefined)}</pre>
    ${
      parameters.length > 0
        ? html`<table>
            ${parameters.map(
              ({ name, in: place, description, schema }) =>
                html`<tr>
                  <td><code>${name}</code></td>
                  <td>${place}</td>
                  <td>${typeOf(schema)}</td>
                  <td>${description ?? schema?.description ?? ""}</td>
                </tr>`,
            )}
          </table>`
        : ""
    }
    ${
      requestBody
        ? html`<h4>Body</h4>
            ${contentOf(requestBody.content)}`
        : ""
    }
    <h4>Answer</h4>
    ${contentOf(responses["200"]?.content ?? {})}
  </details>`;
}

function curl(method: string, path: string, hasBody: boolean): string {
  const flags = method === "GET" ? "" : ` -X ${method}`;
  const body = hasBody ? ` -d '{…}'` : "";
  const example = path.replace("{namespace}", "default");
  return `curl${flags} -H "Authorization: Bearer $HOLDFAST_TOKEN"${body} "http://127.0.0.1:8500${example}"`;
}

function contentOf(content: Record<string, { schema?: Schema }>): Html[] {
  return Object.entries(content).map(
    ([type, { schema }]) =>
      html`<div><code>${type}</code> ${schema?.$ref || !schema?.properties ? typeOf(schema) : fieldsOf(schema)}</div>`,
  );
}

function fieldsOf(schema: Schema): Html {
  const variants = schema.oneOf ?? schema.anyOf;
  if (variants)
    return html`${variants.map(
      (variant) =>
        html`<p>one of</p>
          ${fieldsOf(variant)}`,
    )}`;
  if (!schema.properties) return html`<p>${typeOf(schema)}</p>`;
  const required = new Set(schema.required);
  return html`<table>
    ${Object.entries(schema.properties).map(
      ([name, field]) =>
        html`<tr>
          <td><code>${name}</code></td>
          <td>${required.has(name) ? "required" : ""}</td>
          <td>${typeOf(field)}</td>
          <td>${field.description ?? ""}</td>
        </tr>`,
    )}
  </table>`;
}

function typeOf(schema: Schema | undefined): Html {
  if (!schema) return html``;
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return html`<a href="#schema-${name}">${name}</a>`;
  }
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.enum) return html`${schema.enum.map((value) => JSON.stringify(value)).join(" | ")}`;
  if (schema.items) return html`list of ${typeOf(schema.items)}`;
  const variants = schema.oneOf ?? schema.anyOf;
  if (variants) return html`${variants.map((variant, at) => html`${at > 0 ? " or " : ""}${typeOf(variant)}`)}`;
  if (typeof schema.additionalProperties === "object") return html`map to ${typeOf(schema.additionalProperties)}`;
  if (schema.properties) return html`${Object.keys(schema.properties).join(", ")}`;
  return html`${[schema.type ?? "any"].flat().join(" or ")}`;
}
