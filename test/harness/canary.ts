import { randomBytes } from "node:crypto";

/** A value that stands nowhere else, printable, with characters that encodings change. */
export const newCanary = (): string => `sk_canary_${randomBytes(18).toString("base64url")}+/&%`;

/** A new signing secret by the rules of Standard Webhooks. */
export const newSigningSecret = (): string => `whsec_${randomBytes(24).toString("base64")}`;

/** A form in which a secret may be written, by its name. */
export type Form = readonly [name: string, bytes: Buffer];

/**
 * The forms in which a secret would be found: in clear, as UTF-16, reversed, base64 and base64url at each alignment, hex,
 * percent-encoded, escaped as in JSON. Base64's first and last characters, which depend on what stands around, are left
 * out.
 */
export function formsOf(secret: string): Form[] {
  const bytes = Buffer.from(secret, "latin1");
  const hex = bytes.toString("hex");
  const forms: [string, string | Buffer][] = [
    ["clear", secret],
    ["UTF-16", Buffer.from(secret, "utf16le")],
    ["reversed", [...secret].reverse().join("")],
    ["hex", hex],
    ["HEX", hex.toUpperCase()],
    ["percent-encoded", encodeURIComponent(secret)],
    ["escaped", secret.replaceAll("/", "\\/")],
    ["escaped as HTML", secret.replaceAll("&", "&amp;")],
    ["escaped as JSON", secret.replaceAll("&", "\\u0026")],
  ];
  for (const alignment of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(alignment), bytes]).toString("base64");
    const core = text.slice(Math.ceil((alignment * 8) / 6), Math.floor(((alignment + bytes.length) * 8) / 6));
    forms.push([`base64 at ${alignment}`, core]);
    forms.push([`base64url at ${alignment}`, core.replaceAll("+", "-").replaceAll("/", "_")]);
  }
  // A piece of it is as bad: no form is a short one, so a match by chance is out of the question.
  forms.push(
    ["first half", secret.slice(0, secret.length / 2)],
    ["second half", secret.slice(secret.length / 2)],
  );
  return forms.map(([name, form]) => [name, Buffer.from(form)] as const);
}

/** The names of the forms of a secret that some bytes contain. */
export const formsIn = (content: string | Uint8Array, forms: Form[]): string[] => {
  const bytes = Buffer.from(content as Uint8Array);
  return forms.filter(([, form]) => bytes.includes(form)).map(([name]) => name);
};
