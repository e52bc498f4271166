"use strict";
// The gallery's filter; the links of confusions set it. Without this script all examples are shown.
const form = document.getElementById("filter");
if (form) {
  const cards = [...document.querySelectorAll(".examples > li")];
  const told = form.querySelector("output");
  const show = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value !== "");
    let shown = 0;
    for (const card of cards) {
      const fits = wanted.every(([name, value]) => card.dataset[name].split(",").includes(value));
      card.hidden = !fits;
      shown += fits;
    }
    told.textContent = `${shown} of ${cards.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", event => event.preventDefault());
  for (const link of document.querySelectorAll("[data-pick]")) {
    link.addEventListener("click", () => {
      form.reset();
      for (const [name, value] of Object.entries(JSON.parse(link.dataset.pick))) {
        if (form.elements[name]) form.elements[name].value = value;
      }
      show();
    });
  }
  show();
}
// A circle of the map shows the images of its example.
const hint = document.createElement("div");
hint.className = "hint";
hint.setAttribute("aria-hidden", "true");
hint.hidden = true;
for (const spot of document.querySelectorAll("[data-card]")) {
  const reveal = () => {
    const images = [...document.querySelectorAll(`#card-${spot.dataset.card} img`)];
    hint.replaceChildren(...images.map(image => image.cloneNode()), spot.getAttribute("aria-label"));
    const box = spot.getBoundingClientRect();
    hint.style.left = `${Math.min(box.right + 8, innerWidth - 200)}px`;
    hint.style.top = `${box.top + scrollY}px`;
    hint.hidden = false;
  };
  const hide = () => { hint.hidden = true; };
  spot.addEventListener("pointerenter", reveal);
  spot.addEventListener("focus", reveal);
  spot.addEventListener("pointerleave", hide);
  spot.addEventListener("blur", hide);
  spot.addEventListener("click", () => form?.reset());
  document.body.append(hint);
}
// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
