// What the page asks of the service: JSON in, JSON out, the API key (kept for this tab alone) with every request.

const KEY = "corkboard-api-key";

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export async function post(path, body, signal) {
  const response = await ask(path, { method: "POST", body: JSON.stringify(body), signal });
  return response.json();
}

export async function get(path, signal) {
  const response = await ask(path, { signal });
  return response.json();
}

/** The address of a pin's picture: of its own where no key is asked for, else of what was fetched with the key. */
export async function pictureOf(path, signal) {
  if (!sessionStorage.getItem(KEY)) return path;
  const response = await ask(path, { signal });
  return URL.createObjectURL(await response.blob());
}

async function ask(path, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { "content-type": "application/json", ...(key ? { "x-api-key": key } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.ok || response.status === 503) return response;
  let said = response.statusText;
  try {
    said = (await response.json()).error || said;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // not JSON: a proxy's own page
  }
  throw new Refusal(response.status, said);
}
