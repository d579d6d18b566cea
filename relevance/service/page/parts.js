// Pieces that cards and the panel are made of. Text is only ever set as text: nothing of a pin becomes markup.

export const LEVELS = ["highly irrelevant", "irrelevant", "marginally relevant", "relevant", "highly relevant"];
export const BROKEN = new Set(["store", "corrupt", "never_materialized", "deadline", "corrupt_query", "query_embedding", "other_encoder"]);
const NAMES = {
  text_embedding: "text vector",
  visual_embedding: "visual vector",
  graph_embedding: "graph vector",
  pair: "rates of this pair",
  query_features: "query features",
  query_embedding: "query vector",
  corrupt_query: "readable query features",
  never_materialized: "a loaded store",
  other_encoder: "text vectors by this model's encoder",
  queries: "engaged queries",
};

export const named = (input) => NAMES[input] || input.replaceAll("_", " ");
export const plain = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
export const signed = (value, digits = 2) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Five probabilities as one bar. */
export function stack(probabilities, who, thin) {
  const bar = make("div", thin ? "stack thin" : "stack");
  bar.setAttribute("role", "img");
  const said = probabilities.map((p, i) => `${i + 1} ${LEVELS[i]}: ${Math.round(p * 100)} %`).reverse();
  bar.setAttribute("aria-label", `${who}: ${said.join(", ")}`);
  bar.title = said.join("\n");
  probabilities.forEach((p, i) => {
    const part = make("i", `l${i + 1}`);
    part.style.width = `${p * 100}%`;
    bar.append(part);
  });
  return bar;
}

// As enrich/normalise.py: scripts written without spaces, whose terms are pairs of signs; all others' are words.
const UNSPACED = "\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmer}\\p{sc=Myanmar}ー";
const WORD = new RegExp(`(?![${UNSPACED}])[\\p{L}\\p{N}](?:(?![${UNSPACED}])[\\p{L}\\p{N}\\p{M}\\p{Cf}])*`, "gu");
const PAIR = new RegExp(`^[${UNSPACED}][${UNSPACED}\\p{M}]*$`, "u");

/** A text with the terms of the query marked: words without case and accents, pairs of signs where none are spaced. */
export function marked(text, terms) {
  const spans = [];
  const wanted = new Set(terms);
  for (const word of text.matchAll(WORD)) {
    if (wanted.has(folded(word[0]))) spans.push([word.index, word.index + word[0].length]);
  }
  for (const pair of terms.filter((term) => PAIR.test(term))) {
    for (let at = text.indexOf(pair); at >= 0; at = text.indexOf(pair, at + 1)) spans.push([at, at + pair.length]);
  }
  const found = document.createDocumentFragment();
  let done = 0;
  for (const [begin, end] of spans.sort((a, b) => a[0] - b[0])) {
    if (end <= done) continue;
    found.append(text.slice(done, Math.max(begin, done)), make("mark", "", text.slice(Math.max(begin, done), end)));
    done = end;
  }
  found.append(text.slice(done));
  return found;
}

/** What a pin says, field by field; lists as chips, where `most` says so only so many, those that match first. */
export function said(texts, without = [], most = Infinity) {
  const list = make("dl", "said");
  for (const { field, texts: lines, matched } of texts) {
    if (without.includes(field)) continue;
    const many = field === "boards" || field === "queries";
    const shown = make("dd", many ? "chips" : "");
    if (many) shown.append(...chips(lines, matched, most));
    else shown.append(marked(lines.join(" · "), matched));
    list.append(make("dt", "", named(field)), shown);
  }
  return list;
}

function chips(lines, matched, most) {
  const all = lines.map((line) => make("span", "chip", marked(line, matched)));
  const first = [...all.filter((chip) => chip.querySelector("mark")), ...all.filter((chip) => !chip.querySelector("mark"))];
  if (all.length <= most) return all;
  const rest = make("span", "rest", `and ${all.length - most} more`);
  return [...first.slice(0, most), rest];
}

/** What an answer had to do without. */
export function gone(missing) {
  const list = make("p", "gone");
  list.append(
    ...missing.map((input) =>
      make("span", BROKEN.has(input) ? "broken" : "", input === "pin" ? "unknown pin" : `no ${named(input)}`),
    ),
  );
  return list;
}

export const textOf = (card, field) => (card.texts.find((one) => one.field === field) || { texts: [] }).texts.join(" · ");

/** Without what cannot be seen, and without the accents of Latin, Greek and Cyrillic: others' signs are of the word. */
function folded(word) {
  const lower = word.replace(/\p{Cf}/gu, "").normalize("NFKC").toLowerCase().normalize("NFKC");
  return lower.normalize("NFD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
}
