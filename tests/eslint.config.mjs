import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  { files: ["vaewidgets/**/*.js"], languageOptions: { globals: globals.browser } },
  { files: ["tests/javascript/**/*.mjs"], languageOptions: { globals: globals.node } },
];
