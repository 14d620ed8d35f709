import { afterAll } from "vitest";

/** What a corpus of hostile requests came to. */
export interface Corpus {
  /** How many were tried so far. */
  tried: number;
  /** The names of those that got in, and of those of which an upstream saw anything: both must stay empty. */
  accepted: string[];
  forwarded: string[];
  /** Counts one attempt. */
  count(name: string, came: { accepted: boolean; forwarded: boolean }): void;
}

/** Counts a test file's attempts, and prints `<title>: N tried, 0 accepted, 0 forwarded` after its last test. */
export function startCorpus(title: string): Corpus {
  const corpus: Corpus = {
    tried: 0,
    accepted: [],
    forwarded: [],
    count(name, { accepted, forwarded }) {
      corpus.tried++;
      if (accepted) corpus.accepted.push(name);
      if (forwarded) corpus.forwarded.push(name);
    },
  };
  afterAll(() => {
    const { tried, accepted, forwarded } = corpus;
    process.stdout.write(
      `${title}: ${tried} tried, ${accepted.length} accepted, ${forwarded.length} forwarded\n`,
    );
  });
  return corpus;
}
