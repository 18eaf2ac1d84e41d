// Watches what the phone does with the code of this page: says so, goes on once it
// is allowed, makes a new code when this one is over. Without it the page's links
// and buttons do. ES2015.
(function () {
  'use strict';

  const page = document.getElementById('page-qr');
  const line = document.getElementById('qr-state');
  const form = document.getElementById('qr-form');
  const posted = document.querySelector('[data-posted]');
  if (posted) history.replaceState(null, '', posted.value); // coming back sends nothing again
  if (form) {
    form.submit();
    return;
  }
  const WATCHED = /^(waiting|scanned)$/;
  if (!WATCHED.test(page.dataset.state) || !line || !window.fetch) return;
  let timer = 0;
  let asking = false;
  let over = false;
  let failed = 0;

  function later() {
    clearTimeout(timer);
    if (!over) timer = setTimeout(ask, 2000);
  }

  // A hidden page need not know; it asks as soon as it is looked at again.
  function ask() {
    if (asking || over || document.hidden) return;
    asking = true;
    fetch(page.dataset.status, { credentials: 'same-origin' }).then((answer) => {
      if (answer.ok) return answer.json().then(tell);
      if (answer.status === 410) leave(page.dataset.here); // the sign-in itself is over: its page says so
      if (answer.status >= 500 && ++failed === 3) leave(page.dataset.renew || page.dataset.here);
    }).catch(() => {}).then(() => { asking = false; later(); });
  }

  function tell(news) {
    failed = 0;
    if (WATCHED.test(news.state)) {
      if (news.state === page.dataset.state) return;
      page.dataset.state = news.state;
      line.textContent = news.text;
      return;
    }
    leave(news.state === 'expired' && page.dataset.renew || page.dataset.here);
  }

  function leave(to) {
    over = true;
    location.replace(to);
  }

  document.addEventListener('visibilitychange', ask);
  window.addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
  later();
})();
