"""What the contract refuses though no schema can say so: schemathesis is fed values that hold."""

import os
from typing import Any

import schemathesis


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """A path of another user is 403, whatever its text: every path here is that of the token's subject."""
    if path_parameters and "user_id" in path_parameters:
        path_parameters["user_id"] = os.environ["FUZZ_USER"]
    return path_parameters


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """A cursor is signed and bound to filter and order: one that was made up is 422, so none is sent."""
    (case.query or {}).pop("cursor", None)
