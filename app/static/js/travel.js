/* Time travel in the browser: the ribbon is dragged, arrow keys and [ ] step, links keep its span.
   Without this file the same is there as plain links and a form. */
'use strict';

const ribbon = () => document.getElementById('ribbon');
const isPast = () => document.body.classList.contains('past');

/* --- addresses ------------------------------------------------------------------------------- */

// The page as it is now, filters and all; where the ribbon belongs to another page, that one.
function presentPage() {
  const said = new URL(ribbon().dataset.here, location.origin);
  const page = new URL(said.pathname === location.pathname ? location.href : said.href);
  for (const name of ['at', 'span', 'sorted', 'have', 'since']) page.searchParams.delete(name);
  page.hash = '';
  return page;
}

const chosenSpan = () => new URLSearchParams(location.search).get('span');

function pageAt(seconds) {
  const page = presentPage();
  if (seconds !== null) {
    page.searchParams.set('at', new Date(seconds * 1000).toISOString().replace('.000', ''));
    if (chosenSpan()) page.searchParams.set('span', chosenSpan());
  }
  return page;
}

document.addEventListener('click', event => {
  const link = event.target.closest('a[href]');
  if (!link || link.getAttribute('aria-disabled') === 'true') return;
  const to = new URL(link.href);
  if (to.origin !== location.origin) return;
  if (link.matches('[data-time]')) {
    // The ribbon was drawn before the filters were changed.
    const page = presentPage();
    for (const name of ['at', 'span']) if (to.searchParams.has(name)) page.searchParams.set(name, to.searchParams.get(name));
    link.href = page.href;
  } else if (link.id === 'back-to-live') {
    link.href = presentPage().href;
  } else if (chosenSpan() && to.searchParams.has('at') && !link.hasAttribute('download') && !to.pathname.startsWith('/api/')) {
    to.searchParams.set('span', chosenSpan());
    link.href = to.href;
  }
}, true);

document.addEventListener('htmx:config:request', event => {
  const form = event.detail.ctx.sourceElement;
  if (!form?.matches?.('form.go')) return;
  const page = presentPage();
  event.detail.ctx.request.body.set('page', page.pathname + page.search);
});

/* --- dragging -------------------------------------------------------------------------------- */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

// The server tells the zone's offsets, so that the browser's own zone has no part in it.
function inZone(seconds) {
  let minutes = 0;
  for (const part of ribbon().dataset.offsets.split(' ')) {
    const [from, offset] = part.split(':').map(Number);
    if (seconds >= from || part === ribbon().dataset.offsets.split(' ')[0]) minutes = offset;
  }
  const at = new Date((seconds + minutes * 60) * 1000);
  const two = number => String(number).padStart(2, '0');
  return `${DAYS[at.getUTCDay()]} ${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}, ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

const isSlider = element => element?.id === 'moment' && element.closest('#ribbon');
let drag = null;
let byKey = false;
document.addEventListener('pointerdown', () => { byKey = false; }, true);

// The right end is the present; a pointer need not hit it by the pixel.
function chosen(slider) {
  const seconds = Number(slider.value);
  const now = Math.floor(Date.now() / 1000);
  const width = byKey ? 0 : (slider.max - slider.min) / slider.clientWidth;
  return seconds >= Math.min(now, Number(slider.max)) - Math.max(60, 3 * width) ? null : seconds;
}

function showBubble(slider) {
  const seconds = chosen(slider);
  const text = seconds === null ? 'Live' : inZone(seconds);
  const bubble = document.getElementById('bubble');
  bubble.textContent = text;
  bubble.hidden = false;
  slider.setAttribute('aria-valuetext', text);
  const share = (slider.value - slider.min) / (slider.max - slider.min);
  const half = bubble.offsetWidth / 2;
  const left = Math.max(half - 8, Math.min(share * slider.parentElement.clientWidth, slider.parentElement.clientWidth - half + 8));
  bubble.style.left = `${left}px`;
}

// The page follows the knob, as far as it is a page with a past and can keep up.
async function follow() {
  if (!drag || drag.asking || drag.wanted === drag.shown) return;
  const page = document.getElementById('page');
  if (!page) return;
  drag.asking = true;
  const wanted = drag.wanted;
  const at = pageAt(wanted);
  at.searchParams.delete('span');
  const path = at.pathname === '/' ? '/overview' : at.pathname;
  try {
    const answer = await fetch(`/ui${path}${at.search}`, { headers: { 'HX-Request': 'true' } });
    const text = answer.ok ? await answer.text() : '';
    if (drag && text.trimStart().startsWith('<div class="page"')) {
      drag.shown = wanted;
      await htmx.swap({ sourceElement: page, target: page, swap: 'outerMorph', text, request: {} });
    }
  } catch { /* said on release, when the page is asked for */ }
  if (!drag) return;
  drag.asking = false;
  drag.shown = wanted;
  setTimeout(follow, 60);
}

document.addEventListener('input', event => {
  const slider = event.target;
  if (!isSlider(slider)) return;
  if (!drag) {
    drag = { shown: undefined, asking: false, leave: null };
    ribbon().classList.add('dragging');
    document.body.classList.add('previewing');
  }
  drag.wanted = chosen(slider);
  showBubble(slider);
  follow();
});

function leave() {
  const seconds = drag?.wanted;
  if (seconds === undefined) return;
  location.assign(pageAt(seconds).href);
}

document.addEventListener('change', event => {
  if (!isSlider(event.target) || !drag) return;
  clearTimeout(drag.leave);
  // Keys come one by one; the pointer lets go once.
  drag.leave = setTimeout(leave, byKey ? 700 : 0);
});

document.addEventListener('keydown', event => {
  const slider = event.target;
  if (!isSlider(slider)) return;
  if (event.key === 'Escape' && drag) { location.reload(); return; }
  const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -6, PageUp: 6 }[event.key];
  if (!way) return;
  event.preventDefault();
  byKey = true;
  slider.value = Math.min(Number(slider.value) + way * slider.dataset.step, Number(slider.max));
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  sessionStorage.setItem('npvirt-ribbon', 'focus');
  slider.dispatchEvent(new Event('change', { bubbles: true }));
});
if (sessionStorage.getItem('npvirt-ribbon') === 'focus') {
  sessionStorage.removeItem('npvirt-ribbon');
  document.getElementById('moment')?.focus({ preventScroll: true });
}
// Back from another page the browser may show this one as it was left: in the middle of a drag.
addEventListener('pageshow', event => { if (event.persisted) location.reload(); });

/* --- stepping -------------------------------------------------------------------------------- */

document.addEventListener('keydown', event => {
  const id = { '[': 'previous-change', ']': 'next-change' }[event.key];
  if (!id || event.ctrlKey || event.metaKey) return;
  if (event.target.closest?.('input:not([type=range]), select, textarea, [contenteditable], dialog')) return;
  document.getElementById(id)?.click();
});
