export const REGION = "eu-central-1";

/** A request to a service that this project has no client of; the emulator checks no signature. */
export async function emulated(
  endpoint: string,
  service: string,
  {
    headers = {},
    body,
    method = "POST",
  }: { headers?: Record<string, string>; body: string | URLSearchParams; method?: string },
): Promise<Response> {
  const scope = `emulated/20260101/${REGION}/${service}/aws4_request`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0`;
  const answer = await fetch(endpoint, { method, headers: { ...headers, authorization }, body });
  if (!answer.ok) throw new Error(`the emulator's ${service}: ${answer.status} ${await answer.text()}`);
  return answer;
}
