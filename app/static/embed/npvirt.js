/* npvirt's views on other people's pages:
     <script src="…/embed/npvirt.js" crossorigin defer></script>
     <npvirt-view view="domains" token="npe_…" refresh="10"></npvirt-view>
   It asks the npvirt that this script came from, without cookies; leaves no global behind but the
   element's name; and may not touch the page around it, except the height of npvirt's own frames. */
(() => {
  'use strict';
  if (customElements.get('npvirt-view')) return;

  const BASE = new URL('.', document.currentScript.src);
  const SECONDS = 10, LEAST_S = 2, MOST_S = 300, PATIENCE_MS = 15_000;
  // What narrows a view; names and values go to npvirt as they are.
  const FILTERS = ['at', 'lang', 'host', 'pool', 'state', 'flag', 'q', 'sort', 'per_page', 'page', 'domain',
    'network', 'kind', 'what', 'key', 'id', 'chart', 'metric', 'range'];
  const OPTIONS = { credentials: 'omit', mode: 'cors' };
  // What is said while npvirt cannot say anything: since when it is away, that it is and refuses, or neither.
  const SAID = {
    en: [at => `npvirt has not answered since ${at}. This is what it said then.`,
      `npvirt does not answer pages of ${location.origin} with this view.`,
      'npvirt does not answer. It is asked again and again.'],
    zh: [at => `npvirt 自 ${at} 起无应答。所示为当时的内容。`, `npvirt 不向 ${location.origin} 的页面提供此视图。`,
      'npvirt 无应答，正在反复重试。'],
  };
  // As npvirt writes days, by what a locale begins them with: “28 Nov”, “Nov 28”, “11-28”.
  const DAYS = { day: ['en-GB', 'short'], month: ['en-US', 'short'], year: ['en-CA', '2-digit'] };

  // The look, fetched once for all views of the page. Constructed, so that a page whose content
  // security policy knows no style of npvirt's shows it all the same.
  let look;
  const fetchLook = () => look ??= fetch(new URL('npvirt.css', BASE), OPTIONS)
    .then(answer => answer.ok ? answer.text() : Promise.reject(answer.status))
    .then(text => new CSSStyleSheet().replace(text))
    .catch(error => { look = undefined; throw error; });

  // `was` becomes like `now` with as little change as possible: scrolling, focus and selection stay.
  function patch(was, now) {
    if (was.nodeName !== now.nodeName) return was.replaceWith(now);
    if (!was.attributes) {
      if (was.data !== now.data) was.data = now.data;
      return;
    }
    for (const { name } of [...was.attributes]) if (!now.hasAttribute(name)) was.removeAttribute(name);
    for (const { name, value } of now.attributes) if (was.getAttribute(name) !== value) was.setAttribute(name, value);
    const before = [...was.childNodes], after = [...now.childNodes];
    after.forEach((node, place) => place < before.length ? patch(before[place], node) : was.append(node));
    before.slice(after.length).forEach(node => node.remove());
  }

  const made = (name, css, part) => {
    const element = document.createElement(name);
    element.className = css;
    if (part) element.part = part;
    return element;
  };

  class NpvirtView extends HTMLElement {
    static observedAttributes = ['view', 'token', 'refresh', 'theme', ...FILTERS];

    #root = this.attachShadow({ mode: 'open' });
    #box = made('div', 'npv-host');
    #note = made('p', 'npv-note npv-warn npv-away', 'note away');
    #timer;
    #asking;
    #dueAt = 0;
    #failures = 0;
    #tag;
    #content;
    #answeredAt;

    constructor() {
      super();
      // Until there is something to show: what stands between the tags.
      this.#box.append(document.createElement('slot'));
      this.#note.hidden = true;
      this.#note.setAttribute('role', 'status');
      this.#root.append(this.#box, this.#note);
    }

    connectedCallback() {
      document.addEventListener('visibilitychange', this.#wake);
      this.#dress();
      // Content that came with the page (a frame of npvirt's has it) is shown until its time is up.
      const isGiven = !this.#content && this.querySelector(':scope > .npv');
      if (isGiven) this.#answeredAt = new Date();
      this.#wait(isGiven ? this.#seconds * 1000 : 0);
    }

    disconnectedCallback() {
      document.removeEventListener('visibilitychange', this.#wake);
      clearTimeout(this.#timer);
      this.#asking?.abort();
      this.#asking = undefined;
    }

    attributeChangedCallback(name, was, now) {
      if (!this.isConnected || was === now) return;
      if (name === 'theme') this.#dress();
      else this.#restart(name !== 'refresh');
    }

    #dress() {
      this.#box.dataset.theme = this.#note.dataset.theme = this.getAttribute('theme') ?? '';
    }

    // Several attributes that change at once are one question.
    #restart(anew = true) {
      this.#dress();
      if (anew) this.#tag = undefined;
      this.#failures = 0;
      this.#wait(0);
    }

    #wait(ms) {
      clearTimeout(this.#timer);
      this.#dueAt = Date.now() + ms;
      this.#wake();
    }

    // A page that nobody sees asks nothing; when it is seen again, what is due is asked at once.
    #wake = () => {
      clearTimeout(this.#timer);
      if (document.hidden || !this.isConnected || this.#dueAt === Infinity) return;
      this.#timer = setTimeout(() => this.#ask(), Math.max(0, this.#dueAt - Date.now()));
    };

    get #seconds() {
      const asked = Number(this.getAttribute('refresh') ?? SECONDS);
      // The past stays as it was; 0 asks once.
      if (this.hasAttribute('at') || asked === 0) return Infinity;
      return Math.max(LEAST_S, asked || SECONDS);
    }

    get #address() {
      const address = new URL(`v1/${encodeURIComponent(this.getAttribute('view') ?? '')}`, BASE);
      address.searchParams.set('t', this.getAttribute('token') ?? '');
      address.searchParams.set('as', 'element');
      for (const name of FILTERS) {
        const given = this.getAttribute(name)?.trim();
        // Several values are separated by spaces, which only what is searched for may hold.
        for (const value of (name === 'q' ? [given] : given?.split(/\s+/) ?? [])) {
          if (value) address.searchParams.append(name, value);
        }
      }
      return address;
    }

    async #ask() {
      this.#asking?.abort();
      const asking = this.#asking = new AbortController();
      const patience = setTimeout(() => asking.abort(), PATIENCE_MS);
      let status = 0;
      this.#dueAt = Infinity;
      try {
        // no-cache: the browser asks whether what it has is still true, and 304 says so.
        const [answer, sheet] = await Promise.all([
          fetch(this.#address, { ...OPTIONS, cache: 'no-cache', signal: asking.signal }), fetchLook(),
        ]);
        const text = await answer.text();
        if (asking !== this.#asking) return;
        this.#root.adoptedStyleSheets = [sheet];
        status = answer.status;
        if (status >= 500) throw status;
        this.#show(text, answer.headers.get('ETag'));
        this.#failures = answer.ok ? 0 : this.#failures + 1;
        this.#answeredAt = new Date();
        this.#note.hidden = true;
      } catch {
        if (asking !== this.#asking) return;
        this.#failures++;
        const isHere = !status && await this.#isHere();
        if (asking !== this.#asking) return;
        this.#say(isHere);
      } finally {
        clearTimeout(patience);
      }
      const seconds = this.#seconds;
      if (!this.#failures) return this.#wait(seconds * 1000 * (0.95 + Math.random() / 10));
      // Further and further apart, and not all viewers at once.
      const apart = Math.min(MOST_S, Math.min(seconds, SECONDS) * 2 ** this.#failures);
      this.#wait(apart * 1000 * (0.5 + Math.random() / 2));
    }

    #show(text, tag) {
      if (tag && tag === this.#tag) return;
      const now = new DOMParser().parseFromString(text, 'text/html').querySelector('.npv');
      if (!now) throw new TypeError('This is no view of npvirt’s.');
      if (this.#content?.isConnected) patch(this.#content, now);
      else {
        this.#box.replaceChildren(now);
        this.querySelector(':scope > .npv')?.remove();
      }
      this.#content = this.#box.firstElementChild;
      this.#tag = tag;
    }

    // Whether npvirt answers, although not this page. What every page may have is asked for.
    async #isHere() {
      const asked = { ...OPTIONS, method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) };
      return fetch(new URL('npvirt.css', BASE), asked).then(answer => answer.ok, () => false);
    }

    #say(isHere) {
      const at = this.#answeredAt, locale = this.getAttribute('lang') ?? '';
      // As app/language.py has it: Chinese is that of simplified characters.
      const language = /^zh\b(?!-(hant|tw|hk|mo)\b)/i.test(locale) ? 'zh' : 'en';
      const [since, refused, away] = SAID[language];
      this.#note.lang = language;
      this.#note.textContent = at ? since(this.#written(at, locale, language)) : isHere ? refused : away;
      this.#note.hidden = false;
    }

    #written(at, locale, language) {
      const isToday = at.toDateString() === new Date().toDateString();
      let first = 'day';
      try {
        // Of English without a region, and of what is no locale, the day comes first.
        const told = new Intl.DateTimeFormat([/^en$/i.test(locale) ? 'en-GB' : locale, 'en-GB'], { dateStyle: 'medium' });
        first = told.formatToParts(at).find(({ type }) => DAYS[type]).type;
      } catch { /* no locale */ }
      const [tag, month] = language === 'zh' ? ['zh', 'short'] : DAYS[first];
      return at.toLocaleString(tag, {
        hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...isToday ? {} : { day: month === 'short' ? 'numeric' : month, month },
      });
    }
  }
  customElements.define('npvirt-view', NpvirtView);

  // A frame of npvirt's tells how high it is (frame.js).
  addEventListener('message', event => {
    const height = Number(event.data?.npvirtHeight);
    if (event.origin !== BASE.origin || !(height > 0)) return;
    for (const frame of document.querySelectorAll('iframe')) {
      if (frame.contentWindow === event.source) frame.style.height = `${Math.min(Math.ceil(height), 20_000)}px`;
    }
  });
})();
