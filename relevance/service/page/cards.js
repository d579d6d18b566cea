// Candidates as cards. A card that stays is kept and moved, so that its picture is not loaded anew at every slider's step.

import { gone, make, said, stack, textOf } from "./parts.js";
import { pictureOf } from "./service.js";

const CHIPS = 4; // of a list that a card shows
const APART = 1; // levels between teacher and student that are worth a second look

export class Cards {
  constructor(list, open) {
    this.list = list;
    this.open = open;
    this.kept = new Map(); // pin id -> card
  }

  show(pins) {
    const fresh = new Map();
    for (const pin of pins) {
      const card = this.kept.get(pin.pin_id) || this.begun(pin);
      this.fill(card, pin);
      fresh.set(pin.pin_id, card);
    }
    for (const [id, card] of this.kept) if (!fresh.has(id)) this.drop(card);
    this.kept = fresh;
    this.list.replaceChildren(...[...fresh.values()].map((card) => card.element));
  }

  taught(pins) {
    for (const pin of pins) {
      const card = this.kept.get(pin.pin_id);
      if (card) this.teach(card, pin);
    }
  }

  untaught() {
    for (const card of this.kept.values()) if (card.teacher) this.teach(card, null);
  }

  drop(card) {
    if (card.picture && card.picture.startsWith("blob:")) URL.revokeObjectURL(card.picture);
  }

  begun(pin) {
    const button = make("button", "open");
    button.type = "button";
    const element = make("li", "card", button, make("div", "body"));
    element.dataset.pin = pin.pin_id;
    const card = { element, button, pin, teacher: null, picture: null };
    button.addEventListener("click", () => this.open(card.pin));
    this.paint(card, pin.card);
    return card;
  }

  /** The picture, or what stands for it. */
  async paint(card, about) {
    const words = make("span", "wordless", textOf(about, "caption") || textOf(about, "title") || "no picture");
    card.button.append(words);
    if (!about.image) return;
    try {
      card.picture = await pictureOf(about.image);
    } catch {
      return; // the words stay: the service says 404 of a picture that it may not or cannot show
    }
    const image = make("img");
    image.alt = textOf(about, "caption") || textOf(about, "title") || `pin ${about.pin_id}`;
    image.loading = "lazy";
    image.addEventListener("error", () => image.replaceWith(words), { once: true });
    image.src = card.picture;
    words.replaceWith(image);
  }

  fill(card, pin) {
    card.pin = pin;
    for (const old of card.button.querySelectorAll(".place, .guard")) old.remove();
    const place = make("span", "place", String(pin.rank));
    place.title = "rank by utility";
    card.button.append(place);
    if (pin.guarded) card.button.append(make("span", "guard", "guarded"));
    const title = textOf(pin.card, "title");
    card.button.setAttribute("aria-label", `Why is ${title || pin.pin_id} at rank ${pin.rank}?`);
    const heading = make("h3", title ? "" : "untitled", title || (pin.card.unread ? "texts cannot be read now" : "no title"));
    heading.title = title;
    card.levels = make("div", "levels");
    this.grade(card);
    const worth = make("p", "worth");
    worth.append(
      make("span", "", "utility ", make("b", "", pin.utility.toFixed(3))),
      make("span", "", "engagement ", make("b", "", pin.engagement.toFixed(3))),
      make("span", "", pin.pin_lang || ""),
    );
    const body = card.element.querySelector(".body");
    body.replaceChildren(heading, card.levels, worth, said(pin.card.texts, ["title", "description"], CHIPS), gone(shown(pin)));
  }

  teach(card, opinion) {
    card.teacher = opinion;
    this.grade(card);
  }

  grade(card) {
    const { pin, teacher } = card;
    card.levels.replaceChildren("student", stack(pin.probabilities, "Student"), make("b", "", pin.relevance.toFixed(2)));
    if (!teacher) return;
    const apart = Math.abs(teacher.relevance - pin.relevance) >= APART;
    const level = make("b", apart ? "apart" : "", teacher.relevance.toFixed(2));
    if (apart) level.title = "a level or more from the student";
    card.levels.append("teacher", stack(teacher.probabilities, "Teacher", true), level);
  }
}

/** What of a pin is missing; what the whole request lacks stands above the cards. */
function shown(pin) {
  return pin.missing.filter((input) => !["query_features", "store", "other_encoder"].includes(input));
}

