// Node before 20.19 takes a .js file for CommonJS unless a package.json says otherwise. The package's files, which
// have none beside them, are ES modules.

import { register } from "node:module";

const hooks = `
export function load(url, context, next) {
  return next(url, url.endsWith(".js") ? { ...context, format: "module" } : context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
