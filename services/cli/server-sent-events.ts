const LINE_AT_MOST = 64 * 1024;

/** One server-sent event; its name is not used here. */
export interface ServerSentEvent {
  id?: string;
  data: string;
}

/** Reads a stream of server-sent events to its end. Skips comments and events without data. */
export async function* serverSentEvents(
  body: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let id: string | undefined;
  let data: string[] = [];
  const reader = body.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? "";
      if (rest.length > LINE_AT_MOST) throw new Error("An event is too long");
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { ...(id !== undefined && { id }), data: data.join("\n") };
          data = [];
        } else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line.startsWith("id:")) id = line.slice(3).trim();
      }
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    cancel();
  }
}
