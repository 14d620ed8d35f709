import type { Server } from "node:net";
import { network } from "../limits.ts";

const MAX_OF_ALL = 20_000;
/** Far more than a busy client keeps open, and far too few to crowd out others. */
const MAX_OF_ADDRESS = 2_000;

/**
 * Bounds the connections open at once; one too many is closed without an answer. `byAddress` also bounds those of one
 * address (IPv6: one /64), if clients have addresses of their own, and closes any from an address that `isBarred`.
 */
export function boundConnections(
  server: Server,
  { byAddress, isBarred }: { byAddress: boolean; isBarred?: (address: string | undefined) => boolean },
): void {
  server.maxConnections = MAX_OF_ALL;
  if (!byAddress) return;
  const open = new Map<string, number>();
  server.on("connection", (socket) => {
    const address = network(socket.remoteAddress);
    const count = open.get(address) ?? 0;
    if (count >= MAX_OF_ADDRESS || isBarred?.(socket.remoteAddress)) {
      socket.destroy();
      return;
    }
    open.set(address, count + 1);
    socket.once("close", () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
  });
}
