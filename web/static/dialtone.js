// Every page works without this script. It saves time: it groups digits, counts
// down, fills in codes and keeps a form from being sent twice. Texts come from
// data attributes, so it knows no language. ES2015, for old WebViews.
(function () {
  'use strict';

  const byId = (id) => document.getElementById(id);
  const digitsOf = (s) => s.normalize('NFKC').replace(/\D/g, '');

  // --- every form: send once -------------------------------------------------

  // A redirect to an app leaves the page where it is; then the form must become
  // usable again.
  const BUSY_MS = 8000;
  let busy = null;

  function free() {
    if (!busy) return;
    clearTimeout(busy.timer);
    delete busy.form.dataset.sent;
    if (busy.button) {
      busy.button.removeAttribute('aria-busy');
      if (busy.label !== null) busy.button.textContent = busy.label;
    }
    busy = null;
  }

  function sendOnce(event) {
    if (event.defaultPrevented) return;
    const form = event.target;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    free();
    const button = event.submitter || form.querySelector('[type=submit]');
    busy = { form: form, button: button, label: null, timer: setTimeout(free, BUSY_MS) };
    form.dataset.sent = '1';
    if (!button) return;
    // Not disabled: that would drop the button's own value from the form.
    button.setAttribute('aria-busy', 'true');
    if (button.dataset.busy) {
      busy.label = button.textContent;
      button.textContent = button.dataset.busy;
    }
  }

  // --- number ----------------------------------------------------------------

  // grouped writes a mainland China number as people read it, 138 0013 8000;
  // null if it is something else. A complete one loses its country code, which
  // stands before the field.
  function grouped(value) {
    const whole = /^(?:\+|00)?86(1[3-9]\d{9})$/.exec(value.replace(/[ -]/g, ''));
    if (whole) value = whole[1];
    if (!/^1[3-9][\d ]*$/.test(value)) return null;
    const d = value.replace(/ /g, '');
    if (d.length > 11) return null;
    return [d.slice(0, 3), d.slice(3, 7), d.slice(7)].filter(Boolean).join(' ');
  }

  // caretAfter is the position behind the nth digit.
  function caretAfter(value, n) {
    let at = 0;
    for (; at < value.length && n > 0; at++) if (value[at] !== ' ') n--;
    return at;
  }

  function phoneField(input) {
    const region = byId('region');
    const code = byId('calling-code');
    const clear = input.parentNode.querySelector('.clear');
    const inChina = () => (region ? region.value === 'CN' : !code || code.textContent === '+86');
    let before = input.value;

    function tidy(event) {
      if (event && event.isComposing) return;
      let value = input.value;
      let caret = input.selectionStart;
      // Backspace over a space takes the digit before it.
      if (event && event.inputType === 'deleteContentBackward' && before.length === value.length + 1 && before[caret] === ' ' && caret > 0) {
        value = value.slice(0, caret - 1) + value.slice(caret);
        caret--;
      }
      const tidied = inChina() ? grouped(value) : null;
      if (tidied !== null && tidied !== input.value) {
        const n = value.slice(0, caret).replace(/ /g, '').length;
        input.value = tidied;
        if (document.activeElement === input) {
          const at = caretAfter(tidied, n);
          input.setSelectionRange(at, at);
        }
      }
      before = input.value;
      clear.hidden = !input.value;
    }

    input.addEventListener('input', tidy);
    if (region) region.addEventListener('change', () => tidy());
    clear.addEventListener('click', () => {
      input.value = '';
      tidy();
      input.focus();
    });
    tidy();
    if (input.getAttribute('aria-invalid')) input.addEventListener('focus', () => input.select(), { once: true });
  }

  // --- agreement -------------------------------------------------------------

  function agreement(form, box, dialog) {
    if (!dialog.showModal) return; // the server asks
    const go = byId('agree-continue');
    form.addEventListener('submit', (event) => {
      if (box.checked) return;
      event.preventDefault();
      dialog.showModal();
      go.focus();
    });
    go.addEventListener('click', () => {
      box.checked = true;
      dialog.close();
      byId('send-code').click();
    });
    byId('agree-cancel').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => {
      if (!box.checked) box.focus();
    });
  }

  // --- code ------------------------------------------------------------------

  function codeField(input) {
    const form = input.form;
    const button = form.querySelector('[type=submit]');
    let sentBySelf = false;
    let pasted = false;

    function sendBySelf() {
      if (sentBySelf || form.dataset.sent || input.value.length !== 6) return;
      sentBySelf = true;
      button.click();
    }

    input.addEventListener('paste', () => { pasted = true; });
    input.addEventListener('input', (event) => {
      if (event.isComposing) return;
      const typed = input.value;
      const digits = digitsOf(typed);
      // Only what comes whole from the clipboard or the keyboard's suggestion
      // is sent unasked; typing a digit too quickly must not burn a try.
      const whole = event.isTrusted && (pasted || !event.inputType || event.inputType === 'insertReplacementText');
      pasted = false;
      if (digits !== typed && digits.length <= 6) {
        const at = digitsOf(typed.slice(0, input.selectionStart)).length;
        input.value = digits;
        input.setSelectionRange(at, at);
      }
      valid();
      if (whole) sendBySelf();
    });

    // The browser's own complaint, in the language of the page.
    function valid() {
      input.setCustomValidity(digitsOf(input.value).length === 6 ? '' : input.title);
    }
    button.addEventListener('click', valid);

    webOTP(form, (code) => {
      input.value = code;
      valid();
      sendBySelf();
    });
  }

  // webOTP asks Android for the code of an SMS that names this origin.
  function webOTP(form, use) {
    if (!('OTPCredential' in window) || !window.AbortController) return;
    const leave = new AbortController();
    form.addEventListener('submit', () => leave.abort());
    window.addEventListener('pagehide', () => leave.abort());
    navigator.credentials.get({ otp: { transport: ['sms'] }, signal: leave.signal })
      .then((credential) => {
        const code = credential ? digitsOf(credential.code) : '';
        if (code.length === 6) use(code);
      })
      .catch(() => {}); // refused, aborted or timed out: the person types
  }

  // countdown holds the button back for the seconds that the server has said;
  // it asks the clock, because timers sleep with the phone.
  let sooner = () => {};
  function countdown(button) {
    const seconds = Number(button.dataset.seconds);
    if (!seconds) return;
    const note = byId('resend-note');
    const line = byId('status');
    const label = button.textContent;
    let until = Date.now() + seconds * 1000;
    let timer = 0;
    note.hidden = true;

    function held(event) {
      if (button.getAttribute('aria-disabled')) event.preventDefault();
    }
    function tick() {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) {
        button.textContent = button.dataset.wait.replace('{n}', left);
        return;
      }
      clearInterval(timer);
      button.removeAttribute('aria-disabled');
      button.textContent = label;
      if (UNDER_WAY.test(line.dataset.state || 'sent')) line.textContent = button.dataset.ready;
    }
    button.setAttribute('aria-disabled', 'true');
    button.addEventListener('click', held);
    timer = setInterval(tick, 500);
    tick();
    sooner = (left) => { until = Math.min(until, Date.now() + left * 1000); };
  }

  // --- message ---------------------------------------------------------------

  const UNDER_WAY = /^(sending|sent|unknown)$/; // states that may still change

  // delivery asks what became of the message: often at first, never while nobody
  // looks, and for two minutes at most. Its texts come from the server and are
  // written only when they are new, so that each is announced once.
  function delivery(line) {
    const url = line.dataset.url;
    if (!url || !window.fetch || !UNDER_WAY.test(line.dataset.state)) return;
    const start = Date.now();
    let said = line.textContent;
    let timer = 0;
    let asking = false;
    let over = false;

    function later() {
      asking = false;
      const age = Date.now() - start;
      if (age < 120000) timer = setTimeout(ask, age < 20000 ? 2000 : 5000);
    }
    function ask() {
      clearTimeout(timer);
      if (asking || over || document.hidden) return;
      asking = true;
      fetch(url, { credentials: 'same-origin' }).then((answer) => {
        if (answer.ok) return answer.json().then(tell);
        over = answer.status < 500; // there is nothing to wait for
      }).catch(() => {}).then(() => { if (!over) later(); });
    }
    function tell(news) {
      over = !UNDER_WAY.test(news.status);
      if (news.status === 'failed') { // its page has the way on
        location.replace(line.dataset.page);
        return;
      }
      line.dataset.state = news.status;
      sooner(news.resend_in);
      if (news.text === said) return;
      said = line.textContent = news.text;
    }

    document.addEventListener('visibilitychange', ask);
    later();
  }

  // --- human check -----------------------------------------------------------

  // humanCheck goes with the script that solves the check and says in
  // #human-status where it is: while that is at work alone the button shows so; if
  // it takes long, or fails, there is a picture.
  function humanCheck(box) {
    const line = byId('human-status');
    if (!line) return;
    const form = box.closest('form');
    const button = form.querySelector('[type=submit]');
    const instead = () => { if (byId('captcha-instead')) byId('captcha-instead').hidden = false; };
    const show = () => {
      if (line.textContent === line.dataset.failed) instead();
      if (line.textContent === line.dataset.working && 'alone' in box.dataset) button.setAttribute('aria-busy', 'true');
      else if (!form.dataset.sent) button.removeAttribute('aria-busy');
    };
    new MutationObserver(show).observe(line, { childList: true });
    setTimeout(instead, 8000);
  }

  // --- demo ------------------------------------------------------------------

  function copyButton(button) {
    const text = button.closest('li').querySelector('pre');
    if (!text || !navigator.clipboard) return;
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener('click', () => {
      navigator.clipboard.writeText(text.textContent).then(() => {
        button.textContent = button.dataset.copied;
        setTimeout(() => { button.textContent = label; }, 2000);
      });
    });
  }

  // ---------------------------------------------------------------------------

  // The answer to a form takes the address of its page, so that reloading it, or
  // coming back to it, sends nothing again.
  const posted = document.querySelector('[data-posted]');
  if (posted && history.replaceState) history.replaceState(null, '', posted.value);

  const phone = byId('phone');
  if (phone) phoneField(phone);
  const dialog = byId('agree-dialog');
  if (dialog) agreement(byId('agree').form, byId('agree'), dialog);
  const code = byId('code');
  if (code) codeField(code);
  const check = byId('human-check');
  if (check) humanCheck(check);
  const line = byId('status');
  if (line) delivery(line);
  const resend = byId('resend-code');
  if (resend) countdown(resend);
  document.querySelectorAll('.copy').forEach(copyButton);

  document.addEventListener('submit', sendOnce);
  window.addEventListener('pageshow', (event) => { if (event.persisted) free(); });
})();
