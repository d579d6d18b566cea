"use strict";
// The page of an audit's round. Everything of the catalogue is data, set as text; labels are kept in the browser.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pairs = data.pairs;
  const kept = "corkboard-audit-" + data.key;
  const at = (id) => document.getElementById(id);
  const state = { place: 0, annotator: "", labels: {} };

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(kept) || "null");
      if (found && typeof found.labels === "object") Object.assign(state, found);
    } catch (error) { /* a browser that keeps nothing: labels last as long as the page */ }
    if (!(state.place >= 0 && state.place < pairs.length)) state.place = 0;
  }

  function keep() {
    try { localStorage.setItem(kept, JSON.stringify(state)); } catch (error) { /* as above */ }
  }

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    if (name === "dd") made.dir = "auto";
    return made;
  }

  const done = () => pairs.filter((pair) => state.labels[pair.id] && state.labels[pair.id].level).length;

  function show() {
    const pair = pairs[state.place];
    const given = state.labels[pair.id] || {};
    at("place").textContent = `Pair ${state.place + 1} of ${pairs.length}` + (pair.lang ? ` · ${pair.lang}` : "");
    at("query").textContent = pair.query;
    const picture = at("picture");
    picture.replaceChildren();
    if (pair.picture) {
      const image = element("img");
      image.src = "data:image/jpeg;base64," + pair.picture;
      image.alt = "Picture of the pin";
      picture.append(image);
    }
    at("pair").classList.toggle("words", !pair.picture);
    picture.hidden = !pair.picture;
    const texts = pair.texts.map((one, index) => [element("dt", one.field), element("dd", one.text, index ? "" : "first")]);
    at("texts").replaceChildren(...(texts.length ? texts.flat() : [element("dd", "This pin has no text.", "soft")]));
    for (const button of at("levels").children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.level) === given.level));
    }
    at("note").value = given.note || "";
    at("back").disabled = state.place === 0;
    at("skip").disabled = state.place === pairs.length - 1;
    at("bar").value = done();
    at("count").textContent = `${done()} / ${pairs.length}`;
    at("said").textContent = given.level ? `You said ${given.level}. It was chosen because ${pair.reason}.` : "";
  }

  function go(place) {
    state.place = Math.min(pairs.length - 1, Math.max(0, place));
    keep();
    show();
  }

  function label(level) {
    const id = pairs[state.place].id;
    state.labels[id] = { ...state.labels[id], level, at: new Date().toISOString() };
    if (state.place < pairs.length - 1) go(state.place + 1);
    else { keep(); show(); if (done() === pairs.length) at("said").textContent = "All are labelled: save the CSV."; }
  }

  function takeBack() {
    const id = pairs[state.place].id;
    if (state.labels[id]) state.labels[id] = { note: state.labels[id].note };
    keep();
    show();
  }

  function unlabelled() {
    for (let step = 1; step <= pairs.length; step += 1) {
      const place = (state.place + step) % pairs.length;
      const given = state.labels[pairs[place].id];
      if (!given || !given.level) return go(place);
    }
    at("said").textContent = "All are labelled: save the CSV.";
    return undefined;
  }

  const guarded = (text) => (/^[=+\-@\t\r']/.test(text) ? "'" + text : text);
  const cell = (text) => (/[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);

  function sheet() {
    const rows = pairs.map((pair) => {
      const given = state.labels[pair.id] || {};
      const own = given.level ? [String(given.level), guarded(state.annotator), given.at] : ["", "", ""];
      return [...pair.cell, ...own, guarded(given.note || "")];
    });
    return [data.columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  }

  function save() {
    if (!state.annotator) {
      at("said").textContent = "Write your name first: each label says whose it is.";
      at("annotator").focus();
      return;
    }
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([sheet()], { type: "text/csv" }));
    link.download = `${document.querySelector("h1").textContent}-${state.annotator.replace(/[^A-Za-z0-9]+/g, "-")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    at("said").textContent = `Saved ${done()} labels. Then: relevance audit --read FILE`;
  }

  function typed(event) {
    const typing = event.target.tagName === "INPUT";
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key !== "Enter")) return;
    if (typing) { event.target.blur(); return; }
    const keys = {
      ArrowLeft: () => go(state.place - 1), ArrowRight: () => go(state.place + 1), 0: takeBack, n: unlabelled, s: save,
    };
    for (const one of data.levels) keys[one.level] = () => label(one.level);
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  }

  load();
  for (const one of data.levels) {
    const button = element("button");
    button.dataset.level = one.level;
    button.style.setProperty("--level", `var(--l${one.level})`);
    button.append(element("b", String(one.level)), element("span", one.name));
    button.setAttribute("aria-label", `${one.level}, ${one.name}`);
    button.addEventListener("click", () => label(one.level));
    at("levels").append(button);
  }
  at("annotator").value = state.annotator;
  at("annotator").addEventListener("input", (event) => { state.annotator = event.target.value.trim(); keep(); });
  at("note").addEventListener("input", (event) => {
    const id = pairs[state.place].id;
    state.labels[id] = { ...state.labels[id], note: event.target.value };
    keep();
  });
  at("back").addEventListener("click", () => go(state.place - 1));
  at("skip").addEventListener("click", () => go(state.place + 1));
  at("next").addEventListener("click", unlabelled);
  at("save").addEventListener("click", save);
  document.addEventListener("keydown", typed);
  show();
})();
