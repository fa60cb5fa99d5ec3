/* Charts: fetches what a panel is about from the series API and draws it with uPlot. One cursor and
   one zoom for all charts of a page. Colours, names and the zone come from the page; gaps and marks
   are HTML over the canvas, so that they have the very look of everything else. */
'use strict';
{
  const HEIGHT = 166;
  const LEAST_S = 60;
  const EVERY_MS = 55_000;
  const panels = new Map();
  let zoom = null;
  let skewMs = 0;
  let hovered = null;

  /* --- numbers ------------------------------------------------------------------------------- */

  const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const COUNTS = ['', 'k', 'M', 'G'];
  const RATES = ['B/s', 'kB/s', 'MB/s', 'GB/s', 'TB/s'];
  const STEPS = { binary: [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256],
    decimal: [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10] };

  function niceStep(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return STEPS.decimal.find(step => step * power >= value * 0.9999) * power;
  }

  // The scale of an axis: four steps from 0, what values are divided by, and their unit.
  function scale(unit, peak) {
    if (unit === 'ratio') {
      const step = peak * 100 <= 20 ? 5 : peak * 100 <= 50 ? 12.5 : peak * 100 <= 100 ? 25 : niceStep(peak * 25);
      return { divisor: 0.01, step, unit: '%' };
    }
    if (unit === 'bytes' || unit === 'bytes/s') {
      const [base, units] = unit === 'bytes' ? [1024, BYTES] : [1000, RATES];
      const least = unit === 'bytes' ? 0 : 1;
      const power = Math.max(least, Math.min(units.length - 1, Math.floor(Math.log(Math.max(peak, 1)) / Math.log(base) + 1e-9)));
      const value = Math.max(peak / base ** power, 1e-9) / 4;
      const step = unit === 'bytes' && value >= 1 ? STEPS.binary.find(one => one >= value * 0.9999) ?? niceStep(value) : niceStep(Math.max(value, 0.001));
      return { divisor: base ** power, step: Math.max(step, 0.25), unit: units[power] };
    }
    const power = Math.min(COUNTS.length - 1, Math.max(0, Math.floor(Math.log(Math.max(peak, 1)) / Math.log(1000) + 1e-9)));
    const step = niceStep(Math.max(peak, unit === 'count' ? 4 : 0.4) / 1000 ** power / 4);
    return { divisor: 1000 ** power, step: unit === 'count' && !power ? Math.ceil(step) : step, unit: COUNTS[power] + (unit === '1/s' ? '/s' : '') };
  }

  function short(value) {
    if (value == null) return '–';
    const size = Math.abs(value);
    if (size > 0 && size < 0.005) return '<0.01';
    const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
    return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  }
  const withUnit = (value, of) => value == null ? '–' : `${short(value / of.divisor)}${of.unit ? ` ${of.unit}` : ''}`;

  function span(seconds) {
    for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
      if (seconds >= size && seconds % size === 0) return `${seconds / size} ${unit}`;
    }
    return `${seconds} s`;
  }

  /* --- times: the page tells the offsets of its zone ------------------------------------------- */

  const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const two = number => String(number).padStart(2, '0');

  function zoneOf(root) {
    const told = root.dataset.offsets.split(' ').map(part => part.split(':').map(Number));
    return at => told.findLast(([from]) => at >= from)?.[1] * 60 || 0;
  }
  const local = (at, offset) => new Date((at + offset(at)) * 1000);
  const clock = date => `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  const day = date => `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;

  function wholeTime(at, offset, step) {
    const date = local(at, offset);
    if (step >= 86400) return `${day(date)} ${date.getUTCFullYear()}`;
    return `${day(date)}, ${clock(date)}${step < 60 ? `:${two(date.getUTCSeconds())}` : ''}`;
  }

  const HOURLY = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];
  const DAILY = [1, 2, 4, 7, 14];
  const MONTHLY = [1, 2, 3, 6, 12];

  // Where the axis is labelled: at even times of the page's zone. Where clocks go back, an hour is
  // there twice and its label once.
  function timeLabels(from, to, offset, width, endsNow) {
    const wanted = (to - from) / Math.max(2, width / 66);
    const hours = HOURLY.find(one => one >= wanted);
    const days = hours ? null : DAILY.find(one => one * 86400 >= wanted);
    const months = hours || days ? null : MONTHLY.find(one => one * 2_600_000 >= wanted) ?? 12;
    const stride = hours ? Math.min(hours, 900) : 900;
    const edge = (to - from) * 22 / Math.max(width, 1);
    const found = [];
    let last = '';
    for (let at = Math.ceil(from / stride) * stride; at <= to - (endsNow ? 2 * edge : edge); at += stride) {
      const seconds = at + offset(at);
      if (hours ? seconds % hours : seconds % 86400) continue;
      const date = new Date(seconds * 1000);
      if (days && Math.floor(seconds / 86400) % days) continue;
      if (months && (date.getUTCDate() !== 1 || date.getUTCMonth() % months)) continue;
      const text = months ? (date.getUTCMonth() ? MONTHS[date.getUTCMonth()] : String(date.getUTCFullYear()))
        : seconds % 86400 ? clock(date) : day(date);
      if (text === last || at - from < edge * 0.6) continue;
      last = text;
      found.push([at, text]);
    }
    if (endsNow) found.push([to, 'now']);
    return found;
  }

  /* --- one chart ------------------------------------------------------------------------------- */

  const isShown = figure => figure.checkVisibility?.() ?? figure.offsetParent !== null;

  function faded(color, alpha) {
    const legacy = color.match(/^rgba?\(([^,]+),([^,]+),([^,)]+)/);
    return legacy ? `rgba(${legacy[1]},${legacy[2]},${legacy[3]},${alpha})` : color.replace(/\)$/, ` / ${alpha})`);
  }

  function linesOf(figure) {
    return [...figure.querySelectorAll('.legend [data-metric]')].map(item => ({
      metric: item.dataset.metric, look: item.dataset.look ?? '', item, value: item.querySelector('b'),
      label: item.querySelector('i').nextSibling.textContent.trim(),
      color: getComputedStyle(item.querySelector('i')).color,
    }));
  }

  const hostsOf = ([, , counted, known]) => `${counted} of ${known} hosts`;
  const latest = values => values?.findLast(value => value != null) ?? null;

  // The newest value, if it is of the last moments shown.
  function current(values) {
    for (let back = 1; back <= Math.min(3, values.length); back++) {
      if (values[values.length - back] != null) return values[values.length - back];
    }
    return null;
  }

  function added(columns) {
    return columns[0].map((_, at) => columns.every(column => column[at] == null) ? null
      : columns.reduce((sum, column) => sum + (column[at] ?? 0), 0));
  }

  class Chart {
    constructor(panel, figure) {
      this.panel = panel;
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

    // The columns that uPlot draws, and how; what nobody measured is left out of the chart.
    columns() {
      const { answer } = this;
      const found = new Map(answer.series.map(one => [one.key ?? one.metric, one]));
      const nothing = answer.t.map(() => null);
      const all = linesOf(this.figure).map(line => ({ ...line, ...(found.get(line.metric) ?? { avg: nothing, min: nothing, max: nothing }), label: line.label }));
      // Where not all hosts were seen the sum of the fleet is not known; that of those that were is.
      for (const line of all) line.some = line.avg_counted?.map((value, at) => answer.of[at] ? value : null);
      const known = all.filter(line => [line.avg, line.some ?? []].some(values => latest(values) !== null));
      for (const line of all) line.item.hidden = known.length > 0 && !known.includes(line);
      return known;
    }

    build() {
      const { answer } = this;
      const lines = this.columns();
      // A sample is of its moment, a step is drawn at its middle.
      const half = answer.t.some(at => at % answer.step_seconds) ? 0 : answer.step_seconds / 2;
      const x = answer.t.map(at => at + half);
      const isStack = this.isStack;
      const tops = isStack ? lines.map((_, at) => added(lines.slice(0, at + 1).map(line => line.avg))) : lines.map(line => line.avg);
      const data = [x, ...tops];
      const series = [{}, ...lines.map((line, at) => this.lineOf(line, at, lines))];
      const bands = [];
      if (isStack) {
        lines.forEach((line, at) => { if (at) bands.push({ series: [at + 1, at], fill: faded(line.color, fillOf(line)) }); });
      } else {
        for (const line of lines) {
          if (line.look === 'limit' || line.look === 'thin' || !line.max?.some((value, at) => value !== line.min[at])) continue;
          data.push(line.max, line.min);
          series.push({ scale: 'y', stroke: null, width: 0, points: { show: false } }, { scale: 'y', stroke: null, width: 0, points: { show: false } });
          bands.push({ series: [data.length - 2, data.length - 1], fill: faded(line.color, 0.17) });
        }
      }
      for (const line of lines) {
        if (!line.some) continue;
        data.push(line.some);
        series.push({ scale: 'y', stroke: faded(line.color, 0.75), width: 1.2, dash: [3, 3], spanGaps: false,
          points: { show: true, size: 3, width: 0, fill: faded(line.color, 0.75), filter: (u, index) => alone(u.data[index]) } });
      }
      this.lines = lines;
      this.axis = scale(this.unit, this.peak(data));
      return { data, series, bands };
    }

    peak(data) {
      let most = 0;
      for (const column of data.slice(1)) for (const value of column) if (value > most) most = value;
      return most;
    }

    lineOf(line, at, lines) {
      const isLimit = line.look === 'limit';
      return {
        scale: 'y', stroke: line.color, width: isLimit ? 1 : 1.4,
        dash: isLimit ? [5, 3] : line.look === 'dashed' ? [4, 3] : undefined,
        fill: this.isStack ? (at === 0 ? faded(line.color, fillOf(line)) : undefined) : at === 0 && !line.look ? faded(line.color, 0.13) : undefined,
        spanGaps: false,
        // A value between two unknown ones is no line; it is a dot.
        points: { show: true, size: 3, width: 0, fill: line.color, filter: (u, index) => alone(u.data[index]) },
      };
    }

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
      const hasLines = this.columns().length > 0;
      this.nothing(!hasLines);
      if (!hasLines) return;
      const { data, series, bands } = this.build();
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
          bind: { dblclick: () => () => setZoom(null) },
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
      u.over.addEventListener('mouseenter', () => { hovered = this; });
      u.over.addEventListener('mouseleave', () => { if (hovered === this) hovered = null; this.say(); });
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
      const isHere = hovered === this || this.plot === document.activeElement;
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
      if (hovered !== this || u.select.width < 6) return;
      const [from, to] = [u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')];
      for (const panel of panels.values()) for (const chart of panel.charts) chart.u?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      setZoom([from, to]);
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
        if (event.key === '-' && !zoom) return;
        setZoom([x[now] - half, x[now] + half]);
      } else if (event.key === 'Escape' && zoom) {
        setZoom(null);
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
      if (hovered === this) hovered = null;
    }
  }

  const fillOf = line => line.item.querySelector('i').matches('.k-free') ? 0.1 : 0.34;
  const uPlotPoint = () => { const point = document.createElement('div'); point.className = 'u-cursor-pt'; return point; };

  function alone(values) {
    const found = [];
    for (let at = 0; at < values.length; at++) {
      if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
    }
    return found;
  }

  /* --- a panel of charts ----------------------------------------------------------------------- */

  class Panel {
    constructor(root) {
      this.root = root;
      this.charts = [...root.querySelectorAll('[data-chart]')].map(figure => new Chart(this, figure));
      this.answer = null;
      this.fetchedMs = 0;
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
    get endsNow() { return this.isLive && !zoom; }

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
      query.set('points', zoom ? Math.min(360, Math.max(60, Math.round(width / 1.5))) : this.root.dataset.points);
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
      const wanted = zoom ?? this.whole();
      this.wantedKey = this.key;
      this.seen = this.root.dataset.seen;
      this.fetchedMs = Date.now();
      try {
        const asked = this.isStack ? [...this.metrics()].map(metric => [metric]) : [undefined];
        const answers = await Promise.all(asked.map(metrics => this.ask(this.address(wanted, metrics), aborter.signal)));
        if (aborter.signal.aborted || !this.root.isConnected) return;
        const answer = this.answer = answers[0];
        if (this.isStack) asked.forEach(([metric], at) => this.charts.filter(chart => chart.figure.dataset.stack === metric).forEach(chart => { chart.own = answers[at]; }));
        this.window = zoom ?? [answer.from ?? wanted[0], answer.to ?? wanted[1]];
        this.trouble('');
        this.draw();
      } catch (error) {
        if (error.name === 'AbortError') return;
        this.trouble(error instanceof TypeError ? 'npvirt did not answer; these are the values from before.' : error.message);
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
      const zoomed = zoom ? `${wholeTime(this.window[0], this.offset, 60)} – ${wholeTime(this.window[1], this.offset, 60)} · ` : '';
      this.said.textContent = zoomed + (words[tier] ?? tier) + (each === step ? '' : `, one point every ${span(step)}`);
      this.root.querySelector('[data-zoom-reset]').hidden = !zoom;
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
    if (window) {
      const middle = (window[0] + window[1]) / 2;
      const half = Math.max(LEAST_S, window[1] - window[0]) / 2;
      const whole = [...panels.values()][0].whole();
      window = [Math.max(whole[0], middle - half), Math.min(whole[1], middle + half)];
      if (window[1] - window[0] >= (whole[1] - whole[0]) * 0.999) window = null;
    }
    zoom = window;
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
        zoom = null;
        panel.want();
      } else if (panel.seen !== root.dataset.seen && isIdle(panel)) {
        panel.want();
      } else if (panel.answer) {
        for (const chart of panel.charts) chart.place();
      }
    }
  }

  const isDragged = () => [...panels.values()].some(panel => panel.charts.some(chart => chart.u?.select.width > 0));
  const isIdle = panel => panel.isLive && !zoom && !document.hidden && !isDragged();

  document.addEventListener('htmx:after:swap', look);
  // It is said of what stays as well, when its own request changes; so see what is gone afterwards.
  document.addEventListener('htmx:before:cleanup', () => setTimeout(purge));
  setInterval(() => {
    for (const panel of panels.values()) {
      if (isIdle(panel) && Date.now() - panel.fetchedMs > EVERY_MS) panel.want();
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
