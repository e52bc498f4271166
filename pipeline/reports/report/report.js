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
    const more = document.getElementById("more");
    if (more && wanted.length) more.open = true;
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
// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
