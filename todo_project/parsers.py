"""Request bodies: strict JSON for programs, forms for the pages of the browsable API."""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from rest_framework import parsers
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from todo_project.authentication import SIGN_IN_COOKIE
from todo_project.problems import TOO_LARGE, Problem, is_too_large
from todo_project.strict import MAX_DEPTH, decode_json


def refuse_too_large(context: Mapping[str, Any]) -> None:
    """Raise a 413 `payload_too_large` if the body has more than MAX_BODY_BYTES."""
    if is_too_large(context["request"]):
        raise Problem(413, "payload_too_large", TOO_LARGE)


class JSONParser(BaseParser):
    """Parses JSON (RFC 8259) strictly: UTF-8, finite numbers, no repeated member. Anything else is 400."""

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        assert parser_context is not None
        charset = parse_header_parameters(media_type or "")[1].get("charset", "utf-8")
        if charset.lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType(media_type or "")
        refuse_too_large(parser_context)
        try:
            body = stream.read()
            if len(body) < int(parser_context["request"].META.get("CONTENT_LENGTH") or 0):
                raise ParseError("The body ended early.")
            return decode_json(body)
        except RecursionError:
            raise ParseError(f"The body is nested more than {MAX_DEPTH} deep.") from None
        except json.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error.msg}, at character {error.pos}.") from None
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from None


class FormParser(parsers.FormParser):
    """Parses a form from one of the service's own pages."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        refuse_too_large(parser_context)
        return super().parse(stream, media_type, parser_context)


class MultiPartParser(parsers.MultiPartParser):
    """Parses a multipart form from one of the service's own pages."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        refuse_too_large(parser_context)
        return super().parse(stream, media_type, parser_context)


def parsers_for(request: HttpRequest | None, classes: Sequence[type[BaseParser]]) -> list[BaseParser]:
    """Return the parsers for this request. Forms need the sign-in cookie and no Authorization; JSON needs neither."""
    from_page = request is not None and SIGN_IN_COOKIE in request.COOKIES and "HTTP_AUTHORIZATION" not in request.META
    return [parser() for parser in classes if from_page or issubclass(parser, JSONParser)]
