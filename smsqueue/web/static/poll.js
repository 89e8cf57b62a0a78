// Keeps a part of a page fresh from a JSON address. One loop per page; the server says when to ask again and when to stop.
//
//   <section data-poll="/address" data-poll-name="Spring sale" data-poll-percent="37" data-poll-state="processing">
//     <div data-poll-html="progress">…</div>       replaced by html.progress, node by node, only where it differs
//     <p data-poll-stale hidden></p>                 says so when the server cannot be reached
//     <p data-poll-live role="status"></p>          speaks at 25/50/75 %, at a new state and at the end, at most once per 15 s
//     <button data-poll-pause hidden>Pause updates</button>
//   </section>
//   <p data-poll-ended="Finished: 500 sent" role="status"></p>   on the page as it is after the end: spoken once after the reload
//
// The answer: {v, stop, next_ms, html: {name: fragment}} and, where the page has a bar, {percent, state, say}.
// On stop the page is loaded again, once. `next_ms` is missing: 3 s. An ETag is sent back, and 304 means "as before".

const BACKOFF = [3000, 6000, 12000, 30000];
const SPEAK_EVERY = 15000;
const ENDED = "smsqueue-ended";
const quarter = (percent) => Math.floor((Number(percent) || 0) / 25);

const region = document.querySelector("[data-poll]");
if (region) start(region);
else speakEnd(document.querySelector("[data-poll-ended]"));

function start(region) {
  const part = (name) => region.querySelector(`[data-poll-${name}]`);
  const live = part("live"), stale = part("stale") || document.createElement("p"), button = part("pause");
  const title = document.title;
  let etag = "", timer = 0, busy = false, paused = false, stopped = false, failures = 0, spoken = -SPEAK_EVERY;
  let updated = new Date(), interval = 3000;
  let said = { quarter: quarter(region.dataset.pollPercent), state: region.dataset.pollState }, news = said;

  function plan(milliseconds) {
    clearTimeout(timer);
    if (!paused && !stopped && !document.hidden) timer = setTimeout(ask, milliseconds * (0.9 + 0.2 * Math.random()));
  }

  async function ask() {
    if (busy || paused || stopped || document.hidden) return;
    busy = true;
    let next;
    try {
      next = await fetchOnce();
    } catch {
      next = failed();
    }
    busy = false;
    plan(next);
  }

  async function fetchOnce() {
    const headers = { Accept: "application/json", ...(etag && { "If-None-Match": etag }) };
    const response = await fetch(region.dataset.poll, { headers, cache: "no-store", signal: AbortSignal.timeout(20000) });
    if (response.status === 401) return reload();
    if (response.status === 304) return fresh();
    if (!response.ok) throw new Error(`status ${response.status}`);
    const answer = await response.json();
    etag = response.headers.get("ETag") || "";
    show(answer);
    interval = Math.max(answer.next_ms || 3000, 1000);
    return answer.stop ? end() : fresh();
  }

  function fresh() {
    failures = 0;
    updated = new Date();
    stale.hidden = true;
    speak();
    return interval;
  }

  function failed() {
    const message = `Last updated ${updated.toLocaleTimeString("en-GB")}, trying again`;
    if (stale.textContent !== message) stale.textContent = message;
    stale.hidden = false;
    failures += 1;
    return BACKOFF[Math.min(failures, BACKOFF.length) - 1];
  }

  function show({ html = {}, percent, state, say }) {
    for (const [name, fragment] of Object.entries(html)) {
      const place = region.querySelector(`[data-poll-html="${name}"]`);
      if (place) pair(place, new DOMParser().parseFromString(fragment, "text/html").body);
    }
    if (percent === undefined) return;
    document.title = `${percent} % – ${region.dataset.pollName || title}`;
    news = { quarter: quarter(percent), state, say };
  }

  function speak() { // what comes too soon after the last words is said later
    const changed = news.state !== said.state || news.quarter > said.quarter;
    if (!live || !changed || performance.now() - spoken < SPEAK_EVERY) return;
    said = news;
    spoken = performance.now();
    live.textContent = news.say;
  }

  function end() {
    // Remembered, so that a page which says "stop" again after its reload is not reloaded for ever.
    if (sessionStorage.getItem(ENDED) !== region.dataset.poll) {
      sessionStorage.setItem(ENDED, region.dataset.poll);
      return reload();
    }
    stopped = true;
    return 0;
  }

  function reload() {
    stopped = true;
    location.reload();
    return 0;
  }

  function pause() {
    paused = !paused;
    button.textContent = paused ? "Resume updates" : "Pause updates";
    if (paused) clearTimeout(timer);
    else ask();
  }

  if (button) {
    button.hidden = false;
    button.addEventListener("click", pause);
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  plan(3000);
}

function speakEnd(place) {
  const ended = sessionStorage.getItem(ENDED);
  sessionStorage.removeItem(ENDED);
  if (place && ended) setTimeout(() => { place.textContent = place.dataset.pollEnded; }, 500);
}

// Change only what differs: the focus, a selection and an open <details> stay as they are. Blank text between elements
// does not count, for a parsed fragment has less of it than the page.
function pair(old, fresh) {
  const before = solid(old), after = solid(fresh);
  after.forEach((node, index) => (before[index] ? morph(before[index], node) : old.append(node)));
  before.slice(after.length).forEach((node) => node.remove());
}

function solid(parent) {
  return Array.from(parent.childNodes).filter((node) => node.nodeType !== Node.TEXT_NODE || node.data.trim());
}

function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return undefined;
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of Array.from(old.attributes)) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  return pair(old, fresh);
}
