/* What keeps a page up to date: a stream names what changed (/events), the regions that show it ask
   for themselves again, and the answer is morphed in. Without a stream the regions ask every few
   seconds; the foot of the page says which of the two it is, or that npvirt does not answer.
   A region says what it shows: data-live="domain samples", and of which host if only of one.
   Comes after travel.js, which tells times in the server's zone: a stream may be there before the
   scripts that follow. */
'use strict';

const SAFETY_MS = 60_000; // Beside a stream regions still ask this often.
const TOGETHER_MS = 30; // Changes that close together are one question.
const PACE_MS = 250; // A region asks no more often than this, however much changes.
const SAMPLES_PACE_MS = 5_000; // Nor than this for what was merely measured again.

const stream = document.getElementById('stream');
const regions = () => document.querySelectorAll('[data-live]');
const isPoll = event => ['every', 'live', 'refresh'].includes(event.detail.ctx.sourceEvent?.type);
const isRefresh = event => event.detail.ctx.sourceEvent?.type === 'refresh';
const isOfStream = event => event.detail.ctx?.sourceElement === stream && stream !== null;
const isHeld = () => document.hidden || document.querySelector('dialog[open], [popover]:popover-open, .dragging') !== null;

/* --- when a region asks ------------------------------------------------------------------------ */

const askedAt = new Map(); // region's id → when it last asked
const due = new Map(); // region's id → when it is to ask
const asking = new Set();
let timer = 0;

function want(region, pace = PACE_MS) {
  const at = Math.max(performance.now() + TOGETHER_MS, (askedAt.get(region.id) ?? -Infinity) + pace);
  due.set(region.id, Math.min(at, due.get(region.id) ?? Infinity));
  plan();
}

function plan() {
  clearTimeout(timer);
  if (!due.size) return;
  // What is held (by a menu, a dialog, a drag, a hidden tab) or asks already is looked at again.
  const wait = Math.max(0, Math.min(...due.values()) - performance.now());
  timer = setTimeout(ask, isHeld() || asking.size ? Math.max(wait, 200) : wait);
}

function ask() {
  const now = performance.now();
  for (const [id, at] of due) {
    const region = document.getElementById(id);
    if (region && (at > now || isHeld() || asking.has(id))) continue;
    due.delete(id);
    if (region) htmx.trigger(region, 'live', {}, false);
  }
  plan();
}

document.addEventListener('htmx:config:request', event => {
  if (isOfStream(event) && document.hidden) event.preventDefault();
  if (!isPoll(event) || isOfStream(event)) return;
  const region = event.detail.ctx.sourceElement;
  const isBusy = region.id === 'jobs' && region.childElementCount > 0;
  const isEarly = performance.now() - (askedAt.get(region.id) ?? 0) < SAFETY_MS;
  const isTold = state === 'live' && region.dataset.live && event.detail.ctx.sourceEvent.type === 'every' && isEarly && !isBusy;
  // Whether npvirt is there at all is asked under an open menu as well.
  const isInDoubt = isRefresh(event) || (state === 'silent' && !document.hidden);
  if (isTold || (isHeld() && !isInDoubt)) event.preventDefault();
});
document.addEventListener('htmx:before:request', event => {
  const region = event.detail.ctx.sourceElement;
  if (!region?.dataset?.live) return;
  askedAt.set(region.id, performance.now());
  asking.add(region.id);
});
document.addEventListener('htmx:finally:request', event => {
  asking.delete(event.detail.ctx.sourceElement?.id);
  if (due.size) plan();
});
document.addEventListener('htmx:before:swap', event => {
  // A menu opened while the answer was on its way stays open; then it is asked for again.
  if (!isPoll(event) || !isHeld()) return;
  event.preventDefault();
  if (state === 'live' || isRefresh(event)) want(event.detail.ctx.sourceElement);
});
// What is asked for while a region waits for an older answer is asked for after it.
document.addEventListener('refresh', () => {
  for (const region of regions()) if (asking.has(region.id)) want(region);
}, true);
const refresh = () => htmx.trigger(document.body, 'refresh');
document.addEventListener('visibilitychange', () => {
  // A hidden tab lets go of its stream (hx-sse does); what it missed is asked for on its return.
  if (document.hidden) say('polling');
  else setTimeout(() => { refresh(); connect(); });
});
addEventListener('offline', refresh);
addEventListener('online', () => { if (state !== 'live') refresh(); });
let isLeaving = false;
addEventListener('pagehide', () => { isLeaving = true; });
document.addEventListener('scan-asked', () => {
  if (state !== 'live') for (const wait of [700, 2000]) setTimeout(refresh, wait);
});

