"use strict";
// Labels are typed, chosen by a digit or taken from the prediction, and saved as CSV. The page keeps
// them in the browser until then.
const inputs = [...document.querySelectorAll(".label-of")];
const classes = [...document.querySelectorAll("#classes option")].map(option => option.value);
const count = document.getElementById("count");
const place = `savs labels ${location.pathname}`;
const labelled = () => inputs.filter(input => input.value.trim());
const keys = Object.fromEntries(
  [...document.querySelectorAll("[data-key]")].map(({dataset}) => [dataset.key, dataset.class]));
const cell = text => `"${text.replaceAll('"', '""')}"`;
const tell = () => {
  count.textContent = `${labelled().length} of ${inputs.length} labelled`;
  try {
    const given = Object.fromEntries(labelled().map(input => [input.dataset.id, input.value]));
    localStorage.setItem(place, JSON.stringify(given));
  } catch { /* a browser without storage: the page still works */ }
};
// Of many labels the field is hidden: the marks next to it are a list, which is its value.
const marksOf = input => [...input.closest("article").querySelectorAll(".marks input")];
const show = input => {
  const names = input.value.startsWith("[") ? JSON.parse(input.value) : [];
  for (const mark of marksOf(input)) mark.checked = names.includes(mark.value);
  for (const button of input.closest("article").querySelectorAll(".agree"))
    button.setAttribute("aria-pressed", button.value === input.value);
};
const next = input => inputs[inputs.indexOf(input) + 1]?.focus();
try {
  const kept = JSON.parse(localStorage.getItem(place) || "{}");
  for (const input of inputs) input.value = kept[input.dataset.id] ?? "";
} catch { /* the same */ }
for (const input of inputs) {
  if (input.type === "hidden") {
    show(input);
    for (const mark of marksOf(input)) {
      mark.addEventListener("change", () => {
        const names = marksOf(input).filter(one => one.checked).map(one => one.value);
        input.value = names.length ? JSON.stringify(names) : "";
        show(input);
        tell();
      });
    }
  }
  input.addEventListener("input", tell);
  input.addEventListener("keydown", event => {
    const isOpen = !input.value || classes.includes(input.value);
    if (isOpen && event.key in keys) {
      event.preventDefault();
      input.value = keys[event.key];
      tell();
      next(input);
    } else if (event.key === "Enter") {
      event.preventDefault();
      next(input);
    }
  });
}
for (const button of document.querySelectorAll(".agree")) {
  button.addEventListener("click", () => {
    const input = button.closest("article").querySelector(".label-of");
    input.value = button.value;
    if (input.type === "hidden") show(input);
    tell();
    next(input);
  });
}
document.getElementById("save").addEventListener("click", () => {
  const rows = labelled().map(input => `${cell(input.dataset.id)},${cell(input.value.trim())}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["id,label", ...rows, ""].join("\n")], {type: "text/csv"}));
  link.download = "labels.csv";
  link.click();
});
document.querySelector(".save").hidden = false;
inputs[0]?.focus({preventScroll: true});
tell();
