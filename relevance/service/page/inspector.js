// The page: its state lives in the address after #, so that a link leads back to what is shown (and no query is sent to
// whoever logs addresses). Every change writes the address; the address decides what is asked of POST /inspect.

import { Cards } from "./cards.js";
import { BROKEN, make, named, plain } from "./parts.js";
import { Refusal, get, post, useKey } from "./service.js";
import { Why } from "./why.js";

const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];
const FIELDS = ["title", "description", "caption", "link", "boards", "queries", "text_embedding", "visual_embedding", "graph_embedding", "engagement", "pair"];
const WEIGHTS = ["relevance", "click", "long_click", "save", "hide"];
const PAUSE = 120; // ms after the last change before asking
const TAUGHT = 24; // cards that the teacher is asked about
const TAUGHT_AT_ONCE = 8;

let answer = null; // the last one
let asking = null; // its AbortController
let timer = 0;
let teacherThere = true;
const cards = new Cards($("#cards"), (pin) => change({ pin: pin.pin_id }));
const why = new Why($("#why"), () => change({ pin: null }));

// The address

function state() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

function change(some) {
  const before = state();
  const next = Object.entries({ ...before, ...some }).filter(([, value]) => value !== null && value !== "");
  const hash = `#${new URLSearchParams(next)}`;
  if (hash === location.hash || (hash === "#" && !location.hash)) return;
  const step = "q" in some || "pin" in some ? "pushState" : "replaceState";
  history[step](null, "", hash);
  followed();
}

let followedTo = null;
function followed() {
  const now = state();
  const { pin, ...rest } = now;
  const wanted = JSON.stringify(rest);
  if (wanted !== followedTo) {
    followedTo = wanted;
    reflect(now);
    clearTimeout(timer);
    timer = setTimeout(ask, answer ? PAUSE : 0);
  } else openWhy();
}

function reflect(now) {
  if ($("#query").value.trim() !== (now.q || "")) $("#query").value = now.q || "";
  document.title = now.q ? `${now.q} – relevance inspector` : "Relevance inspector";
  for (const input of $$("[name=order]")) input.checked = input.value === (now.order || "utility");
  for (const select of $$("[data-filter]")) pick(select, now[select.dataset.filter] || "");
  for (const input of $$("[data-weight]")) {
    const value = now[input.dataset.weight] ?? (input.dataset.weight === "floor" ? answer?.floor : answer?.weights[input.dataset.weight]);
    if (value !== undefined) slide(input, value);
  }
  $("#teacher").checked = now.teacher !== "no";
}

function pick(select, value) {
  if (value && ![...select.options].some((option) => option.value === value)) select.add(new Option(value, value));
  select.value = value;
}

/** A tuned weight may lie beyond the slider, which is made longer: else the first touch would make it jump. */
function slide(input, value) {
  if (Number(value) < Number(input.min)) input.min = value;
  if (Number(value) > Number(input.max)) input.max = value;
  input.value = value;
  input.nextElementSibling.value = plain(Number(value), input.dataset.weight === "floor" ? 1 : 2);
}

// Asking

function request(now) {
  const body = { query: now.q, order: now.order || "utility" };
  for (const filter of ["lang", "has", "lacks"]) if (now[filter]) body[filter] = now[filter];
  if (now.floor) body.floor = Number(now.floor);
  const moved = WEIGHTS.filter((name) => name in now); // the service knows the others: a link holds these alone
  if (moved.length) body.weights = Object.fromEntries(moved.map((name) => [name, Number(now[name])]));
  if (now.pins) body.pin_ids = now.pins.split(",");
  return body;
}

async function ask() {
  const now = state();
  asking?.abort();
  $("#empty").hidden = Boolean(now.q);
  document.body.classList.toggle("fresh", !now.q);
  if (!now.q) return clear();
  asking = new AbortController();
  const { signal } = asking;
  $("#busy").hidden = false;
  try {
    answer = await post("inspect", request(now), signal);
    show(now);
    teach(now, signal);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (!signal.aborted) $("#busy").hidden = true;
  }
}

function clear() {
  answer = null;
  cards.show([]);
  if ($("#why").open) $("#why").close();
  for (const id of ["#summary", "#taught"]) $(id).textContent = "";
  for (const id of ["#fault", "#degraded", "#busy"]) $(id).hidden = true;
}

/** Why there is no answer; nothing of the one before stays under a query that it was not given to. */
function fail(error) {
  clear();
  const locked = error instanceof Refusal && error.status === 401;
  $("#key").hidden = !locked;
  $("#fault").hidden = locked;
  $("#fault").textContent = error.message;
  if (locked) $("#key input").focus();
}

