import type { CliCommand } from "../command.ts";
import { declareMember, intakeAs, type MemberOptions } from "../member.ts";
import { count, period } from "../options.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

export const putCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .requiredOption("--url <url>", "an RSS, Atom or JSON feed")
      .addOption(period("--every <duration>", "how often it is fetched (default: 1h; at least 5m)"));
  },
  run: put,
};
export const listCommand: CliCommand = { declare: (line) => void declareMember(line), run: list };
export const itemsCommand: CliCommand = {
  declare(line) {
    declareMember(line.argument("<name>"))
      .option("--after <cursor>", "only items after this cursor, which an earlier call printed to stderr")
      .addOption(count("--limit <n>", "number of items, at most 100", 50, 1));
  },
  run: items,
};
export const fetchCommand: CliCommand = {
  declare: (line) => void declareMember(line.argument("<name>")),
  run: fetchNow,
};
export const deleteCommand: CliCommand = {
  declare: (line) => void declareMember(line.argument("<name>")),
  run: remove,
};

const HOUR_SECONDS = 3600;

/** `strongroom feed put <name> --url <url>` */
async function put(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { url: string; every?: number },
): Promise<undefined> {
  const { url, every = HOUR_SECONDS } = options;
  const feed = await (await intakeAs(session, options)).putFeed(name, { url, everySeconds: every });
  session.out.note(`${name} is fetched next at ${feed.nextAt}. Read it: strongroom feed items ${name} …`);
  session.out.data(feed, () => []);
}

/** `strongroom feed fetch <name>` */
async function fetchNow(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  const feed = await (await intakeAs(session, options)).fetchFeed(name);
  session.out.note(`${name} is being fetched. Read it: strongroom feed items ${name} …`);
  session.out.data(feed, () => []);
}

/** `strongroom feed list` */
async function list(session: Session, _: string[], options: MemberOptions): Promise<undefined> {
  const feeds = await (await intakeAs(session, options)).feeds();
  if (feeds.length === 0) session.out.note("No feeds. Follow one: strongroom feed put NAME --url URL");
  session.out.data(feeds, () =>
    feeds.length === 0
      ? []
      : table(
          ["NAME", "URL", "ITEMS", "LAST FETCHED", "NEXT", "FAILURE"],
          feeds.map(({ name, url, items, lastFetchedAt, nextAt, failure }) => [
            name,
            url,
            String(items),
            lastFetchedAt ?? "-",
            nextAt,
            failure ? `${failure.class}: ${failure.detail}` : "",
          ]),
        ),
  );
}

/** `strongroom feed items <name>`: in the order in which they were first seen. */
async function items(
  session: Session,
  [name = ""]: string[],
  options: MemberOptions & { after?: string; limit: number },
): Promise<undefined> {
  const page = await (await intakeAs(session, options)).feedItems(name, options.after, options.limit);
  if (page.items.length === 0) session.out.note("No new items.");
  if (page.next) session.out.note(`Later ones: strongroom feed items ${name} … --after ${page.next}`);
  session.out.data(page, () =>
    page.items.map(({ publishedAt, seenAt, title, url, id }) =>
      [publishedAt ?? seenAt, title ?? id, url].filter(Boolean).join("  "),
    ),
  );
}

/** `strongroom feed delete <name>` */
async function remove(session: Session, [name = ""]: string[], options: MemberOptions): Promise<undefined> {
  await (await intakeAs(session, options)).deleteFeed(name);
  session.out.note(`${name} is deleted.`);
  session.out.data({ deleted: name }, () => []);
}
