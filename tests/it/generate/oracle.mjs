// Runs the router's own generator over many schemas. stdin: [[{schema, plugin, goPackage}, ..], ..]; each inner list is one
// schema as it changes, with the lock carried over. stdout: the same shape, of what came of each.
import { readFileSync } from 'node:fs';
import { camelCase, upperFirst } from 'lodash-es';
import { compileGraphQLToMapping, compileGraphQLToProto, validateGraphQLSDL } from '@wundergraph/protographic';

function generate({ schema, plugin, goPackage }, lock) {
  const service = upperFirst(camelCase(plugin)) + 'Service';
  const checked = validateGraphQLSDL(schema);
  if (checked.errors.length > 0) return { refused: checked.errors, warnings: checked.warnings };
  const mapping = JSON.stringify(compileGraphQLToMapping(schema, service), null, 2);
  const protoOptions = goPackage ? [{ name: 'go_package', constant: `"${goPackage}"` }] : [];
  const lockData = lock === undefined ? undefined : JSON.parse(lock);
  const made = compileGraphQLToProto(schema, { serviceName: service, packageName: 'service', protoOptions, lockData });
  return { proto: made.proto, mapping, lock: JSON.stringify(made.lockData, null, 2), warnings: checked.warnings };
}

const results = JSON.parse(readFileSync(0, 'utf8')).map((steps) => {
  let lock;
  return steps.map((step) => {
    try {
      const result = generate(step, lock);
      lock = result.lock ?? lock;
      return result;
    } catch (error) {
      return { failed: String(error?.message ?? error) };
    }
  });
});
process.stdout.write(JSON.stringify(results));
