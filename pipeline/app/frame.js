// Inside a frame: its height, clicks on what can be chosen, and keys go to the page around it.
const tell = message => parent.postMessage({ savs: message }, "*");
let busy = false;
const choose = item => {
  if (busy || !item) return;
  busy = document.body.querySelector("[data-once]") !== null; // the next page of this frame ends it
  if (busy) item.setAttribute("aria-busy", "true");
  tell({ choose: JSON.parse(item.dataset.choose) });
};
const press = key => choose([...document.querySelectorAll("[data-key]")].find(e => e.dataset.key === key));
document.addEventListener("click", event => choose(event.target.closest("[data-choose]")));
document.addEventListener("keydown", event => {
  if (!event.ctrlKey && !event.metaKey && !event.altKey) press(event.key);
});
addEventListener("message", event => {
  if (event.source === parent && event.data && event.data.savs) press(event.data.savs.key);
});
new ResizeObserver(() => tell({ height: document.body.offsetHeight })).observe(document.body);
