// Serves a published directory by the worker, in the runtime of Cloudflare and its local R2; for tests. Arguments: the directory, the
// variables as JSON. Prints the URL; ends with its input.
import { readFile, readdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { Miniflare } from "miniflare";

const [directory, variables] = process.argv.slice(2);
const TYPES = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
};
const worker = new Miniflare({
  modules: true,
  scriptPath: new URL("worker.js", import.meta.url).pathname,
  compatibilityDate: "2026-08-01",
  bindings: JSON.parse(variables),
  r2Buckets: ["BUCKET"],
  host: "127.0.0.1",
  port: 0,
});
const bucket = await worker.getR2Bucket("BUCKET");
for (const entry of await readdir(join(directory, "v2"), { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name === "index.html") continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const key = relative(directory, path);
  const end = Object.keys(TYPES).find((end) => existsSync(join(directory, "_r/types", `${key}.${end}`)));
  const other = key.includes("/referrers/") ? TYPES.index : key.endsWith("/tags/list") ? "application/json" : "application/octet-stream";
  const changes = !/\/(blobs|manifests)\/sha256:/.test(key);
  const cacheControl = changes ? "no-cache" : "public, max-age=31536000, immutable";
  await bucket.put(key, await readFile(path), { httpMetadata: { contentType: TYPES[end] ?? other, cacheControl } });
}
console.log((await worker.ready).href);
process.stdin.resume();
process.stdin.on("end", () => worker.dispose().then(() => process.exit(0)));
