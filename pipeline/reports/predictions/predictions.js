"use strict";
// Sorts and filters the predictions. Without this script all are shown, the least sure first.
const form = document.getElementById("filter");
const body = document.querySelector(".predictions tbody");
const rows = [...body.rows];
const told = form.querySelector("output");
const columns = [...document.querySelectorAll("[data-sort]")];
const isText = key => key === "id";
// Rows without a value come last in both orders; equal ones stay in the order of the page.
const compare = (key, sign) => (a, b) => {
  const [x, y] = [a.dataset[key], b.dataset[key]];
  if (x === y) return a.dataset.place - b.dataset.place;
  if (x === "" || y === "") return x === "" ? 1 : -1;
  return sign * (isText(key) ? x.localeCompare(y, undefined, {numeric: true}) : x - y);
};
const sort = () => {
  const {sort: {value: key}, order: {value: order}} = form.elements;
  body.append(...rows.sort(compare(key, order === "up" ? 1 : -1)));
  for (const button of columns) {
    const isSorted = button.dataset.sort === key;
    const name = order === "up" ? "ascending" : "descending";
    button.closest("th").ariaSort = isSorted ? name : "none";
  }
};
const filter = () => {
  const wanted = [...form.querySelectorAll("[data-filter]")].filter(({value}) => value !== "");
  let shown = 0;
  for (const row of rows) {
    row.hidden = !wanted.every(({name, value}) => row.dataset[name].split(",").includes(value));
    shown += !row.hidden;
  }
  told.textContent = `${shown} of ${rows.length} shown`;
};
const update = () => { sort(); filter(); };
form.hidden = false;
form.addEventListener("change", update);
form.addEventListener("reset", () => setTimeout(update));
form.addEventListener("submit", event => event.preventDefault());
for (const button of columns) {
  button.addEventListener("click", () => {
    const {sort: key, order} = form.elements;
    const again = key.value === button.dataset.sort && order.value === "up";
    key.value = button.dataset.sort;
    order.value = again ? "down" : "up";
    update();
  });
}
update();
