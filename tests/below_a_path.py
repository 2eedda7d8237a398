"""A browser that walks every page of a service and finds what leads out of the path it is served at."""

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

# Takes a method, an address, a body and headers; gives a status, headers and a body.
Send = Callable[[str, str, bytes, dict[str, str]], tuple[int, list[tuple[str, str]], bytes]]

FORM = "application/x-www-form-urlencoded"
PASSWORD = "correct horse battery staple"
LINK = re.compile(r'\b(?:href|src|action|data-complete|data-popup-opener)="([^"#]+)')
# An address in a script or a style: what a page names in quotes or brackets, from the root.
FROM_THE_ROOT = re.compile(r"""["'(](/(?:api|docs|openapi|login|logout|healthz|readyz|admin|static)\b[^"')]*)""")


@dataclass
class Walker:
    """Asks for pages as a browser does, keeps cookies by their path, and remembers the paths it was shown, each with a query and a page."""

    send: Send
    below: str
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], str]:
        sent = {"Accept": "text/html"} | {name.replace("_", "-"): value for name, value in headers.items()}
        kept = [f"{name}={value}" for name, (value, below) in self.cookies.items() if path.startswith(below)]
        sent["Cookie"] = "; ".join(kept)
        status, answered, answer = self.send(method, path, body, sent)
        assert status < 500, (method, path, answer)
        for name, value in answered:
            if name.lower() == "set-cookie":
                for key, morsel in SimpleCookie(value).items():
                    assert morsel["path"].startswith(f"{self.below}/"), (path, value)
                    self.cookies[key] = morsel.value, morsel["path"]
            elif name.lower() in {"location", "content-location", "link"}:
                self.see(path, value.lstrip("<").partition(">")[0])
        # Pages, and the scripts and styles that are ours.
        ours = "html" in dict(lowered(answered)).get("content-type", "") or "/static/todo/" in path
        text = answer.decode("utf-8", "replace") if ours else ""
        for address in [*LINK.findall(text), *FROM_THE_ROOT.findall(text)]:
            self.see(path, html.unescape(address))
        return status, dict(lowered(answered)), answer.decode("utf-8", "replace")

    def see(self, page: str, address: str) -> None:
        parts = urlsplit(urljoin(page, address))
        if parts.scheme in {"", "http", "https"} and parts.netloc in {"", "localhost", "127.0.0.1"}:
            assert f"{parts.path}/".startswith(f"{self.below}/"), f"{page} leads to {address}"
            self.shown.setdefault(parts.path, (f"{parts.path}?{parts.query}", page))

    def submit(self, page: str, path: str, **values: str) -> tuple[int, dict[str, str], str]:
        """Send a page's form, with what the page has hidden in it."""
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.ask("GET", page)[2])
        form = urlencode({name: html.unescape(value) for name, value in hidden} | values).encode()
        return self.ask("POST", path, form, Content_Type=FORM)


def lowered(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


def walk(send: Send, below: str, subject: str, token: str, operator: str) -> Walker:
    """Sign in to the pages and to the admin, see every kind of answer, follow every link: none leads out."""
    walker = Walker(send, below)
    api = f"{below}/api/{subject}/tasks"
    bearer: Mapping[str, Any] = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    # Programs.
    status, headers, created = walker.ask("POST", api, b'{"title": "Milk"}', Content_Type="application/json", **bearer)
    assert status == 201
    task = f"{api}/{json.loads(created)['id']}"
    assert urlsplit(headers["location"]).path == task
    walker.ask("POST", api, b'{"title": "Bread"}', Content_Type="application/json", **bearer)
    _, headers, _ = walker.ask("PUT", task, b'{"title": "Cream"}', Content_Type="application/json", **bearer)
    assert urlsplit(headers["content-location"]).path == task
    _, headers, _ = walker.ask("GET", f"{api}?limit=1", **bearer)
    following = urlsplit(headers["link"][1:].partition(">")[0])
    assert walker.ask("GET", f"{following.path}?{following.query}", **bearer)[0] == 200
    for method, path in [("GET", f"{api}/9999999"), ("GET", f"{below}/nothing"), ("DELETE", f"{below}/docs")]:
        assert json.loads(walker.ask(method, path, **bearer)[2])["type"].startswith(f"{below}/docs#")
    described = json.loads(walker.ask("GET", f"{below}/openapi.json")[2])
    assert [server["url"] for server in described["servers"]] == [below]
    for address in json.loads(walker.ask("GET", f"{below}/", Accept="application/json")[2]).values():
        walker.see(f"{below}/", address)
    assert json.loads(walker.ask("GET", f"{below}/healthz")[2]) == {"status": "ok"}

    # People.
    status, headers, _ = walker.ask("GET", api)
    assert (status, headers["location"]) == (302, f"{below}/login?{urlencode({'next': api})}")
    status, headers, _ = walker.submit(headers["location"], f"{below}/login", token=token)
    assert (status, headers["location"]) == (302, api)
    for path in [
        api,
        f"{api}?limit=1",
        task,
        f"{task}/complete",
        f"{api}/9999999",
        f"{below}/nothing",
        f"{below}/docs",
    ]:
        walker.ask("GET", path)
    assert f'href="{task}"' in walker.ask("GET", api)[2]
    page = walker.ask("GET", f"{task}/complete")[2]
    for way_on in (f'href="{api}"', f'href="{task}"', f'action="{task}/complete"'):
        assert way_on in page
    _, _, page = walker.ask("GET", task)
    csrf = re.findall(r'data-csrf="([^"]+)"', page)[0]
    complete = html.unescape(re.findall(r'data-method="PATCH" action="([^"]+)"', page)[0])
    status, _, body = walker.ask("PATCH", complete, Accept="application/json", X_CSRFToken=csrf)
    assert (status, json.loads(body)["completed"]) == (200, True)

    # Operators.
    assert walker.ask("GET", f"{below}/admin")[1]["location"] == f"{below}/admin/"
    status, headers, _ = walker.submit(
        f"{below}/admin/login/", f"{below}/admin/login/", username=operator, password=PASSWORD
    )
    assert (status, headers["location"]) == (302, f"{below}/admin/")
    assert walker.ask("GET", f"{below}/admin/")[0] == 200
    follow(walker)
    assert {path for _, path in walker.cookies.values()} == {f"{below}/", f"{below}/admin/"}

    status, headers, _ = walker.submit(f"{below}/", f"{below}/logout")
    assert (status, headers["location"]) == (302, f"{below}/")
    assert walker.ask("GET", api)[0] == 302
    return walker


def follow(walker: Walker) -> None:
    """Ask for every path that was shown, and for those that these show."""
    followed: set[str] = set()
    while pending := sorted(set(walker.shown) - followed):
        followed.add(path := pending[0])
        if path.endswith(("/nothing", "/9999999")) or "{" in path:
            continue
        address, page = walker.shown[path]
        status, _, _ = walker.ask("GET", address)
        refused = path.endswith(("/complete", "/logout", "/logout/"))  # What is for writes alone.
        assert status == 405 if refused else status in {200, 301, 302}, (status, address, page)
