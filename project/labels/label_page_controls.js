// Buttons and keys of the page, and its start.

const press = several ? toggle : choose;
const actions = new Map([
  ["u", () => choose(null)],
  ["Enter", () => move(1)],
  ["ArrowRight", () => move(1)],
  ["ArrowLeft", () => move(-1)],
  ["Backspace", () => move(-1)],
  ["0", nextOpen],
  ["/", () => element("find").focus()],
]);

function keyChip(key) {
  const chip = document.createElement("kbd");
  chip.textContent = key;
  chip.setAttribute("aria-hidden", "true");
  return chip;
}

labels.forEach((label, index) => {
  const key = LABEL_KEYS[index];
  const button = document.createElement("button");
  const name = document.createElement("span");
  const item = document.createElement("li");
  button.type = "button";
  button.value = index;
  name.dir = "auto";
  name.textContent = label;
  if (key) {
    actions.set(key, () => press(index));
    button.setAttribute("aria-keyshortcuts", key);
    button.append(keyChip(key));
    item.append(keyChip(key), " ");
  }
  button.append(name);
  item.append(name.cloneNode(true));
  element("labels").append(button);
  element("label-list").append(item);
});

// The key of an event. Where a layout has no Latin letter or digit there, the place on the keyboard
// decides.
function keyOf(event) {
  if (event.key.length > 1) return event.key;
  const key = event.key.toLowerCase();
  const place = /^(?:Key|Digit|Numpad)([A-Z0-9])$/.exec(event.code);
  return /^[a-z0-9/-]$/.test(key) || !place ? key : place[1].toLowerCase();
}

addEventListener("keydown", event => {
  const target = event.target;
  if (element("work").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.isComposing || target.matches("input:not([type=checkbox])")) return;
  const key = keyOf(event);
  if (!actions.has(key) || (key === "/" && element("find").hidden)) return;
  if (key === "Enter" && target.closest("button, summary")) return;  // it presses that button
  event.preventDefault();
  // A key held down moves on, but never answers.
  if (!event.repeat || key.startsWith("Arrow")) actions.get(key)();
});

// After a click, keys belong to the text again. Who presses buttons by key stays on the button.
function focusText(event) {
  const isPointer = event.detail > 0;
  if (isPointer && !element("work").hidden) element("text").focus({preventScroll: true});
}

function onPress(id, action) {
  element(id).addEventListener("click", event => {
    const button = event.target.closest("button");
    if (!button) return;
    action(button);
    focusText(event);
  });
}

onPress("labels", button => press(Number(button.value)));
const noneFits = () => choose(answers[at].label?.length === 0 ? null : [], false);
if (several) actions.set("-", noneFits);
element("moves").classList.toggle("four", several);
element("none").hidden = element("none-key").hidden = !several;
onPress("none", noneFits);
onPress("unsure", () => choose(null));
onPress("back", () => move(-1));
onPress("next", () => move(1));
onPress("open", nextOpen);
onPress("export", exportAnswers);
onPress("rename", askName);

// More labels than keys: a person types a part of the name.
element("find").hidden = labels.length <= LABEL_KEYS.length;
element("find").addEventListener("input", () => {
  const part = element("find").value.trim().toLowerCase();
  for (const button of element("labels").children) {
    button.hidden = !labels[button.value].toLowerCase().includes(part);
  }
});
element("find").addEventListener("keydown", event => {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation();
  const first = [...element("labels").children].find(button => !button.hidden);
  const isAsked = event.key === "Enter" && element("find").value.trim() !== "";
  element("find").value = "";
  element("find").dispatchEvent(new Event("input"));
  element("text").focus({preventScroll: true});
  if (isAsked && first) press(Number(first.value));
});

element("start").addEventListener("submit", event => {
  event.preventDefault();
  begin(element("rater").value);
});
element("codebook").querySelector("summary").addEventListener("click", event => {
  // The click comes before the change.
  save(`${PAGE}codebook`, element("codebook").open ? "closed" : "open");
  focusText(event);
});
element("on").hidden = several;  // nobody else knows when the labels of a text are complete
element("go-on").checked = load(`${PAGE}go-on`) === "true";
element("go-on").addEventListener("change", () => {
  save(`${PAGE}go-on`, String(element("go-on").checked));
});

// Answers of the same person in another window.
addEventListener("storage", event => {
  if (!place || !event.key?.startsWith(place) || unsaved.has(event.key)) return;
  memory.delete(event.key);
  const index = event.key.slice(place.length);
  if (!questions[index]) return;
  answers[index] = readAnswer(Number(index));
  if (!element("work").hidden) render();
});
document.addEventListener("visibilitychange", () => {
  if (element("work").hidden) return;
  if (document.hidden) stopClock();
  else startClock();
});
addEventListener("beforeunload", event => {
  if (!notExported.size) return;
  event.preventDefault();
  event.returnValue = true;  // for browsers before 2024
});

document.title = `Label: ${data.title}`;
element("title").textContent = data.title;
element("description").textContent = data.description;
element("description").hidden = !data.description;
element("codebook-text").textContent = data.codebook;
element("codebook-text").hidden = !data.codebook;
element("start").hidden = false;
save(`${PAGE}opened`, "true");  // shows at once whether the storage works
if (load(`${PAGE}rater`)) begin(load(`${PAGE}rater`));
else element("rater").focus();
