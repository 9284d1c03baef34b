// Random JSON texts, written as text so that every spelling a publisher may send comes up: big
// integers, exponents, escapes, duplicate keys, odd whitespace, several scripts.

const MAX_DEPTH = 4;
const MAX_MEMBERS = 4;
const MAX_PIECES = 12;
const MAX_DIGITS = 60;

const SCALARS = ["null", "true", "false", "0", "-0", "1E400", "-1.5e-300", "1.0", "0.1000"];
const SPACES = ["", "", "", " ", "\n", "\t", " \r\n "];
const PIECES = [
  "a", "Z", "0", " ", "/", "<&>", "ä", "ß", "é", "日本", "Ж", "العربية", "👩‍👩‍👧", "\u2028", "\u200b", "\x7f",
  String.raw`\"`, "\\\\", String.raw`\/`, String.raw`\n`, String.raw`\t`, String.raw`\b`,
  "\\u0000", "\\u001f", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\uDC00",
];

/** Numbers in [0, 1) from a seed (mulberry32), so that a failure can be had again. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One object or array, as a publisher might have written it. */
export function document(random) {
  return random() < 0.8 ? object(random, 0) : array(random, 0);
}

const below = (random, end) => Math.floor(random() * end);
const pick = (random, from) => from[below(random, from.length)];
const times = (random, max, make) => Array.from({ length: below(random, max + 1) }, make);

function value(random, depth) {
  const kind = random();
  if (depth < MAX_DEPTH && kind < 0.2) return object(random, depth);
  if (depth < MAX_DEPTH && kind < 0.3) return array(random, depth);
  if (kind < 0.6) return string(random);
  if (kind < 0.8) return number(random);
  return pick(random, SCALARS);
}

function object(random, depth) {
  const space = pick(random, SPACES);
  const member = () => `${space}${string(random)}${space}:${space}${value(random, depth + 1)}`;
  const members = times(random, MAX_MEMBERS, member);
  if (members.length > 0 && random() < 0.2) members.push(pick(random, members));
  return `{${members.join(",")}${space}}`;
}

function array(random, depth) {
  const space = pick(random, SPACES);
  const members = times(random, MAX_MEMBERS, () => space + value(random, depth + 1));
  return `[${members.join(",")}${space}]`;
}

function string(random) {
  return `"${times(random, MAX_PIECES, () => pick(random, PIECES)).join("")}"`;
}

function number(random) {
  const digits = times(random, MAX_DIGITS - 1, () => below(random, 10)).join("");
  const sign = pick(random, ["", "-"]);
  const fraction = random() < 0.3 ? `.${below(random, 1e9)}` : "";
  const exponent = `${pick(random, ["e", "E"])}${pick(random, ["", "+", "-"])}${below(random, 300)}`;
  return `${sign}${1 + below(random, 9)}${digits}${fraction}${random() < 0.2 ? exponent : ""}`;
}