/* --- the stream -------------------------------------------------------------------------------- */

let connection = null;

// htmx may take hold of the page before its extension is loaded, so it is told of the stream after.
if (stream) setTimeout(() => {
  stream.setAttribute('hx-sse:connect', stream.dataset.stream);
  htmx.process(stream);
});

function connect() {
  if (!stream) return;
  // It waits longer and longer between its tries, or has not noticed that its stream is dead; now
  // is a good time for a new one.
  if (connection?.delayCanceller) connection.delayCanceller();
  else if (connection?.reader) connection.reader.cancel();
  else htmx.trigger(stream, 'connect', {}, false);
}

stream?.addEventListener('htmx:sse:before:connection', event => {
  ({ connection } = event.detail);
  if (connection.attempt > 0) lost();
});
stream?.addEventListener('htmx:sse:after:connection', () => {
  reason = '';
  say('live');
});
stream?.addEventListener('htmx:sse:error', event => {
  lost();
  // Signed out meanwhile: what a region asks for leads to the sign-in.
  if (event.detail.status === 401) refresh();
});
stream?.addEventListener('htmx:sse:close', () => {
  connection = null;
  lost();
});
stream?.addEventListener('ready', event => {
  // What changed between the drawing of the page and now was told to nobody.
  if (JSON.parse(event.detail.data).resumed) return;
  for (const region of document.querySelectorAll('[hx-trigger*="refresh"]')) want(region);
});
stream?.addEventListener('changed', event => {
  const { everything, hosts } = JSON.parse(event.detail.data);
  for (const region of regions()) {
    const shown = region.dataset.live.split(' ');
    const told = Object.entries(hosts).filter(([host]) => [undefined, host].includes(region.dataset.liveHost));
    const kinds = told.flatMap(([, changed]) => changed).filter(kind => shown.includes(kind));
    const pace = Number(region.dataset.livePace ?? 0) * 1000;
    if (everything || kinds.some(kind => kind !== 'samples')) want(region, Math.max(pace, PACE_MS));
    else if (kinds.length) want(region, Math.max(pace, SAMPLES_PACE_MS));
  }
});
document.addEventListener('htmx:before:response', event => {
  const answer = event.detail.ctx.response;
  if (!isOfStream(event) || answer.status < 400) return;
  reason = `Streams are refused (${answer.status}).`;
  answer.raw.clone().text().then(text => { reason = text.trim() || reason; say(state); });
  lost();
});

/* --- how it stands, said in the foot ------------------------------------------------------------ */

let state = 'polling';
let silentSince = 0;
let reason = '';

function lost() {
  if (state !== 'live' || isLeaving) return;
  say('polling');
  // Whether npvirt is there at all shows in a moment, not at the next tick.
  refresh();
}

function heard() {
  if (state !== 'silent') return;
  say('polling');
  refresh();
  connect();
}

function unheard() {
  if (document.hidden || isLeaving) return;
  if (state !== 'silent') silentSince = Date.now();
  say('silent');
}

function clockOf(ms) {
  const own = new Date(ms);
  return document.getElementById('ribbon')?.dataset.offsets ? inZone(ms / 1000).slice(-5)
    : `${String(own.getHours()).padStart(2, '0')}:${String(own.getMinutes()).padStart(2, '0')}`;
}

function say(next) {
  state = next;
  document.body.classList.toggle('offline', state === 'silent');
  const feed = document.getElementById('feed');
  if (!feed) return;
  const words = {
    live: ['live', 'What changes is shown at once.'],
    polling: ['polling every 5 s', reason || 'What changes is asked for every 5 seconds; npvirt tries to be told of it again.'],
    silent: [`npvirt does not answer since ${clockOf(silentSince)}`, 'What is shown is how it was then; it is tried again every 5 seconds.'],
  }[state];
  feed.dataset.state = state;
  feed.title = words[1];
  const text = feed.querySelector('span');
  if (text.textContent !== words[0]) text.textContent = words[0];
  const loud = document.getElementById('unheard');
  loud.hidden = state !== 'silent';
  loud.textContent = state === 'silent' ? `${words[0]}.` : '';
}

document.addEventListener('htmx:before:response', event => {
  if (event.detail.ctx.response.status < 500 || !isOfStream(event)) heard();
});
document.addEventListener('htmx:error', event => {
  if (event.detail.ctx && (isPoll(event) || event.detail.ctx.sourceElement?.dataset?.live)) unheard();
});
