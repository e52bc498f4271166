// Of the page around a frame: `element` holds the frame, `trigger` tells the server.
const frame = () => element.querySelector("iframe");
let port = null; // to the page in the frame; whatever comes there instead has none
addEventListener("message", event => {
  const inner = frame();
  if (!inner || event.source !== inner.contentWindow || !event.ports.length) return;
  const nonce = inner.srcdoc.match(/const nonce = "([0-9a-f]{32})"/);
  if (!nonce || event.data !== nonce[1]) return;
  port = event.ports[0];
  port.onmessage = ({ data: { height, choose } }) => {
    if (inner !== frame()) return;
    if (height) {
      const isNew = !inner.style.height;
      inner.style.height = Math.min(Math.ceil(height), 60000) + "px";
      if (isNew && element.closest(".savs-why")) inner.scrollIntoView({ behavior: "smooth" });
    }
    if (choose) trigger("select", choose);
  };
});
document.addEventListener("keydown", event => {
  const typed = event.target.closest && event.target.closest("input:not([type=radio]), textarea, select");
  if (!port || !frame() || typed || event.ctrlKey || event.metaKey || event.altKey) return;
  const button = event.target.closest && event.target.closest("button");
  if (button && event.key === "Enter") {
    if (button.getAttribute("aria-selected") !== "true") return; // it is clicked
    event.preventDefault(); // the tab is open: its example is meant
  }
  if (button && /^[\da-z]$/.test(event.key)) button.blur(); // the next Enter is for the frame
  if (element.offsetParent !== null) port.postMessage(event.key);
});
