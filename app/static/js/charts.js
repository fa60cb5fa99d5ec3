/* Panels of charts: fetch what each is about from the series API, at first, after a refresh and by the
   minute, every ten seconds while npvirt does not answer. One cursor and one zoom for all of a page. */
'use strict';
{
  const { span, zoneOf, wholeTime } = chartAxes;
  const { linesOf } = chartLines;
  const LEAST_S = 60;
  const EVERY_MS = 55_000;
  const panels = new Map();
  // What all charts of the page share.
  const page = { zoom: null, hovered: null, setZoom };
  let skewMs = 0;

  const isShown = figure => figure.checkVisibility?.() ?? figure.offsetParent !== null;

  /* --- a panel of charts ----------------------------------------------------------------------- */

  class Panel {
    constructor(root) {
      this.root = root;
      this.charts = [...root.querySelectorAll('[data-chart]')].map(figure => new Chart(this, figure, page));
      this.answer = null;
      this.fetchedMs = 0;
      // npvirt did not answer when it was asked last.
      this.isUnanswered = false;
      root.addEventListener('toggle', () => this.want(), true);
    }

    // Whether its charts are those that stand in it now.
    get isWhole() {
      const now = [...this.root.querySelectorAll('[data-chart]')];
      return now.length === this.charts.length && this.charts.every(({ figure }) => now.includes(figure));
    }

    // What makes another picture necessary, whatever was measured meanwhile.
    get key() {
      const { subject, seconds, from, to, at } = this.root.dataset;
      return JSON.stringify([subject, seconds, from, to, at]);
    }
    get isStack() { return 'stack' in this.root.dataset; }
    get isLive() { return !this.root.dataset.from; }
    get offset() { return zoneOf(this.root); }
    get endsNow() { return this.isLive && !page.zoom; }

    whole() {
      const { from, to, seconds } = this.root.dataset;
      if (from) return [Number(from), Number(to)];
      const now = Math.floor((Date.now() + skewMs) / 1000);
      return [now - Number(seconds), now];
    }

    address([from, to], metrics = this.metrics()) {
      const query = new URLSearchParams(this.root.dataset.subject);
      for (const metric of metrics) query.append('metric', metric);
      const width = Math.max(...this.charts.map(chart => chart.plot.clientWidth), 200);
      query.set('from', Math.floor(from));
      query.set('to', Math.ceil(to));
      query.set('points', page.zoom ? Math.min(360, Math.max(60, Math.round(width / 1.5))) : this.root.dataset.points);
      if (this.root.dataset.at) query.set('at', this.root.dataset.at);
      return `/api/v1/series${this.isStack ? '/stack' : ''}?${query}`;
    }

    metrics() {
      const shown = this.charts.filter(chart => isShown(chart.figure));
      return new Set(shown.flatMap(chart => this.isStack ? [chart.figure.dataset.stack] : linesOf(chart.figure).map(line => line.metric)));
    }

    // Draw what is new; ask for it unless the answer is at hand.
    async want() {
      if (!this.metrics().size) return;
      this.aborter?.abort();
      const aborter = this.aborter = new AbortController();
      const wanted = page.zoom ?? this.whole();
      this.wantedKey = this.key;
      this.seen = this.root.dataset.seen;
      this.fetchedMs = Date.now();
      this.isUnanswered = false;
      try {
        const asked = this.isStack ? [...this.metrics()].map(metric => [metric]) : [undefined];
        const answers = await Promise.all(asked.map(metrics => this.ask(this.address(wanted, metrics), aborter.signal)));
        if (aborter.signal.aborted || !this.root.isConnected) return;
        const answer = this.answer = answers[0];
        if (this.isStack) asked.forEach(([metric], at) => this.charts.filter(chart => chart.figure.dataset.stack === metric).forEach(chart => { chart.own = answers[at]; }));
        this.window = page.zoom ?? [answer.from ?? wanted[0], answer.to ?? wanted[1]];
        this.trouble('');
        this.draw();
      } catch (error) {
        if (error.name === 'AbortError') return;
        this.isUnanswered = error instanceof TypeError;
        this.trouble(this.isUnanswered ? `npvirt did not answer${this.answer ? '; these are the values from before' : ''}.` : error.message);
      }
    }

    async ask(address, signal) {
      const response = await fetch(address, { signal, headers: { Accept: 'application/json' } });
      const date = Date.parse(response.headers.get('Date'));
      if (date && Math.abs(date - Date.now() - skewMs) > 3000) skewMs = date - Date.now();
      if (!response.ok) throw new Error(await sentenceOf(response));
      const answer = await response.json();
      // Of the fleet it is told where not all hosts were seen: of how many each step is, if of some.
      answer.partial ??= [];
      answer.of = answer.t.map(at => answer.partial.find(([from, to]) => at + answer.step_seconds > from && at < to));
      return answer;
    }

    draw() {
      for (const chart of this.charts) if (isShown(chart.figure)) chart.draw();
      const { tier, step_seconds: step } = this.answer;
      const words = { raw: 'samples of every scan', '1m': '1 min samples', '10m': '10 min samples', '1h': 'hourly samples', '1d': 'daily values' };
      const isSampled = this.answer.t.some(at => at % step);
      const each = isSampled ? step : { '1m': 60, '10m': 600, '1h': 3600, '1d': 86400 }[tier];
      const zoomed = page.zoom ? `${wholeTime(this.window[0], this.offset, 60)} – ${wholeTime(this.window[1], this.offset, 60)} · ` : '';
      this.said.textContent = zoomed + (words[tier] ?? tier) + (each === step ? '' : `, one point every ${span(step)}`);
      this.root.querySelector('[data-zoom-reset]').hidden = !page.zoom;
      this.root.dataset.drawn = '';
    }

    get said() { return this.root.querySelector('.charts-said'); }

    trouble(sentence) {
      this.said.classList.toggle('bad-t', sentence !== '');
      if (sentence) this.said.textContent = sentence;
    }

    redraw() {
      for (const chart of this.charts) chart.destroy();
      if (this.answer) this.draw();
    }

    destroy() {
      this.aborter?.abort();
      for (const chart of this.charts) {
        chart.onSize.disconnect();
        chart.destroy();
      }
    }
  }

  async function sentenceOf(response) {
    try { return (await response.json()).detail ?? `Error ${response.status}`; } catch { return `Error ${response.status}`; }
  }

  function setZoom(window) {
    for (const panel of panels.values()) for (const chart of panel.charts) chart.u?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (window) {
      const middle = (window[0] + window[1]) / 2;
      const half = Math.max(LEAST_S, window[1] - window[0]) / 2;
      const whole = [...panels.values()][0].whole();
      window = [Math.max(whole[0], middle - half), Math.min(whole[1], middle + half)];
      if (window[1] - window[0] >= (whole[1] - whole[0]) * 0.999) window = null;
    }
    page.zoom = window;
    for (const panel of panels.values()) panel.want();
  }

  /* --- when: at first, after a refresh, by the minute --------------------------------------------- */

  function purge() {
    for (const [root, panel] of panels) {
      if (root.isConnected) continue;
      panel.destroy();
      panels.delete(root);
    }
  }

  function look() {
    purge();
    for (const root of document.querySelectorAll('[data-charts]')) {
      let panel = panels.get(root);
      if (panel && !panel.isWhole) {
        panel.destroy();
        panels.delete(root);
        panel = undefined;
      }
      if (!panel) {
        panels.set(root, new Panel(root));
        panels.get(root).want();
      } else if (panel.wantedKey !== panel.key) {
        page.zoom = null;
        panel.want();
      } else if (panel.seen !== root.dataset.seen && isIdle(panel)) {
        panel.want();
      } else if (panel.answer) {
        for (const chart of panel.charts) chart.place();
      }
    }
  }

  const isDragged = () => [...panels.values()].some(panel => panel.charts.some(chart => chart.u?.select.width > 0));
  const isIdle = panel => panel.isLive && !page.zoom && !document.hidden && !isDragged();

  document.addEventListener('htmx:after:swap', look);
  // It is said of what stays as well, when its own request changes; so see what is gone afterwards.
  document.addEventListener('htmx:before:cleanup', () => setTimeout(purge));
  setInterval(() => {
    for (const panel of panels.values()) {
      const isDue = panel.isUnanswered ? !document.hidden && !isDragged() : isIdle(panel) && Date.now() - panel.fetchedMs > EVERY_MS;
      if (isDue) panel.want();
    }
  }, 10_000);
  document.addEventListener('visibilitychange', look);
  document.addEventListener('click', event => {
    if (event.target.closest('[data-zoom-reset]')) setZoom(null);
  });
  const redraw = () => panels.forEach(panel => panel.redraw());
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', redraw);
  look();
}
