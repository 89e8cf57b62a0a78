// Counts a text while it is typed: <textarea data-counter="id of the box" data-most="10" data-credits="1">.
// In the box: [data-counter-shown] is seen at once, [data-counter-spoken] is read out when typing stops,
// [data-counter-costly] names the characters that cost more. What is charged is on the next page: this is an estimate.

import { costly, measure } from "./segments.js";

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const FIELD = /\(\([^()\n]+\)\)/;

for (const area of document.querySelectorAll("textarea[data-counter]")) {
  const box = document.getElementById(area.dataset.counter);
  const [shown, spoken, dear] = ["shown", "spoken", "costly"].map((name) => box.querySelector(`[data-counter-${name}]`));
  const most = Number(area.dataset.most);
  let timer = 0;

  function update() {
    const size = measure(area.value);
    const over = size.segments > most;
    const sentence = describe(size, area, over ? most : 0);
    shown.textContent = sentence;
    box.classList.toggle("counter-over", over);
    explain(area, dear, size);
    clearTimeout(timer);
    timer = setTimeout(() => { spoken.textContent = sentence; }, 1000);
  }

  area.addEventListener("input", update);
  addEventListener("pageshow", () => { if (area.value) update(); });
}

function describe(size, area, most) {
  const parts = [
    count(size.characters, "character", "characters"),
    count(size.segments, "SMS segment", "SMS segments"),
    size.encoding === "gsm-7" ? "GSM-7" : "Unicode",
    `${count(size.segments * Number(area.dataset.credits), "credit", "credits")} per recipient (estimate)`,
  ];
  const fields = FIELD.test(area.value) ? ". Fields such as ((name)) are counted as typed here" : "";
  const left = most ? `. Too long: at most ${most} segments` : size.segments ? ` · ${size.left} left in this one` : "";
  return parts.join(" · ") + left + fields;
}

function explain(area, place, size) {
  const found = costly(area.value);
  const plain = replace(area.value, found);
  const cheaper = measure(plain).segments;
  place.replaceChildren();
  if (!found.length) return;
  const known = ({ character, name }) => (name.startsWith("U+") ? visible(character) : `${visible(character)} (${name})`);
  const listed = found.slice(0, 8).map(known).join(", ") + (found.length > 8 ? ` and ${found.length - 8} more` : "");
  const effect = cheaper < size.segments
    ? `make this ${size.segments} segments instead of ${cheaper}`
    : "leave room for 70 characters in an SMS instead of 160";
  const sentence = document.createElement("p");
  sentence.textContent = `These characters need Unicode and ${effect}: ${listed}.`;
  place.append(sentence);
  const changes = found.filter(({ replacement }) => replacement !== null);
  if (changes.length && plain !== area.value) place.append(fixer(area, changes));
}

function fixer(area, changes) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-outline";
  button.textContent = "Replace " + changes.map(({ character, replacement }) =>
    `${visible(character)} with ${visible(replacement)}`).join(", ");
  button.addEventListener("click", () => {
    area.value = replace(area.value, changes);
    area.focus();
    area.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return button;
}

function replace(text, found) {
  return found.reduce((all, { character, replacement }) =>
    replacement === null ? all : all.replaceAll(character, () => replacement), text);
}

function visible(character) {
  return character.trim() || (character && "a space") || "nothing";
}
