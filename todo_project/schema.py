"""The service's description of itself: the OpenAPI document, the page at /docs, and the answer to OPTIONS."""

from functools import cache
from typing import Any

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework import serializers
from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

from todo_project.environment import BASE_DIR
from todo_project.problems import PROBLEMS


class FieldProblemSerializer(serializers.Serializer[Any]):
    """What is wrong with one member, parameter or header; exactly one of the three is named."""

    pointer = serializers.CharField(required=False, help_text="JSON pointer (RFC 6901) to a member of the body.")
    parameter = serializers.CharField(required=False, help_text="A query parameter.")
    header = serializers.CharField(required=False, help_text="A request header.")
    code = serializers.CharField(help_text="Stable, for programs.")
    detail = serializers.CharField(help_text="For people.")


class ProblemSerializer(serializers.Serializer[Any]):
    """An error as RFC 9457 has it."""

    type = serializers.CharField(help_text="/docs#<code>")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.ChoiceField(list(PROBLEMS), help_text="Stable, for programs.")
    request_id = serializers.CharField()
    errors = FieldProblemSerializer(many=True, required=False)  # type: ignore[assignment]  # DRF's own attribute of that name.


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document, which is generated once per process."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # Untyped there.
    return schema


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """Serve the OpenAPI document, for programs."""
    described, below = document(), reverse("index").rstrip("/")
    if below:
        described = {**described, "servers": [{"url": below}]}
    return HttpResponse(orjson.dumps(described), content_type="application/json")


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document to people, with the meaning of each problem code."""
    problems = [{"code": code, "status": status, "meaning": text} for code, (status, text) in PROBLEMS.items()]
    titles = [(slug, title) for slug, (title, _) in guides().items()]
    return render(request, "docs.html", {"problems": problems, "guides": titles})


@cache
def guides() -> dict[str, tuple[str, str]]:
    """Return title and text of each guide in docs/, by its name."""
    texts = {file.stem: file.read_text("utf-8") for file in sorted((BASE_DIR / "docs").glob("*.md"))}
    return {slug: (text.partition("\n")[0].removeprefix("# "), text) for slug, text in texts.items()}


@require_safe
def guide(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a guide as it was written."""
    if slug not in guides():
        raise Http404
    title, text = guides()[slug]
    return render(request, "guide.html", {"title": title, "text": text})


class Metadata(BaseMetadata):
    """The endpoint's name, description and media types; `Allow` has its methods, /openapi.json everything else."""

    def determine_metadata(self, request: Request, view: Any) -> dict[str, Any]:
        return {
            "name": view.get_view_name(),
            "description": view.get_view_description(),
            "renders": [renderer.media_type for renderer in view.renderer_classes],
            "parses": [parser.media_type for parser in request.parsers or ()],
        }
