import { request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { VaultClient } from "../../../services/shared/vault/client.ts";

/** TLS in front of a server that has none, with a certificate of an authority of its own. */
export interface TlsFront {
  /** `https://127.0.0.1:port`. */
  address: string;
  /** PEM of the authority. */
  ca: string;
  close(): Promise<void>;
}

/** `signer` is any Vault's root: it gets a mount `pki-front` for the one certificate. */
export async function startTlsFront(upstream: string, signer: VaultClient): Promise<TlsFront> {
  await signer.write(`sys/mounts/pki-front`, { type: "pki" });
  await signer.write(`pki-front/root/generate/internal`, { common_name: "front", key_type: "ec" });
  await signer.write(`pki-front/roles/front`, { allow_any_name: true, allow_ip_sans: true, key_type: "ec" });
  const { data } = (await signer.write(`pki-front/issue/front`, {
    common_name: "localhost",
    ttl: "1h",
    ip_sans: "127.0.0.1",
  })) as { data: { certificate: string; private_key: string; issuing_ca: string } };
  const server = createServer({ cert: data.certificate, key: data.private_key }, (incoming, response) => {
    const { host: _, ...headers } = incoming.headers;
    const outgoing = request(
      upstream + (incoming.url ?? ""),
      { method: incoming.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      },
    );
    outgoing.once("error", () => response.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: data.issuing_ca,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
