// The part of a Traverse that follows a drag: z moves in the page, and its pictures are decoded here.

import { makeChart, makeHandle } from "../_core/chart.js";
import { htmlElement } from "../_core/elements.js";
import { onArrows } from "../_core/keys.js";
import { change, listen } from "../_core/model.js";
import { fixed, formatPoint } from "../_core/numbers.js";
import { countFrame } from "../_core/pixels.js";
import { makeRefusal } from "../_core/refusal.js";
import { makeEngine, makeFilm, makeStrip, put } from "./traverse_film.js";
import { makePaths } from "./traverse_paths.js";

/** @import { Chart, Handle } from "../_core/chart.js" */
/** @import { Context, Model } from "../_core/model.js" */
/** @import { Dimension, TraverseTraits } from "./traverse_film.js" */
/** @import { MakePart } from "./traverse_paths.js" */

/** @type {(context: Context<TraverseTraits>) => () => void} */
function render({ model, el }) {
  const engine = makeEngine(model);
  const root = htmlElement("div", el, "vw-traverse");
  const parts = [makeSliders(model, engine, root), makeAlong(model, engine, root)];
  if (model.get("classes").length) parts.push(makeLabels(model, engine, root));
  parts.push(makePaths(model, engine, root));

  // The engine comes first, so that the parts draw with the new weights.
  const deafen = listen(model, [["change:networks", engine.setWeights], ...parts.flatMap((part) => part.listeners)]);
  return () => {
    deafen();
    parts.forEach((part) => part.stop());
  };
}

/** @type {(model: Model<TraverseTraits>, k: number, value: number) => void} */
const moved = (model, k, value) => {
  const z = model.get("z").slice();
  z[k] = value;
  change(model, { z, dimension: k });
};

// The picture of z, and a slider for each dimension, most used first.
/** @type {MakePart} */
function makeSliders(model, engine, parent) {
  const row = htmlElement("div", parent, "vw-traverse-top");
  const left = htmlElement("div", row), list = htmlElement("div", row, "vw-sliders");
  htmlElement("div", left, "vw-title", { textContent: "The decoder's picture of z" });
  const [, , columns] = engine.shape;
  const canvas = makeStrip(left, engine.shape, 1, columns * Math.max(1, Math.ceil(220 / columns)), "");
  const what = model.get("prior") ? "mean KL over the images" : "spread of the codes";
  htmlElement("div", list, "vw-title", { textContent: `${model.get("dimensions").length} dimensions, sorted by ${what}` });
  const body = htmlElement("div", list, "vw-sliders-body");
  const refusal = makeRefusal(list);

  const rows = model.get("dimensions").map(({ index: k, text, share, dead, centre, spread }) => {
    const line = htmlElement("div", body, `vw-slider${dead ? " vw-dead" : ""}`);
    const name = htmlElement("button", line, "vw-button", {
      textContent: `z${k + 1}`, title: `Show the strip along z${k + 1}`, onclick: () => change(model, { dimension: k }),
    });
    const bar = htmlElement("span", line, "vw-bar");
    htmlElement("span", bar).style.width = `${100 * share}%`;
    htmlElement("span", line, "vw-worth", { textContent: text });
    const step = spread / 100;
    const range = htmlElement("input", line, "", { type: "range", step: String(step), disabled: dead });
    range.setAttribute("aria-label", `z${k + 1}, ${text}`);
    const number = htmlElement("input", line, "vw-number", { type: "number", step: String(10 * step), disabled: dead });
    number.setAttribute("aria-label", `value of z${k + 1}`);
    range.addEventListener("input", () => moved(model, k, Number(range.value)));
    const type = () => {
      // The box shows two decimals. Its own text, unchanged, must not round z.
      if (number.value === fixed(model.get("z")[k])) return;
      if (Number.isFinite(number.valueAsNumber)) {
        refusal.say("");
        moved(model, k, number.valueAsNumber);
      } else {
        place();
        refusal.say(`What was typed is no number: z${k + 1} stays ${number.value}`);
      }
    };
    number.addEventListener("change", type);
    number.addEventListener("keydown", (event) => {
      if (event.key === "Enter") type();
      event.stopPropagation();
    });
    onArrows(range, (across, up) => moved(model, k, model.get("z")[k] + 5 * step * (across + up)));
    const place = () => {
      const value = model.get("z")[k];
      // The range includes a z that Python has set; else a native slider would show the end of its range.
      range.min = String(Math.min(centre - 3.5 * spread, value));
      range.max = String(Math.max(centre + 3.5 * spread, value));
      range.value = String(value);
      range.setAttribute("aria-valuetext", fixed(value));
      number.value = fixed(value);
      const chosen = model.get("dimension") === k;
      line.classList.toggle("vw-chosen", chosen);
      name.setAttribute("aria-pressed", String(chosen));
    };
    return place;
  });

  const draw = () => {
    const z = model.get("z");
    put(canvas, 0, engine.decode(z, model.get("label")) ?? engine.sent("z", 0), engine.shape);
    canvas.setAttribute("aria-label", `decoded picture of z = ${formatPoint(z)}`);
    countFrame(canvas);
  };
  const place = () => rows.forEach((each) => each());
  place();
  draw();
  return {
    listeners: [["change:z change:label change:networks change:tiles", draw], ["change:z change:dimension", place]],
    stop: () => {},
  };
}

