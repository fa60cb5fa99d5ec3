/* What the pages do in the browser beyond htmx. One listener per purpose, all on the document, so
   that refreshed parts need no wiring. No inline script or style exists anywhere (see the CSP). */
'use strict';

/* --- live parts: when to leave the page alone ------------------------------------------------ */

const isPoll = event => event.detail.ctx.sourceEvent?.type === 'every';
const isHeld = () => document.hidden || document.querySelector('dialog[open], [popover]:popover-open') !== null;

document.addEventListener('htmx:config:request', event => {
  if (isPoll(event) && isHeld()) event.preventDefault();
});
document.addEventListener('htmx:before:swap', event => {
  // A menu opened while the answer was on its way stays open: the next poll brings it again.
  if (isPoll(event) && isHeld()) event.preventDefault();
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) htmx.trigger(document.body, 'refresh');
});
document.addEventListener('scan-asked', () => {
  for (const wait of [700, 2000]) setTimeout(() => htmx.trigger(document.body, 'refresh'), wait);
});

/* --- times: the server writes the moment, the browser its age -------------------------------- */

function span(seconds) {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function writeAges() {
  const now = Date.now();
  for (const time of document.querySelectorAll('time[data-age]')) {
    const seconds = Math.round((now - Date.parse(time.dateTime)) / 1000);
    const text = time.dataset.age === 'in'
      ? (seconds < 0 ? `in ${span(-seconds)}` : 'now')
      : `${span(Math.max(0, seconds))} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(writeAges, 1000);
document.addEventListener('htmx:after:swap', writeAges);
writeAges();

/* --- theme: as the system, light, dark ------------------------------------------------------- */

const THEMES = ['auto', 'light', 'dark'];

function showTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.getElementById('theme');
  if (button) {
    button.title = `Theme: ${theme === 'auto' ? 'as the system' : theme}`;
    button.setAttribute('aria-label', button.title);
  }
}
document.addEventListener('click', event => {
  if (!event.target.closest('#theme')) return;
  const now = document.documentElement.dataset.theme ?? 'auto';
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  localStorage.setItem('npvirt-theme', next);
  showTheme(next);
});
showTheme(document.documentElement.dataset.theme ?? 'auto');

/* --- menus (Popover API) and dialogs --------------------------------------------------------- */

document.addEventListener('toggle', event => {
  const menu = event.target;
  if (!menu.matches?.('.menu[popover]')) return;
  const button = document.querySelector(`[popovertarget="${menu.id}"]`);
  const isOpen = event.newState === 'open';
  button?.setAttribute('aria-expanded', String(isOpen));
  if (!isOpen || !button) return;
  const at = button.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 12));
  const fits = at.bottom + 4 + menu.offsetHeight < innerHeight;
  menu.style.left = `${scrollX + left}px`;
  menu.style.top = `${scrollY + (fits ? at.bottom + 4 : Math.max(4, at.top - menu.offsetHeight - 4))}px`;
  menu.querySelector('button, a')?.focus();
}, true);

document.addEventListener('keydown', event => {
  const menu = event.target.closest?.('.menu[popover]');
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!menu || !step) return;
  const items = [...menu.querySelectorAll('button, a')];
  const next = (items.indexOf(document.activeElement) + step + items.length) % items.length;
  items[next].focus();
  event.preventDefault();
});

document.addEventListener('click', event => {
  const opener = event.target.closest('[data-dialog]');
  if (!opener) return;
  opener.closest('[popover]')?.hidePopover();
  document.getElementById(opener.dataset.dialog)?.showModal();
});

/* --- small helpers --------------------------------------------------------------------------- */

document.addEventListener('click', async event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent.trim());
    toast('Copied.');
  } catch {
    getSelection().selectAllChildren(source);
    toast('The browser does not allow copying; the text is selected instead.');
  }
});

document.addEventListener('keydown', event => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.('input, select, textarea, [contenteditable], dialog')) return;
  const search = document.getElementById('search');
  if (!search?.offsetParent) return;
  event.preventDefault();
  search.focus();
});

/* --- toasts, and how requests go ------------------------------------------------------------- */

function toast(text, isError = false) {
  const template = document.getElementById(isError ? 'toast-error' : 'toast-note');
  const made = template.content.firstElementChild.cloneNode(true);
  made.querySelector('p').textContent = text;
  document.getElementById('toasts').replaceChildren(made);
}
document.addEventListener('click', event => {
  if (event.target.closest('[data-close]')) event.target.closest('.toast').remove();
});
new MutationObserver(changes => {
  for (const added of changes.flatMap(change => [...change.addedNodes])) {
    if (added.matches?.('.toast:not(.stays)')) setTimeout(() => added.remove(), 6000);
  }
}).observe(document.getElementById('toasts'), { childList: true });

let running = 0;
const isOurs = event => event.detail?.ctx && !isPoll(event);
document.addEventListener('htmx:before:request', event => {
  if (isOurs(event)) document.body.classList.toggle('is-busy', ++running > 0);
});
document.addEventListener('htmx:finally:request', event => {
  if (isOurs(event)) document.body.classList.toggle('is-busy', (running = Math.max(0, running - 1)) > 0);
});
document.addEventListener('htmx:before:response', () => document.body.classList.remove('offline'));
document.addEventListener('htmx:response:error', event => {
  const status = event.detail.ctx.response.status;
  if (status >= 500) toast(`npvirt could not answer (error ${status}). Its log says why.`, true);
});
document.addEventListener('htmx:error', event => {
  if (isPoll(event)) document.body.classList.add('offline');
  else toast('npvirt did not answer. Is it still running?', true);
});
