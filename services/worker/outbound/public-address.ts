import ipaddr from "ipaddr.js";

/** Globally routed IPv6 is allocated from this block only; what is translated or tunnelled lies in it, too. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR("2000::/3");

/** Ranges that are not for public unicast and that `ipaddr.js` takes for unicast. */
const ALSO_REFUSED = {
  ipv4: [
    ipaddr.IPv4.parseCIDR("168.63.129.16/32"), // Azure's platform address, reachable from each of its machines
  ],
  ipv6: [
    ipaddr.IPv6.parseCIDR("3fff::/20"), // documentation, RFC 9637
    ipaddr.IPv6.parseCIDR("3ffe::/16"), // 6bone, returned
    ipaddr.IPv6.parseCIDR("2001::/23"), // IETF protocol assignments
  ],
};

/**
 * Whether a text is the address of one host on the public internet, in the notation of `inet_ntop`. Refused are other
 * notations, zone ids, and every range for special use: private, shared, loopback, link-local (cloud metadata), mapped,
 * translated (NAT64), tunnelled (6to4, Teredo), documentation, benchmarking, multicast, reserved.
 */
export function isPublicAddress(text: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    const address = ipaddr.IPv4.parse(text);
    if (address.toString() !== text) return false;
    return address.range() === "unicast" && !ALSO_REFUSED.ipv4.some((range) => address.match(range));
  }
  if (!/^[0-9a-fA-F:]+$/.test(text) || !ipaddr.IPv6.isValid(text)) return false;
  const address = ipaddr.IPv6.parse(text);
  if (address.range() !== "unicast" || !address.match(GLOBAL_UNICAST)) return false;
  return !ALSO_REFUSED.ipv6.some((range) => address.match(range));
}

/** Whether two texts are the same address. */
export const isSameAddress = (one: string, other: string): boolean =>
  ipaddr.isValid(one) && ipaddr.isValid(other) && normal(one) === normal(other);

const normal = (text: string): string => ipaddr.parse(text).toNormalizedString();
