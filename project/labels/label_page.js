"use strict";
// One person labels the texts of this page, one at a time. Every answer is saved at once: in the
// browser's local storage if that works, and in memory in any case. Nothing is sent anywhere.

const element = id => document.getElementById(id);
const data = JSON.parse(element("data").textContent);
const labels = data.labels;
const questions = data.questions;  // each [example_id, text, index of the LLM's label or null]
const LABEL_KEYS = [..."123456789abcdefghijklmnopqrstvwxyz"];  // without u, which is "unsure"
const several = data.several;  // a text may have several labels, or none
const hasLlm = questions.some(question => question[2] !== null);
const PAGE = `assay-label:${data.digest}:`;

// A saved value is also in memory, so that work goes on where the storage refuses.
const memory = new Map();
const unsaved = new Set();

function load(key) {
  if (memory.has(key)) return memory.get(key);
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function save(key, value) {
  memory.set(key, value);
  unsaved.add(key);
  try {
    for (const name of unsaved) {
      localStorage.setItem(name, memory.get(name));
      unsaved.delete(name);
    }
  } catch {
    // not available, or full: the warning says so, and the next answer tries again
  }
  showWarning();
}

function showWarning() {
  let text = "";
  if (window !== window.top) {
    text = "This page is inside another one, where answers may be lost. Download it and open it " +
      "in a window of its own.";
  } else if (unsaved.size) {
    text = "Answers are not saved: this browser's storage is full or not available. You can go " +
      "on, but export your answers before you close or reload this page.";
  }
  if (element("warning").textContent !== text) element("warning").textContent = text;
  element("warning").hidden = !text;
}

// A hash of a name in 53 bits (cyrb53, public domain), since the storage wants one at once.
function hash(text) {
  let high = 0xdeadbeef, low = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    high = Math.imul(high ^ text.charCodeAt(index), 2654435761);
    low = Math.imul(low ^ text.charCodeAt(index), 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (4294967296 * (2097151 & low) + (high >>> 0)).toString(16);
}

// The state of the person who labels now.
let rater = "";
let place = "";  // of this person's answers in the storage
let answers = [];
let at = 0;  // index of the text that is shown
let since = null;  // when the clock of this text was started; null while it stands
const notExported = new Set();  // places of all people of this window

// The label of an answer: an index, a list of indices where there may be several, or null.
const isLabel = index => Number.isInteger(index) && labels[index] !== undefined;
const isLabels = several ? value => Array.isArray(value) && value.every(isLabel) : isLabel;
const isChosen = (answer, index) => several ? answer.label?.includes(index) ?? false :
  answer.label === index;
const isAnswered = answer => answer.label !== null || answer.unsure;
const isRevealed = answer => !data.blind || answer.revealed;

function readAnswer(index) {
  const answer = {label: null, unsure: false, seconds: 0, revealed: false, changed: false};
  try {
    const saved = JSON.parse(load(place + index)) ?? {};
    if (isLabels(saved.label)) answer.label = saved.label;
    answer.unsure = saved.unsure === true && answer.label === null;
    answer.seconds = Number.isFinite(saved.seconds) ? saved.seconds : 0;
    answer.revealed = saved.revealed === true;
    answer.changed = saved.changed === true;
  } catch {
    // a damaged entry counts as no answer
  }
  return answer;
}

function readAnswers() {
  answers = questions.map((_, index) => readAnswer(index));
  if (answers.some(isAnswered) && load(`${place}exported`) !== "true") notExported.add(place);
}

function saveAnswer() {
  const answer = answers[at];
  save(place + at, JSON.stringify({...answer, seconds: Math.round(answer.seconds * 10) / 10}));
}

// Seconds count while a text is in view and has no answer yet.
function startClock() {
  since = document.hidden ? null : performance.now();
}

function stopClock() {
  if (since === null) return;
  const seconds = (performance.now() - since) / 1000;
  since = null;
  if (isAnswered(answers[at])) return;
  answers[at].seconds += seconds;
  saveAnswer();
}

function begin(name) {
  rater = name.trim().replace(/\s+/g, " ") || "rater 1";
  place = `${PAGE}${hash(rater)}:`;
  save(`${PAGE}rater`, rater);
  readAnswers();
  const saved = Number(load(`${place}position`));
  element("start").hidden = true;
  element("work").hidden = element("progress").hidden = false;
  element("codebook").open = load(`${PAGE}codebook`) === "open";
  element("name").textContent = rater;
  show(questions[saved] ? saved : 0);
}

function askName() {
  stopClock();
  element("work").hidden = element("progress").hidden = true;
  element("start").hidden = false;
  element("rater").value = rater;
  element("rater").focus();
}

// Another text comes into view.
function show(index) {
  at = index;
  save(`${place}position`, String(at));
  element("position").textContent = `Text ${at + 1} of ${questions.length}`;
  element("text").textContent = questions[at][1];
  element("text").scrollTop = 0;
  element("text").focus({preventScroll: true});
  startClock();
  render();
  say(`Text ${at + 1} of ${questions.length}`);
}

// All that an answer can change.
function render() {
  const answer = answers[at];
  for (const button of element("labels").children) {
    button.setAttribute("aria-pressed", isChosen(answer, Number(button.value)));
  }
  element("none").setAttribute("aria-pressed", several && answer.label?.length === 0);
  element("unsure").setAttribute("aria-pressed", answer.unsure);
  element("next").classList.toggle("main", isAnswered(answer));
  const nAnswered = answers.filter(isAnswered).length;
  const nUnsure = answers.filter(other => other.unsure).length;
  element("bar").value = nAnswered / questions.length;
  element("counts").textContent = `${nAnswered} of ${questions.length}, ${nUnsure} unsure`;
  element("export").classList.toggle("main", nAnswered === questions.length);
  renderLlm(answer);
}

function renderLlm(answer) {
  const box = element("llm"), llm = questions[at][2];
  box.hidden = !hasLlm;
  const isSeen = llm !== null && isRevealed(answer);
  box.classList.toggle("seen", isSeen);
  const note = document.createElement("small");
  if (!isSeen) {
    note.textContent = llm === null ? "The LLM gave no label to this text." :
      "The LLM's label is shown after your answer.";
    box.replaceChildren(note);
    return;
  }
  const name = document.createElement("b");
  name.dir = "auto";
  name.textContent = labels[llm];
  if (data.blind) {
    note.textContent = answer.changed ? "Your change after this is recorded." :
      "A change from now on is recorded.";
  }
  box.replaceChildren("The LLM said ", name, note);
}

function say(text) {
  element("status").textContent = text;
}

// Where there may be several labels: one more, or one less.
function toggle(index) {
  const chosen = answers[at].label ?? [];
  const others = chosen.filter(other => other !== index);
  const labelled = others.length < chosen.length ? others : [...chosen, index];
  choose(labelled.length ? labelled.sort((one, other) => one - other) : null, false);
}

const names = label => !several ? labels[label] : label.map(index => labels[index]).join(", ");

// An answer: the index of a label or a list of several, or null for "unsure"; with isUnsure false
// null takes the answer back.
function choose(label, isUnsure = label === null) {
  stopClock();
  const answer = answers[at];
  const isFirst = !isAnswered(answer);
  const reveals = data.blind && !answer.revealed && questions[at][2] !== null;
  if (!isFirst && answer.label !== label && answer.revealed) answer.changed = true;
  answer.label = label;
  answer.unsure = isUnsure;
  answer.revealed ||= reveals;
  saveAnswer();
  notExported.add(place);
  save(`${place}exported`, "false");
  render();
  const llm = reveals ? ` The LLM said ${labels[questions[at][2]]}.` : "";
  const done = answers.every(isAnswered) ? " Every text has an answer: export them now." : "";
  const said = isUnsure ? "Unsure" : label === null ? "No answer" : names(label) || "No label fits";
  say(`${said}.${llm}${done}`);
  // The LLM's label must be seen before the next text comes.
  const goesOn = element("go-on").checked && !several;
  if (goesOn && !reveals && at + 1 < questions.length) show(at + 1);
}

function move(step) {
  const to = at + step;
  if (to < 0) return say("This is the first text.");
  const nOpen = answers.filter(answer => !isAnswered(answer)).length;
  if (to === questions.length) {
    return say(nOpen ? `This is the last text. ${nOpen} without an answer: key 0 goes there.` :
      "Every text has an answer: export them now.");
  }
  stopClock();
  show(to);
}

function nextOpen() {
  const order = [...answers.keys()];
  const next = [...order.slice(at + 1), ...order.slice(0, at)].find(i => !isAnswered(answers[i]));
  if (next === undefined) return say("No other text is without an answer.");
  stopClock();
  show(next);
}

// JSON Lines in ASCII: ids and labels come back exactly, whatever characters they hold.
function exportAnswers() {
  stopClock();
  startClock();
  const lines = answers.map((answer, index) => JSON.stringify({
    example_id: questions[index][0],
    label: answer.label === null ? "" :
      several ? answer.label.map(index => labels[index]) : labels[answer.label],
    rater: rater,
    unsure: answer.unsure,
    seconds: Math.round(answer.seconds * 10) / 10,
    changed_after_reveal: answer.changed,
  }) + "\n");
  const ascii = lines.join("").replace(/[\u007f-\uffff]/g, character =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([ascii], {type: "application/x-ndjson"}));
  link.download = `answers_${rater.replace(/[^\p{L}\p{N}_.-]+/gu, "_")}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  notExported.delete(place);
  save(`${place}exported`, "true");
  say(`${link.download} is in your downloads. Send it to the person who gave you this page.`);
}
