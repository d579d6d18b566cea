// The reason for a rank: what the utility is made of, which inputs moved the score, and what the pin says.

import { LEVELS, gone, make, named, plain, said, signed, stack, textOf } from "./parts.js";
import { get, post } from "./service.js";

const NUMBERS = 12; // of the student's own, shown at first
const SOURCES = { pair: "this query's own rates of the pin", pin: "the pin's rates over all queries", mean: "the candidates' mean: nothing is known of this pin" };

export class Why {
  constructor(dialog, closed) {
    this.dialog = dialog;
    this.pending = null; // what is being asked for the panel
    this.pin = null;
    this.relevance = null; // where the levels stand
    dialog.addEventListener("close", () => {
      this.pending?.abort();
      closed();
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  async show(query, pin, answer, picture, teacher) {
    this.pending?.abort();
    this.pending = new AbortController();
    const inside = make("div", "inside");
    this.dialog.replaceChildren(this.heading(pin), inside);
    if (picture) inside.append(Object.assign(make("img"), { src: picture, alt: "" }));
    this.pin = pin;
    this.relevance = make("section", "", ...levels(pin, teacher));
    inside.append(this.relevance, ...utility(pin, answer));
    const rest = make("div");
    rest.append(make("p", "note", "Asking which inputs moved the score …"));
    inside.append(rest);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    try {
      const [explained, whole] = await Promise.all([
        post("explain", { query, pin_id: pin.pin_id }, this.pending.signal),
        get(`pins/${encodeURIComponent(pin.pin_id)}`, this.pending.signal).catch((error) => {
          if (error.status === 404) return null; // asked for by id, and in no catalogue
          throw error;
        }),
      ]);
      rest.replaceChildren(...inputs(explained), ...numbers(explained), ...texts(explained, pin), ...facts(whole));
    } catch (error) {
      if (error.name !== "AbortError") rest.replaceChildren(make("p", "notice fault", error.message));
    }
  }

  /** The teacher's opinions came after the panel was opened. */
  taught(pins) {
    const opinion = this.dialog.open && pins.find((one) => one.pin_id === this.pin.pin_id);
    if (opinion) this.relevance.replaceChildren(...levels(this.pin, opinion));
  }

  heading(pin) {
    const words = textOf(pin.card, "title") || textOf(pin.card, "caption") || "a pin without words";
    const title = make("h2", "", words, make("small", "", `pin ${pin.pin_id}, rank ${pin.rank}`));
    title.id = "why-title";
    const close = make("button", "close", "Close");
    close.addEventListener("click", () => this.dialog.close());
    return make("header", "", title, close);
  }
}

function levels(pin, teacher) {
  const both = make("div", "levels", "student", stack(pin.probabilities, "Student"), make("b", "", pin.relevance.toFixed(2)));
  if (teacher) both.append("teacher", stack(teacher.probabilities, "Teacher"), make("b", "", teacher.relevance.toFixed(2)));
  const best = pin.probabilities.indexOf(Math.max(...pin.probabilities));
  const chance = Math.round(pin.probabilities[best] * 100);
  return [make("h3", "", "Relevance"), both, make("p", "note", `Most probably ${best + 1}, ${LEVELS[best]} (${chance} %).`)];
}

function utility(pin, answer) {
  const rows = [["relevance", (pin.relevance - 1) / 4, answer.weights.relevance]];
  for (const [event, rate] of Object.entries(pin.rates)) rows.push([event.replace("_", " "), rate, answer.weights[event]]);
  const table = make("table", "sum");
  for (const [name, value, weight] of rows) {
    const cells = [`${plain(value, 3)} × ${plain(weight)}`, signed(value * weight, 3)];
    table.append(make("tr", "", make("th", "", name), ...cells.map((cell) => make("td", "", cell))));
  }
  table.append(make("tr", "", make("th", "", "utility"), make("td"), make("td", "", plain(pin.utility, 3))));
  const note = [`Rates: ${SOURCES[pin.rates_of]}.`];
  if (pin.guarded) note.push("Guarded: a pin of level 1 or 2 stays below every one of level 4 or 5, whatever its engagement.");
  return [make("h3", "", "Why this rank"), table, make("p", "note", note.join(" "))];
}

function inputs(explained) {
  if (!explained.inputs.length) return [make("h3", "", "What moved the score"), make("p", "note", "Nothing is known of this pin: the answer is the prior.")];
  const note = `A pin of which nothing is known would be at ${explained.bare.toFixed(2)}; each input's share adds up to ${explained.pin.relevance.toFixed(2)}.`;
  const bars = effects(explained.inputs.map((one) => [named(one.input), one.effect, signed(one.effect)]));
  return [make("h3", "", "What moved the score"), make("p", "note", note), bars, gone(explained.pin.missing)];
}

function numbers(explained) {
  if (!explained.numbers.length) return [];
  const rows = explained.numbers.map((one) => [
    one.name.replaceAll("_", " "), one.effect, signed(one.effect), `${short(one.value)}, usually ${short(one.usual)}`,
  ]);
  const found = [make("h3", "", "The student's own numbers"), make("p", "note", "Levels that each would lose at its usual value; they overlap and do not add up.")];
  found.push(effects(rows.slice(0, NUMBERS)));
  if (rows.length > NUMBERS) found.push(make("details", "", make("summary", "", `${rows.length - NUMBERS} more`), effects(rows.slice(NUMBERS))));
  return found;
}

function texts(explained, pin) {
  const found = [make("h3", "", "What the pin says"), said(explained.texts)];
  if (!explained.texts.length) found.push(make("p", "note", "No text."));
  if (pin.card.link_url) {
    const link = Object.assign(make("a", "", pin.card.link_url), { href: pin.card.link_url, rel: "noopener noreferrer nofollow", target: "_blank" });
    found.push(make("p", "note", "Links to ", link));
  }
  return found;
}

function facts(pin) {
  if (!pin || !pin.facts.length) return [];
  const table = make("table", "facts");
  for (const fact of pin.facts) {
    const when = fact.event_timestamp ? fact.event_timestamp.slice(0, 16).replace("T", " ") : "";
    table.append(make("tr", "", make("th", "", fact.table), make("td", "", when), make("td", "", fact.reason ? `none: ${fact.reason}` : fact.producer || "")));
  }
  const online = pin.served ? "The online store holds this pin." : "The online store does not hold this pin.";
  return [make("h3", "", "Where it comes from"), make("p", "note", online), table];
}

function effects(rows) {
  const greatest = Math.max(0.05, ...rows.map((row) => Math.abs(row[1])));
  const grid = make("div", "effects");
  for (const [name, effect, shown, value] of rows) {
    const bar = make("i", effect < 0 ? "down" : "up");
    bar.style.width = `${(50 * Math.abs(effect)) / greatest}%`;
    const label = make("span", "", name);
    if (value) label.append(make("div", "value", value));
    grid.append(label, make("span", "track", bar), make("span", "", shown));
  }
  return grid;
}

const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(2)).toString());
