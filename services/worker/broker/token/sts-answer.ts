import { UseFailure } from "../use-failure.ts";

/** A node of an XML document: its text, or the nodes in it by name. */
interface Node {
  name: string;
  text: string;
  children: Node[];
}

const MOST_DEPTH = 8;
const MOST_NODES = 200;
const PIECE = /<(\/?)([A-Za-z][A-Za-z0-9]{0,63})( xmlns="[A-Za-z0-9:/.-]{1,200}")?\s*(\/?)>|([^<]+)/y;
const ENTITIES: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/**
 * What AWS STS answers to AssumeRole. The XML that AWS writes has elements and text only: declarations, comments, CDATA,
 * attributes, prefixes and other entities are refused. Throws UseFailure `answer_unusable`.
 */
export function parseAssumedRole(body: Uint8Array) {
  const credentials = find(parseXml(body), "AssumeRoleResponse", "AssumeRoleResult", "Credentials");
  const text = (name: string) => find(credentials, "Credentials", name).text;
  const expiresAt = Date.parse(text("Expiration"));
  if (Number.isNaN(expiresAt)) throw unusable();
  return {
    accessKeyId: text("AccessKeyId"),
    secretAccessKey: text("SecretAccessKey"),
    sessionToken: text("SessionToken"),
    expiresAt,
  };
}

/** AWS's code for why it refused, such as `AccessDenied`; undefined if it says none. */
export function parseErrorCode(body: Uint8Array): string | undefined {
  try {
    const { text } = find(parseXml(body), "ErrorResponse", "Error", "Code");
    return /^[A-Za-z]{1,32}$/.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The one node at a path, whose first name is the node's own. */
function find(node: Node, own: string, ...path: string[]): Node {
  if (node.name !== own) throw unusable();
  let at = node;
  for (const name of path) {
    const [found, ...more] = at.children.filter((child) => child.name === name);
    if (!found || more.length > 0) throw unusable();
    at = found;
  }
  return at;
}

function parseXml(body: Uint8Array): Node {
  const text = decoded(body).replace(/^<\?xml version="1\.0"( encoding="UTF-8")?\s*\?>/i, "");
  const root: Node = { name: "", text: "", children: [] };
  const open: Node[] = [root];
  let nodes = 0;
  for (let at = 0; at < text.length; ) {
    PIECE.lastIndex = at;
    const [piece, close, name, , empty, characters] = PIECE.exec(text) ?? [];
    const current = open.at(-1);
    if (piece === undefined || !current) throw unusable();
    at += piece.length;
    if (characters !== undefined) current.text += unescaped(characters);
    else if (close) {
      if (empty || current.name !== name || open.length === 1) throw unusable();
      open.pop();
    } else {
      const node: Node = { name: name ?? "", text: "", children: [] };
      if (++nodes > MOST_NODES || open.length > MOST_DEPTH) throw unusable();
      current.children.push(node);
      if (!empty) open.push(node);
    }
  }
  const [document, ...more] = root.children;
  if (open.length !== 1 || !document || more.length > 0 || root.text.trim() !== "") throw unusable();
  return document;
}

function decoded(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw unusable();
  }
}

const unescaped = (text: string): string =>
  text.replace(/&([a-z]{0,4};)?/g, (_, entity?: string) => {
    const character = ENTITIES[entity?.slice(0, -1) ?? ""];
    if (character === undefined) throw unusable();
    return character;
  });

const unusable = () => new UseFailure("answer_unusable", "AWS STS's answer is not as AWS documents it");
