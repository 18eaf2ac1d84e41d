// Passkeys: what needs one is hidden until this script shows it. ES2015.
(function () {
  'use strict';

  const API = window.PublicKeyCredential;
  const byId = (id) => document.getElementById(id);
  if (!API) return;

  // Bytes travel as base64url; some browsers leave that to us.
  function parsed(kind, json) {
    const own = API['parse' + kind + 'OptionsFromJSON'];
    if (own) return own.call(API, json);
    return JSON.parse(JSON.stringify(json), (k, v) => {
      if (k !== 'challenge' && (k !== 'id' || v === location.hostname)) return v;
      return Uint8Array.from(atob(v.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    });
  }

  function written(key) {
    try {
      return key.toJSON();
    } catch (e) { // absent, or broken by a password manager
      const response = {};
      for (const name in key.response) {
        const b = key.response[name];
        if (b instanceof ArrayBuffer) response[name] = btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
      }
      return { id: key.id, rawId: key.id, type: key.type, response };
    }
  }

  function ask(path, form) {
    return fetch(path, { method: 'POST', body: new URLSearchParams(new FormData(form)) })
      .then((r) => r.json().then((got) => (r.ok ? got : Promise.reject(got))));
  }

  function send(form, question, key) {
    form.state.value = question.state;
    form.response.value = JSON.stringify(written(key));
    form.submit();
  }

  const tell = (text) => { byId('passkey-note').textContent = text; };

  function signIn(button) {
    const form = button.form;
    const anew = () => ask(form.action + '/options', form);
    let pending, timer;

    function get(question, mediation) {
      clearTimeout(timer);
      if (pending) pending.abort();
      const signal = (pending = new AbortController()).signal;
      return question.then((q) => {
        if (mediation) timer = setTimeout(suggest, 270000, anew); // a challenge lives for 300 s
        return navigator.credentials.get({ publicKey: parsed('Request', q.publicKey), signal, mediation }).then((key) => {
          if ((byId('agree') || {}).checked) form.agree.value = '1';
          send(form, q, key);
        });
      });
    }

    // The field for the number offers passkeys, and never complains.
    function suggest(question) {
      if (!API.isConditionalMediationAvailable) return;
      API.isConditionalMediationAvailable().then((yes) => yes && get(question(), 'conditional')).catch(() => {});
    }

    button.hidden = false;
    button.onclick = () => {
      tell('');
      get(anew()).catch(() => {
        tell(button.dataset.failed);
        suggest(anew);
      });
    };
    suggest(() => Promise.resolve({ publicKey: JSON.parse(button.dataset.options), state: button.dataset.state }));
  }

  function enrol(button) {
    const form = button.form;
    const why = { InvalidStateError: 'exists', reauthentication_required: 'stale' };
    button.hidden = false;
    button.onclick = () => {
      tell('');
      ask('/account/passkeys/options', form)
        .then((q) => navigator.credentials.create({ publicKey: parsed('Creation', q.publicKey) }).then((key) => send(form, q, key)))
        .catch((e) => tell(button.dataset[why[e.name || e.code] || 'failed']));
    };
  }

  const onDevice = API.isUserVerifyingPlatformAuthenticatorAvailable();
  const start = byId('passkey-sign-in');
  if (start) signIn(start);

  // No offer in a pop-up, a frame or an app's own browser.
  const offer = byId('offer-passkey');
  if (offer && !window.opener && window.top === window && !/; wv\)|MicroMessenger/.test(navigator.userAgent)) {
    onDevice.then((yes) => { if (yes) offer.value = '1'; });
  }

  const add = byId('add-passkey');
  const leave = byId('passkey-continue');
  if (leave) {
    onDevice.then((yes) => {
      if (!yes) return leave.click();
      leave.hidden = true;
      byId('passkey-later').hidden = byId('passkey-never').hidden = false;
      enrol(add);
    });
  } else if (add) enrol(add);
})();
