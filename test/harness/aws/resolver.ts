import dns from "node:dns";
import { emulated } from "./emulated.ts";

/**
 * The private DNS of Cloud Map namespaces (names with commas between), which the emulator does not serve: names
 * just below one are looked up by DiscoverInstances, all others as ever. This is the network's edge; the services know nothing of it.
 * A process gets it by `NODE_OPTIONS=--import=…` with both variables set, a test by calling it.
 */
export function resolveBy(endpoint: string, namespaces: string): () => void {
  const ours = namespaces.split(",");
  const original = dns.lookup;
  const known = new Map<string, { at: number; addresses: Promise<string[]> }>();

  const discover = (hostname: string, namespace: string): Promise<string[]> => {
    const last = known.get(hostname);
    // A resolver of a real network keeps them for 5 s.
    if (last && performance.now() - last.at < 250) return last.addresses;
    const addresses = instances(endpoint, namespace, hostname.slice(0, -namespace.length - 1));
    known.set(hostname, { at: performance.now(), addresses });
    return addresses;
  };

  const lookup = (hostname: string, options: unknown, callback?: unknown) => {
    const done = (callback ?? options) as (error: Error | null, address?: unknown, family?: number) => void;
    const namespace = ours.find((each) => hostname.replace(/^[^.]+\./, "") === each);
    if (!namespace) return original(hostname, options as never, callback as never);
    discover(hostname, namespace).then(
      (addresses) => {
        const [first] = addresses;
        if (!first) return done(notFound(hostname));
        if ((options as { all?: boolean }).all)
          return done(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          );
        done(null, first, 4);
      },
      () => done(notFound(hostname)),
    );
  };
  dns.lookup = lookup as typeof dns.lookup;
  return () => {
    dns.lookup = original;
  };
}

async function instances(endpoint: string, namespace: string, service: string): Promise<string[]> {
  const answer = await emulated(endpoint, "servicediscovery", {
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "Route53AutoNaming_v20170314.DiscoverInstances",
    },
    body: JSON.stringify({ NamespaceName: namespace, ServiceName: service }),
  });
  const { Instances } = (await answer.json()) as {
    Instances: { Attributes: { AWS_INSTANCE_IPV4: string } }[];
  };
  return Instances.map(({ Attributes }) => Attributes.AWS_INSTANCE_IPV4);
}

const notFound = (hostname: string) =>
  Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
    hostname,
  });

const { EMULATOR_ENDPOINT, EMULATED_NAMESPACE } = process.env;
if (EMULATOR_ENDPOINT && EMULATED_NAMESPACE) resolveBy(EMULATOR_ENDPOINT, EMULATED_NAMESPACE);