function show(now) {
  $("#fault").hidden = $("#key").hidden = true;
  reflect(now);
  languages(answer.langs, now.lang || "");
  cards.show(answer.pins);
  const more = answer.shown > answer.pins.length ? `, the first ${answer.pins.length} shown` : "";
  const below = answer.below_floor ? `, ${answer.below_floor} below the floor` : "";
  const count = answer.shown === 1 ? "1 pin" : `${answer.shown} pins`;
  $("#summary").textContent = `${count} of ${answer.candidates} candidates${more}${below}`;
  const lost = [...new Set(answer.pins.flatMap((pin) => pin.missing))].filter((input) => BROKEN.has(input));
  $("#degraded").hidden = !answer.degraded;
  $("#degraded").textContent = `Degraded answer: without ${lost.map(named).join(", ") || "some pins"}. What the store gave last, the words alone or the prior stand in.`;
  openWhy();
}

function languages(langs, chosen) {
  const select = $("[data-filter=lang]");
  select.replaceChildren(new Option("any", ""), ...langs.map((lang) => new Option(lang, lang)));
  pick(select, chosen);
}

async function teach(now, signal) {
  cards.untaught();
  $("#taught").textContent = "";
  if (now.teacher === "no" || !teacherThere) return;
  const asked = answer.pins.slice(0, TAUGHT).map((pin) => pin.pin_id);
  if (asked.length < answer.pins.length) $("#taught").textContent = `The teacher is asked about the first ${asked.length} of ${answer.pins.length} cards.`;
  try {
    for (let at = 0; at < asked.length; at += TAUGHT_AT_ONCE) {
      const said = await post("teacher", { query: now.q, pin_ids: asked.slice(at, at + TAUGHT_AT_ONCE) }, signal);
      cards.taught(said.pins);
      why.taught(said.pins);
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status !== 404) { // busy, late, or damaged: the next question is asked again
      $("#taught").textContent = `The teacher did not answer: ${error.message}`;
      return;
    }
    teacherThere = false; // none in this workspace
    $("#teacher").disabled = true;
    $("#teacher").checked = false;
    $("#teacher").parentElement.title = error.message;
  }
}

// The panel

function openWhy() {
  const { pin, q } = state();
  const card = pin && cards.kept.get(pin);
  if (!card) {
    if ($("#why").open) $("#why").close();
    return;
  }
  why.show(q, card.pin, answer, card.picture, card.teacher);
}

// What people do

$("#search").addEventListener("submit", (event) => {
  event.preventDefault();
  change({ q: $("#query").value.trim(), pin: null, lang: null });
});
for (const input of $$("[name=order]")) input.addEventListener("change", () => change({ order: input.value === "utility" ? null : input.value }));
for (const select of $$("[data-filter]")) select.addEventListener("change", () => change({ [select.dataset.filter]: select.value }));
for (const input of $$("[data-weight]")) {
  input.addEventListener("input", () => {
    slide(input, input.value);
    change({ [input.dataset.weight]: input.value });
  });
}
$("#usual").addEventListener("click", () => {
  change(Object.fromEntries([...WEIGHTS, "floor"].map((name) => [name, null])));
});
$("#teacher").addEventListener("change", () => change({ teacher: $("#teacher").checked ? null : "no" }));
$("#key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("#key input").value);
  $("#key input").value = "";
  ask();
  health();
});

function move(step) {
  const buttons = $$(".card .open");
  const at = buttons.indexOf(document.activeElement);
  const next = buttons[at < 0 ? 0 : Math.min(Math.max(at + step, 0), buttons.length - 1)];
  next?.focus();
  next?.closest(".card").scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => $("#query").select(),
  j: () => move(1),
  k: () => move(-1),
  u: () => change({ order: null }),
  r: () => change({ order: "relevance" }),
  e: () => change({ order: "engagement" }),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio], [type=range], [type=checkbox]), select, textarea");
  if (event.target === $("#query") && event.key === "Escape") $("#query").blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || $("#why").open || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

async function health() {
  const badge = $("#state");
  try {
    const now = await get("readyz");
    badge.classList.toggle("wrong", now.status !== "ready" || now.reasons.length > 0);
    badge.title = [`model ${now.model}`, `features ${now.features}`, `corkboard ${now.corkboard}`, ...now.reasons].join("\n");
    badge.replaceChildren(make("i"), now.reasons[0] || `model ${now.model.slice(0, 8)}`);
  } catch {
    badge.classList.add("wrong");
    badge.replaceChildren(make("i"), "the service does not answer");
  }
}

for (const input of FIELDS) for (const filter of ["has", "lacks"]) $(`[data-filter=${filter}]`).add(new Option(named(input), input));
if (matchMedia("(max-width: 820px)").matches) $("#controls").open = false;
window.addEventListener("popstate", followed);
window.addEventListener("hashchange", followed);
followed();
health();
setInterval(health, 15000);
if (!state().q) $("#query").focus();
