// Solves the proof of work in #human-check (ALTCHA v1: the number behind the
// salt with the given SHA-256), in a worker made of this very file, and sends
// the form. Texts come from data attributes of #human-status. ES2018.
(function () {
  'use strict';

  const K = new Int32Array(64);
  const START = new Int32Array(8);
  const fraction = (x) => ((x - Math.floor(x)) * 4294967296) | 0;
  for (let n = 2, i = 0; i < 64; n++) {
    let d = 2;
    while (n % d) d++;
    if (d < n) continue;
    if (i < 8) START[i] = fraction(Math.sqrt(n));
    K[i++] = fraction(Math.cbrt(n));
  }

  // compress is one block of SHA-256 (FIPS 180-4): from h into out, bytes at.
  const w = new Int32Array(64);
  function compress(h, out, bytes, at) {
    for (let i = 0; i < 16; i++, at += 4) w[i] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
        + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
    }
    let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
    for (let i = 0; i < 64; i++) {
      const s = k + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ e & (f ^ g)) + K[i] + w[i] | 0;
      const t = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b | c & (a | b)) | 0;
      k = g; g = f; f = e; e = d + s | 0; d = c; c = b; b = a; a = s + t | 0;
    }
    out[0] = h[0] + a; out[1] = h[1] + b; out[2] = h[2] + c; out[3] = h[3] + d;
    out[4] = h[4] + e; out[5] = h[5] + f; out[6] = h[6] + g; out[7] = h[7] + k;
  }

  // searcher tries the numbers of a puzzle. The salt's whole blocks are hashed once.
  function searcher(puzzle) {
    const salt = puzzle.salt, rest = salt.length % 64;
    const want = Int32Array.from(puzzle.challenge.match(/.{8}/g), (x) => parseInt(x, 16));
    const middle = START.slice(), got = new Int32Array(8), tail = new Uint8Array(128);
    const ascii = (from, to) => Uint8Array.from(salt.slice(from, to), (c) => c.charCodeAt(0));
    for (let at = 0; at + 64 <= salt.length; at += 64) compress(middle, middle, ascii(at, at + 64), 0);
    tail.set(ascii(salt.length - rest));
    return function (from, to) {
      for (let n = from; n < to; n++) {
        const digits = String(n);
        let end = rest;
        for (let i = 0; i < digits.length; i++) tail[end++] = digits.charCodeAt(i);
        const bits = (salt.length + digits.length) * 8, blocks = end < 56 ? 64 : 128;
        tail[end] = 128;
        tail.fill(0, end + 1);
        tail[blocks - 2] = bits >> 8;
        tail[blocks - 1] = bits;
        compress(middle, got, tail, 0);
        if (blocks > 64) compress(got, got, tail, 64);
        if (got[0] === want[0] && got.every((x, i) => x === want[i])) return n;
      }
      return -1;
    };
  }

  // run searches slice by slice; pause lets others have their turn.
  function run(puzzle, tell, pause) {
    const search = searcher(puzzle);
    (function slice(from) {
      const to = Math.min(from + 8000, puzzle.maxnumber + 1), n = search(from, to);
      if (n >= 0 || to > puzzle.maxnumber) return tell({ number: n });
      tell({ progress: Math.floor(to / puzzle.maxnumber * 100) });
      pause(() => slice(to));
    })(0);
  }

  if (typeof document === 'undefined') {
    onmessage = (event) => run(event.data, postMessage, (next) => setTimeout(next));
    return;
  }

  const box = document.getElementById('human-check');
  const puzzle = box && JSON.parse(box.dataset.puzzle);
  if (!puzzle || puzzle.type !== 'pow') return;
  const form = box.closest('form'), status = document.getElementById('human-status'), began = Date.now();

  function say(state) {
    box.dataset.state = state;
    if (status) status.textContent = status.dataset[state] || '';
  }

  function told(news) {
    if (box.dataset.state !== 'working') return;
    if ('progress' in news) box.dataset.progress = news.progress;
    if (!('number' in news)) return;
    if (news.number < 0) return fail();
    box.dataset.progress = 100;
    const c = puzzle.data;
    form.elements.captcha.value = btoa(JSON.stringify({
      algorithm: c.algorithm, challenge: c.challenge, number: news.number, salt: c.salt, signature: c.signature, took: Date.now() - began,
    }));
    say('done');
    if (form.requestSubmit) form.requestSubmit(); else form.submit();
  }

  function fail() {
    say('failed');
    const other = document.getElementById('human-typed'); // picture and sound
    if (other) other.hidden = false;
  }

  // Sent too early, the form would come back with another puzzle.
  form.addEventListener('submit', (event) => {
    const typed = Array.from(box.querySelectorAll('input')).some((i) => i.type !== 'hidden' && i.value);
    const button = event.submitter;
    if (box.dataset.state === 'working' && !typed && !(button && button.hasAttribute('formaction'))) event.preventDefault();
  });

  say('working');
  const here = () => run(puzzle.data, told, (next) => setTimeout(next));
  try {
    const worker = new Worker(document.currentScript.src);
    worker.onmessage = (event) => told(event.data);
    worker.onerror = () => { worker.terminate(); here(); };
    worker.postMessage(puzzle.data);
  } catch (e) {
    here();
  }
})();
