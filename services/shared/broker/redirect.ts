import { isCanonicalPath, parseOrigin } from "../work/destination.ts";

const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?(\/[A-Za-z0-9._~/-]*)$/;
const HTTPS = /^(https:\/\/[^/?#]*)(\/[A-Za-z0-9._~/-]*)$/;
const CONNECTION = "{connection}";

/**
 * Whether a text is a redirect URI in its one spelling: https, or http at a loopback address with a port (RFC 8252),
 * with a canonical path, in which nothing needs encoding, and nothing after it.
 */
export function isRedirect(text: string): boolean {
  if (text.length > 1024 || !/^[\x21-\x7e]+$/.test(text)) return false;
  const [, , port, loopbackPath] = LOOPBACK.exec(text) ?? [];
  const [, origin = "", httpsPath] = HTTPS.exec(text) ?? [];
  const path = loopbackPath ?? httpsPath;
  if (path === undefined || !isCanonicalPath(path)) return false;
  if (loopbackPath === undefined && !parseOrigin(origin)) return false;
  if (loopbackPath !== undefined && (port === undefined || Number(port) > 65_535)) return false;
  return URL.canParse(text) && new URL(text).href === text;
}

/**
 * Whether a text may stand in the list of allowed redirects: a redirect whose last segment may be `{connection}`; at a
 * loopback address without a port, which then is any.
 */
export function isRedirectPattern(text: string): boolean {
  const plain = text.endsWith(`/${CONNECTION}`) ? `${text.slice(0, -CONNECTION.length)}name` : text;
  const [, host, port, path] = LOOPBACK.exec(plain) ?? [];
  return isRedirect(host !== undefined && port === undefined ? `http://${host}:1${path}` : plain);
}

/** Whether a redirect of a connection is one of those allowed: exactly, but for the port at a loopback address. */
export function isAllowedRedirect(redirect: string, connection: string, allowed: readonly string[]): boolean {
  if (!isRedirect(redirect)) return false;
  const [, host, , path] = LOOPBACK.exec(redirect) ?? [];
  const withoutPort = host === undefined ? undefined : `http://${host}${path}`;
  return allowed.some((each) => {
    if (!isRedirectPattern(each)) return false;
    const pattern = each.endsWith(CONNECTION) ? each.slice(0, -CONNECTION.length) + connection : each;
    return pattern === redirect || pattern === withoutPort;
  });
}

/** Whether a redirect is that connection's own, by its last segment. */
export const isOwnRedirect = (redirect: string, connection: string): boolean =>
  redirect.endsWith(`/${connection}`);
