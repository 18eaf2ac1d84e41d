"""An OpenID Connect relying party built on Authlib, driving a complete sign-in.

usage: authlib_client.py ISSUER CLIENT_SECRET NUMBER PHONE_URL

It discovers the provider, walks the pages as a person without JavaScript would,
redeems the code with PKCE, verifies the ID token against the published keys,
reads userinfo, refreshes, and exits non-zero at the first thing that is off.
"""

import html
import re
import sys
from urllib.parse import parse_qs, urljoin, urlparse

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken

issuer, secret, number, phone = sys.argv[1:]
redirect_uri = "https://rp.example/cb"

meta = requests.get(issuer + "/.well-known/openid-configuration", timeout=10).json()
assert meta["issuer"] == issuer, meta["issuer"]

client = OAuth2Session(
    "web",
    secret,
    scope="openid phone offline_access",
    redirect_uri=redirect_uri,
    code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_basic",
)
verifier = "a-verifier-of-the-test-that-is-at-least-forty-three-characters"
url, state = client.create_authorization_url(
    meta["authorization_endpoint"], code_verifier=verifier, nonce="nonce-of-the-test"
)


def fields(page):
    """The hidden fields of a page's forms."""
    found = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    return {
        re.search(r'name="([^"]*)"', f).group(1): html.unescape(re.search(r'value="([^"]*)"', f).group(1)) for f in found
    }


browser = requests.Session()
page = browser.get(url, timeout=10)
assert 'id="page-login"' in page.text, page.text
form = fields(page.text) | {"phone": number}
page = browser.post(urljoin(page.url, "/login"), data=form, timeout=10)
assert 'id="page-code"' in page.text, page.text
form = fields(page.text) | {"code": requests.get(phone, timeout=10).text}
answer = browser.post(urljoin(page.url, "/login/code"), data=form, timeout=10, allow_redirects=False)
assert answer.status_code == 303, answer.status_code
query = parse_qs(urlparse(answer.headers["Location"]).query)
assert query["iss"] == [issuer] and query["state"] == [state], query

token = client.fetch_token(
    meta["token_endpoint"], authorization_response=answer.headers["Location"], code_verifier=verifier, state=state
)
keys = JsonWebKey.import_key_set(requests.get(meta["jwks_uri"], timeout=10).json())
claims = jwt.decode(
    token["id_token"],
    keys,
    claims_cls=CodeIDToken,
    claims_options={"iss": {"values": [issuer]}, "aud": {"values": ["web"]}},
    claims_params={"nonce": "nonce-of-the-test", "client_id": "web", "access_token": token["access_token"]},
)
claims.validate()

info = client.get(meta["userinfo_endpoint"]).json()
assert info["sub"] == claims["sub"] and info["phone_number"] == number, "userinfo"

fresh = client.refresh_token(meta["token_endpoint"], refresh_token=token["refresh_token"])
assert fresh["access_token"] != token["access_token"] and fresh["refresh_token"] != token["refresh_token"]
print("ok")
