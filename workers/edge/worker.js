// A registry at the edge, read-only: the objects that `cargo plugin-build publish` writes into an R2 bucket, with a look at who asks.
//
// Bindings: `BUCKET`, an R2 bucket. Variables: `PREFIX`, what stands before `v2/` in it; `ANONYMOUS`, patterns of repositories that
// everybody may pull, separated by blanks (`public/*`); secret: `TOKENS`, lines of `SHA-256-IN-HEX PATTERN...`, the hash of a token and
// the repositories that it is good for. A token comes as the password of `Basic`, whatever the user is, or as `Bearer`.

const JSON_TYPE = "application/json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const NO_REFERRERS = JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [] });

/** What errors look like (distribution-spec, "Error Codes"). */
function fail(status, code, message, headers = {}) {
  const body = JSON.stringify({ errors: [{ code, message }] });
  return new Response(body, { status, headers: { "Content-Type": JSON_TYPE, ...headers } });
}

/** Whether a pattern, in which `*` stands for anything, is that of a repository. */
function matches(pattern, name) {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}

const words = (text) => (text ?? "").split(/\s+/).filter(Boolean);

/** The token of a request. */
function tokenOf(request) {
  const [scheme, value] = words(request.headers.get("Authorization"));
  if (/^bearer$/i.test(scheme ?? "")) return value;
  if (!/^basic$/i.test(scheme ?? "")) return undefined;
  try {
    const text = atob(value);
    return text.includes(":") ? text.slice(text.indexOf(":") + 1) : undefined;
  } catch {
    return undefined;
  }
}

async function sha256(bytes) {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The patterns of a token; nothing for one that is none. Only hashes are compared: how long that takes tells nothing. */
async function patternsOf(token, env) {
  const hex = await sha256(new TextEncoder().encode(token));
  const line = (env.TOKENS ?? "").split("\n").map(words).find(([known]) => known?.toLowerCase() === hex);
  return line?.slice(1);
}

/** Why a request may not be answered, if it may not. `name` is empty for `/v2/`. */
async function denied(request, env, name) {
  const challenge = { "WWW-Authenticate": 'Basic realm="registry"' };
  const token = tokenOf(request);
  // Who has no credentials may send empty ones.
  const patterns = token ? await patternsOf(token, env) : undefined;
  if (token && !patterns) return fail(401, "UNAUTHORIZED", "the token is not known", challenge);
  const open = words(env.ANONYMOUS);
  // Who is told here that nothing is wanted sends no credentials later: only where all is open, or they have come.
  if (name === "") return patterns || open.includes("*") ? undefined : fail(401, "UNAUTHORIZED", "a token is wanted", challenge);
  if ([...open, ...(patterns ?? [])].some((pattern) => matches(pattern, name))) return undefined;
  if (patterns) return fail(403, "DENIED", "the token is not for this repository");
  return fail(401, "UNAUTHORIZED", "a token is wanted", challenge);
}

const ROUTE = /^\/v2\/([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)\/(blobs|manifests|referrers|tags)\/([A-Za-z0-9_][A-Za-z0-9._:+-]*)$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const UNKNOWN = { blobs: "BLOB_UNKNOWN", manifests: "MANIFEST_UNKNOWN", referrers: "MANIFEST_UNKNOWN", tags: "NAME_UNKNOWN" };

/** Whether what stands behind a kind can be one of it. */
function fits(kind, last) {
  if (kind === "tags") return last === "list";
  return DIGEST.test(last) || (kind === "manifests" && TAG.test(last));
}

/** The one range of a request, as R2 wants it; nothing for what is to be answered whole (RFC 9110, section 14.2). */
function rangeOf(request, size) {
  const found = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("Range") ?? "");
  if (!found || (found[1] === "" && found[2] === "")) return undefined;
  const [first, last] = [found[1], found[2]].map((text) => (text === "" ? undefined : Number(text)));
  if (first === undefined) return { offset: Math.max(size - last, 0), length: Math.min(last, size) };
  if (last !== undefined && last < first) return undefined;
  return { offset: first, length: Math.min(last ?? size - 1, size - 1) - first + 1 };
}

async function serve(request, env) {
  const url = new URL(request.url);
  const route = ROUTE.exec(url.pathname);
  const isBase = url.pathname === "/v2/" || url.pathname === "/v2";
  if (!isBase && !route) return fail(404, "NAME_INVALID", "there is nothing of that name");
  const [, name, kind, last] = route ?? ["", ""];
  const refusal = await denied(request, env, name);
  if (refusal) return refusal;
  if (request.method !== "GET" && request.method !== "HEAD") {
    return fail(405, "UNSUPPORTED", "this registry is only read from", { Allow: "GET, HEAD" });
  }
  if (isBase) return new Response("{}", { headers: { "Content-Type": JSON_TYPE } });
  if (!fits(kind, last)) {
    return kind === "manifests" ? fail(404, UNKNOWN[kind], "it is not there") : fail(400, "DIGEST_INVALID", "it is no digest");
  }
  const key = `${env.PREFIX ?? ""}v2/${name}/${kind}/${last}`;
  const head = await env.BUCKET.head(key);
  // Nothing refers to it, whether it is there or not (distribution-spec, "Listing Referrers").
  if (!head && kind === "referrers") {
    const body = request.method === "HEAD" ? null : NO_REFERRERS;
    return new Response(body, { headers: { "Content-Type": INDEX_TYPE, "Cache-Control": "no-cache" } });
  }
  if (!head) return fail(404, UNKNOWN[kind], "it is not there");
  const headers = new Headers();
  head.writeHttpMetadata(headers);
  headers.set("ETag", head.httpEtag);
  headers.set("Accept-Ranges", "bytes");
  headers.set("Content-Length", String(head.size));
  if (kind !== "referrers" && DIGEST.test(last)) headers.set("Docker-Content-Digest", last);
  // What a token opened is nobody else's.
  if (!words(env.ANONYMOUS).some((pattern) => matches(pattern, name))) {
    headers.set("Cache-Control", (headers.get("Cache-Control") ?? "no-cache").replace("public", "private"));
  }
  if (kind === "manifests" && TAG.test(last)) {
    const bytes = await (await env.BUCKET.get(key, { onlyIf: { etagMatches: head.etag } }))?.arrayBuffer?.();
    if (!bytes) return fail(503, "UNKNOWN", "it has just changed", { "Retry-After": "0" });
    headers.set("Docker-Content-Digest", `sha256:${await sha256(bytes)}`);
    return new Response(request.method === "HEAD" ? null : bytes, { headers });
  }
  if (request.method === "HEAD") return new Response(null, { headers });
  const range = rangeOf(request, head.size);
  if (range && (range.length < 1 || range.offset >= head.size)) {
    return fail(416, "SIZE_INVALID", "it has fewer bytes", { "Content-Range": `bytes */${head.size}` });
  }
  // Of the version whose head was sent: a tag may move in between.
  const object = await env.BUCKET.get(key, { range, onlyIf: { etagMatches: head.etag } });
  if (!object?.body) return fail(503, "UNKNOWN", "it has just changed", { "Retry-After": "0" });
  if (!range) return new Response(object.body, { headers });
  headers.set("Content-Length", String(range.length));
  headers.set("Content-Range", `bytes ${range.offset}-${range.offset + range.length - 1}/${head.size}`);
  return new Response(object.body, { status: 206, headers });
}

export default { fetch: serve };
