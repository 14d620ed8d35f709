import ipaddr from "ipaddr.js";

/** IPv4 ranges that no worker may connect to. */
const RANGES_4 = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"],
  ...["192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  ...["224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "168.63.129.16/32"],
];
const RANGES_6 = [
  ...["::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"],
  ...["100::/64", "2001::/32", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28"],
  ...["2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3ffe::/16"],
  ...["3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "4000::/3", "8000::/1"],
];

const METADATA = [
  ...["169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.169.253", "169.254.0.1"],
  ...["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"],
];
/** IPv4 addresses that other addresses may lead to. */
const INNER = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "169.254.170.2", "192.168.1.1", "8.8.8.8"];

function edges(range: string): string[] {
  const [address, bits] = ipaddr.parseCIDR(range);
  const first = address.toByteArray();
  const last = first.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, bits - index * 8))));
  const middle = last.map((byte, index) => (index === last.length - 1 ? byte ^ 1 : byte));
  return [first, last, middle]
    .map((bytes) => ipaddr.fromByteArray(bytes).toString())
    .filter((each, index, all) => all.indexOf(each) === index && isIn(each, range));
}

function isIn(address: string, range: string): boolean {
  const parsed = ipaddr.parse(address);
  const [of, bits] = ipaddr.parseCIDR(range);
  return parsed.kind() === of.kind() && parsed.match(of, bits);
}

const bytesOf = (address: string) => address.split(".").map(Number);
const groups = (address: string): string => {
  const [a = 0, b = 0, c = 0, d = 0] = bytesOf(address);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
};

/** Addresses in the form of a name server's answer, none of which is public unicast. */
export const NOT_PUBLIC: string[] = [
  ...new Set([
    ...RANGES_4.flatMap(edges),
    ...RANGES_6.flatMap(edges),
    ...METADATA,
    ...INNER.flatMap((inner) => [
      ...[
        `::ffff:${inner}`,
        `::ffff:${groups(inner)}`,
        `::${groups(inner)}`,
        `0:0:0:0:0:ffff:${groups(inner)}`,
      ],
      ...[`64:ff9b::${groups(inner)}`, `64:ff9b:1::${groups(inner)}`, `2002:${groups(inner)}::1`],
      ...[`2001:0:0:0:0:0:${groups(inner)}`, `::ffff:0:${groups(inner)}`, `fe80::5efe:${groups(inner)}`],
    ]),
    // Not addresses, or in a notation that another parser could read as another one.
    ...["fe80::1%eth0", "fe80::1%lo", "::1%lo", "2606:4700::1111%lo", "127.1", "127.0.1", "2130706433"],
    ...["0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0x08080808", "08.8.8.8", "8.8.8.010", "8.8.2056"],
    ...["127.0.0.1 ", " 8.8.8.8", "8.8.8.8\n", "8.8.8.8.", "8.8.8.8/32", "[::1]", "[2606:4700::1111]"],
    ...["localhost", "", "::ffff:0x7f.0.0.1", "1.1.1.1:443", "::g", "999.1.1.1", "2606:4700::1111::1"],
  ]),
];

