/* What the pages do in the browser beyond htmx. One listener per purpose, all on the document, so
   that refreshed parts need no wiring. No inline script or style exists anywhere (see the CSP). */
'use strict';

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
  const button = menu === rowMenu ? menuButton : document.querySelector(`[popovertarget="${menu.id}"]`);
  const isOpen = event.newState === 'open';
  button?.setAttribute('aria-expanded', String(isOpen));
  if (!isOpen || !button) return;
  const at = button.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 12));
  const fits = at.bottom + 4 + menu.offsetHeight < innerHeight;
  menu.style.left = `${scrollX + left}px`;
  menu.style.top = `${scrollY + (fits ? at.bottom + 4 : Math.max(4, at.top - menu.offsetHeight - 4))}px`;
  menu.querySelector('[autofocus], button, a')?.focus();
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

/* --- actions: dialogs, menus of rows, many at once, uploads ----------------------------------- */

const dialog = document.getElementById('dialog');
const rowMenu = document.getElementById('row-menu');
let menuButton = null;

const randomId = () => crypto.randomUUID?.() ??
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte, at) =>
    (at === 6 ? byte & 15 | 64 : at === 8 ? byte & 63 | 128 : byte).toString(16).padStart(2, '0'))
    .join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

// One id per press: a double click is one action, and a press after the answer is another.
const requestIds = new WeakMap();
document.addEventListener('htmx:config:request', event => {
  const { sourceElement, request } = event.detail.ctx;
  if (!sourceElement?.matches?.('[data-once]')) return;
  if (!requestIds.has(sourceElement)) requestIds.set(sourceElement, randomId());
  request.body?.set?.('request_id', requestIds.get(sourceElement));
});
document.addEventListener('htmx:finally:request', event => {
  requestIds.delete(event.detail.ctx.sourceElement);
});

// What is typed while an answer is on its way waits for its delay in an element that the answer
// makes anew: htmx forgets it then, and is told again.
let typed = null;
document.addEventListener('input', event => {
  if (event.target.form?.id === 'filters') typed = event.target;
});
document.addEventListener('htmx:before:request', event => {
  if (event.detail.ctx.sourceElement?.id === 'filters') typed = null;
});
document.addEventListener('htmx:after:swap', () => {
  if (typed?.isConnected) typed.dispatchEvent(new Event('input', { bubbles: true }));
});

// What cannot be done says why and does nothing.
document.addEventListener('click', event => {
  if (event.target.closest('a[aria-disabled="true"]')) event.preventDefault();
}, true);
document.addEventListener('keydown', event => {
  const button = event.target.closest?.('a[role]');
  if (!button || !['Enter', ' '].includes(event.key)) return;
  event.preventDefault();
  button.click();
});

document.addEventListener('htmx:after:swap', event => {
  const { target, sourceElement } = event.detail.ctx;
  if (target === dialog && dialog.firstElementChild) {
    document.querySelectorAll('[popover]:popover-open').forEach(menu => menu.hidePopover());
    if (!dialog.open) dialog.showModal();
    showFields(dialog);
  }
  if (target === rowMenu) {
    menuButton = sourceElement;
    rowMenu.showPopover();
  }
});
document.addEventListener('click', event => {
  if (event.target.closest('[data-close-dialog]')) dialog.close();
  if (event.target.closest('.menu [hx-post]')) event.target.closest('[popover]')?.hidePopover();
});
dialog?.addEventListener('close', () => {
  dialog.replaceChildren();
  htmx.trigger(document.body, 'refresh');
});
document.addEventListener('acted', () => {
  if (dialog?.open) dialog.close();
});

// Fields that belong to some choices of another field only.
function showFields(root) {
  for (const field of root.querySelectorAll('[data-only]')) {
    const other = root.querySelector(`[name="${field.dataset.only}"]`);
    field.hidden = !field.dataset.values.split(' ').includes(other?.value);
    for (const input of field.querySelectorAll('input, select')) input.disabled = field.hidden;
  }
}
document.addEventListener('change', event => {
  const form = event.target.closest('form.act');
  if (form) showFields(form);
});
for (const form of document.querySelectorAll('form.act')) showFields(form);

function countPicked() {
  const bulk = document.getElementById('bulk');
  if (!bulk) return;
  const boxes = [...document.querySelectorAll('input[name="object"][form="bulk"]')];
  const picked = boxes.filter(box => box.checked).length;
  bulk.hidden = picked === 0;
  document.getElementById('bulk-count').textContent = picked;
  const all = document.getElementById('pick-all');
  if (all) {
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
  }
}
document.addEventListener('change', event => {
  if (event.target.id === 'pick-all') {
    for (const box of document.querySelectorAll('input[name="object"][form="bulk"]')) box.checked = event.target.checked;
  }
  countPicked();
});
document.addEventListener('click', event => {
  if (!event.target.closest('#bulk-clear')) return;
  for (const box of document.querySelectorAll('input[name="object"][form="bulk"]')) box.checked = false;
  countPicked();
});
document.addEventListener('htmx:after:swap', countPicked);

document.addEventListener('submit', event => {
  const form = event.target;
  if (form.matches('[data-download]')) setTimeout(() => dialog?.open && dialog.close(), 0);
  if (!form.matches('[data-upload]')) return;
  event.preventDefault();
  const file = form.elements.file.files[0];
  if (!file) return;
  const query = new URLSearchParams();
  for (const name of ['expect_state', 'request_id', 'confirm']) {
    if (form.elements[name]) query.set(name, form.elements[name].value);
  }
  form.querySelector('.do').disabled = true;
  const bar = form.querySelector('progress');
  const sending = new XMLHttpRequest();
  sending.open('POST', `${form.dataset.upload}?${query}`);
  sending.setRequestHeader('Content-Type', 'application/octet-stream');
  sending.setRequestHeader('X-CSRF-Token', form.elements.csrf_token.value);
  sending.upload.addEventListener('progress', sent => {
    bar.hidden = false;
    bar.value = 100 * sent.loaded / (sent.total || 1);
  });
  sending.addEventListener('loadend', () => {
    let answer = {};
    try { answer = JSON.parse(sending.responseText); } catch { /* said below */ }
    const isDone = sending.status === 200 && answer.audit?.outcome === 'ok';
    toast(isDone ? 'Uploaded.' : answer.audit?.sentence ?? answer.detail ?? 'The upload was cut off.', !isDone);
    if (dialog?.open) dialog.close();
  });
  sending.send(file);
});

/* --- small helpers --------------------------------------------------------------------------- */

document.addEventListener('click', event => {
  if (event.target.closest('[data-print]')) window.print();
});

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
const isOurs = event => event.detail?.ctx && !isPoll(event) && !isOfStream(event);
document.addEventListener('htmx:before:request', event => {
  if (isOurs(event)) document.body.classList.toggle('is-busy', ++running > 0);
});
document.addEventListener('htmx:finally:request', event => {
  if (isOurs(event)) document.body.classList.toggle('is-busy', (running = Math.max(0, running - 1)) > 0);
});
document.addEventListener('htmx:response:error', event => {
  const status = event.detail.ctx.response.status;
  if (status >= 500 && !isOfStream(event)) toast(`npvirt could not answer (error ${status}). Its log says why.`, true);
});
document.addEventListener('htmx:error', event => {
  // A region that asks by itself says so in the foot.
  if (!isOurs(event) || event.detail.ctx.sourceElement?.dataset?.live) return;
  toast('npvirt did not answer. Is it still running?', true);
});
