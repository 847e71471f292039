// A WebAssembly text to bytes: of the language what kernel.wat uses, which is the folded form with names.

const TYPES = { i32: 0x7f, f32: 0x7d, v128: 0x7b };
const SIMD = 0xfd;
const PLAIN = {
  call: 0x10, select: 0x1b, "i32.eq": 0x46, "i32.lt_u": 0x49, "i32.gt_s": 0x4a, "i32.gt_u": 0x4b, "i32.ge_u": 0x4f,
  "i32.add": 0x6a, "i32.sub": 0x6b, "i32.mul": 0x6c, "i32.and": 0x71, "i32.shl": 0x74, "f32.add": 0x92, "f32.mul": 0x94,
};
const VECTOR = {
  "i32x4.splat": 17, "f32x4.splat": 19, "i32x4.shl": 171, "i32x4.add": 174, "f32x4.add": 228, "f32x4.sub": 229,
  "f32x4.mul": 230, "f32x4.pmin": 234, "f32x4.pmax": 235,
};
// Opcode bytes and the logarithm of the natural alignment.
const MEMORY = {
  "i32.load": [[0x28], 2], "f32.load": [[0x2a], 2], "f32.store": [[0x38], 2], "v128.load": [[SIMD, 0], 4],
  "v128.load32_splat": [[SIMD, 9], 2], "v128.store": [[SIMD, 11], 4], "v128.load32_lane": [[SIMD, 86], 2],
  "v128.load32_zero": [[SIMD, 92], 2],
};

function unsigned(value) {
  const bytes = [];
  do {
    const rest = Math.floor(value / 128);
    bytes.push(value % 128 + (rest ? 128 : 0));
    value = rest;
  } while (value);
  return bytes;
}

function signed(value) {
  const bytes = [];
  for (;;) {
    const low = value & 127;
    value >>= 7;
    if ((value === 0 && !(low & 64)) || (value === -1 && low & 64)) return [...bytes, low];
    bytes.push(low | 128);
  }
}

const vector = (items) => [...unsigned(items.length), ...items.flat()];
const text = (quoted) => vector([...Buffer.from(quoted.slice(1, -1))]);

function parse(source) {
  const stack = [[]];
  for (const token of source.replace(/;;.*/g, "").match(/[()]|"[^"]*"|[^\s()]+/g)) {
    if (token === "(") stack.push([]);
    else if (token === ")") stack.at(-2).push(stack.pop());
    else stack.at(-1).push(token);
  }
  return stack[0][0];
}

export function assemble(source) {
  const [, ...fields] = parse(source);
  const functions = fields.filter(([kind]) => kind === "func").map(([, ...parts]) => {
    const of = (kind) => parts.filter((part) => part[0] === kind);
    const head = new Set(["export", "param", "result", "local"]);
    return {
      name: parts[0][0] === "$" ? parts[0] : null, exported: of("export")[0]?.[1], params: of("param"),
      result: of("result"), locals: of("local"), body: parts.filter((part) => Array.isArray(part) && !head.has(part[0])),
    };
  });

  function code({ params, locals, body }) {
    const variables = [...params, ...locals].map(([, name]) => name);
    const expressions = (list, labels) => list.flatMap((each) => expression(each, labels));
    function expression([name, ...rest], labels) {
      const inner = (label) => [label, ...labels];
      const index = (list, wanted) => {
        if (!list.includes(wanted)) throw new Error(`no ${wanted}`);
        return unsigned(list.indexOf(wanted));
      };
      if (name.startsWith("local.")) {
        const opcode = { "local.get": 0x20, "local.set": 0x21, "local.tee": 0x22 }[name];
        return [...expressions(rest.slice(1), labels), opcode, ...index(variables, rest[0])];
      }
      if (name === "i32.const") return [0x41, ...signed(Number(rest[0]) | 0)];
      if (name === "f32.const") return [0x43, ...new Uint8Array(Float32Array.of(Number(rest[0])).buffer)];
      if (name === "v128.const") return [SIMD, 12, ...new Uint8Array(Int32Array.from(rest, Number).buffer)];
      if (name === "block" || name === "loop") {
        return [name === "block" ? 2 : 3, 0x40, ...expressions(rest.slice(1), inner(rest[0])), 0x0b];
      }
      if (name === "if") {
        const [condition, [, ...then], otherwise] = rest;
        const other = otherwise ? [5, ...expressions(otherwise.slice(1), inner(null))] : [];
        return [...expression(condition, labels), 4, 0x40, ...expressions(then, inner(null)), ...other, 0x0b];
      }
      if (name === "br_if") return [...expression(rest[1], labels), 0x0d, ...index(labels, rest[0])];
      if (name === "call") {
        const called = index(functions.map((each) => each.name), rest[0]);
        return [...expressions(rest.slice(1), labels), PLAIN.call, ...called];
      }
      const words = rest.filter((part) => !Array.isArray(part));
      const operands = expressions(rest.filter((part) => Array.isArray(part)), labels);
      if (name === "f32x4.extract_lane") return [...operands, SIMD, 31, Number(words[0])];
      if (MEMORY[name]) {
        const [opcode, align] = MEMORY[name];
        const offset = Number(words.find((word) => word.startsWith("offset="))?.slice(7) ?? 0);
        const lane = words.filter((word) => /^\d+$/.test(word)).map(Number);
        return [...operands, ...opcode, align, ...unsigned(offset), ...lane];
      }
      if (PLAIN[name]) return [...operands, PLAIN[name]];
      if (VECTOR[name]) return [...operands, SIMD, ...unsigned(VECTOR[name])];
      throw new Error(`${name} is not known here`);
    }
    const bytes = [...vector(locals.map(([, , type]) => [1, TYPES[type]])), ...expressions(body, []), 0x0b];
    return [...unsigned(bytes.length), ...bytes];
  }

  const types = functions.map(({ params, result }) => [
    0x60, ...vector(params.map(([, , type]) => TYPES[type])), ...vector(result.map(([, type]) => TYPES[type])),
  ]);
  const [, from, name, [, least, most]] = fields.find(([kind]) => kind === "import");
  const sections = [
    [1, vector(types)],
    [2, vector([[...text(from), ...text(name), 2, 1, ...unsigned(Number(least)), ...unsigned(Number(most))]])],
    [3, vector(functions.map((_, i) => unsigned(i)))],
    [7, vector(functions.flatMap(({ exported }, i) => (exported ? [[...text(exported), 0, ...unsigned(i)]] : [])))],
    [10, vector(functions.map(code))],
  ];
  const body = sections.flatMap(([id, bytes]) => [id, ...unsigned(bytes.length), ...bytes]);
  return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...body]);
}