// The strip along one dimension, with the present place on it.
/** @type {MakePart} */
function makeAlong(model, engine, parent) {
  const { strip: count, reach } = model.get("sizes"), width = 56;
  const ticks = Array.from({ length: 2 * reach + 1 }, (_, k) => ({ value: k - reach, text: String(k - reach) }));
  /** @type {{ [index: number]: Dimension }} */
  const places = Object.fromEntries(model.get("dimensions").map((each) => [each.index, each]));
  const root = htmlElement("div", parent, "vw-along");
  const title = htmlElement("div", root, "vw-title");
  const frame = htmlElement("div", root, "vw-strip");
  const canvas = makeStrip(frame, engine.shape, count, width, "");
  const here = htmlElement("div", frame, "vw-here");
  const axis = htmlElement("div", root);

  /** @type {Chart} */
  let chart;
  /** @type {Handle} */
  let handle;
  let chosen = -1;
  const at = () => {
    const { centre, spread } = places[chosen];
    return (model.get("z")[chosen] - centre) / spread;
  };
  /** @type {(u: number) => void} */
  const move = (u) => {
    const { centre, spread } = places[chosen];
    moved(model, chosen, centre + spread * u);
  };
  const choose = () => {
    if (chosen === model.get("dimension")) return;
    chosen = model.get("dimension");
    const { text, dead } = places[chosen];
    const what = model.get("prior") ? "of the prior" : "of the codes about their mean";
    title.textContent = `Along z${chosen + 1} (${text}), from -${reach} to ${reach} standard deviations ${what}; the others are held`;
    canvas.setAttribute("aria-label", `${count} pictures along z${chosen + 1}`);
    chart = makeChart({
      width: count * width, height: 46, margin: { left: 0, right: 0, top: 2, bottom: 24 },
      x: { range: [-reach - 0.25, reach + 0.25], ticks },
      y: { range: [0, 1], ticks: [] }, label: `z${chosen + 1} in standard deviations`,
    });
    handle = makeHandle(chart, {
      label: `z${chosen + 1} on the strip`, at: () => [at(), 0.5], move,
      step: [0.05, 0], text: () => `z${chosen + 1} = ${fixed(model.get("z")[chosen])}`,
    });
    handle.ring.toggleAttribute("hidden", dead);
    axis.replaceChildren(chart.svg);
    film.redraw();
  };
  const film = makeFilm(count, (k) => {
    const { centre, spread } = places[chosen], z = model.get("z").slice();
    z[chosen] = centre + spread * reach * ((2 * k) / (count - 1) - 1);
    put(canvas, k, engine.decode(z, model.get("label")) ?? engine.sent("strip", k), engine.shape);
  }, canvas);
  const place = () => {
    handle.place();
    here.style.transform = `translateX(${chart.x(chart.x.held(at()))}px)`;
  };
  // If only z along the strip has changed, the pictures of the strip stay.
  let held = "";
  const follow = () => {
    choose();
    const others = `${chosen}: ${model.get("z").filter((_, i) => i !== chosen)}`;
    if (others !== held) film.redraw();
    held = others;
    place();
  };
  /** @type {(event: PointerEvent) => void} */
  const drag = (event) => {
    const [u] = chart.locate(event);
    move(u);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || places[chosen].dead) return;
    canvas.setPointerCapture(event.pointerId);
    handle.ring.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) drag(event);
  });
  follow();
  return {
    listeners: [["change:z change:dimension", follow], ["change:label change:networks change:tiles", film.redraw]],
    stop: film.stop,
  };
}

// One picture for each label at this z; a press makes it the label.
/** @type {MakePart} */
function makeLabels(model, engine, parent) {
  const classes = model.get("classes"), width = 56;
  const root = htmlElement("div", parent, "vw-labels");
  htmlElement("div", root, "vw-title", { textContent: "The same z, another label" });
  const row = htmlElement("div", root, "vw-row");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "label that the decoder is told");
  const buttons = classes.map((name, label) => {
    const button = htmlElement("button", row, "vw-label", { onclick: () => change(model, { label }) });
    const canvas = makeStrip(button, engine.shape, 1, width, `z decoded with label ${name}`);
    htmlElement("span", button, "", { textContent: name });
    return { button, canvas };
  });
  const film = makeFilm(classes.length, (label) => {
    const pixels = engine.decode(model.get("z"), label) ?? engine.sent("labels", label);
    put(buttons[label].canvas, 0, pixels, engine.shape);
  }, buttons[0].canvas);
  const mark = () => buttons.forEach(({ button }, label) => {
    button.setAttribute("aria-pressed", String(label === model.get("label")));
  });
  mark();
  film.redraw();
  return {
    listeners: [["change:label", mark], ["change:z change:networks change:tiles", film.redraw]],
    stop: film.stop,
  };
}

export default { render };