/** Public addresses, some of them next to ranges that are not. */
export const PUBLIC: string[] = [
  ...["1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255"],
  ...["128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"],
  ...["192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255"],
  ...["203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.15", "168.63.129.17"],
  ...["2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "2001:4860:4860::8888", "2001:200::1"],
  ...["2620:4f:7fff::1", "2003::1", "3ffd:ffff::1", "2400:cb00::1"],
];

const spellings = (address: string): string[] => {
  const [a = 0, b = 0, c = 0, d = 0] = bytesOf(address);
  const whole = ((a * 256 + b) * 256 + c) * 256 + d;
  const octal = (byte: number) => `0${byte.toString(8)}`;
  const hex = (byte: number) => `0x${byte.toString(16)}`;
  return [
    address,
    `${address}.`,
    String(whole),
    `0x${whole.toString(16)}`,
    `0${whole.toString(8)}`,
    [a, b, c, d].map(octal).join("."),
    [a, b, c, d].map(hex).join("."),
    `${a}.${b}.${c * 256 + d}`,
    `${a}.${(b * 256 + c) * 256 + d}`,
    `${hex(a)}.${octal(b)}.${c * 256 + d}`,
    `[::ffff:${address}]`,
    `[::ffff:${groups(address)}]`,
    `[64:ff9b::${groups(address)}]`,
    `[2002:${groups(address)}::]`,
    `[::${address}]`,
    address.replaceAll(".", "。"),
    address.replaceAll(".", "%2e"),
    [...address]
      .map((each) => (each >= "0" && each <= "9" ? String.fromCodePoint(0xff10 + Number(each)) : each))
      .join(""),
  ];
};

/** Hosts that are no DNS name in its one canonical spelling. `{port}` is the listener's port. */
const HOSTS: string[] = [
  ...["127.0.0.1", "169.254.169.254", "169.254.170.2", "10.0.0.1", "192.168.0.1", "8.8.8.8"].flatMap(
    spellings,
  ),
  ...[
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fd00:ec2::254]",
    "[2606:4700::1111]",
    "[v1.fe80]",
    "[::1",
  ],
  ...["localhost", "localhost.", "LOCALHOST", "loc%61lhost", "127.1", "127.0.1", "0", "0x0", "0.0.0.0", "1"],
  ...[
    "provider.example.",
    "provider.example..",
    "provider..example",
    ".provider.example",
    "Provider.example",
  ],
  ...["*.example", "*", "prov*der.example", "provider", "provider_1.example", "-provider.example"],
  ...[
    "provider-.example",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(130)}example`,
    "provider.123",
    "provider.0x7f",
  ],
  ...["ⓛocalhost.example", "ʟocalhost.example", "аpple.example", "provider。example", "provider．example"],
  ...["prov\u00adider.example", "provider\u200b.example", "ｐrovider.example", "ß.example", "①②⑦.⓪.⓪.①"],
  ...[
    "provider.example\t",
    "provider.example ",
    " provider.example",
    "pro\nvider.example",
    "provider.example\0",
  ],
  ...["provider.example%00.evil.example", "provider.example\\@127.0.0.1", "xn--\u0430.example"],
  ...[
    "user@127.0.0.1",
    "user:pass@provider.example",
    "@provider.example",
    ":@provider.example",
    "provider.example@127.0.0.1",
  ],
  ...["provider.example#@127.0.0.1", "provider.example?@127.0.0.1", "provider.example/@127.0.0.1"],
  ...[
    "provider.example/",
    "provider.example/path",
    "provider.example?",
    "provider.example#",
    "provider.example;a",
  ],
  ...["", "/", "//127.0.0.1", "\\127.0.0.1", "provider.example,127.0.0.1", "provider.example 127.0.0.1"],
];
const PORTS = [
  "",
  ":0",
  ":-1",
  ":00443",
  ":443",
  ":65536",
  ":99999",
  ":+443",
  ":4 43",
  ":0x1bb",
  ":443:443",
  ":a",
  ":１",
];
const SCHEMES = [
  ...[
    "http:",
    "HTTPS:",
    "Https:",
    "ftp:",
    "file:",
    "gopher:",
    "dict:",
    "ws:",
    "wss:",
    "data:",
    "javascript:",
  ],
  ...[
    "ldap:",
    "unix:",
    "jar:https:",
    "netdoc:",
    "https",
    " https:",
    "https:\t",
    "",
    "h\nttps:",
    "https:https:",
  ],
];

/** Texts that are no origin of a destination. */
export const NO_ORIGINS: string[] = [
  ...new Set([
    ...HOSTS.flatMap((host) => [`https://${host}`, `https://${host}:{port}`]),
    ...PORTS.filter((port) => port !== "").map((port) => `https://provider.example${port}`),
    ...SCHEMES.map((scheme) => `${scheme}//provider.example`),
    ...[
      "https:/provider.example",
      "https:provider.example",
      "https:///provider.example",
      "https:\\\\provider.example",
    ],
    ...[
      "https://https://provider.example",
      "//provider.example",
      "provider.example",
      "https://",
      "https:// ",
    ],
  ]),
].filter((text) => text !== "https://provider.example");

/** Names in canonical form that people point inside; a name server decides where they lead. */
export const NAMES: string[] = [
  ...[
    "localtest.me",
    "127.0.0.1.nip.io",
    "10-0-0-1.sslip.io",
    "metadata.google.internal",
    "instance-data.ec2.internal",
  ],
  ...[
    "kubernetes.default.svc",
    "vault.service.consul",
    "localhost.localdomain",
    "spoofed.burpcollaborator.net",
  ],
  ...[
    "7f000001.c0a80001.rbndr.us",
    "router.lan",
    "wpad.local",
    "printer.local",
    "host.docker.internal",
    "a.localhost",
    "xn--a.example",
  ],
];
