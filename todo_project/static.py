"""Static files, compressed, and under names with a hash of their content, so that browsers cache them for ever."""

import gzip
import hashlib
import os.path
import re
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]  # It has no types.

COMPRESSED = frozenset({".css", ".js", ".svg", ".map", ".txt"})
GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")


@cache
def content_hash(path: str) -> str:
    """Return a hash of the file's content. It is cached, because files do not change while the service runs."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


@cache
def compressed(path: str) -> bytes:
    """Return the file's content as gzip, compressed at the first request."""
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def hashed(name: str, path: str) -> str:
    """Return the file's name with its hash before the extension."""
    root, extension = os.path.splitext(name)
    return f"{root}.{content_hash(path)}{extension}"


class StaticFiles(StaticFilesStorage):
    """Adds to the URLs of static files the hash, and the path below which the service is mounted."""

    def url(self, name: str | None) -> str:
        return reverse("index").rstrip("/") + super().url(self.stored_name(name or ""))

    @staticmethod
    @cache
    def stored_name(name: str) -> str:
        path = finders.find(name)
        return hashed(name, path) if path and os.path.isfile(path) else name


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, which serves each file under its own name and under its name with the hash.

    Stylesheets refer to other files by their own names. Under these, files are cached for a short time only.
    """

    def add_file_to_dictionary(self, url: str, path: str, stat_cache: Any = None) -> None:
        super().add_file_to_dictionary(url, path, stat_cache)
        super().add_file_to_dictionary(hashed(url, path), path, stat_cache)

    def immutable_file_test(self, path: str, url: str) -> bool:
        return content_hash(path) in url

    def add_cache_headers(self, headers: Any, path: str, url: str) -> None:
        super().add_cache_headers(headers, path, url)
        # WhiteNoise's ETag is made of time and size. This one is weak, because it covers the compressed content too.
        headers["ETag"] = f'W/"{content_hash(path)}"'
        if os.path.splitext(path)[1] in COMPRESSED:
            headers["Vary"] = "Accept-Encoding"

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = WhiteNoiseMiddleware.serve(static_file, request)
        accepted = GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        if response.status_code != 200 or "Vary" not in response or not accepted:
            return response
        response.close()
        path, _ = static_file.get_path_and_headers({})
        return HttpResponse(compressed(path), headers={**response.headers, "Content-Encoding": "gzip"})
