/* One chart: what uPlot draws in a figure, its cursor and keys, and what it says of it in legend, tip
   and label. Gaps and marks are HTML over the canvas, so that they have the very look of everything
   else. For the other scripts as Chart; `page` is what all charts of a page share. */
'use strict';
{
  const { scale, short, withUnit, wholeTime, timeLabels } = chartAxes;
  const { added, current, drawn, hostsOf, measured, peak } = chartLines;
  const HEIGHT = 166;
  const uPlotPoint = () => { const point = document.createElement('div'); point.className = 'u-cursor-pt'; return point; };

  class Chart {
    constructor(panel, figure, page) {
      this.panel = panel;
      this.page = page;
      this.figure = figure;
      this.plot = figure.querySelector('.plot');
      this.u = null;
      this.onSize = new ResizeObserver(() => this.resize());
      this.onSize.observe(this.plot);
      this.plot.addEventListener('keydown', event => this.onKey(event));
    }

    get answer() { return this.own ?? this.panel.answer; }
    get unit() { return this.figure.dataset.unit; }
    get isStack() { return this.figure.dataset.form === 'stack'; }

    // Who uses a host is known from the answer alone: the legend is made of it.
    name() {
      const legend = this.figure.querySelector('.legend');
      const last = legend.querySelector('.no-scans');
      legend.querySelectorAll('[data-metric]').forEach(old => old.remove());
      this.answer.series.forEach((one, at) => {
        const item = document.createElement('span');
        item.dataset.metric = one.key;
        const key = document.createElement('i');
        key.className = `area ${one.key === 'others' ? 'k-limit' : `k-${at + 1}`}`;
        const label = document.createElement('bdi');
        label.textContent = one.label;
        let name = label;
        if (one.key !== 'others') {
          name = document.createElement('a');
          name.href = `/hosts/${this.panel.root.dataset.host}/domains/${one.key}${this.panel.root.dataset.at ? `?at=${encodeURIComponent(this.panel.root.dataset.at)}` : ''}`;
          name.append(label);
        }
        item.append(key, name, ' ', document.createElement('b'));
        last.before(item);
      });
    }

    // Of whom nothing was measured there is no curve to draw.
    nothing(isSo) {
      this.plot.querySelector('.nothing')?.remove();
      if (!isSo) return;
      this.destroy();
      const said = document.createElement('p');
      said.className = 'nothing';
      const text = document.createElement('span');
      text.textContent = 'Nothing was measured in this time.';
      said.append(text);
      this.plot.append(said);
      this.plot.setAttribute('aria-label', `${this.figure.dataset.title}: nothing was measured`);
      this.figure.querySelector('.now').textContent = '–';
      this.figure.querySelectorAll('[data-metric] b').forEach(value => { value.textContent = '–'; });
      this.figure.querySelectorAll('.no-scans, .some-hosts').forEach(key => { key.hidden = true; });
    }

    draw() {
      if (this.figure.dataset.stack) this.name();
      this.lines = measured(this.figure, this.answer);
      this.nothing(!this.lines.length);
      if (!this.lines.length) return;
      const { data, series, bands } = drawn(this.lines, this.answer, this.isStack);
      this.axis = scale(this.unit, peak(data));
      const shape = JSON.stringify([series.map(one => [one.stroke, one.dash, one.fill]), bands]);
      if (this.u && this.shape === shape) {
        this.u.setData(data);
      } else {
        this.destroy();
        this.shape = shape;
        this.u = new uPlot(this.options(series, bands), data, this.plot);
      }
      this.say();
    }

    options(series, bands) {
      const style = getComputedStyle(this.figure);
      const colors = getComputedStyle(this.plot);
      const font = `11px ${style.fontFamily}`;
      const axis = { stroke: colors.color, font, ticks: { show: false } };
      const grid = { stroke: colors.borderTopColor, width: 1 };
      return {
        width: Math.max(80, this.plot.clientWidth), height: HEIGHT, ms: 1, padding: [16, 14, 0, 0],
        legend: { show: false }, series, bands,
        scales: {
          x: { time: false, range: () => this.panel.window },
          y: { range: () => [0, 4 * this.axis.step * this.axis.divisor] },
        },
        axes: [
          { ...axis, size: 22, gap: 5, grid: { show: false },
            splits: u => (this.labels = timeLabels(...this.panel.window, this.panel.offset, u.bbox.width / devicePixelRatio, this.panel.endsNow)).map(([at]) => at),
            values: () => this.labels.map(([, text]) => text) },
          { ...axis, scale: 'y', size: 56, gap: 7, grid,
            splits: () => [0, 1, 2, 3, 4].map(at => at * this.axis.step * this.axis.divisor),
            values: () => [0, 1, 2, 3, 4].map(at => `${short(at * this.axis.step)}${at === 4 && this.axis.unit ? ` ${this.axis.unit}` : ''}`) },
        ],
        cursor: {
          y: false, sync: { key: 'page', scales: ['x', null], setSeries: false },
          drag: { x: true, y: false, setScale: false, dist: 6 },
          points: { size: 7, width: 0, fill: (u, at) => u.series[at].width ? u.series[at].stroke(u, at) : 'transparent', stroke: () => 'transparent',
            show: (u, at) => at <= this.lines.length && uPlotPoint() },
          bind: { dblclick: () => () => this.page.setZoom(null) },
        },
        hooks: {
          init: [u => this.dress(u)],
          setCursor: [() => this.say()],
          setSelect: [u => this.onSelect(u)],
          draw: [() => this.place()],
        },
      };
    }

    dress(u) {
      u.over.addEventListener('mouseenter', () => { this.page.hovered = this; });
      u.over.addEventListener('mouseleave', () => { if (this.page.hovered === this) this.page.hovered = null; this.say(); });
      this.tip = document.createElement('div');
      this.tip.className = 'tip';
      this.tip.hidden = true;
      u.over.append(this.tip);
    }

    // Gaps and marks, in percent of what is shown.
    place() {
      if (!this.u) return;
      const [from, to] = this.panel.window;
      const percent = at => 100 * (at - from) / (to - from);
      this.u.under.querySelectorAll('.gap').forEach(old => old.remove());
      for (const [begin, end, counted, known] of [...this.answer.gaps, ...this.answer.partial]) {
        const [left, right] = [Math.max(0, percent(begin)), Math.min(100, percent(end))];
        if (right <= 0 || left >= 100 || right - left < 0.05) continue;
        const gap = document.createElement('i');
        gap.className = known ? 'gap some' : 'gap';
        gap.style.left = `${left}%`;
        gap.style.width = `${right - left}%`;
        this.u.under.append(gap);
        // What goes on to the end is said even where it is narrow: to the left of it.
        if (!known || ((right - left) * this.u.under.clientWidth / 100 < 76 && right < 99.5)) continue;
        const said = document.createElement('b');
        said.textContent = hostsOf([begin, end, counted, known]);
        gap.append(said);
      }
      this.u.over.querySelectorAll('.mark').forEach(old => old.remove());
      const width = this.u.over.clientWidth;
      let badge = null;
      for (const told of this.panel.root.querySelectorAll('[data-mark]')) {
        const left = percent(Number(told.dataset.mark));
        if (left < 0 || left > 100) continue;
        const mark = document.createElement('span');
        mark.className = `mark ${told.className}`;
        mark.style.left = `${left}%`;
        this.u.over.append(mark);
        // Where badges would lie on one another, one stands for all: 1–4.
        if (badge && (left - badge.left) * width / 100 < badge.wide) {
          badge.wide = 22;
          badge.number.textContent = `${badge.first}–${told.dataset.number}`;
          badge.number.title += `\n${told.textContent.trim()}`;
          badge.number.classList.toggle('bad', badge.number.classList.contains('bad') || told.className === 'bad');
          continue;
        }
        const number = document.createElement('b');
        number.textContent = told.dataset.number;
        number.title = told.textContent.trim();
        number.className = told.className;
        mark.append(number);
        badge = { number, left, first: told.dataset.number, wide: 16 };
      }
    }

    // The values in the legend: those at the cursor, else the newest.
    say() {
      if (!this.u || !this.lines) return;
      const { answer } = this;
      const { offset } = this.panel;
      const at = this.u.cursor.idx;
      const isPointed = at != null && this.u.cursor.left >= 0;
      const isPart = this.answer.of.at(-1);
      for (const line of this.lines) {
        const newest = current(isPart && line.some ? line.some : line.avg);
        const value = isPointed ? line.avg[at] ?? line.some?.[at] : newest;
        line.value.textContent = value == null ? '–' : short(value / this.axis.divisor);
      }
      const summed = this.figure.dataset.big === 'sum' ? added(this.lines.map(line => line.avg)) : this.lines[0].avg;
      const isHere = this.page.hovered === this || this.plot === document.activeElement;
      const now = this.figure.querySelector('.now');
      now.textContent = withUnit(isPart ? current(this.lines[0].some ?? []) : current(summed), this.axis);
      if (isPart) now.append(' ', Object.assign(document.createElement('small'), { textContent: hostsOf(isPart) }));
      this.figure.querySelector('.no-scans').hidden = answer.gaps.length === 0;
      const some = this.figure.querySelector('.some-hosts');
      if (some) some.hidden = answer.partial.length === 0;
      this.plot.setAttribute('aria-label', this.words(summed));
      this.tip.hidden = !(isPointed && isHere);
      if (!this.tip.hidden) this.fillTip(at, wholeTime(answer.t[at], offset, answer.step_seconds));
    }

    fillTip(at, text) {
      const time = document.createElement('time');
      time.textContent = text;
      const rows = this.lines.map(line => {
        const row = document.createElement('span');
        const key = line.item.querySelector('i').cloneNode();
        const name = document.createElement('bdi');
        name.textContent = line.label;
        const value = document.createElement('b');
        value.textContent = withUnit(line.avg[at] ?? line.some?.[at], this.axis);
        row.append(key, name, ' ', value);
        const [low, high] = [line.min?.[at], line.max?.[at]];
        if (low != null && high != null && high > low && line.look !== 'limit') {
          const reach = document.createElement('small');
          reach.textContent = `${short(low / this.axis.divisor)}–${short(high / this.axis.divisor)}`;
          row.append(' ', reach);
        }
        return row;
      });
      this.tip.replaceChildren(time, ...rows);
      const of = this.answer.of[at];
      if (of) this.tip.append(Object.assign(document.createElement('small'), { textContent: hostsOf(of) }));
      const isRight = this.u.cursor.left > this.u.over.clientWidth / 2;
      this.tip.style.left = isRight ? 'auto' : `${this.u.cursor.left + 10}px`;
      this.tip.style.right = isRight ? `${this.u.over.clientWidth - this.u.cursor.left + 10}px` : 'auto';
    }

    // What a screen reader is told instead of the curve.
    words(values) {
      const { answer } = this;
      const { offset, root } = this.panel;
      const title = `${this.figure.dataset.title}, ${root.querySelector('h2').textContent}`;
      const most = values.reduce((best, value, at) => value != null && (best < 0 || value > values[best]) ? at : best, -1);
      if (most < 0 && !answer.partial.length) return `${title}: nothing was measured`;
      const now = answer.of.at(-1) ? null : current(values);
      const parts = [now == null ? 'now not known' : `${this.panel.endsNow ? 'now' : 'at the end'} ${withUnit(now, this.axis)}`,
        most < 0 ? 'never of all hosts' : `peak ${withUnit(values[most], this.axis)} at ${wholeTime(answer.t[most], offset, answer.step_seconds)}`];
      const gaps = answer.gaps.slice(0, 3).map(([from, to]) => `${wholeTime(from, offset, 60)} to ${wholeTime(to, offset, 60)}`);
      if (gaps.length) parts.push(`no scans ${gaps.join(' and ')}${answer.gaps.length > 3 ? ` and ${answer.gaps.length - 3} times more` : ''}`);
      const some = answer.partial.slice(0, 3).map(([from, to, ...of]) => `${hostsOf([from, to, ...of])} ${wholeTime(from, offset, 60)} to ${wholeTime(to, offset, 60)}`);
      if (some.length) parts.push(`only ${some.join(' and ')}${answer.partial.length > 3 ? ` and ${answer.partial.length - 3} times more` : ''}`);
      return `${title}: ${parts.join(', ')}`;
    }

    onSelect(u) {
      if (this.page.hovered !== this || u.select.width < 6) return;
      const [from, to] = [u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')];
      this.page.setZoom([from, to]);
    }

    onKey(event) {
      if (!this.u || event.ctrlKey || event.metaKey || event.altKey) return;
      const x = this.u.data[0];
      const now = this.u.cursor.idx ?? x.length - 1;
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: x.length - 1 }[event.key];
      if (to !== undefined) {
        const at = Math.max(0, Math.min(x.length - 1, to));
        this.u.setCursor({ left: Math.max(0, Math.min(this.u.over.clientWidth, this.u.valToPos(x[at], 'x'))), top: 10 }, true, true);
      } else if (event.key === '+' || event.key === '-') {
        const [from, until] = this.panel.window;
        const half = (until - from) * (event.key === '+' ? 0.25 : 1);
        if (event.key === '-' && !this.page.zoom) return;
        this.page.setZoom([x[now] - half, x[now] + half]);
      } else if (event.key === 'Escape' && this.page.zoom) {
        this.page.setZoom(null);
      } else {
        return;
      }
      event.preventDefault();
    }

    resize() {
      const width = this.plot.clientWidth;
      if (this.u && width > 80 && Math.abs(width - this.u.width) > 1) this.u.setSize({ width, height: HEIGHT });
      else if (!this.u && width > 80 && this.panel.answer && !this.plot.querySelector('.nothing')) this.panel.want();
    }

    destroy() {
      this.u?.destroy();
      this.u = null;
      if (this.page.hovered === this) this.page.hovered = null;
    }
  }

  globalThis.Chart = Chart;
}
