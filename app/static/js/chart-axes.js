/* Axes of charts: the scale and the words of numbers, and where time is labelled in the page's zone.
   Pure; for the other scripts as chartAxes. */
'use strict';
{
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

  globalThis.chartAxes = { scale, short, withUnit, span, zoneOf, wholeTime, timeLabels };
}
