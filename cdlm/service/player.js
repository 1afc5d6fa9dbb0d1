// Plays the trajectory of a text. Whatever a text holds is only ever set as textContent.
function mount(root, replay) {
  const make = (parent, tag, kind, text) => {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  root.replaceChildren();
  const last = replay.steps.length - 1;
  const player = make(root, "section", "player");
  player.setAttribute("aria-label", "How the text came to be");
  const bar = make(player, "div", "bar");
  const play = make(bar, "button", "play");
  play.type = "button";
  const label = make(bar, "span", "step");
  const speed = make(bar, "select", "speed");
  speed.setAttribute("aria-label", "Speed");
  for (const [name, rate] of [["slow", 4], ["normal", 10], ["fast", 30], ["very fast", 60]]) {
    const option = make(speed, "option", "", name);
    option.value = rate;
    option.selected = rate === 10;
  }
  const scrubber = make(bar, "input", "scrubber");
  Object.assign(scrubber, { type: "range", min: 0, max: last, step: 1, value: last });
  scrubber.setAttribute("aria-label", "Step");
  const text = make(player, "p", "words");
  text.dir = "auto";
  text.tabIndex = 0;
  const size = Math.max(...replay.steps.map((step) => step.w.length));
  const words = Array.from({ length: size }, () => {
    const gap = text.appendChild(document.createTextNode(""));
    return { gap, node: make(text, "span", "word") };
  });
  const legend = make(player, "p", "legend");
  make(legend, "span", "word open guess", "a guess");
  make(legend, "span", "word open sure", "nearly sure");
  make(legend, "span", "word", "decided");
  const charts = make(player, "div", "charts");
  const curves = replay.curves.map((curve) => chart(charts, curve));

  function chart(parent, curve) {
    const row = make(parent, "div", "chart");
    make(row, "span", "name", curve.name);
    const value = make(row, "span", "value");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    row.append(svg);
    const x = (step) => (100 * step) / Math.max(1, last);
    const points = curve.values.map((v, step) => [x(step), 96 - 92 * v]);
    if (points.length === 1) points.push([100, points[0][1]]);
    const line = points.map(([a, b]) => a.toFixed(2) + "," + b.toFixed(2)).join(" ");
    draw(svg, "polygon", "area", { points: "0,100 " + line + " 100,100" });
    draw(svg, "polyline", "line", { points: line });
    const cursor = draw(svg, "line", "cursor", { y1: 0, y2: 100 });
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      stop();
      show(Math.round((last * (event.clientX - box.left)) / box.width));
    });
    return (step) => {
      value.textContent = Math.round(100 * curve.values[step]) + " %";
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
    };
  }
  function draw(svg, tag, kind, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    node.setAttribute("class", kind);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    svg.append(node);
    return node;
  }

  let now = last;
  let timer = 0;
  function show(step) {
    now = Math.min(last, Math.max(0, step));
    const moment = replay.steps[now];
    words.forEach(({ gap, node }, place) => {
      const there = place < moment.w.length;
      const word = there ? replay.table[moment.w[place]] : "";
      const inner = there && moment.b[place] === "0";
      const close = inner || /^(?:[.,!?;:)%]|'\w+|n't)$/.test(word);
      gap.data = place === 0 || !there || close ? "" : " ";
      node.textContent = inner ? word.replace(/^##/, "") : word;
      const open = there && moment.d[place] === "0";
      node.className = open ? "word open" : "word";
      if (open) node.style.setProperty("--doubt", (100 - moment.c[place]) / 100);
      else node.style.removeProperty("--doubt");
    });
    const count = "step " + (now + 1) + " of " + (last + 1);
    label.textContent = count;
    scrubber.value = now;
    scrubber.setAttribute("aria-valuetext", count);
    curves.forEach((move) => move(now));
  }
  function stop() {
    cancelAnimationFrame(timer);
    timer = 0;
    play.textContent = now >= last ? "↻ Replay" : "▶ Play";
  }
  function start() {
    if (now >= last) show(0);
    play.textContent = "❚❚ Pause";
    let before = performance.now();
    const tick = (time) => {
      const wait = 1000 / Number(speed.value);
      if (time - before >= wait) {
        const steps = Math.floor((time - before) / wait);
        before += steps * wait;
        show(now + steps);
      }
      if (now >= last || !root.isConnected && !root.host) return stop();
      timer = requestAnimationFrame(tick);
    };
    timer = requestAnimationFrame(tick);
  }
  play.addEventListener("click", () => (timer ? stop() : start()));
  scrubber.addEventListener("input", () => {
    const step = Number(scrubber.value);
    stop();
    show(step);
    stop();
  });
  show(last);
  stop();
  return { show, start, stop, destroy: () => cancelAnimationFrame(timer) };
}
