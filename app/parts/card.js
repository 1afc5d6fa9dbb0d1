// One written text and what the judges say of it.
export default function ({ data, parentElement }) {
  const make = (parent, tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  let card = parentElement.querySelector(".card");
  if (card) card.replaceChildren();
  else card = make(parentElement, "div", "card");
  const head = make(card, "div", "head");
  if (data.rank) make(head, "span", "rank", data.rank + ".");
  const text = make(head, "p", "text");
  text.dir = "auto";
  const tags = { same: "span", come: "ins", gone: "del" };
  for (const part of data.segments) make(text, tags[part.kind], part.kind, part.text);
  const copy = make(head, "button", "copy", "Copy");
  copy.type = "button";
  copy.addEventListener("click", async () => {
    const whole = data.segments.filter((part) => part.kind !== "gone").map((part) => part.text).join("");
    try {
      await navigator.clipboard.writeText(whole);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select and copy";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  if (!data.verdicts.length) return;
  const list = make(card, "ul", "verdicts");
  for (const verdict of data.verdicts) {
    const row = make(list, "li", verdict.held ? "held" : "missed");
    make(row, "span", "mark", verdict.held ? "✓" : "✗").setAttribute("aria-hidden", "true");
    make(row, "span", "name", verdict.name);
    make(row, "span", "detail", verdict.detail);
    row.setAttribute("aria-label", verdict.name + (verdict.held ? " holds: " : " is missed: ") + verdict.detail);
  }
}
