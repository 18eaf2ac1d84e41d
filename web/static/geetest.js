// Shows the widget of Geetest (version 3 or 4) in #human-check and sends the
// form once the person has passed. Where the widget does not come, picture and
// sound take its place. Texts come from data attributes of #human-status. ES2018.
(function () {
  'use strict';

  const box = document.getElementById('human-check');
  const puzzle = box && JSON.parse(box.dataset.puzzle);
  const v4 = puzzle && puzzle.type === 'geetest_v4';
  if (!v4 && !(puzzle && puzzle.type === 'geetest_v3')) return;
  const form = box.closest('form'), status = document.getElementById('human-status'), data = puzzle.data;
  const chinese = document.documentElement.lang.startsWith('zh');
  const WAIT_MS = 10000;

  function say(state) {
    box.dataset.state = state;
    if (status) status.textContent = status.dataset[state] || '';
  }

  function fail() {
    if (box.dataset.state === 'done') return;
    say('failed');
    const other = document.getElementById('human-typed'); // picture and sound
    if (other) other.hidden = false;
  }

  function passed(widget) {
    const given = widget.getValidate();
    if (!given || box.dataset.state === 'done') return;
    const proof = { state: data.state };
    for (const name of v4 ? ['lot_number', 'captcha_output', 'pass_token', 'gen_time'] : ['geetest_challenge', 'geetest_validate', 'geetest_seccode']) {
      proof[name] = String(given[name]);
    }
    form.elements.captcha.value = JSON.stringify(proof);
    say('done');
    if (form.requestSubmit) form.requestSubmit(); else form.submit();
  }

  function show() {
    const place = box.appendChild(document.createElement('div'));
    place.id = 'human-widget';
    const ready = (widget) => {
      widget.onReady(() => {
        clearTimeout(late);
        say('working');
      });
      widget.onError(fail);
      widget.onSuccess(() => passed(widget));
      widget.appendTo('#human-widget');
    };
    if (v4) {
      window.initGeetest4({ captchaId: data.captchaId, product: 'popup', language: chinese ? 'zho' : 'eng', protocol: 'https://' }, ready);
    } else {
      window.initGeetest({
        gt: data.gt, challenge: data.challenge, new_captcha: data.new_captcha, offline: false,
        product: 'popup', width: '100%', lang: chinese ? 'zh-cn' : 'en', https: true,
      }, ready);
    }
  }

  say('working');
  const late = setTimeout(fail, WAIT_MS);
  const script = document.createElement('script');
  script.src = data.script;
  script.onload = () => {
    try { show(); } catch (e) { fail(); }
  };
  script.onerror = fail;
  document.head.appendChild(script);
})();
