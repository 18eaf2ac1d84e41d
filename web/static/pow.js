// The human check of the pages, solved without the person (ALTCHA v1): finds the
// number whose SHA-256 with the salt is the challenge, in a worker, which is this
// same file, and sends the form with the proof.
(function () {
  'use strict';

  function hex(bytes) {
    return Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, '0')).join('');
  }

  function search(puzzle, from) {
    const text = new TextEncoder();
    let n = from;
    const step = () => {
      if (n > puzzle.maxnumber) return Promise.reject(new Error('no solution'));
      return crypto.subtle.digest('SHA-256', text.encode(puzzle.salt + n))
        .then((sum) => (hex(sum) === puzzle.challenge ? n : (n++, step())));
    };
    return step();
  }

  if (typeof document === 'undefined') {
    self.onmessage = (event) => {
      const start = Date.now();
      search(event.data, 0).then(
        (number) => self.postMessage({ number: number, took: Date.now() - start }),
        () => self.postMessage({}));
    };
    return;
  }

  const box = document.getElementById('human-check');
  if (!box || !box.dataset.puzzle) return;
  const status = document.getElementById('human-status');
  const field = box.querySelector('input[name=captcha]');
  const say = (state) => { status.textContent = status.dataset[state]; };
  const puzzle = JSON.parse(box.dataset.puzzle).data;

  say('working');
  const worker = new Worker(document.currentScript.src);
  worker.onerror = () => say('failed');
  worker.onmessage = (event) => {
    if (event.data.number === undefined) {
      say('failed');
      return;
    }
    field.value = btoa(JSON.stringify({
      algorithm: puzzle.algorithm, challenge: puzzle.challenge, number: event.data.number,
      salt: puzzle.salt, signature: puzzle.signature, took: event.data.took,
    }));
    say('done');
    field.form.querySelector('[type=submit]').click();
  };
  worker.postMessage(puzzle);
})();
