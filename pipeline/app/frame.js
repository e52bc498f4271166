// Inside a frame: its height, clicks on what can be chosen, and keys go to the page around it.
const nonce = ""; // the page around believes the page that it put here, and no other
const { port1: port, port2 } = new MessageChannel();
parent.postMessage(nonce, "*", [port2]);
let busy = false;
const picks = () => [...document.querySelectorAll(".pick input")];
const pickAll = () => {
  const isAll = picks().every(pick => pick.checked);
  for (const pick of picks()) pick.checked = !isAll;
};
const choose = item => {
  if (busy || !item) return;
  if ("all" in item.dataset) return pickAll();
  const chosen = JSON.parse(item.dataset.choose);
  if ("picks" in item.dataset) {
    chosen.ids = picks().filter(pick => pick.checked).map(pick => pick.value);
    if (!chosen.ids.length) return;
  }
  if ("marks" in item.dataset) { // Save: the marks are the labels; without any it does nothing
    chosen.label = [...document.querySelectorAll(".marks :checked")].map(mark => mark.value);
    if (!chosen.label.length) return;
  }
  if (item.dataset.field) {
    chosen.label = document.getElementById(item.dataset.field).value || item.dataset.guess;
    if (!chosen.label) return; // nothing, or no number
  }
  busy = document.body.querySelector("[data-once]") !== null; // the next page of this frame ends it
  if (busy) item.setAttribute("aria-busy", "true");
  port.postMessage({ choose: chosen });
};
const press = key => {
  const item = [...document.querySelectorAll("[data-key]")].find(e => e.dataset.key.split(" ").includes(key));
  item && item.control ? item.control.click() : choose(item); // the key of a mark changes it
};
document.addEventListener("click", event => choose(event.target.closest("[data-choose], [data-all]")));
document.addEventListener("keydown", event => {
  const isClick = event.key === "Enter" && event.target.closest("button");
  const field = event.target.closest("input:not([type=checkbox])"); // its keys are text
  if (isClick || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!field) press(event.key);
  else if (event.key === "Enter") choose(document.querySelector(`[data-field=${field.id}]`));
});
port.onmessage = event => press(event.data);
new ResizeObserver(() => port.postMessage({ height: document.body.offsetHeight })).observe(document.body);
